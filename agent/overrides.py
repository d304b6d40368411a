"""Which values never reach a run, because something that is read later gives another: an option of the command, a file that the
command names, a call that passes its own, a choice of Hydra's.

Each answer is a sentence for people. What cannot be told from the text stays a knob: the first run of a candidate that changes
nothing says so (docs/explanation/statistics.md).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from agent.arguments import Argument
from agent.constants import Constant
from agent.hydra import Composition
from agent.launched import Launched
from training.options import Option, key_of


class Overrides:
    """Asked for each constant of the editable files. `trees` are the Python files, by path, `texts` all files."""

    def __init__(self, trees: Mapping[str, ast.Module], texts: Mapping[str, str], launched: Launched) -> None:
        self._trees, self._launched = trees, launched
        self._options = {option.key: option for option in launched.program.options}
        self._composition = Composition(texts, trees, launched)

    def of_argument(self, path: str, argument: Argument) -> str:
        """Why the default of an option of a file reaches no run."""
        if argument.when_started and path != self._launched.path(self._launched.program.script):
            return "no run starts this file"
        for name in argument.names:
            for option in self._options.values():
                if option.name == name or option.key == key_of(name) or _abbreviates(option, name):
                    return _given(option)
        return ""

    def of_constant(self, constant: Constant, arguments: list[Argument]) -> str:
        """Why a constant of a Python file reaches no run."""
        name = constant.label.partition("[")[0]
        owner, _, field = name.rpartition(".")
        if owner:
            return self._of_field(owner, field)
        tree = self._trees.get(constant.path)
        if tree is None:
            return ""
        return (
            self._set_from_outside(constant.path, name, tree)
            or self._only_a_default(constant.path, name, tree, arguments)
            or self._set_by_another(constant.path, name)
        )

    def of_setting(self, constant: Constant) -> str:
        """Why a value of a file of settings reaches no run."""
        return self._composition.why_not(constant.path, constant.key)

    def _set_from_outside(self, path: str, name: str, tree: ast.Module) -> str:
        """`exec(open("configurator.py").read())` and its like: files and options of the command assign module names."""
        line = next((s.lineno for s in tree.body if isinstance(s, ast.Assign | ast.AnnAssign) and name in _targets(s)), 0)
        doors = [s for s in tree.body if s.lineno > line and _is_open_door(s)]
        is_config = path in self._configs
        if not doors and not (is_config and self._has_open_door):
            return ""
        for word in reversed(self._launched.program.words):
            config = self._launched.path(word)
            if config == path:
                return ""
            if config in self._configs and name in self._assigned(config):
                return f"{config} sets it"
            option = self._options.get(name)
            if option and (word.partition("=")[0] == option.name):
                return _given(option)
        for door in doors:
            for literal in _strings(door):
                other = self._launched.path(literal)
                if other in self._trees and other != path and name in self._assigned(other):
                    return f"{other} sets it"
        return ""

    @cached_property
    def _configs(self) -> frozenset[str]:
        """Python files that the command names behind its script."""
        named = {self._launched.path(word) for word in self._launched.program.plain}
        return frozenset(path for path in named if path in self._trees)

    @cached_property
    def _has_open_door(self) -> bool:
        script = self._trees.get(self._launched.path(self._launched.program.script))
        return script is not None and any(_is_open_door(statement) for statement in script.body)

    def _assigned(self, path: str) -> frozenset[str]:
        return frozenset(name for statement in self._trees[path].body for name in _targets(statement))

    def _only_a_default(self, path: str, name: str, tree: ast.Module, arguments: list[Argument]) -> str:
        """A variable that is nothing but the default of options that the command gives."""
        defaults = [each for each in arguments if each.default_name == name]
        if not defaults:
            return ""
        given = [self.of_argument(path, each) for each in defaults]
        uses = sum(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) for n in ast.walk(tree))
        return given[0] if all(given) and uses == len(defaults) else ""

    def _set_by_another(self, path: str, name: str) -> str:
        """`import config` and then `config.LR = 0.1`, at the level of a module."""
        module = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for other, named, attribute in self._sets_of_modules:
            if attribute == name and other != path and (module == named or module.endswith(f".{named}")):
                return f"{other} sets it"
        return ""

    @cached_property
    def _sets_of_modules(self) -> list[tuple[str, str, str]]:
        """(file, module, name) of every `module.name = value` at the level of a module."""
        sets = []
        for path, tree in self._trees.items():
            stored = [(_dotted(target.value), target.attr) for statement in tree.body for target in _attributes(statement)]
            if not stored:
                continue
            imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
            aliases = {alias.asname or alias.name: alias.name for node in imported for alias in node.names}
            sets += [(path, aliases[owner], name) for owner, name in stored if owner in aliases]
        return sets

    def _of_field(self, owner: str, field: str) -> str:
        """A field of a class whose every construction passes its own value, or that an option or a statement sets."""
        for path, tree in self._trees.items():
            if _is_parsed_into(tree, owner):
                named = (each for key, each in self._options.items() if key == field or key.endswith(f".{field}"))
                if option := next(named, None):
                    return _given(option)
            if _is_set_later(tree, owner, field):
                return f"{path} sets it"
        passed = [(path, self._passes(path, call, owner, field)) for path, call in self._calls[owner]]
        if any(each for _, each in passed) and not any(each is False for _, each in passed):
            where = sorted({path for path, each in passed if each})
            return f"{owner}(…) is given its own, in {', '.join(where[:3])}"
        return ""

    @cached_property
    def _calls(self) -> dict[str, list[tuple[str, ast.Call]]]:
        """Every call and every class that is handed on, by the last name of what is called."""
        calls: dict[str, list[tuple[str, ast.Call]]] = defaultdict(list)
        for path, tree in self._trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    calls[_dotted(node.func).rpartition(".")[2]].append((path, node))
        return calls

    def _passes(self, path: str, call: ast.Call, owner: str, field: str) -> bool | None:
        """Whether a call gives a field a value of its own; None where it unpacks what the text does not tell."""
        if any(keyword.arg == field for keyword in call.keywords):
            return True
        fields = [name for tree in self._trees.values() for name in _fields_of(tree, owner)]
        if any(isinstance(each, ast.Starred) for each in call.args):
            return None
        if field in fields and fields.index(field) < len(call.args):
            return True
        unpacked = [_keys_of(self._trees[path], keyword.value) for keyword in call.keywords if keyword.arg is None]
        if any(keys is not None and field in keys for keys in unpacked):
            return True
        return None if None in unpacked else False


def _given(option: Option) -> str:
    spelling = f"{option.name}{' ' if option.apart else '='}{option.value}" if option.value is not None else option.name
    return f"the command gives {spelling[:80]}"


def _abbreviates(option: Option, name: str) -> bool:
    return option.name.startswith("--") and len(option.name) > 3 and name.startswith(option.name)


def _targets(statement: ast.stmt) -> set[str]:
    targets = (
        statement.targets
        if isinstance(statement, ast.Assign)
        else [statement.target]
        if isinstance(statement, ast.AnnAssign)
        else []
    )
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _attributes(statement: ast.stmt) -> list[ast.Attribute]:
    """`a.b` of a plain `a.b = value`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target for target in targets if isinstance(target, ast.Attribute)]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _is_open_door(statement: ast.stmt) -> bool:
    """A statement at module level through which text becomes module names: exec(…), globals()[…] = …, globals().update(…)."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exec":
            return True
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_globals(node.value):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "update" and _is_globals(node.value):
            return True
    return False


def _is_globals(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("globals", "vars")


def _strings(statement: ast.stmt) -> Iterator[str]:
    return (n.value for n in ast.walk(statement) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _fields_of(tree: ast.Module, owner: str) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            return [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    return []


def _is_parsed_into(tree: ast.Module, owner: str) -> bool:
    """Whether a class is handed to a call by name, as to tyro.cli or HfArgumentParser: options then set its fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = _dotted(node.func).lower()
            handed = [
                each
                for argument in node.args
                for each in (argument.elts if isinstance(argument, ast.Tuple | ast.List) else [argument])
            ]
            if any(_dotted(each) == owner for each in handed) and any(
                word in words for word in ("cli", "pars", "wrap", "draccus")
            ):
                return True
    return False


