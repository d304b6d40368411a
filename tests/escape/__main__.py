"""Makes every attempt to escape or to cheat, at each level and as each user, and prints its outcome.

    python -m tests.escape [--levels strong,basic] [--only WORDS] [--quick]

As root, everything is also done as an ordinary user. Ends with 1 when anything got out. --quick leaves the whole runs out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.escape import runs
from tests.escape.users import ROOT, as_ordinary_user
from tests.training_samples import Rig, small_corpus, small_target
from training.escape.stage import Stage
from training.sandbox import Level
from training.sandbox.scratch import remove

Column = dict[str, str]  # attempt -> what it got
UNAVAILABLE = "the level itself"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--levels", default="strong,basic")
    options.add_argument("--only", default="", help="only whole runs with these words in their name")
    options.add_argument("--quick", action="store_true", help="only the attempts from within one process")
    options.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    levels = [Level(name) for name in chosen.levels.split(",")]
    names = [] if chosen.quick else [name for name in (*runs.ALL, runs.PAST_THE_BUDGET) if chosen.only in name]
    user = "root" if os.geteuid() == 0 else "user"
    columns = {f"{level}, {user}": attempts_at(level, names) for level in levels}
    if chosen.json:
        print(json.dumps(columns))
        return
    if user == "root":
        columns |= as_user([*sys.argv[1:], "--json"])
    sys.exit(report(columns))


def attempts_at(level: Level, names: list[str]) -> Column:
    """Make all attempts at a level."""
    with Stage() as stage:
        findings = stage.examine(level)
    column = {**findings.attempts, **{harm: harm for harm in findings.harm}}
    if findings.trouble:
        return {**column, UNAVAILABLE: findings.trouble}
    with tempfile.TemporaryDirectory(prefix="signoff-escape-", ignore_cleanup_errors=True) as work:
        os.chmod(work, 0o755)
        folder = Path(work)
        rig = Rig(folder, small_corpus(folder / "data"))
        for name in names:
            print(f"{level}: {name} …", file=sys.stderr, flush=True)
            if name == runs.PAST_THE_BUDGET:
                column[name] = runs.train_past_the_budget(rig, level, small_target(folder / "target"))
            else:
                column[name] = runs.made(rig, name, level)
        for scratch in folder.glob("scratch-*"):
            remove(scratch)
    return column


def as_user(arguments: list[str]) -> dict[str, Column]:
    """The columns of an ordinary user."""
    with tempfile.TemporaryDirectory(prefix="signoff-user-", dir="/var/tmp") as work:
        command = as_ordinary_user([sys.executable, "-B", "-m", "tests.escape", *arguments], Path(work))
        found = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": work}, stdout=subprocess.PIPE, check=True)
    columns: dict[str, Column] = json.loads(found.stdout)
    return columns


def report(columns: dict[str, Column]) -> int:
    """Print the table; 1 when anything got out."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    width = max(map(len, names))
    print(" " * width, *(f"{title:>14}" for title in columns))
    for name in names:
        cells = ["" if name not in column else "OUT" if column[name] else "stopped" for column in columns.values()]
        print(f"{name:{width}}", *(f"{cell:>14}" for cell in cells))
    out = [(title, name, got) for title, column in columns.items() for name, got in column.items() if got]
    for title, name, got in out:
        print(f"OUT ({title}) {name}: {got}")
    print(f"{len(names)} attempts in {len(columns)} columns, {len(out)} got out")
    return 1 if out else 0


if __name__ == "__main__":
    main()
