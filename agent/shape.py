"""Layers, width and heads that a training script comes to, read off its text: its constants, and its functions' arithmetic.

A script may say DEPTH and ASPECT_RATIO and compute the width in a function that rounds it up; what is built then is not what
stands in any line. Nothing is run: assignments of numbers are followed through module and functions that the module calls.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from training.parsing import parse

Number: TypeAlias = int | float
Env: TypeAlias = dict[str, Number]

MEANING: Mapping[str, str] = {
    **dict.fromkeys(("n_embd", "n_embed", "d_model", "model_dim", "dim_model", "hidden_size", "embed_dim", "width"), "width"),
    **dict.fromkeys(("n_layer", "n_layers", "num_layers", "depth", "layers"), "layers"),
    **dict.fromkeys(("n_head", "n_heads", "num_heads", "heads"), "heads"),
}
LARGEST = 1e15
MOST_CALLS = 200  # that are followed
ARITHMETIC: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b if abs(a) <= 1e3 and abs(b) <= 40 else math.inf,
}
KNOWN: Mapping[str, Callable[..., Number]] = {"min": min, "max": max, "int": int, "round": round, "abs": abs}


def shape_of(text: str) -> dict[str, int]:
    """What of layers, width and heads can be told, each a whole number; of two values for one, the one that is handed on.

    Empty for what is not Python.
    """
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    reader = _Reader({each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)})
    try:
        reader.follow(tree.body, {}, outside=True)
    except RecursionError:
        return {}
    shape: dict[str, int] = {}
    for values in (reader.handed_on, reader.assigned, reader.constants):
        for name in ("layers", "width", "heads"):
            if (
                name not in shape
                and len(values_of_name := values.get(name, set())) == 1
                and (value := next(iter(values_of_name))) == int(value)
            ):
                shape[name] = int(value)
    return shape


class _Reader:
    """Follows assignments; remembers the values of names that mean a shape, by where they stand."""

    def __init__(self, functions: Mapping[str, ast.FunctionDef]) -> None:
        self.functions = functions
        self.constants: dict[str, set[Number]] = {}
        self.assigned: dict[str, set[Number]] = {}
        self.handed_on: dict[str, set[Number]] = {}
        self.calls = 0

    def follow(self, body: list[ast.stmt], env: Env, *, outside: bool = False) -> None:
        """One block of statements. A name that is assigned under a condition is not known afterwards."""
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            name, value = _assignment(statement)
            if name and value is not None:
                number = self.value(value, env)
                env.pop(name, None)
                if number is not None:
                    env[name] = number
                    _note(self.constants if outside else self.assigned, name, number)
            else:
                for target in _targets(statement):
                    env.pop(target, None)
            for call in _calls(statement):
                self._call(call, env)

    def value(self, node: ast.expr, env: Env) -> Number | None:
        """What an expression comes to; None where that is not known."""
        number: Number | None = None
        try:
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                number = node.value  # type: ignore[assignment]  # type() has said what it is
            elif isinstance(node, ast.Name):
                number = env.get(node.id)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                inner = self.value(node.operand, env)
                number = None if inner is None else -inner
            elif isinstance(node, ast.BinOp) and (operate := ARITHMETIC.get(type(node.op))):
                left, right = self.value(node.left, env), self.value(node.right, env)
                number = None if left is None or right is None else operate(left, right)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KNOWN and not node.keywords:
                given = [self.value(each, env) for each in node.args]
                number = KNOWN[node.func.id](*given) if given and None not in given else None
        except (ArithmeticError, ValueError, TypeError):
            return None
        return number if number is not None and abs(number) <= LARGEST else None

    def _call(self, call: ast.Call, env: Env) -> None:
        """What is handed on by name, and the body of a function of this file with what it is given."""
        for keyword in call.keywords:
            if keyword.arg and (number := self.value(keyword.value, env)) is not None:
                _note(self.handed_on, keyword.arg, number)
        function = self.functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
        self.calls += 1
        if function is None or self.calls > MOST_CALLS:
            return
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        given = {name: self.value(node, env) for name, node in zip(names, call.args, strict=False)}
        given |= {each.arg: self.value(each.value, env) for each in call.keywords if each.arg}
        if given and None not in given.values():  # one that is given nothing, or what is not known, builds no model of ours
            inside = {**env, **{name: number for name, number in given.items() if number is not None}}
            self.follow(function.body, inside)


def _note(values: dict[str, set[Number]], name: str, number: Number) -> None:
    if meaning := MEANING.get(name.lower()):
        values.setdefault(meaning, set()).add(number)


def _assignment(statement: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    return "", None


def _targets(statement: ast.stmt) -> Iterator[str]:
    return (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store | ast.Del))


def _calls(statement: ast.stmt) -> list[ast.Call]:
    """Calls in a statement that has no statements of its own: what stands under a condition may never happen."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return):
        return [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return []
