"""What a `git push` brings, read without trusting it: its commands, and a pack that is unpacked in a repository of its own.

That repository borrows the project's objects and is thrown away. What is taken from it is the difference to the baseline, as a
patch, which then passes every check that a patch by hand passes. The wire format is git's pack protocol, version 0
(gitprotocol-pack(5), gitprotocol-http(5)).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import PatchError
from .git import Bounds, GitError, run_git
from .pack import check_pack
from .paths import path_of
from .public import NAMESPACE
from .store import Repository

MOST_BYTES = 20 << 20  # of a push
MOST_COMMANDS = 20
MOST_FILES = 200  # that it changes
MOST_CHANGED = 16 << 20  # bytes of these, before and after
LONGEST_PATH = 4096
UNPACKING, LOOKING, DIFFING = Bounds(output=128 << 20), Bounds(output=1 << 20), Bounds(output=64 << 20)
CAPABILITIES = "report-status side-band-64k ofs-delta object-format=sha1 agent=signoff"
NO_COMMIT = "0" * 40
_FLUSH = b"0000"
_BAND = 60_000  # bytes of one side-band packet
_TRAILER = re.compile(r"^([A-Za-z][A-Za-z-]*): *(\S.*)$")


@dataclass(frozen=True)
class Command:
    """One ref that the push wants to move, from one commit to another."""

    old: str
    new: str
    ref: str


@dataclass(frozen=True)
class Push:
    """A push as it arrived: commands, what the client understands, and its pack, which may be empty."""

    commands: tuple[Command, ...]
    capabilities: frozenset[str]
    pack: bytes


@dataclass(frozen=True)
class Pushed:
    """A pushed branch as a change: the words of its last commit, that message's trailers, and the patch from the baseline."""

    words: str
    trailers: Mapping[str, str]
    patch: str


def read_push(body: bytes) -> Push:
    """Take a request of git-receive-pack apart. Raises PatchError where it is none."""
    commands: list[Command] = []
    capabilities: frozenset[str] = frozenset()
    at = 0
    while True:
        line, at = _packet(body, at)
        if line is None:
            return Push(tuple(commands), capabilities, body[at:])
        text, _, wanted_capabilities = line.partition(b"\0")
        if not commands:
            capabilities = frozenset(wanted_capabilities.decode("utf-8", "replace").split())
        match = re.fullmatch(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\x00-\x20\x7f]{1,500})", text.rstrip(b"\n"))
        if match is None or len(commands) == MOST_COMMANDS:
            raise PatchError("This is no push that Signoff understands. Push one commit to refs/for/<baseline>.")
        commands.append(Command(match[1].decode(), match[2].decode(), match[3].decode("utf-8", "replace")))


def take(repository: Repository, commit: str, pack: bytes) -> Pushed:
    """Unpack a pushed commit beside the repository and say how it differs from the baseline that it was made from.

    Raises PatchError where the pack is broken, the commit does not come from the baseline, or a file or its name is not UTF-8.
    """
    if pack:
        check_pack(pack)
    with tempfile.TemporaryDirectory(prefix="signoff-push-") as folder:
        beside = Path(folder, "pushed.git")
        run_git("init", "--bare", "--quiet", "--template=", "--", str(beside))
        alternates = beside / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{repository.path / 'objects'}\n")
        try:
            if pack:
                limits = (f"--max-input-size={MOST_BYTES}", "--threads=1")
                run_git(
                    "index-pack", "--stdin", "--fix-thin", "--strict", *limits, repository=beside, stdin=pack, bounds=UNPACKING
                )
            # From where it left either history: the one that agents clone, or the baseline's own.
            tips = (repository.public_tip(), repository.tip())
            bases = run_git("merge-base", "--end-of-options", commit, *tips, repository=beside, accept=(0, 1), bounds=LOOKING)
            base = bases.stdout.decode().strip()
            options = ("-s", "--format=%B", "--end-of-options", commit)
            message = run_git("show", *options, repository=beside, bounds=LOOKING).stdout
            patch = _patch(beside, repository.branch, base, commit) if base else ""
        except GitError as error:
            raise PatchError(f"The push cannot be read: {error.errors[:300]}") from None
    if not base:
        raise PatchError(
            f"The commit shares no history with the branch {repository.branch}: clone it here and start from its tip."
        )
    if not patch:
        raise PatchError(f"The commit changes nothing against the branch {repository.branch}.")
    words, trailers = _message(message.decode("utf-8", "replace"))
    return Pushed(words, trailers, patch)


