"""The command line of bubblewrap for a confinement: name spaces in which only what is allowed exists."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

TMP_SIZE = 64 << 20  # bytes of /tmp; TMPDIR names the run's own folder, which is larger
OPEN = ("/etc", "/sys", "/sys/class", "/sys/class/net")  # folders that a run with a network looks into, Gloo for one
MASK_SIZE = 4096  # bytes of the empty folder over a hidden one


def find_bubblewrap() -> str | None:
    """The path of bubblewrap; None where it is not installed."""
    return shutil.which("bwrap")


def bubblewrap(
    program: str,
    *,
    capabilities: Sequence[str] | None,
    system: Sequence[Path],
    readable: Sequence[Path],
    hidden: Sequence[Path],
    devices: Sequence[Path],
    writable: Path | None,
    shared_memory: int,
    etc: Sequence[Path] = (),
) -> list[str]:
    """The options up to the command. Later ones are mounted over earlier ones, so the order matters.

    `capabilities`: what root keeps inside until it has become another user; None for a user who is not root, and who
    needs a name space of users to make the others.
    """
    if capabilities is None:
        rights = ["--unshare-user"]
    else:
        rights = ["--cap-drop", "ALL", *(option for name in capabilities for option in ("--cap-add", name))]
    return [
        program,
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", *rights),
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *(option for path in (OPEN if etc else ()) for option in ("--perms", "0755", "--dir", path)),
        *(option for path in system for option in _as_it_is(path)),
        *(option for path in etc for option in ("--ro-bind", str(path), f"/etc/{path.name}")),
        *("--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(shared_memory), "--tmpfs", "/dev/shm"),
        # The folders of a run may lie below /tmp. They are mounted before the command starts, and only it sees these mounts.
        *("--perms", "1777", "--size", str(TMP_SIZE), "--tmpfs", "/tmp"),
        *_open_folders_above((*readable, *((writable,) if writable else ()))),
        *(option for path in readable if path.exists() for option in ("--ro-bind", str(path), str(path))),
        *(option for path in hidden if path.exists() for option in _masked(path)),
        *(option for path in devices for option in ("--dev-bind-try", str(path), str(path))),
        *(("--bind", str(writable), str(writable)) if writable else ("--remount-ro", "/tmp", "--remount-ro", "/dev/shm")),
        # Nothing that is written to /proc is needed, and it is where a process takes itself out of the kernel's choice when
        # memory is short (oom_score_adj).
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--"),
    ]


def _as_it_is(path: Path) -> Iterator[str]:
    """A folder of the system as what it is there: /lib is a link to usr/lib on most machines."""
    if path.is_symlink():
        yield from ("--symlink", os.readlink(path), str(path))
    elif path.exists():
        yield from ("--ro-bind", str(path), str(path))


def _open_folders_above(paths: Sequence[Path]) -> Iterator[str]:
    """Folders that everybody may pass on the way to mounted ones; bubblewrap would close them to all but root."""
    above = {folder for path in paths for folder in path.parents if folder != Path("/")}
    for folder in sorted(above, key=lambda folder: len(folder.parts)):
        if not (folder == Path("/tmp") or folder.is_relative_to("/usr")):
            yield from ("--perms", "0755", "--dir", str(folder))


def _masked(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from ("--perms", "0555", "--size", str(MASK_SIZE), "--tmpfs", str(path))
    else:
        yield from ("--ro-bind", "/dev/null", str(path))
