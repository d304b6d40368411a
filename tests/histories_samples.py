"""Small repositories and results tables, as an autoresearch-like loop leaves them behind."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from research_app.home import CODE
from tests.factories import TRAIN_PY

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
PUBLISHED = next(
    (path for folder in CODE.parents if (path := folder / "shared" / "data" / "autoresearch_mar8_results.tsv").is_file()), None
)
"""The published history of karpathy/autoresearch, where it lies beside the checkout; it is not part of it."""


def table(*rows: str, header: str = HEADER) -> str:
    """A results table of these lines, their cells separated by `|`."""
    return "\n".join([header, *(row.replace("|", "\t") for row in rows)]) + "\n"


def git(folder: Path, *words: str, **environment: str) -> str:
    """Run git as the owner of the repository does."""
    names = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Karl")
    names |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "karl@example.org")
    full = {"PATH": os.environ["PATH"], "HOME": str(folder), **names, **environment}
    return subprocess.run(
        ["git", "-C", str(folder), *words], env=full, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(
    folder: Path, edit: tuple[str, str], message: str, at: str = "2026-03-08T10:00:00+00:00", author: str = "Karl"
) -> str:
    """Replace a text in train.py and commit it; the commit's first seven digits."""
    train = folder / "train.py"
    train.write_text(train.read_text().replace(*edit))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, GIT_AUTHOR_DATE=at, GIT_COMMITTER_DATE=at, GIT_AUTHOR_NAME=author)
    return git(folder, "rev-parse", "--short=7", "HEAD")


def make_repository(folder: Path, files: Sequence[tuple[str, str]] = (("train.py", TRAIN_PY),), branch: str = "exp") -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", branch)
    for path, text in files:
        (folder / path).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin", GIT_AUTHOR_DATE="2026-03-08T09:00:00+00:00")
    return folder


def make_history(folder: Path) -> tuple[Path, Path]:
    """A repository whose loop kept two changes, discarded two and crashed once, and its results table.

    Of what was discarded, one commit was reset away and the other never made.
    """
    make_repository(folder)
    begin = git(folder, "rev-parse", "--short=7", "HEAD")
    wider = commit(folder, ("WIDTH = 96", "WIDTH = 128"), "Wider", "2026-03-08T09:06:00+00:00")
    lost = commit(folder, ("WARMUP = 0.05", "WARMUP = 0.2"), "Longer warm-up", "2026-03-08T09:12:00+00:00")
    git(folder, "reset", "-q", "--hard", "HEAD~1")
    faster = commit(
        folder, ("LEARNING_RATE = 3e-3", "LEARNING_RATE = 4e-3"), "Faster", "2026-03-08T11:30:00+00:00", "Éva & Söhne"
    )
    results = folder.parent / "results.tsv"
    rows = (
        f"{begin}|0.9979|44.0|keep|baseline",
        f"{wider}|0.9860|43.9|keep|WIDTH 96 to 128",
        f"{lost}|0.9871|43.9|discard|warm-up 0.05 to 0.2",
        "|0.9869|43.9|discard|random seed 42 to 137",
        "0000000|0.000000|0.0|crash|LAYERS 3 to 300",
        f"{faster}|0.9855|43.9|keep|learning rate 3e-3 to 8e-3",
    )
    results.write_text(table(*rows))
    return folder, results
