"""Other spellings of a cheat: the same program, with modules under other names, attributes and code in text, names drawn."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable

from tests.cheats.cheat import TRAIN, Cheat
from tests.training_samples import TARGET

MODULES = ("torch", "prepare", "math")


def variant(cheat: Cheat, random: random.Random) -> tuple[str, str]:
    """Which spellings were drawn, and train.py in them."""
    text = cheat.applied()[TRAIN]
    before = ast.dump(ast.parse(text))
    while True:
        tree, drawn = ast.parse(text), random.sample(sorted(SPELLINGS), random.randint(1, 2))
        for name in drawn:
            tree = ast.fix_missing_locations(SPELLINGS[name](tree, random))
        if ast.dump(tree) != before:  # a cheat without a function has no function to execute as text
            return ", ".join(drawn), ast.unparse(tree) + "\n"


def _old_lines() -> set[str]:
    """Every statement of the default target, by how Python writes it."""
    return {ast.unparse(node) for node in ast.walk(ast.parse((TARGET / TRAIN).read_text())) if isinstance(node, ast.stmt)}


class _OfTheCheat(ast.NodeTransformer):
    """Changes the statements that the cheat brought, and leaves those of the target as they are."""

    def __init__(self, random: random.Random) -> None:
        self.random, self.old = random, _old_lines()

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.stmt) and ast.unparse(node) in self.old:
            return node
        found: ast.AST = super().visit(node)
        return found


class _AttributesByText(_OfTheCheat):
    """x.name is getattr(x, "na" + "me")."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or len(node.attr) < 4 or self.random.random() < 0.5:
            return node
        cut = self.random.randint(1, len(node.attr) - 1)
        text = ast.BinOp(ast.Constant(node.attr[:cut]), ast.Add(), ast.Constant(node.attr[cut:]))
        return ast.Call(ast.Name("getattr", ast.Load()), [node.value, text], [])


class _CodeInText(_OfTheCheat):
    """A function that the cheat brought is text that is executed."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if any(isinstance(parent, ast.ClassDef) and node in parent.body for parent in ast.walk(self.tree)):
            return node
        return ast.parse(f"exec({ast.unparse(node)!r}, globals())").body[0]

    def __call__(self, tree: ast.Module) -> ast.Module:
        self.tree = tree
        tree.body = [self.visit_FunctionDef(each) if self._brought(each) else each for each in tree.body]  # type: ignore[misc,arg-type]
        return tree

    def _brought(self, node: ast.stmt) -> bool:
        return isinstance(node, ast.FunctionDef) and node.name not in _NAMES and ast.unparse(node) not in self.old


_NAMES = {
    node.name for node in ast.parse((TARGET / TRAIN).read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
}


def _attributes(tree: ast.Module, random: random.Random) -> ast.Module:
    _AttributesByText(random).generic_visit(tree)
    return tree


def _executed(tree: ast.Module, random: random.Random) -> ast.Module:
    return _CodeInText(random)(tree)


def _aliases(tree: ast.Module, random: random.Random) -> ast.Module:
    """Modules come by importlib, under names that say nothing."""
    names = {module: f"_{random.randrange(1 << 24):06x}" for module in MODULES}

    class Renamed(_OfTheCheat):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(names.get(node.id, node.id), node.ctx)

    Renamed(random).generic_visit(tree)
    after = max(i for i, node in enumerate(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)) + 1
    by = "".join(f"{name} = __import__('importlib').import_module({module[::-1]!r}[::-1])\n" for module, name in names.items())
    tree.body[after:after] = ast.parse(by).body
    return tree


def _renamed(tree: ast.Module, random: random.Random) -> ast.Module:
    """Functions and variables of the cheat under names of the trade."""
    old = {node.id for node in ast.walk(ast.parse((TARGET / TRAIN).read_text())) if isinstance(node, ast.Name)}
    words = ["scale", "ema", "gain", "warm", "smooth", "shadow", "anchor", "residue", "trace", "ridge", "decay", "blend"]
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} - _NAMES
    used = {argument.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for argument in node.args}
    mine = sorted((bound | functions) - old - used)
    names = {name: f"{random.choice(words)}_{number}" for number, name in enumerate(mine)}

    class Renamed(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(names.get(node.id, node.id), node.ctx)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            self.generic_visit(node)
            node.name = names.get(node.name, node.name)
            return node

        def visit_Global(self, node: ast.Global) -> ast.Global:
            return ast.Global([names.get(name, name) for name in node.names])

    Renamed().generic_visit(tree)
    return tree


SPELLINGS: dict[str, Callable[[ast.Module, random.Random], ast.Module]] = {
    "attributes by text": _attributes,
    "code in text": _executed,
    "modules under other names": _aliases,
    "names of the trade": _renamed,
}
