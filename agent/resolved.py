"""What a change comes to, however it is written: for finding out that something was tried before under another spelling."""

from __future__ import annotations

import ast
import hashlib
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from agent.constants import Constant, Value, find_constants
from agent.formats import normal_form
from agent.known_forms import KnownForms, is_small_python
from training.parsing import parse

Moved: TypeAlias = dict[str, tuple[Value, Value]]
Scope: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
WORD = re.compile(r"[^\W\d]\w*")
LARGEST = 2.0**63  # results beyond this are left as they are written
ROUNDS = 8  # of constants that are made from constants
_known = KnownForms()


def resolved_hash(files: Mapping[str, str], beside: Mapping[str, str] | None = None) -> str:
    """SHA-256 over what Python files (path to text) come to; equal for files that differ only in how that is said.

    Module-level constants stand as their values where they are used, arithmetic on numbers is done, names of local
    variables, the order of keyword arguments and docstrings do not count. Other files: formats.py. `beside` are files that
    are not hashed and may read constants of those that are. A file that was seen before is not parsed again.
    """
    digest = hashlib.sha256()
    words = {path: set(WORD.findall(text)) for path, text in {**(beside or {}), **files}.items()}
    holding = Counter(word for each in words.values() for word in each)
    for path, text in sorted(files.items()):
        shared = sorted(word for word in words[path] if holding[word] > 1)
        digest.update(hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest())
        digest.update(_known.digest(path, text, partial(_resolved, path, text, holding), *shared))
    return digest.hexdigest()


def _resolved(path: str, text: str, holding: Counter[str]) -> str:
    if is_small_python(path, text):
        try:
            tree = parse(text)
            for _ in range(ROUNDS):
                tree, changed = _inlined(tree, holding)
                if not changed:
                    break
            _Renamed().visit(tree)
            return "python:" + ast.dump(tree, annotate_fields=False)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # not Python after all: a check of its own reports that
    return normal_form(path, text)


def _inlined(tree: ast.Module, holding: Counter[str]) -> tuple[ast.Module, bool]:
    """The tree with its constants as values where they are read, and whether there were any.

    One that other files name (`holding` counts files by word) stays as well: they may import it.
    """
    values = _constants(tree)
    tree = ast.fix_missing_locations(_Folded(values).visit(tree))
    kept = [statement for statement in tree.body if (name := _name_of(statement)) not in values or holding[name] > 1]
    changed = len(kept) < len(tree.body)
    tree.body = kept
    return tree, changed


def _constants(tree: ast.Module) -> dict[str, ast.Constant]:
    """Numbers, strings and truth values that a module-level name is given once and that nothing else is called."""
    stored = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
    stored.update(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
    stored.update(name for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names)
    constants = {}
    for statement in tree.body:
        name = _name_of(statement)
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if name and stored[name] == 1 and isinstance(value, ast.Constant):
            constants[name] = value
    return constants


def _name_of(statement: ast.stmt) -> str:
    """The one name that a statement assigns; empty for other statements."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


class _Folded(ast.NodeTransformer):
    """Puts values in the place of names and does arithmetic on numbers; drops docstrings."""

    def __init__(self, values: Mapping[str, ast.Constant]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return ast.Constant(-value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node.left, node.right:
            case ast.Constant(value=int() | float() as left), ast.Constant(value=int() | float() as right):
                return _computed(type(node.op), left, right) or node
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if all(keyword.arg for keyword in node.keywords):
            node.keywords.sort(key=lambda keyword: keyword.arg or "")
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        self.generic_visit(node)
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


def _computed(kind: type[ast.operator], left: float, right: float) -> ast.Constant | None:
    """The result as a literal; None for what is too large, undefined or not arithmetic."""
    if kind not in ARITHMETIC or (kind is ast.Pow and abs(right) > 64):
        return None
    try:
        result = ARITHMETIC[kind](left, right)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return ast.Constant(result) if isinstance(result, int | float) and abs(result) < LARGEST else None


class _Renamed(ast.NodeTransformer):
    """Calls local variables by the order in which they appear. A function with functions or classes inside is left alone."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        inside = [child for child in ast.walk(node) if child is not node]
        if any(isinstance(child, Scope | ast.ClassDef | ast.Global | ast.Nonlocal) for child in inside):
            self.generic_visit(node)
            return node
        parameters = {argument.arg for argument in inside if isinstance(argument, ast.arg)}
        names: dict[str, str] = {}
        for child in inside:
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store) and child.id not in parameters:
                names.setdefault(child.id, f"local {len(names)}")
        for child in inside:
            if isinstance(child, ast.Name):
                child.id = names.get(child.id, child.id)
        return node


def moved_constants(before: Mapping[str, str], after: Mapping[str, str]) -> Moved:
    """{constant: (from, to)} where two sets of files differ in nothing but constants; empty where more differs."""
    if before.keys() != after.keys():
        return {}
    moved: Moved = {}
    for path, old in before.items():
        new = after[path]
        if old == new:
            continue
        if not is_small_python(path, old) or not is_small_python(path, new):
            return {}
        try:
            here, there = find_constants(path, old), find_constants(path, new)
            same = _with_literals(new, there, here)
            if same is None or ast.dump(parse(same)) != ast.dump(parse(old)):
                return {}
        except (SyntaxError, ValueError, RecursionError):
            return {}
        changed = [(a, b) for a, b in zip(here, there, strict=True) if (type(a.value), a.value) != (type(b.value), b.value)]
        moved |= {a.name: (a.value, b.value) for a, b in changed}
    return moved


def _with_literals(text: str, mine: list[Constant], theirs: list[Constant]) -> str | None:
    """The text with the other side's literals; None where the constants are not the same ones."""
    if [constant.name for constant in mine] != [constant.name for constant in theirs]:
        return None
    for constant, other in sorted(zip(mine, theirs, strict=True), key=lambda pair: -pair[0].start):
        text = text[: constant.start] + other.literal + text[constant.end :]
    return text
