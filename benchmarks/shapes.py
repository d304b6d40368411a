"""From `git clone` to the first judged change: three commands for each shape of repository that people bring, with seconds.

    python -m benchmarks.shapes [--shapes nanogpt,nanochat] [--limit 900] [--keep FOLDER]
    python -m benchmarks.shapes --repo FOLDER [--words="--max_iters=100"]

Without --repo: small repositories of the shapes of autoresearch, nanoGPT, nanochat and modded-nanogpt, made here, cloned, and
brought with `project inspect`, `project try` and `project create --propose knobs` through a Signoff of its own; nothing in them
and nothing in the project file is edited. With --repo: a repository of yours, the same way. Prints each command with its
seconds as it ends, then a table; exits with 1 where one did not come to a judged change within the limit.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.installation import Installation, wait_until
from tests.real_shapes import SHAPES
from tests.walk.state import Candidate, Database
from training.uv_environment import uv

JUDGED = ("shortlisted", "ready", "dropped", "inconclusive", "rejected", "landed")
READ_DATA = 'words = open(os.path.join("data", "chars", "train.bin")).read()  # made by prepare.py, ignored by git\n'
PYPROJECT = '[project]\nname = "a"\nversion = "0"\nrequires-python = ">=3.11"\n'


@dataclass
class Brought:
    """One repository on its way: each command with its seconds, and the change that was judged."""

    name: str
    commands: list[tuple[str, float]] = field(default_factory=list)
    load: float = 0.0
    judged: Candidate | None = None
    seconds: float = 0.0  # from the first command to the judgement

    @property
    def line(self) -> str:
        took = " | ".join(f"{seconds:.0f}" for _, seconds in self.commands)
        end = f"{self.judged.number}: {self.judged.stage}" if self.judged else "none"
        return f"| {self.name} | {len(self.commands)} | {took} | {self.seconds:.0f} | {end} | {self.load:.1f} |"


HEAD = (
    "| repository | commands | inspect s | try s | create s | until the first judged change s | change | load |\n"
    + "|---" * 8
    + "|"
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shapes", default=",".join(SHAPES))
    options.add_argument("--repo", type=Path, help="a repository of yours instead")
    options.add_argument("--words", default="", help="what its command is to end with")
    options.add_argument("--limit", type=float, default=900.0, help="seconds to wait for each judgement")
    options.add_argument("--keep", type=Path, help="folder for everything (default: a new one that is removed)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="signoff-shapes-") as new:
        folder = chosen.keep or Path(new)
        folder.chmod(0o755)  # runs have a user of their own
        wanted = {chosen.repo.name.lower(): chosen.repo} if chosen.repo else written(folder, chosen.shapes.split(","))
        results = bring_all(folder, wanted, shlex.split(chosen.words), chosen.limit, own=chosen.repo is not None)
    print(f"\n{HEAD}")
    print("\n".join(each.line for each in results))
    sys.exit(0 if results and all(each.judged for each in results) else 1)


def written(folder: Path, shapes: Sequence[str]) -> Mapping[str, Path]:
    """Repositories of these shapes below `origin`, each cloned as a person clones it, its data prepared."""
    person = folder / "person"
    clones = {}
    for shape in shapes:
        origin, clone = folder / "origin" / shape, person / shape
        for name, text in files_of(shape).items():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            (origin / name).write_text(text)
        if shape == "autoresearch":
            subprocess.run([*uv(), "lock", "--offline", "--quiet"], cwd=origin, check=True)
        git(origin, "init", "-q", "-b", "main")
        git(origin, "add", "-A")
        git(origin, "commit", "-q", "-m", "Begin")
        subprocess.run(["git", "clone", "--quiet", str(origin), str(clone)], check=True)
        prepare(shape, person, clone)
        clones[shape] = clone
    return clones


def git(folder: Path, *words: str) -> None:
    """As a person who has told git nothing about themselves."""
    subprocess.run(["git", "-c", "user.name=ada", "-c", "user.email=ada@example.org", *words], cwd=folder, check=True)


def files_of(shape: str) -> Mapping[str, str]:
    files = dict(SHAPES[shape][0])
    if shape == "autoresearch":
        files["pyproject.toml"] = PYPROJECT
    if shape == "nanogpt":
        files |= {".gitignore": "*.bin\n", "data/chars/prepare.py": "open('train.bin', 'w').write('a b c')\n"}
        files["train.py"] = files["train.py"].replace("seed_offset)\n", f"seed_offset)\n{READ_DATA}", 1)
    return files


def prepare(shape: str, person: Path, clone: Path) -> None:
    """What its own preparation makes: data below the home, or beside the code."""
    if shape == "autoresearch":
        (person / ".cache" / "autoresearch").mkdir(parents=True, exist_ok=True)
        (person / ".cache" / "autoresearch" / "tokenizer.txt").write_text("a b c")
    if shape == "nanogpt":
        subprocess.run([sys.executable, "prepare.py"], cwd=clone / "data" / "chars", check=True)


def bring_all(
    folder: Path, wanted: Mapping[str, Path], words: Sequence[str], limit: float, *, own: bool = False
) -> list[Brought]:
    """Each in turn through one Signoff, until its first change is judged; then it is paused."""
    home = {} if own else {"HOME": str(folder / "person")}
    signoff = Installation(folder / "var", SIGNOFF_DEVICES=f"cpu:{os.cpu_count()}", **home)
    signoff.slowness = 60.0  # training is among the commands
    signoff.migrate()
    try:
        return [bring(signoff, folder, name, repo, words, limit) for name, repo in wanted.items()]
    finally:
        signoff.end()


def bring(signoff: Installation, folder: Path, name: str, repo: Path, words: Sequence[str], limit: float) -> Brought:
    slug, file, brought = "".join(c if c.isalnum() else "-" for c in name).strip("-"), folder / f"{name}.toml", Brought(name)
    began, brought.load = time.monotonic(), os.getloadavg()[0]
    more = [f"--words={shlex.join(words)}"] if words else []
    for command in (
        ["inspect", str(repo), "--out", str(file), *more],
        ["try", str(file), "--repo", str(repo)],
        ["create", slug, "--repo", str(repo), "--config", str(file), "--propose", "knobs"],
    ):
        if not told(brought, command, lambda command=command: signoff.command("project", *command)):  # type: ignore[misc]
            return brought
    signoff.start()  # the first time: nothing but these projects is in it
    database = Database(signoff.home)
    try:
        wait_until(lambda: first_judged(database, slug) is not None, limit)
    except TimeoutError:
        for line in database.rows("SELECT state, outcome, reason FROM research_app_run WHERE outcome != 'completed' LIMIT 3"):
            print(*line)
    brought.judged, brought.seconds = first_judged(database, slug), time.monotonic() - began
    signoff.command("project", "stop-rounds", slug)
    signoff.command("project", "pause", slug)
    return brought


def told(brought: Brought, command: Sequence[str], done: Callable[[], subprocess.CompletedProcess[str]]) -> bool:
    """Run one command and say how long it took; whether it went well."""
    began = time.monotonic()
    result = done()
    took = time.monotonic() - began
    brought.commands.append((command[0], took))
    print(f"{took:6.1f} s  signoff project {shlex.join(command)}", flush=True)
    if result.returncode:
        print(result.stdout[-3000:], result.stderr[-3000:])
    return result.returncode == 0


def first_judged(database: Database, slug: str) -> Candidate | None:
    """The first change of a project about which there is a verdict."""
    return next((each for each in database.candidates() if each.slug == slug and each.stage in JUDGED), None)


if __name__ == "__main__":
    main()
