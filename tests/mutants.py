"""What the tests would let pass: `python -m tests.mutants` alters lines of the product, one at a time, and runs their tests.

A seeded sample of what cosmic-ray can alter in each folder of FOLDERS is tried on a copy of this checkout. A mutant that a
test fails on is killed; one that survives is either the same in other words or something that no test looks at. It is
printed with its diff; everything goes into `var/mutants.json`. Not part of CI: a mutant takes as long as its tests.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "research_app/evidence": ["tests/evidence", "tests/documents", "tests/loop/test_runs_that_diverged.py"],
    "research_app/repository": ["tests/repository", "tests/histories/test_history_import.py"],
    "research_app/loop/land": [
        "tests/loop/test_loop_landing.py", "tests/loop/test_moved_outside.py", "tests/loop/test_landing_remote.py",
        "tests/loop/test_revert.py", "tests/loop/test_landing_queue.py", "tests/web/test_web_landings.py",
    ],
    "research_app/loop/review": [
        "tests/loop/test_votes.py", "tests/loop/test_loop_archive*.py", "tests/web/test_web_decide.py",
        "tests/loop/test_gate_policy.py", "tests/loop/test_beyond_the_envelope.py", "tests/web/test_shortlist_pages.py",
    ],
}  # fmt: skip
"""Each mutated folder with the tests that shall find what was altered there."""
LEFT_OUT = ("BitOr",)
"""Operators whose mutants are mostly annotations (`str | None`), which nothing evaluates."""
SECONDS = 900.0  # for the tests of one mutant; one that hangs is killed by it


@dataclass
class Mutant:
    """One alteration, and whether no test noticed it."""

    folder: str
    file: str
    line: int
    operator: str
    survived: bool
    diff: str


def copy_of_checkout(place: Path) -> Path:
    """The files that git knows or would add, and the tables that tests keep."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    if (tables := ROOT / ".pytest_cache").is_dir():
        shutil.copytree(tables, place / ".pytest_cache")
    return place


def mutants_of(copy: Path, folder: str, sample: int, seed: int) -> list[Mutant]:
    """Try so many of a folder's mutants."""
    tests = " ".join(str(path.relative_to(copy)) for name in FOLDERS[folder] for path in sorted(copy.glob(name)))
    command = f"{sys.executable} -m pytest -x -q {tests}"
    config = copy / "cosmic-ray.toml"
    config.write_text(
        f"[cosmic-ray]\nmodule-path = {json.dumps(folder)}\ntimeout = {SECONDS}\nexcluded-modules = []\n"
        f"test-command = {json.dumps(command)}\n[cosmic-ray.distributor]\nname = 'local'\n"
    )
    session = copy / f"{folder.replace('/', '-')}.sqlite"
    cosmic_ray(copy, "init", config.name, session.name)
    with use_db(str(session), WorkDB.Mode.open) as database:
        items = sampled(list(database.work_items), sample, seed)
        database.clear()
        database.add_work_items(items)
    cosmic_ray(copy, "exec", config.name, session.name)
    with use_db(str(session), WorkDB.Mode.open) as database:
        results = dict(database.results)
    return [mutant_of(folder, item, results[item.job_id]) for item in items]


def mutant_of(folder: str, item: WorkItem, result: WorkResult) -> Mutant:
    """The outcome of an item."""
    altered = item.mutations[0]
    survived = result.test_outcome == TestOutcome.SURVIVED
    return Mutant(folder, str(altered.module_path), altered.start_pos[0], altered.operator_name, survived, result.diff or "")


def sampled(items: Sequence[WorkItem], sample: int, seed: int) -> list[WorkItem]:
    """So many of them, the same for the same seed and code."""
    eligible = sorted(
        (item for item in items if not any(word in item.mutations[0].operator_name for word in LEFT_OUT)),
        key=lambda item: (str(item.mutations[0].module_path), item.mutations[0].start_pos, item.mutations[0].operator_name,
                          item.mutations[0].occurrence),
    )  # fmt: skip
    return random.Random(seed).sample(eligible, min(sample, len(eligible)))


def cosmic_ray(copy: Path, *words: str) -> None:
    """Run one of its commands in the copy. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *words], cwd=copy, check=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, default=12, help="mutants a folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", action="append", choices=FOLDERS, help="only this one (may be given again)")
    options = parser.parse_args(arguments)
    found: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="signoff-mutants-") as place:
        copy = copy_of_checkout(Path(place))
        for folder in options.folder or FOLDERS:
            found += mutants_of(copy, folder, options.sample, options.seed)
            report(folder, [mutant for mutant in found if mutant.folder == folder])
    (ROOT / "var").mkdir(exist_ok=True)
    (ROOT / "var" / "mutants.json").write_text(json.dumps([asdict(mutant) for mutant in found], indent=1) + "\n")
    return 0


def report(folder: str, mutants: Sequence[Mutant]) -> None:
    alive = [mutant for mutant in mutants if mutant.survived]
    for mutant in alive:
        print(f"\n{mutant.file}:{mutant.line} {mutant.operator} survived\n{mutant.diff}")
    print(f"{folder}: {len(mutants) - len(alive)} of {len(mutants)} mutants killed", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
