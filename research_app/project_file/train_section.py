"""How a run is started, and what it may take: the tables [train] and [limits] of the project file."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from research_app.project_file.command_words import Command, require_places
from research_app.project_file.section import Section, stored

OURS = {
    "CUDA_VISIBLE_DEVICES": ": it names the devices that the run leased",
    "HOME": ": it is the run's own folder; name what it should find there in read",
    "TMPDIR": ": it is the run's own folder",
}
TOO_WIDE = {Path(name) for name in ("/", "/root", "/home", "/etc", "/var", "/proc", "/sys", "/dev", "/run", "~")}


class Train(Section):
    """How one run is started and bounded."""

    directory: str = "."
    python: str = "worker"
    extras: tuple[str, ...] = ()
    command: Command = ("python", "train.py")
    env: dict[str, str] = {}
    read: tuple[str, ...] = ()
    writable_tree: bool = False
    links: dict[str, str] = {}
    cache: tuple[str, ...] = ()
    launcher: Literal["", "torchrun"] = ""
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    devices: Annotated[int, Field(ge=1, le=1024)] = 1
    wall_limit_seconds: Annotated[float, Field(gt=0, le=7 * 24 * 3600)] = 180
    memory_limit_mb: Annotated[int, Field(ge=64)] = 4096
    log_limit_kb: Annotated[int, Field(ge=4, le=16 * 1024)] = 256
    processes: Annotated[int, Field(ge=0, le=512)] = 0

    @field_validator("directory")
    @classmethod
    def _below_the_tree(cls, directory: str) -> str:
        if directory.startswith("/") or ".." in Path(directory).parts or "\\" in directory:
            raise ValueError('write a folder below the root of the repository, for example "experiments/gpt"')
        return directory

    @field_validator("python")
    @classmethod
    def _an_interpreter(cls, python: str) -> str:
        if python not in ("worker", "uv") and not python.startswith(("/", "~/")):
            raise ValueError('write "worker", "uv", or the path of a virtual environment, for example "/opt/research/.venv"')
        return python

    @field_validator("extras")
    @classmethod
    def _of_the_lock_file(cls, extras: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in extras:
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
                raise ValueError(f'{name!r} is no name of an extra: write it as pyproject.toml does, for example "cpu"')
        if extras and info.data.get("python") != "uv":
            raise ValueError('extras are installed where python = "uv" alone')
        return extras

    @field_validator("env")
    @classmethod
    def _variables(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ValueError(f"{name!r} is no name of a variable: letters, digits and underscores")
            if name.startswith("SIGNOFF_") or name in OURS:
                raise ValueError(f"{name} is set for every run by Signoff{OURS.get(name, ': choose another name')}")
            require_places(value)
        return env

    @field_validator("read")
    @classmethod
    def _folders(cls, read: tuple[str, ...]) -> tuple[str, ...]:
        for name in read:
            _require_path(name)
        return read

    @field_validator("links")
    @classmethod
    def _places(cls, links: dict[str, str]) -> dict[str, str]:
        for place, name in links.items():
            parts = Path(place).parts
            if not parts or place.startswith(("/", "~")) or ".." in parts or "\\" in place or parts[0] == ".git":
                raise ValueError(f'{place!r} is no place in the repository: write for example "data/stories"')
            _require_path(name)
        for one in links:
            if beside := [other for other in links if other != one and Path(other).is_relative_to(one)]:
                raise ValueError(f"{beside[0]} lies in {one}: name one of them")
        return links

    @field_validator("cache")
    @classmethod
    def _caches(cls, cache: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        read = [name for name in info.data.get("read", ()) if name.startswith("~/")]
        for name in cache:
            if not name.startswith("~/") or ".." in Path(name).parts or Path(name) in TOO_WIDE or len(Path(name).parts) > 8:
                raise ValueError(f'{name!r} is no folder below the home of a run: begin with ~/, for example "~/.triton"')
            others = [*read, *(other for other in cache if other is not name)]
            if beside := [other for other in others if _nested(Path(name), Path(other))]:
                raise ValueError(f"{name} and {beside[0]} lie in each other: name folders that have nothing in common")
        return cache

    @field_validator("command")
    @classmethod
    def _uv_is_ours(cls, command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if command[:2] == ("uv", "run") and info.data.get("python") == "worker" and not stored(info):
            raise ValueError(
                '"uv run" would fetch packages within the run: write python = "uv", and Signoff makes the environment of '
                "uv.lock once, outside"
            )
        return command


def _require_path(name: str) -> None:
    """Raises ValueError for what is no path of the machine, or opens all of it."""
    if not name.startswith(("/", "~/")) or ".." in Path(name).parts:
        raise ValueError(
            f'{name!r} is no path that every worker finds: begin with / or ~/, for example "~/.cache/autoresearch"'
        )
    if len(Path(name).parts) < 2 or Path(name) in TOO_WIDE:
        raise ValueError(f"{name!r} is all that there is to hide: name the folders below it that the runs need")


def _nested(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


class Limits(Section):
    """What one run may take at most. What is left out is as [train] says."""

    wall_seconds: Annotated[float, Field(gt=0, le=60 * 24 * 3600)] | None = None
    first_step_seconds: Annotated[float, Field(ge=0, le=24 * 3600)] = 0
    host_memory_gb: Annotated[float, Field(gt=0, le=100_000)] | None = None
    device_memory_gb: Annotated[float, Field(gt=0, le=100_000)] | None = None
    files_gb: Annotated[float, Field(gt=0, le=100_000)] = 16
