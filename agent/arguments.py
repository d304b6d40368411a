"""Finds the options of Python files that use argparse, click or absl, and their defaults as constants that can be rewritten.

`parser.add_argument("--depth", type=int, default=20)` and `parser.set_defaults(depth=20)` are understood, whatever the parser
is called, and so are `@click.option("--depth", default=20)` and `flags.DEFINE_integer("depth", 20, "…")`. An
option is called as on the command line; of one that has choices these are the values that it may take.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.constants import Constant, Source, literal_of, source_of
from agent.proposal import JSON
from training.options import key_of

ABSL = ("DEFINE_float", "DEFINE_integer", "DEFINE_bool", "DEFINE_boolean")


@dataclass(frozen=True)
class Argument:
    """One option: the names that the command may give it, the constant of its default if that is a literal."""

    names: tuple[str, ...]
    key: str  # what the parsed arguments call it
    constant: Constant | None
    line: int
    default_name: str = ""  # the variable that is its default
    when_started: bool = False  # it is parsed only where its file is started itself


def find_arguments(path: str, text: str) -> list[Argument]:
    """The options of one Python file, in its order. Raises SyntaxError as `find_constants` does."""
    tree, source = source_of(path, text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    read = {"add_argument": _added, "option": _added, **dict.fromkeys(ABSL, _defined)}
    arguments = [each for call in calls if call.func.attr in read for each in read[call.func.attr](path, source, call)]  # type: ignore[attr-defined]
    later = {each.key: each for call in calls if call.func.attr == "set_defaults" for each in _set(path, source, call)}  # type: ignore[attr-defined]
    guarded = _within_main_guards(tree)
    names = {each.key: each.names for each in arguments}
    set_later = [_named(each, names.get(each.key, each.names)) for each in later.values()]
    every = [each for each in arguments if each.key not in later] + set_later
    return [replace(each, when_started=True) if each.line in guarded else each for each in every]


def _added(path: str, source: Source, call: ast.Call) -> Iterator[Argument]:
    names = tuple(each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str))
    given = {each.arg: each.value for each in call.keywords if each.arg}
    if not names or not names[0].startswith("-"):
        return
    long = next((name for name in names if name.startswith("--")), names[0])
    dest = given.get("dest")
    key = str(dest.value) if isinstance(dest, ast.Constant) else key_of(long)
    default = given.get("default")
    constant = None
    if default is not None:
        constant = _constant(path, source, call, long, key, default, _choices(given.get("choices")))
    name = default.id if isinstance(default, ast.Name) else ""
    yield Argument(names, key, constant, call.lineno, name)


def _defined(path: str, source: Source, call: ast.Call) -> Iterator[Argument]:
    """`flags.DEFINE_float("lr", 0.1, "help")`."""
    if len(call.args) > 1 and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
        name = call.args[0].value
        constant = _constant(path, source, call, f"--{name}", name, call.args[1], ())
        yield Argument((f"--{name}", f"-{name}"), name, constant, call.lineno)


def _set(path: str, source: Source, call: ast.Call) -> Iterator[Argument]:
    for keyword in call.keywords:
        if keyword.arg and (constant := _constant(path, source, call, f"--{keyword.arg}", keyword.arg, keyword.value, ())):
            yield Argument((f"--{keyword.arg}", f"--{keyword.arg.replace('_', '-')}"), keyword.arg, constant, call.lineno)


def _named(argument: Argument, names: tuple[str, ...]) -> Argument:
    """A default that is set later, under the names of its option."""
    label = next((name for name in names if name.startswith("--")), names[0])
    return replace(argument, names=names, constant=argument.constant and replace(argument.constant, label=label))


def _constant(
    path: str, source: Source, call: ast.Call, label: str, key: str, node: ast.expr, choices: tuple[JSON, ...]
) -> Constant | None:
    """The default as a constant; None where it is no literal."""
    value = literal_of(node)
    if value is None:
        return None
    same = tuple(each for each in choices if type(each) is type(value))
    return source.constant(path, label, value, node, call.lineno, choices=same, key=key)


def _choices(node: ast.expr | None) -> tuple[JSON, ...]:
    elements = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else []
    return tuple(value for each in elements if (value := literal_of(each)) is not None)


def _within_main_guards(tree: ast.Module) -> frozenset[int]:
    """Lines below `if __name__ == "__main__":`."""
    guards = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    ]
    return frozenset(line for guard in guards for line in range(guard.lineno, (guard.end_lineno or guard.lineno) + 1))
