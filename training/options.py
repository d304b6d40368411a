"""The options of a command, and the file of a tree that gives some of them other values.

A change is a change of the repository, and the command stands in the project file. So that an option can be tried and landed
like everything else, a tree may hold the file `signoff.options`, one option a line as the command would have it (`--depth=6`,
`model.lr=0.1`); a run of that tree has these values in place of the command's own. Only options that the commands of all rungs
give, with one and the same value that is no place such as `{seed}`, can be changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FILE = "signoff.options"
LARGEST = 64 * 1024  # characters of the file
_ASSIGNED = re.compile(r"(?P<name>-{1,2}[A-Za-z][\w.-]*|\+{0,2}[A-Za-z_][\w./@-]*)=(?P<value>.*)", re.DOTALL)
_NAMED = re.compile(r"-{1,2}[A-Za-z][\w.-]*")
_NUMBER = re.compile(r"-\.?\d")
LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "uv", "python", "python3", "env", "nice")


@dataclass(frozen=True)
class Option:
    """One option of a command, with its value as it is written; None where it stands alone."""

    name: str  # as it is written: --depth, model.lr
    value: str | None
    word: int  # in the command, of the name
    apart: bool  # the value is a word of its own

    @property
    def key(self) -> str:
        """What code calls it: max_seq_len of --max-seq-len, model.lr of +model.lr."""
        return key_of(self.name)


@dataclass(frozen=True)
class Program:
    """What of a command reaches the code: its script or module, and the words behind it."""

    script: str  # path as it is written, or the path of a module below the folder; empty: not known
    words: tuple[str, ...]
    first: int  # of these words in the command
    is_module: bool = False

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options in order; one that is given twice stands twice."""
        options, at = [], 0
        while at < len(self.words):
            word, after = self.words[at], self.words[at + 1 : at + 2]
            if assigned := _ASSIGNED.fullmatch(word):
                options.append(Option(assigned["name"], assigned["value"], self.first + at, apart=False))
            elif _NAMED.fullmatch(word):
                has_value = bool(after) and (not after[0].startswith("-") or bool(_NUMBER.match(after[0])))
                options.append(Option(word, after[0] if has_value else None, self.first + at, apart=has_value))
                at += has_value
            at += 1
        return tuple(options)

    @property
    def plain(self) -> tuple[str, ...]:
        """Its words that are no options, nor values of some."""
        taken = {option.word + k for option in self.options for k in range(1 + option.apart)}
        return tuple(word for at, word in enumerate(self.words, self.first) if at not in taken)


def key_of(name: str) -> str:
    """The name of an option as code knows it."""
    return name.lstrip("-+").replace("-", "_")


def program_of(command: Sequence[str]) -> Program:
    """What of a command reaches the code: behind `train.py`, behind `-m package.module`, else behind its first word."""
    for at, word in enumerate(command):
        if word == "-m" and at + 1 < len(command) and command[0].rpartition("/")[2].startswith((*LAUNCHERS, "python")):
            module = command[at + 1].replace(".", "/") + ".py"
            return Program(module, _without_divider(command[at + 2 :]), _behind(command, at + 2), is_module=True)
        if word.endswith(".py") and not word.startswith("-"):
            return Program(word, _without_divider(command[at + 1 :]), _behind(command, at + 1))
    return Program("", tuple(command[1:]), 1)


def _without_divider(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(words[1:] if words[:1] in (["--"], ("--",)) else words)


def _behind(command: Sequence[str], at: int) -> int:
    return at + 1 if command[at : at + 1] and command[at] == "--" else at


def read_options(text: str) -> dict[str, str]:
    """Option to value of a file of options. Raises ValueError for a line that is none."""
    options = {}
    for number, line in enumerate(text[:LARGEST].split("\n"), 1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        if not (assigned := _ASSIGNED.fullmatch(line)):
            raise ValueError(f"{FILE}, line {number}: write an option with its value, such as --depth=6")
        options[assigned["name"]] = assigned["value"]
    return options


def may_change(commands: Sequence[Sequence[str]]) -> dict[str, Option]:
    """The options that a file of options may give another value, by their names: those to which all commands give the same."""
    options: dict[str, Option] = {}
    for number, command in enumerate(commands):
        given = {option.name: option for option in program_of(command).options if option.value and "{" not in option.value}
        options = given if number == 0 else {n: o for n, o in options.items() if n in given and given[n].value == o.value}
    return options


def with_options(command: Sequence[str], text: str, commands: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The command with the values of a file of options; `commands` are those of all rungs.

    Raises ValueError for an option that the file may not change.
    """
    words, known = list(command), may_change(commands)
    places = {option.name: option for option in program_of(command).options}
    for name, value in read_options(text).items():
        if name not in known or name not in places:
            raise ValueError(f"{FILE} gives {name}, which not every command of the project gives one and the same value")
        option = places[name]
        words[option.word + option.apart] = value if option.apart else f"{name}={value}"
    return tuple(words)