def _patch(beside: Path, branch: str, base: str, commit: str) -> str:
    """What the commit changes against its base, after a look at how much that is. Raises PatchError, GitError."""
    options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--end-of-options", base, commit)
    listed = run_git("diff-tree", *options, repository=beside, bounds=LOOKING).stdout.split(b"\0")[:-1]
    heads, paths = listed[::2], listed[1::2]
    if len(paths) > MOST_FILES:
        raise PatchError(f"The push changes {len(paths):,} files; at most {MOST_FILES} are taken.")
    if (longest := max(map(len, paths), default=0)) > LONGEST_PATH:
        raise PatchError(f"The push has a file name of {longest:,} bytes; at most {LONGEST_PATH:,} are taken.")
    for path in paths:
        path_of(path)
    blobs = {blob for head in heads for blob in head.split(b" ")[2:4] if blob.strip(b"0")}
    named = b"".join(blob + b"\n" for blob in sorted(blobs))
    sizes = run_git("cat-file", "--batch-check=%(objectsize)", repository=beside, stdin=named, bounds=LOOKING).stdout.split(
        b"\n"
    )
    # What is missing, as the commit of a submodule is, has no size: the checks of a change refuse that in words.
    if sum(int(size) for size in sizes if size.isdigit()) > MOST_CHANGED:
        raise PatchError(f"The files that the push changes have more than {MOST_CHANGED >> 20} MB; so much is not taken.")
    return Repository(beside, branch).patch(base, commit, DIFFING)


def advertise_push(repository: Repository) -> bytes:
    """The first answer to a push: the branch that changes start from, and what is understood."""
    line = f"{repository.public_tip()} refs/heads/{repository.branch}\0{CAPABILITIES}\n"
    return packet("# service=git-receive-pack\n") + _FLUSH + packet(line) + _FLUSH


def advertise_fetch(repository: Repository) -> bytes:
    """The first answer to a clone or fetch: the baseline branch, without who reviewed what, and nothing else."""
    repository.public_tip()
    advertisement = _upload_pack(repository, "--advertise-refs")
    return packet("# service=git-upload-pack\n") + _FLUSH + advertisement


def fetch(repository: Repository, body: bytes) -> bytes:
    """What a clone or fetch asked for. Raises PatchError where the request is none, or asks for another branch's commits."""
    try:
        return _upload_pack(repository, stdin=body)
    except GitError as error:
        raise PatchError(f"The request cannot be answered: {error.errors[:300]}") from None


def report(push: Push, refused: Mapping[str, str], words: str) -> bytes:
    """The answer to a push: each ref taken or refused with a reason in short, and `words` for the person who pushed."""
    lines = [packet("unpack ok\n")]
    for command in push.commands:
        reason = " ".join(refused.get(command.ref, "").split())[:200]
        lines.append(packet(f"ng {command.ref} {reason}\n" if reason else f"ok {command.ref}\n"))
    status = b"".join(lines) + _FLUSH
    if "side-band-64k" not in push.capabilities:
        return status
    message = words.encode()
    spoken = [packet(b"\x02" + message[i : i + _BAND]) for i in range(0, len(message), _BAND)]
    return b"".join(spoken) + packet(b"\x01" + status) + _FLUSH


def packet(content: bytes | str) -> bytes:
    """One pkt-line."""
    data = content.encode() if isinstance(content, str) else content
    return f"{len(data) + 4:04x}".encode() + data


def _packet(body: bytes, at: int) -> tuple[bytes | None, int]:
    """The pkt-line at a place and where the next one begins; None for a flush. Raises PatchError."""
    size = int(body[at : at + 4], 16) if re.fullmatch(rb"[0-9a-f]{4}", body[at : at + 4]) else -1
    if size == 0:
        return None, at + 4
    if size < 5 or at + size > len(body):
        raise PatchError("The push is cut off, or is not git's.")
    return body[at + 4 : at + size], at + size


def _upload_pack(repository: Repository, *options: str, stdin: bytes = b"") -> bytes:
    # The last one that matches wins: everything is hidden, then the one branch is shown.
    hidden_refs = {"uploadpack.hideRefs": "refs/", "transfer.hideRefs": f"!refs/heads/{repository.branch}"}
    arguments = ("--stateless-rpc", *options, str(repository.path))
    namespace = {"GIT_NAMESPACE": NAMESPACE}
    return run_git(
        "upload-pack", *arguments, stdin=stdin, environment=namespace, configuration=hidden_refs, timeout=300.0
    ).stdout


def _message(text: str) -> tuple[str, dict[str, str]]:
    """A commit message without its trailers, and those with lower-case names."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    last = [_TRAILER.match(line) for line in paragraphs[-1].split("\n")] if len(paragraphs) > 1 else [None]
    if not all(last):
        return "\n\n".join(paragraphs), {}
    return "\n\n".join(paragraphs[:-1]), {match[1].lower(): match[2].strip() for match in last if match}
