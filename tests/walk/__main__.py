"""`python -m tests.walk`: walk over a tree, say what was opened and what is wrong, and write var/walk.json."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from research_app.home import CODE, home
from tests.walk.faults import Fault
from tests.walk.report import printed, summary, write
from tests.walk.walk import Plan, Walk


def main() -> int:
    """The number of faults, at most 100, as the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.walk", description=__doc__)
    parser.add_argument("--tree", type=Path, default=CODE, help="the checkout to walk over; default: this one")
    parser.add_argument("--short", action="store_true", help="the walk of the tests, about a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=Plan.limit, metavar="SECONDS")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="where pictures go; default: var/walk, and of a short walk none"
    )
    parser.add_argument("--documents", action="store_true", help="also renew the pictures in docs/screenshots")
    parser.add_argument("--keep", action="store_true", help="keep the home of the installation, to look at its logs")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="signoff-walk-"))
    wanted = asked.pictures or (None if asked.short else home() / "walk")
    pictures = fresh(wanted) if wanted else None
    walk = Walk(asked.tree.resolve(), folder, Plan(asked.short, asked.seed, limit=asked.limit, pictures=pictures))
    try:
        walk.run()
    except KeyboardInterrupt:
        walk.faults.append(Fault("time", "the walk", "it was stopped by hand"))
    finally:
        if asked.keep:
            print(f"The installation's home: {walk.signoff.home}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if pictures and asked.documents:
        shutil.copytree(pictures / "docs", CODE / "docs" / "screenshots", dirs_exist_ok=True)
    told = summary(walk)
    print(printed(walk, told))
    write(told, home() / "walk.json")
    return min(len(walk.faults), 100)


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
