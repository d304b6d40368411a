"""How a run is started: where in its tree, with which interpreter, words and variables, and what else of the machine it sees.

Words of a command and values of variables may hold places: `{out}` the run's own folder, `{seed}`, `{device}`, `{budget}` (its
amount), `{data}` the folder of training text. `{{seed}}` stands for `{seed}` itself.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.sandbox.scratch import remove

PLACES = ("out", "seed", "device", "budget", "data")
_PLACE = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
COPY = "tree"  # of the source tree, in the run's own folder
QUOTED_PATH = re.compile(r"""['"](/[^'"\n]{1,400})['"]""")


class CannotLaunch(OSError):
    """This machine lacks what a run is to be started with; the message names it and the key of the project file."""


@dataclass(frozen=True)
class SeedPlace:
    """Where the source has its seed written down: the text that stands there once, and what stands there in a run."""

    file: str  # path in the tree
    text: str
    put: str  # with the place {seed}

    def problem(self, source: str | None) -> str:
        """Why the seed of a run cannot be put into this source; empty where it can."""
        if source is None:
            return f"[seed] file names {self.file}, which is not there"
        if (count := source.count(self.text)) != 1:
            times = "does not stand" if count == 0 else f"stands {count} times"
            return f"[seed] text {self.text!r} {times} in {self.file}; it must stand there once, for each run's own seed"
        return ""

    def write(self, tree: Path, seed: int) -> None:
        """Write a run's seed into its tree. Raises CannotLaunch."""
        path = tree / self.file
        source = path.read_bytes().decode() if path.is_file() else None
        if problem := self.problem(source):
            raise CannotLaunch(problem)
        assert source is not None
        path.write_bytes(source.replace(self.text, filled(self.put, {"seed": str(seed)})).encode())


@dataclass(frozen=True)
class Launch:
    """What a project file says about starting a run; the defaults are those of the default target."""

    directory: str = "."  # below the tree, where the command is run
    python: Path | None = None  # folder of a virtual environment; None: the worker's interpreter
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, with places
    read: tuple[str, ...] = ()  # folders that it may read: absolute, or "~/…" seen below its own home
    writable_tree: bool = False  # it works in a copy of the tree that is its own
    seed_place: SeedPlace | None = None  # None: the command or the environment carries the seed
    cache: tuple[str, ...] = ()  # folders below its own home that compilers keep things in
    launcher: str = ""  # "torchrun" of the same interpreter starts a process for each device
    links: Mapping[str, str] = field(default_factory=dict)  # places in the tree, and what of the machine is seen there


def unknown_places(text: str) -> list[str]:
    """The places of a text that nothing is put into."""
    return [name for _, name in _PLACE.findall(text) if name and name not in PLACES]


