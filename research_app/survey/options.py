"""What a script takes on its command line: argparse, Hydra, or a configurator as nanoGPT's."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from research_app.survey.sources import Module, Seen, Sources, constant, constants_of, dotted

Kind = Literal["argparse", "hydra", "configurator", "none"]


@dataclass(frozen=True)
class Option:
    """One option: its name, what it is without it, and where that is said."""

    name: str
    default: object
    seen: Seen
    choices: tuple[object, ...] = ()


@dataclass(frozen=True)
class Options:
    """All options of a script and how they are written."""

    kind: Kind
    options: tuple[Option, ...]
    seen: Seen | None = None

    def named(self, pattern: str) -> Option | None:
        """The first option whose whole name matches, dashes as underscores."""
        return next((each for each in self.options if re.fullmatch(pattern, plain(each.name), re.IGNORECASE)), None)

    def after(self, config: Module | None) -> Options:
        """The same after a configuration file of Python constants was read."""
        values = constants_of(config) if config else {}
        named = {plain(option.name) for option in self.options}
        options = [
            replace(option, default=values[key][0], seen=config.seen(values[key][1]))
            if config and (key := plain(option.name)) in values
            else option
            for option in self.options
        ]
        return replace(self, options=tuple(options)) if named & set(values) else self

    def given(self, words: Sequence[str]) -> Options:
        """The same with values that the words of a command give: `--depth=4`, `--depth 4`, `model.depth=4`."""
        values: dict[str, str] = {}
        for number, word in enumerate(words):
            name, there, value = word.partition("=")
            if not there and name.startswith("-") and number + 1 < len(words) and not words[number + 1].startswith("--"):
                value = words[number + 1]
            values[plain(name)] = value
        where = Seen("the command")
        options = [
            replace(option, default=values[plain(option.name)], seen=where) if values.get(plain(option.name)) else option
            for option in self.options
        ]
        return replace(self, options=tuple(options))

    def word(self, option: Option, value: str) -> str:
        """The word of a command that gives an option a value."""
        return f"{option.name}={value}"


def plain(name: str) -> str:
    """An option's own name: without dashes before it and the groups that it stands in."""
    return name.lstrip("-").replace("-", "_").rpartition(".")[2]


def options_of(sources: Sources, modules: Sequence[Module]) -> Options:
    """The options of a script, its own and those that what it imports adds."""
    for module in modules:
        for name, call in module.calls():
            if name.endswith("hydra.main") or (name == "main" and "hydra" in module.text and _keyword(call, "config_name")):
                return Options("hydra", tuple(_yaml_options(sources, module, call)), module.seen(call))
    own = (modules[0], *(module for module in modules[1:] if "__main__" not in module.text))  # others have their own options
    arguments = [option for module in own for option in _argparse(module)]
    if arguments:
        return Options("argparse", tuple(arguments), arguments[0].seen)
    first = modules[0]
    for name, call in first.calls():
        if name == "exec" and "configurator" in first.source_of(call):
            values = constants_of(first).items()
            return Options(
                "configurator",
                tuple(Option(f"--{key}", value, first.seen(node)) for key, (value, node) in values),
                first.seen(call),
            )
    return Options("none", ())


def _argparse(module: Module) -> list[Option]:
    options = []
    for name, call in module.calls():
        if not name.endswith(".add_argument"):
            continue
        flags = [value for argument in call.args if isinstance(value := constant(argument), str) and value.startswith("--")]
        if flags:
            choices = _keyword(call, "choices")
            values = tuple(constant(each) for each in choices.elts) if isinstance(choices, ast.List | ast.Tuple) else ()
            options.append(Option(flags[0], constant(_keyword(call, "default")), module.seen(call), values))
    return options


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


_YAML_LINE = re.compile(r"([ \t]*)([A-Za-z_]\w*)[ \t]*:([^#\n]*)")


def _yaml_options(sources: Sources, module: Module, call: ast.Call) -> list[Option]:
    """The keys of the configuration that Hydra is given, nested ones with dots."""
    name = constant(_keyword(call, "config_name")) or "config"
    stem = str(name).removesuffix(".yaml")
    path = next((path for path in sources.texts if path.rpartition("/")[2] in (f"{stem}.yaml", f"{stem}.yml")), None)
    if path is None:
        return []
    options, stack = [], list[tuple[int, str]]()
    for number, line in enumerate(sources.texts[path].split("\n"), 1):
        if not (match := _YAML_LINE.match(line)):
            continue
        depth = len(match[1])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        dotted_name = ".".join([*(key for _, key in stack), match[2]])
        if value := match[3].strip():
            options.append(Option(dotted_name, value, Seen(path, number)))
        else:
            stack.append((depth, match[2]))
    return options


def reads_variable(modules: Sequence[Module], name: str) -> Seen | None:
    """Where a variable of the environment is read; None where nothing reads it."""
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and node.value == name:
                return module.seen(node)
    return None


def requires_variable(modules: Sequence[Module], name: str) -> Seen | None:
    """Where `os.environ[name]` stands: the script does not run without that variable."""
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Subscript) and dotted(node.value).endswith("environ") and constant(node.slice) == name:
                return module.seen(node)
    return None
