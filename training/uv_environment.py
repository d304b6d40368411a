"""The environment that a repository's uv.lock describes: made once for each content, outside the sandbox, kept by its hash.

What stands in these files is people's: a project that is trained so lets no candidate change them (see project_file.py). Only
wheels are installed, so that no code of a package runs here, and nothing of the repository itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.launch import CannotLaunch

LOCK, PROJECT, VERSION = "uv.lock", "pyproject.toml", ".python-version"
MADE_FROM = (LOCK, PROJECT, VERSION)
SECONDS = 3600  # for all downloads
PASSED_ON = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")  # and what begins with one of these:
PREFIXES = ("UV_", "HTTP", "http", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "XDG_")


def environment_of(tree: Path, directory: str, kept: Path, extras: Sequence[str] = ()) -> Path:
    """The folder of the environment, made if it is not there yet. Raises CannotLaunch with what uv said, OSError.

    `directory` is where the command is run: the uv.lock there counts, or the nearest one above it in `tree`. `extras` name its
    optional dependencies.
    """
    files = files_of(tree, directory)
    place = kept / name_of(files, extras)
    if not (place / "ready").exists():
        kept.mkdir(parents=True, exist_ok=True)
        with open(kept / f"{place.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several workers begin with the same lock file
            if not (place / "ready").exists():
                _make(files, place, extras)
    return place / "venv"


def environment_files(directory: str) -> list[str]:
    """Every path in a repository that could say what the environment is, for a command that is run in this folder."""
    return [str(folder / name) for folder in (Path(directory), *Path(directory).parents) for name in MADE_FROM]


def files_of(tree: Path, directory: str) -> Mapping[str, bytes]:
    """The lock file with what belongs to it, by name. Raises CannotLaunch where there is none."""
    start = tree / directory
    for folder in (start, *start.parents):
        if not folder.is_relative_to(tree):
            break
        if (folder / LOCK).is_file():
            return {name: (folder / name).read_bytes() for name in MADE_FROM if (folder / name).is_file()}
    raise CannotLaunch(
        f'[train] python = "uv", and the repository has no {LOCK} in {directory} or above: run `uv lock` there and commit it'
    )


def name_of(files: Mapping[str, bytes], extras: Sequence[str] = ()) -> str:
    """The same for the same content and extras on the same kind of machine."""
    digest = hashlib.sha256(" ".join([sys.platform, platform.machine(), *sorted(extras)]).encode())
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()[:24]


def uv() -> list[str]:
    """The command of uv: that on the path, or the package beside this interpreter. Raises CannotLaunch."""
    if path := shutil.which("uv"):
        return [path]
    beside = Path(sys.executable).parent / "uv"
    if beside.exists():
        return [str(beside)]
    raise CannotLaunch('[train] python = "uv", and this worker has no uv: pip install uv in its environment')


def _make(files: Mapping[str, bytes], place: Path, extras: Sequence[str]) -> None:
    shutil.rmtree(place, ignore_errors=True)  # of an attempt that was cut short
    project = place / "project"
    project.mkdir(parents=True)
    for name, content in files.items():
        (project / name).write_bytes(content)
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PREFIXES)}
    own = {"UV_PROJECT_ENVIRONMENT": str(place / "venv"), "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1"}
    options = ["--frozen", "--no-build", "--no-install-project", "--no-install-workspace", "--project", str(project)]
    command = [*uv(), "sync", *options, *(word for name in extras for word in ("--extra", name))]
    try:
        done = subprocess.run(command, env=passed | own, cwd=project, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise CannotLaunch(f"uv sync took longer than {SECONDS} s for {LOCK}") from None
    if done.returncode:
        message = " ".join(done.stderr.split())[-600:]
        raise CannotLaunch(f"uv sync could not make the environment of {LOCK} ({PROJECT}): {message}")
    (place / "ready").touch()