def _is_set_later(tree: ast.Module, owner: str, field: str) -> bool:
    """`args = Hyperparameters()` and then, at module level, `args.lr = 0.1`."""
    made = {
        name
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        and _dotted(statement.value.func).rpartition(".")[2] == owner
        for name in _targets(statement)
    }  # fmt: skip
    return any(
        target.attr == field and _dotted(target.value) in made for statement in tree.body for target in _attributes(statement)
    )


def _keys_of(tree: ast.Module, unpacked: ast.expr, depth: int = 0) -> set[str] | None:
    """The keys of a dictionary that a call unpacks, where the file says them, else None.

    Understood are {…}, dict(…), an entry of such ones, and a name that is one.
    """
    if isinstance(unpacked, ast.Dict):
        return {key.value for key in unpacked.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    if isinstance(unpacked, ast.Call) and _dotted(unpacked.func) == "dict":
        return {keyword.arg for keyword in unpacked.keywords if keyword.arg}
    if isinstance(unpacked, ast.Subscript) and isinstance(unpacked.value, ast.Dict):
        entries = [_keys_of(tree, each, depth) for each in unpacked.value.values]
        return set.intersection(*(each for each in entries if each is not None)) if entries and None not in entries else None
    if isinstance(unpacked, ast.Name) and depth < 3:
        return _keys_of_name(tree, unpacked.id, depth)
    return None


def _keys_of_name(tree: ast.Module, name: str, depth: int) -> set[str] | None:
    """The keys that a variable is made with, and those that are put into it later."""
    keys_of_name: set[str] = set()
    known = False
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Name) and target.id == name:
                keys = _keys_of(tree, node.value, depth + 1)  # type: ignore[attr-defined]
                known, keys_of_name = known or keys is not None, keys_of_name | (keys or set())
            if isinstance(target, ast.Subscript) and _dotted(target.value) == name and isinstance(target.slice, ast.Constant):
                keys_of_name.add(str(target.slice.value))
    return keys_of_name if known else None
