"""The baseline's history as outside agents clone it: the same trees and words, and nothing of who reviewed what.

Commits that hold such a trailer, and those that stand on them, have a twin without it. Twins are made once, are the same
whoever makes them, and are what is advertised to a clone; a push may stand on either.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .git import run_git
from .names import branch_ref, full_hash

NAMESPACE = "agents"
HIDDEN = re.compile(rb"^Reviewed-by: .*\n?", re.MULTILINE)
_HASH = re.compile(rb"[0-9a-f]{40}")
_KEPT = "public-commits"  # in the repository's folder: each line a commit and its twin, in the order of their making


def twins(repository: Path) -> dict[str, str]:
    """Each commit that has a twin, with it."""
    try:
        lines = (repository / _KEPT).read_text().split("\n")
    except FileNotFoundError:
        return {}
    return dict(line.split(" ", 1) for line in lines if line)


def publish(repository: Path, branch: str, tip: str) -> str:
    """Bring the twins up to this tip of the branch and show them in their namespace; the commit that is shown."""
    known = twins(repository)
    made = _missing_twins(repository, tip, known)
    if made:
        _keep(repository, known | made)
    public_tip = (known | made).get(tip, tip)
    ref = f"refs/namespaces/{NAMESPACE}/{branch_ref(branch)}"
    there = run_git("rev-parse", "--verify", "--quiet", ref, repository=repository, accept=(0, 1)).stdout.decode().strip()
    if there == public_tip:
        return public_tip
    run_git("update-ref", ref, full_hash(public_tip), repository=repository)
    run_git("symbolic-ref", f"refs/namespaces/{NAMESPACE}/HEAD", ref, repository=repository)
    return public_tip


def _missing_twins(repository: Path, tip: str, known: Mapping[str, str]) -> dict[str, str]:
    """Twins of what is new since the last one. One git command, and three for each commit that needs a twin."""
    if tip in known:
        return {}
    seen = [f"^{list(known)[-1]}"] if known else []
    listed = run_git(
        "log", "--reverse", "--topo-order", "-z", "--no-show-signature", "--no-decorate", "--format=%H%x00%P%x00%B",
        "--end-of-options", full_hash(tip), *seen, "--",
        repository=repository,
    ).stdout.split(b"\0")  # fmt: skip
    made: dict[str, str] = {}
    for commit, parents, message in zip(*(listed[start::3] for start in range(3)), strict=False):
        moved = any(parent.decode() in known or parent.decode() in made for parent in parents.split())
        if moved or without_reviewers(message) != message:
            name = commit.decode()
            made[name] = _twin(repository, name, {**known, **made})
    return made


def _twin(repository: Path, commit: str, known: Mapping[str, str]) -> str:
    """The same commit on twins of its parents, unsigned, without what is hidden of its message."""
    raw = run_git("cat-file", "commit", full_hash(commit), repository=repository).stdout
    head, _, message = raw.partition(b"\n\n")
    head = re.sub(rb"^gpgsig(?:-sha256)? .*(?:\n .*)*\n?", b"", head, flags=re.MULTILINE).rstrip(b"\n")
    lines = [
        b"parent " + known.get(line[7:].decode(), line[7:].decode()).encode() if line.startswith(b"parent ") else line
        for line in head.split(b"\n")
    ]
    message = _HASH.sub(lambda match: known.get(match[0].decode(), match[0].decode()).encode(), without_reviewers(message))
    body = b"\n".join(lines) + b"\n\n" + message
    return run_git("hash-object", "-t", "commit", "-w", "--stdin", repository=repository, stdin=body).stdout.decode().strip()


def without_reviewers(message: bytes) -> bytes:
    """A message whose last paragraph, where the trailers stand, names no reviewer."""
    text = message.rstrip(b"\n")
    start = text.rfind(b"\n\n") + 2 if b"\n\n" in text else len(text)
    if b"\nCandidate: " not in b"\n" + text[start:]:
        return message  # not one of ours
    return text[:start] + HIDDEN.sub(b"", text[start:] + b"\n")


def _keep(repository: Path, known: Mapping[str, str]) -> None:
    """Write the twins down, all or nothing."""
    descriptor, name = tempfile.mkstemp(prefix=f".{_KEPT}-", dir=repository)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{commit} {twin}\n" for commit, twin in known.items())
    Path(name).replace(repository / _KEPT)
