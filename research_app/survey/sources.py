"""The files of one commit, Python ones parsed: what every part of the survey looks at."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from research_app.repository import Repository
from training.parsing import parse

LARGEST = 2 << 20  # bytes of a file that is looked at
MOST_FILES = 2000
LONGEST = 400  # characters of a text that is matched
LOOKED_AT = (".py", ".yaml", ".yml", ".sh", "README.md", "pyproject.toml", ".gitignore")


@dataclass(frozen=True)
class Seen:
    """Where something was seen: `train.py line 12`."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path} line {self.line}" if self.line else self.path


@dataclass(frozen=True)
class Module:
    """One Python file that could be parsed."""

    path: str
    text: str
    tree: ast.Module

    def seen(self, node: ast.AST) -> Seen:
        return Seen(self.path, getattr(node, "lineno", 0))

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call, by the dotted name that is called: `torch.manual_seed`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                yield name, node

    def source_of(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""


@dataclass
class Sources:
    """All files of a commit by name; `texts` those of a size to be looked at. `folder`: where they are, on this machine."""

    files: tuple[str, ...]
    texts: Mapping[str, str]
    folder: Path | None = None
    parsed: dict[str, Module | None] = field(default_factory=dict)  # what somebody asked for: archives of runs hold much code

    @property
    def python(self) -> list[str]:
        """The paths of the Python files."""
        return [path for path in self.texts if path.endswith(".py")]

    def module(self, path: str) -> Module | None:
        """A Python file; None where there is none, or where it does not parse."""
        if path not in self.parsed:
            text = self.texts.get(path) if path.endswith(".py") else None
            tree = None if text is None else parsed(text)
            self.parsed[path] = None if text is None or tree is None else Module(path, text, tree)
        return self.parsed[path]

    @classmethod
    def of(cls, repository: Repository, commit: str, folder: Path | None = None) -> Sources:
        files = repository.files(commit)
        wanted = sorted((name for name in files if name.endswith(LOOKED_AT)), key=lambda name: (name.count("/"), name))
        texts = repository.texts_at(commit, wanted[:MOST_FILES])
        return cls(files, {name: text for name, text in texts.items() if len(text) <= LARGEST}, folder)

    def imported(self, module: Module, root: str = "") -> list[Module]:
        """The module and what it imports of the same repository, and so on, nearest first."""
        modules, waiting = [module], [module]
        while waiting:
            current = waiting.pop(0)
            for name in imports_of(current):
                for path in self._paths_of(name, current, root):
                    if (other := self.module(path)) and other not in modules:
                        modules.append(other)
                        waiting.append(other)
        return modules

    def _paths_of(self, name: str, importing: Module, root: str) -> Iterator[str]:
        beside = str(PurePosixPath(importing.path).parent)
        for folder in dict.fromkeys((beside, root or ".", ".")):
            path = PurePosixPath(folder) / name.replace(".", "/")
            yield str(path.with_suffix(".py")) if "." not in path.name else f"{path}.py"
            yield str(path / "__init__.py")


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a file of others; None where it has none."""
    try:
        return parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def imports_of(module: Module) -> list[str]:
    """The names of the modules that a module imports, in order."""
    names: list[str] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names]
    return list(dict.fromkeys(names))


def dotted(node: ast.expr) -> str:
    """`a.b.c` for such an expression, else empty."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def constant(node: ast.expr | None) -> object:
    """The value of a literal, with products and negative numbers; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(value := constant(node.operand), int | float)
    ):
        return -value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = constant(node.left), constant(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return left * right
    return None


def constants_of(module: Module) -> dict[str, tuple[object, ast.stmt]]:
    """The names that a module gives literals at its top level, dataclass fields among them, with the statements."""
    constants: dict[str, tuple[object, ast.stmt]] = {}
    bodies = [module.tree.body, *(node.body for node in module.tree.body if isinstance(node, ast.ClassDef))]
    for statement in (statement for body in bodies for statement in body):
        target, value = None, None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign):
            target, value = statement.target, statement.value
        if isinstance(target, ast.Name) and (known := constant(value)) is not None:
            constants.setdefault(target.id, (known, statement))
    return constants


def shape_of(node: ast.expr) -> str | None:
    """The text of a string or f-string with a NUL for every value in it; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value[:LONGEST]
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
        return "".join(map(str, parts))[:LONGEST]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and (shape := shape_of(node.left)) is not None:
        return re.sub(r"%[-+0 #]*\d*(?:\.\d+)?[a-zA-Z]", "\0", shape)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        shape = shape_of(node.func.value)
        return None if shape is None else re.sub(r"\{[^{}]*\}", "\0", shape)
    return None
