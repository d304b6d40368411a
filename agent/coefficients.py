"""Which literals are parts of an algorithm or of a machine, by what they are: nobody turns them to train better.

Coefficients of a polynomial are computed and written with many digits, stand in tables, or are multiplied in a loop over them.
Rates of a machine are larger than any hyperparameter, or stand under its name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from decimal import Decimal

PRECISE = 5  # digits of a number that was computed: 3.4445, 0.044715
PRECISE_TOGETHER = 4  # of one among three or more
HUGE = 1e9
MACHINE = re.compile(r"(?:^|_)(?:t?flops?|[tgp]?flops_?\w*|bandwidth|tops|mfu|hbm)(?:_|$)")
KERNEL = re.compile(
    r"(?:^|_)(?:num_)?warps(?:_|$)|(?:^|_)block_(?:size_)?[kmnq](?:_|$)|(?:^|_)(?:kernel|pre|qk|pipeline|num)_(?:block_size|stages)(?:_|$)"
)
GUARD = re.compile(r"(?:^|_)(?:eps|epsilon|tiny)(?:_|$)")
SMALLEST_EPSILON = 1e-11  # what an optimizer adds to a root is larger
REFERENCE = re.compile(r"_ref$|(?:^|_)reference_")
DEVICES = re.compile(
    r"(?i)(?<![a-z0-9])(?:g?[bh][12]00|gh200|h20|h800|[av]100|a800|a10g?|a6000|l40s?|[lt]4|p100|k80|mi\d{3}x?|tpu\w*|rtx\w*|"
    r"gtx\w*|trn\d|gaudi\d?|m[1-5]_(?:pro|max|ultra))(?![a-z0-9])"
)


def digits(value: object) -> int:
    """Significant digits of a number with a fraction: 5 of 3.4445, 1 of 0.001 and of 64.0."""
    if not isinstance(value, float):
        return 0
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


def part_of(label: str, words: str, value: object, around: tuple[ast.expr, ...], looped: frozenset[str]) -> str:
    """What a literal is a part of, in a few words; empty where it may be turned.

    `words` is the label in snake case, `around` the tuples, lists and dictionaries that it stands in, the outermost first,
    `looped` the names that a loop calculates with.
    """
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return ""
    if KERNEL.search(words):
        return "a setting of a GPU kernel: it decides how fast it is, not what is trained"
    if GUARD.search(words) and 0 < abs(value) <= SMALLEST_EPSILON:
        return "a guard against division by zero"
    if REFERENCE.search(words):
        return "a reference point that others are scaled by"
    rows = [node for node in around if isinstance(node, ast.Tuple | ast.List)]
    if abs(value) >= HUGE or MACHINE.search(words) or DEVICES.search(label):
        return "a figure of a machine"
    if len(rows) > 1:
        return "an entry of a table"
    if digits(value) >= PRECISE:
        return "a coefficient: it has more digits than anybody chooses"
    if rows and len(floats := list(_floats(rows[0]))) >= 3 and max(map(digits, floats)) >= PRECISE_TOGETHER:
        return "a coefficient: it stands among numbers with more digits than anybody chooses"
    if rows and any(isinstance(each, float) for each in _floats(rows[0])) and label.partition("[")[0] in looped:
        return "a coefficient: a loop calculates with all of them"
    return ""


def _floats(node: ast.expr) -> Iterator[float]:
    return (each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, float))


def calculated_in_loops(tree: ast.Module) -> frozenset[str]:
    """Names of which every use is a loop over them that calculates with the elements: `for a, b in coeffs: x = a * x + b`."""
    loops: set[str] = set()
    inside: set[ast.Name] = set()
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, ast.expr, list[ast.AST]]] = []
        if isinstance(node, ast.For):
            pairs = [(node.iter, node.target, list(node.body))]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            pairs = [(each.iter, each.target, [node.elt]) for each in node.generators]
        for iterated, target, body in pairs:
            elements = {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
            if any(_calculates(statement, elements) for statement in body):
                named = [each for each in ast.walk(iterated) if isinstance(each, ast.Name)]
                loops |= {each.id for each in named}
                inside |= set(named)
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in inside
    }
    return frozenset(loops - used)


def _calculates(body: ast.AST, names: set[str]) -> bool:
    """Whether one of the names is an operand of a product, sum or power."""
    return any(
        isinstance(operand, ast.Name) and operand.id in names
        for node in ast.walk(body)
        if isinstance(node, ast.BinOp)
        for operand in (node.left, node.right)
    )