def has_place(words: Sequence[str], name: str) -> bool:
    """Whether one of the words has this place."""
    return any(name == place for word in words for _, place in _PLACE.findall(word))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its places filled in."""
    return _PLACE.sub(lambda match: f"{{{match[1]}}}" if match[1] else values.get(match[2], match[0]), text)


def program(command: Sequence[str], launch: Launch, devices: int = 1) -> list[str]:
    """The command with its interpreter in place of `python`, `torchrun` and `uv run`. Raises CannotLaunch.

    With a launcher, that starts it, in a process for each of the `devices`.
    """
    first, *rest = command
    if first == "uv" and rest[:1] == ["run"] and launch.python is not None:
        first, *rest = rest[1:] or ["python"]
        if first.endswith(".py"):
            first, rest = "python", [first, *rest]
    python = sys.executable if launch.python is None else str(interpreter_of(launch.python))
    if first == "torchrun":  # a script beside the interpreter, which need not be on the path
        return [python, "-m", "torch.distributed.run", *rest]
    if launch.launcher == "torchrun":
        words = rest if first in ("python", "python3") else [first, *rest]
        return [python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={devices}", *words]
    return [python if first in ("python", "python3") else first, *rest]


def interpreter_of(environment: Path) -> Path:
    """The interpreter of a virtual environment. Raises CannotLaunch."""
    python = environment / "bin" / "python"
    if not python.exists():
        raise CannotLaunch(
            f"[train] python names {environment}, and there is no {python} on this machine: give the folder of a virtual "
            'environment, "uv", or "worker"'
        )
    return python


def folders_of(environment: Path) -> tuple[Path, ...]:
    """What a virtual environment needs to be read: itself, and the installation that its interpreter belongs to."""
    python = interpreter_of(environment)
    folders = [environment.absolute()]
    while python.is_symlink():  # each link's own folder, too: the way leads through it
        python = python.parent / os.readlink(python)
        folders.append(Path(os.path.normpath(python)).parent.parent)
    settings = environment / "pyvenv.cfg"
    lines = settings.read_text().splitlines() if settings.is_file() else []
    folders += [Path(line.partition("=")[2].strip()).parent for line in lines if line.partition("=")[0].strip() == "home"]
    return tuple(dict.fromkeys(path for path in folders if path != Path("/") and path.exists()))


def read_folders(launch: Launch) -> tuple[Path, ...]:
    """What a run may read besides its tree and text. Raises CannotLaunch for what is not there."""
    folders = []
    for key, name in (*(("read", name) for name in launch.read), *(("links", name) for name in launch.links.values())):
        path = Path(name).expanduser()
        if not path.exists():
            raise CannotLaunch(f"[train] {key} names {name}, and there is no {path} on this machine")
        folders += [path, path.resolve()]
    return (*dict.fromkeys(folders), *(folders_of(launch.python) if launch.python else ()))


def prepare(launch: Launch, tree: Path, scratch: Path, seed: int) -> Path:
    """Lay out the run's own folder, which is its home; the folder that its command is run in. Raises CannotLaunch, OSError.

    `tree` was exported for this run alone: where the source has the seed, the run's is written there.

    A folder named with `~` is a link at its place below that home: nothing is mounted where the run could write.
    """
    if launch.seed_place is not None:
        launch.seed_place.write(tree, seed)
    for name in launch.read:
        if name.startswith("~/"):
            link = _below(scratch, name[2:])
            link.symlink_to(Path(name).expanduser())
    if launch.writable_tree:
        copy = _below(scratch, COPY)
        shutil.copytree(tree, copy)
        for path in (copy, *copy.rglob("*")):  # whoever the run will be, it may write there
            path.chmod(0o777 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o666)
        tree = copy
    for place, name in launch.links.items():
        show_at(tree / place, Path(name).expanduser().absolute())
    return tree / launch.directory


def show_at(place: Path, target: Path) -> None:
    """Show `target` at a place of a run's tree, as a link. Where the tree has that folder, what it has not of its content."""
    if place.is_dir():
        for each in sorted(target.iterdir()) if target.is_dir() else ():
            if not os.path.lexists(place / each.name):
                (place / each.name).symlink_to(each)
    elif not os.path.lexists(place):  # a file that is committed there wins
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)


def _below(scratch: Path, name: str) -> Path:
    """A place below the run's own folder where nothing is; the folders on the way are real ones, and it may write there."""
    place = scratch
    for part in Path(name).parts[:-1]:
        place /= part
        if place.is_symlink() or not place.is_dir():
            place.unlink(missing_ok=True)
            place.mkdir()
        place.chmod(0o777)
    place /= Path(name).name
    if place.is_dir() and not place.is_symlink():
        remove(place)
    place.unlink(missing_ok=True)
    return place


def variables(launch: Launch, values: Mapping[str, str]) -> dict[str, str]:
    """The variables of the project file, and those of a virtual environment."""
    filled_in = {name: filled(text, values) for name, text in launch.variables.items()}
    if launch.python is not None:
        path = filled_in.get("PATH", os.environ.get("PATH", os.defpath))
        filled_in |= {"VIRTUAL_ENV": str(launch.python), "PATH": f"{launch.python / 'bin'}:{path}"}
    return filled_in


def hidden_by_sandbox(lines: str, command: Sequence[str], seen: Sequence[Path], home: Path) -> str:
    """A sentence where the end of a log names what is on this machine and what the run could not see; else empty.

    Only for code that people brought: for a proposer's, it would tell which files there are.
    """
    if (
        f"cannot start {command[0]!r}" in lines
        and (full_path := shutil.which(command[0]))
        and not _within(Path(full_path), seen)
    ):
        return (
            f"{command[0]} is {full_path} on this machine, and the sandbox hides it: name its folder in [train] read, or its "
            'environment in [train] python ("uv" for uv run).'
        )
    for name in QUOTED_PATH.findall(lines):
        path, key = Path(name), name
        if path.is_relative_to(home):
            path = Path.home() / path.relative_to(home)
            key = f"~/{path.relative_to(Path.home())}"
        if path.exists() and not _within(path, (*seen, home)):
            return f'{key} is on this machine, and the sandbox hides it: [train] read = ["{key}"] opens it, or one above it.'
    return ""


def _within(path: Path, folders: Sequence[Path]) -> bool:
    places = {path.absolute(), path.resolve()}
    return any(place.is_relative_to(folder) for place in places for folder in folders)
