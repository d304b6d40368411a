"""Where knobs come from: constants and options of Python files, values of files of settings, options of the command. Which are
left out has a reason for each, so that nobody wonders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from agent.arguments import Argument, find_arguments
from agent.constants import Constant, find_constants
from agent.ladder import DIRECTIVE
from agent.launched import Launched
from agent.overrides import Overrides
from agent.reach import python_trees, read_by_runs
from agent.settings_files import find_values, is_settings, number_of
from training.options import FILE, Option, key_of, may_change, read_options

NEVER = "[knobs] never"
MOST_KEPT = 4  # answers
_ONE_AT_A_TIME = Lock()
_KEPT: dict[str, Survey] = {}


@dataclass(frozen=True)
class LeftOut:
    """A value that is no knob, and why."""

    constant: Constant
    why: str


@dataclass(frozen=True)
class Survey:
    """The values that may be turned, those that are left out, and the files that could not be read."""

    constants: tuple[Constant, ...]
    left_out: tuple[LeftOut, ...]
    unreadable: tuple[str, ...]


def survey(files: Mapping[str, str], launched: Launched) -> Survey:
    """All values of the editable files and of the command, those that reach a run and may be turned apart from the others.

    The answers for the last few baselines are kept: a large repository takes seconds.
    """
    known = repr((sorted(files.items()), sorted(launched.others.items()), replace(launched, others={})))
    key = hashlib.sha256(known.encode(errors="surrogatepass")).hexdigest()
    with _ONE_AT_A_TIME:
        if key not in _KEPT:
            while len(_KEPT) >= MOST_KEPT:
                del _KEPT[next(iter(_KEPT))]
            _KEPT[key] = _survey(files, launched)
        return _KEPT[key]


def _survey(files: Mapping[str, str], launched: Launched) -> Survey:
    constants, left_out, unreadable = [], [], []
    texts = {**launched.others, **files}
    trees = python_trees(texts)
    reached = read_by_runs(trees, launched)
    overrides = Overrides(trees if reached is None else {path: trees[path] for path in reached}, texts, launched)
    arguments = {path: _arguments(path, text) for path, text in texts.items() if path.endswith(".py")}
    for path in sorted(files.keys() - launched.others.keys()):
        try:
            sites = list(_values_of(path, files[path], launched, arguments.get(path, []), overrides))
        except SyntaxError as error:
            unreadable.append(f"{path} is not valid Python ({error.msg}).")
            continue
        for constant, why in sites:
            if path.endswith(".py") and reached is not None and path not in reached:
                why = "no run reads this file"
            why = _refused(constant, launched) or why
            if why:
                left_out.append(LeftOut(constant, why))
            else:
                constants.append(_asked_for(constant, launched))
    every = [each for sites in arguments.values() for each in sites]
    for constant in _of_the_command(files, launched, every):
        if why := _refused(constant, launched):
            left_out.append(LeftOut(constant, why))
        else:
            constants.append(constant)
    return Survey(tuple(constants), tuple(left_out), tuple(unreadable))


def _arguments(path: str, text: str) -> list[Argument]:
    try:
        return find_arguments(path, text)
    except SyntaxError:
        return []


def _values_of(
    path: str, text: str, launched: Launched, arguments: list[Argument], overrides: Overrides
) -> Iterator[tuple[Constant, str]]:
    """The values of one file, each with why it reaches no run, or an empty text. Raises SyntaxError."""
    if path.endswith(".py"):
        constants = find_constants(path, text)
        if "constants" in launched.sources:
            yield from ((constant, overrides.of_constant(constant, arguments)) for constant in constants)
        if "argparse" in launched.sources:
            yield from ((each.constant, overrides.of_argument(path, each)) for each in arguments if each.constant)
    elif is_settings(path) and "hydra" in launched.sources:
        yield from ((constant, overrides.of_setting(constant)) for constant in find_values(path, text))


def _refused(constant: Constant, launched: Launched) -> str:
    """Why a value is no knob whatever it does: a pattern of the project file, or what it is a part of."""
    if pattern := launched.refuses(constant.label):
        return f'{NEVER} names "{pattern}"'
    reason = DIRECTIVE.search(constant.comment) or launched.asks_for(constant.label)
    return constant.part_of if constant.part_of and not reason else ""


def _asked_for(constant: Constant, launched: Launched) -> Constant:
    return replace(constant, part_of="") if constant.part_of and launched.asks_for(constant.label) else constant


def _of_the_command(files: Mapping[str, str], launched: Launched, arguments: list[Argument]) -> Iterator[Constant]:
    """The options that the command gives a value of its own, as the file of options has them or may have them."""
    if "command" not in launched.sources or not launched.options_editable:
        return
    text = files.get(FILE, "")
    try:
        already = read_options(text)
    except ValueError:
        return
    for name, option in may_change(launched.commands).items():
        if (constant := _of_option(option, already.get(name), text)) is not None:
            yield replace(constant, choices=_choices(constant, arguments))


def _of_option(option: Option, already: str | None, text: str) -> Constant | None:
    literal = option.value if already is None else already
    value = number_of(literal or "")
    if value is None:
        return None
    start = end = -1  # the file does not hold it yet
    if already is not None:
        start = text.index(f"{option.name}={already}") + len(option.name) + 1
        end = start + len(already)
    return Constant(FILE, option.name, value, literal or "", start, end, form="option", key=option.key)


def _choices(constant: Constant, arguments: list[Argument]) -> tuple[bool | int | float | str, ...]:
    named = [each.constant.choices for each in arguments if each.key == key_of(constant.label) and each.constant]
    return next((tuple(c for c in choices if type(c) is type(constant.value)) for choices in named), ())
