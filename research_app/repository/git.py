"""The one function that runs git, with an environment in which nothing but Signoff decides what git does."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import RepositoryError, TroubleError

MINIMUM_VERSION = (2, 38)  # the first with `merge-tree --write-tree`
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

# What a fetch needs to reach a remote from inside a company network. Nothing else of our environment reaches git.
_PASSED_ON = (
    "PATH", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy",
)  # fmt: skip

ENVIRONMENT = {
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "0",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
}

_CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.autocrlf": "false",
    "core.symlinks": "false",
    "core.quotePath": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # Objects reach the disk before the branch that names them does, so a power cut leaves the old tip or the new one.
    "core.fsync": "committed,reference",
    "core.filesRefLockTimeout": "1000",
    # Git 2.43 and later read .gitattributes from the tree even in a bare repository: an attribute could hide a diff.
    "attr.tree": EMPTY_TREE,
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "protocol.git.allow": "always",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.ext.allow": "never",
    "safe.directory": "*",
}
# Objects from a source are checked on arrival. Tolerated are old, harmless slips that well-known histories carry.
_CONFIGURATION["fetch.fsckObjects"] = "true"
for _slip in ("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingEmail", "gitmodulesUrl"):
    _CONFIGURATION |= {f"fetch.fsck.{_slip}": "ignore", f"fsck.{_slip}": "ignore"}
_CONFIGURATION_ARGUMENTS = tuple(part for name, value in _CONFIGURATION.items() for part in ("-c", f"{name}={value}"))

_MACHINE_TROUBLE = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system|insufficient permission")


@dataclass(frozen=True)
class Output:
    code: int
    stdout: bytes
    errors: str


@dataclass(frozen=True)
class Bounds:
    """What one git process may take, where what it reads was chosen by somebody who is not trusted."""

    output: int = 1 << 20  # bytes that it may write, to us or to a file
    memory: int = 256 << 20  # bytes of its own
    seconds: int = 20  # of processor time

    def hold(self, pid: int) -> None:
        """Put them on a process that was just started."""
        limits = {resource.RLIMIT_FSIZE: self.output, resource.RLIMIT_DATA: self.memory, resource.RLIMIT_CPU: self.seconds}
        with suppress(ProcessLookupError):
            for limit, most in limits.items():
                resource.prlimit(pid, limit, (most, most))


class GitError(RepositoryError):
    """git ended with an exit code that the caller did not expect; `errors` is what it said."""

    def __init__(self, command: str, code: int, errors: str) -> None:
        super().__init__(f"git {command} failed with exit code {code}: {errors or 'it gave no reason'}")
        self.errors = errors


def run_git(
    command: str,
    *arguments: str,
    repository: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    configuration: Mapping[str, str] | None = None,
    accept: Collection[int] = (0,),
    timeout: float = 60.0,
    bounds: Bounds | None = None,
) -> Output:
    """Run one git command on a bare repository, or on none; there is never a work tree.

    Callers pass constant options first and put `--` or `--end-of-options` before anything that varies. `environment`
    and `configuration` add to the clean ones. Raises GitError on an exit code outside `accept` and beyond `bounds`,
    TroubleError when git is missing, cannot write or takes longer than `timeout` seconds.
    """
    where = () if repository is None else (f"--git-dir={repository}",)
    more = (part for name, value in (configuration or {}).items() for part in ("-c", f"{name}={value}"))
    words = ("git", "--no-pager", *where, *_CONFIGURATION_ARGUMENTS, *more, command, *arguments)
    with _place_for_output(bounds) as place:
        process = _start(words, environment or {}, place)
        try:
            if bounds:
                bounds.hold(process.pid)
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        except BaseException as stopped:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its helpers: a fetch has several, and they hold the pipes open
            process.communicate()
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise TroubleError(f"git {command} took longer than {timeout:.0f} s and was stopped.") from None
            raise
        if bounds:
            place.seek(0)
            stdout = place.read(bounds.output)
    errors = stderr.decode("utf-8", "backslashreplace").strip()
    if trouble := _MACHINE_TROUBLE.search(errors):
        # Never a GitError: what the machine lacks is not the fault of the patch or the source at hand.
        raise TroubleError(f"git {command} could not write: {trouble[0].lower()}. Make room or set it right; try again.")
    if process.returncode not in accept:
        beyond = bounds is not None and (process.returncode < 0 or "out of memory" in errors.lower())
        raise GitError(command, process.returncode, "it is more than can be read" if beyond else errors)
    return Output(process.returncode, stdout, errors)


@contextmanager
def _place_for_output(bounds: Bounds | None) -> Iterator[Any]:
    """Where git's answer goes: a pipe, or a file where there are bounds, because only a file's size can be limited."""
    if bounds is None:
        yield subprocess.PIPE
        return
    with tempfile.TemporaryFile() as file:
        yield file


def _start(words: Sequence[str], environment: Mapping[str, str], place: Any) -> subprocess.Popen[bytes]:
    """Start git in its own group and a clean environment. Raises TroubleError where there is none."""
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=place,
            stderr=subprocess.PIPE,
            env={**inherited, **ENVIRONMENT, **environment},
            cwd="/",
            process_group=0,
        )
    except FileNotFoundError:
        raise TroubleError("git is not installed, or not on PATH. Install it, say with: apt install git.") from None


def git_version() -> tuple[int, ...]:
    """The installed git's version, such as (2, 39, 5). Raises RepositoryError when git is missing."""
    text = run_git("version").stdout.decode()
    return tuple(int(part) for part in re.findall(r"\d+", text.split()[2])[:3])


def identity(author: str, when: datetime) -> dict[str, str]:
    """The environment that names a commit's author and committer.

    `author` (untrusted) is "Name <address>" or a name alone; what git cannot hold of it is left out. `when` carries its
    time zone. Raises RepositoryError when no name is left, and for a time without a zone.
    """
    if when.tzinfo is None:
        raise RepositoryError("A commit's time needs a time zone; pass an aware datetime.")
    match = re.fullmatch(r"(.*)<([!-;=?-~]+)>\s*", author, re.DOTALL)
    name, address = (match[1], match[2]) if match else (author, "signoff@localhost")
    name = "".join(letter if letter.isprintable() and letter not in "<>" else " " for letter in name).strip(" .,:;\"'\\")
    if not name:
        raise RepositoryError(f'{author!r} is not an author: give a name, or "Name <address>".')
    seconds = f"@{int(when.timestamp())} +0000"
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_AUTHOR_DATE": seconds,
        "GIT_COMMITTER_NAME": "Signoff",
        "GIT_COMMITTER_EMAIL": "signoff@localhost",
        "GIT_COMMITTER_DATE": seconds,
    }
