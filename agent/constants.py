"""Finds the constants of Python files by their syntax tree, and rewrites them exactly.

A constant is a literal number, boolean or string that is assigned at module level, to an ALL_CAPS name in a class body,
or as the default of an annotated field (a dataclass); in a tuple, list or dictionary every element is one.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from agent.coefficients import calculated_in_loops, part_of
from agent.offsets import NEWLINE, Offsets
from agent.proposal import Edit
from training.parsing import BOM, parse

Value: TypeAlias = bool | int | float | str
Form: TypeAlias = Literal["python", "yaml", "toml", "option"]

MAX_ELEMENTS = 32  # a longer literal is a table, not a set of knobs
NOT_DECIMAL = re.compile(r"-?0[xXoObB]")  # masks and permissions, not quantities


@dataclass(frozen=True)
class Constant:
    """One literal in a file. `start` and `end` are character offsets of `literal` in the file's text."""

    path: str
    label: str  # LEARNING_RATE, GPTConfig.n_layer, BETAS[1], MIXTURE["code"]
    value: Value
    literal: str
    start: int
    end: int
    comment: str = ""  # on the literal's own line, then on the first line of its statement
    compared_with: tuple[str, ...] = ()  # for a string: the literals that the code compares it with, sorted
    choices: tuple[Value, ...] = ()  # all values that it may have, where the code names them
    form: Form = "python"
    key: str = ""  # how an override would call it, where that is not the label
    part_of: str = ""  # why it is left alone unless it is asked for: it is part of an algorithm or of a machine

    @property
    def name(self) -> str:
        """Identifies the constant within the project, across baselines."""
        return f"{self.path}:{self.label}"

    def written(self, value: Value) -> str:
        """A value as source text of its file, in the style of the literal that it replaces."""
        text = written(value, self.literal)
        if self.form == "python":
            return text
        if isinstance(value, bool):
            return text.upper() if self.literal.isupper() else text.lower() if self.literal.islower() else text
        if isinstance(value, str):
            return value if self.literal[:1] not in "'\"" else text
        return _with_point(text) if self.form == "yaml" and "e" in text.lower() and "." in self.literal else text

    @property
    def variable(self) -> str:
        """The name of the whole variable, of which this may be one element."""
        return f"{self.path}:{self.label.partition('[')[0]}"


def find_constants(path: str, text: str) -> list[Constant]:
    """The constants of one Python file, in the order of the file.

    Raises SyntaxError when the text is not Python, or nested too deeply to be parsed.
    """
    tree, source = source_of(path, text)
    compared, looped = _string_comparisons(tree), calculated_in_loops(tree)
    constants = []
    for owner, assignment, target, value in _assignments(tree):
        for suffix, node, literal_value, around in _literals(value):
            label = f"{owner}{target}{suffix}"
            words = tuple(sorted(compared[target])) if isinstance(literal_value, str) else ()
            part = part_of(label, snake(label), literal_value, around, looped)
            constant = source.constant(path, label, literal_value, node, assignment.lineno, compared_with=words, part_of=part)
            if not NOT_DECIMAL.match(constant.literal):
                constants.append(constant)
    return constants


def source_of(path: str, text: str) -> tuple[ast.Module, Source]:
    """The syntax tree of a Python file and its text. Raises SyntaxError where it is none, or nested too deeply."""
    try:
        return parse(text), Source(text)
    except (ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise SyntaxError(f"{path} cannot be parsed: {error}") from error


def snake(label: str) -> str:
    """The words of a label in lower case: "GPTConfig.nLayer" is "gpt_config_n_layer"."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", label).lower()).strip("_")


class Source:
    """A text with what the syntax tree leaves out: character offsets and comments by line number."""

    def __init__(self, text: str) -> None:
        self._shift = len(BOM) if text.startswith(BOM) else 0
        self.text = text[self._shift :]
        self._offsets = Offsets(self.text)
        tokens = tokenize.generate_tokens(io.StringIO(self.text, newline=None).readline)
        self.comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    def constant(self, path: str, label: str, value: Value, node: ast.expr, line: int, **more: Any) -> Constant:
        """The constant of a literal within the statement that begins on `line`."""
        start, end = self.span(node)
        comments = self.comments.get(node.end_lineno or 0, ""), self.comments.get(line, "")
        comment = " ".join(dict.fromkeys(filter(None, comments)))
        literal = self.text[start:end]
        return Constant(path, label, value, literal, start + self._shift, end + self._shift, comment, **more)

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Character offsets of a node; the syntax tree counts columns in UTF-8 bytes."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offsets.of(node.lineno, node.col_offset), self._offsets.of(node.end_lineno, node.end_col_offset)


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, str, ast.expr]]:
    """(owner with its dot, statement, name, value) of everything that is assigned once at module or class level."""
    bodies: list[tuple[str, list[ast.stmt]]] = [("", tree.body)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            is_enumeration = any(_last_name(base).endswith(("Enum", "Flag")) for base in node.bases)
            bodies += [] if is_enumeration else [(f"{node.name}.", node.body)]
    reassigned = _names_that_change(tree)
    for owner, body in bodies:
        pairs = [(statement, *pair) for statement in body if (pair := _name_and_value(statement))]
        times = Counter(name for _, name, _ in pairs)
        for statement, name, value in pairs:
            is_field = isinstance(statement, ast.AnnAssign)
            if times[name] > 1 or name.startswith("__") or (not owner and name in reassigned):
                continue
            if not owner or name.isupper() or is_field:
                yield owner, statement, name, value


def _name_and_value(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """The name and value of `name = value` and `name: type = value`; None for any other statement."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target, value = statement.target, statement.value
    else:
        return None
    return (target.id, _default_of(value)) if isinstance(target, ast.Name) else None


def _default_of(value: ast.expr) -> ast.expr:
    """The default of `field(default=0.1)` of a dataclass and of pydantic's `Field(0.1)`; anything else as it is."""
    if isinstance(value, ast.Call) and _last_name(value.func) in ("field", "Field"):
        given = [keyword.value for keyword in value.keywords if keyword.arg == "default"]
        return (given or value.args or [value])[0]
    return value


def _names_that_change(tree: ast.Module) -> set[str]:
    """Module names that are state, not constants: changed in place, in a loop at module level, or through `global`."""
    names = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for statement in tree.body:
        if isinstance(statement, ast.For | ast.While | ast.AugAssign):
            stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            names |= {node.id for node in stored if isinstance(node.ctx, ast.Store)}
    return names | _computed_later(tree)


def _computed_later(tree: ast.Module) -> set[str]:
    """Module names that begin at 0 or 1 and are calculated under a condition: `scale = 1.0`, then `scale = ratio ** 0.5`."""
    pairs = [pair for statement in tree.body if (pair := _name_and_value(statement))]
    neutral = {name for name, value in pairs if literal_of(value) in (-1, 0, 1) and not isinstance(literal_of(value), bool)}
    blocks = (statement for statement in tree.body if isinstance(statement, ast.If | ast.Try | ast.With))
    assigned = (
        pair for block in blocks for node in ast.walk(block) if isinstance(node, ast.stmt) and (pair := _name_and_value(node))
    )
    calculated = (ast.BinOp, ast.Call)
    return {
        name for name, value in assigned if name in neutral and isinstance(value, calculated) and not _mentions(value, name)
    }


def _mentions(value: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(value))


def _literals(
    node: ast.expr, suffix: str = "", around: tuple[ast.expr, ...] = ()
) -> Iterator[tuple[str, ast.expr, Value, tuple[ast.expr, ...]]]:
    """(suffix of the label, node, value, what it stands in) of a literal, or of each element of a tuple, list or dictionary."""
    within = (*around, node)
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) <= MAX_ELEMENTS:
        for index, element in enumerate(node.elts):
            yield from _literals(element, f"{suffix}[{index}]", within)
    elif isinstance(node, ast.Dict) and len(node.keys) <= MAX_ELEMENTS:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if len(set(keys)) == len(node.keys):  # no computed, unpacked or repeated key
            for name, element in zip(keys, node.values, strict=True):
                label = json.dumps(name, ensure_ascii=False) if isinstance(name, str) else repr(name)
                yield from _literals(element, f"{suffix}[{label}]", within)
    elif (value := literal_of(node)) is not None and (not suffix or not isinstance(value, str)):
        yield suffix, node, value, around


def literal_of(node: ast.expr) -> Value | None:
    """The value of a literal that can be changed and written back in its own style; None for anything else."""
    match node:
        case ast.Constant(value=bool() | int() | str() as value):
            return value
        case ast.Constant(value=float() as value) if math.isfinite(value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value if math.isfinite(value) and not isinstance(value, bool) else None
        case ast.BinOp(left=ast.Constant(value=2), op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return 2**power if not isinstance(power, bool) and power <= 62 else None
    return None


def _string_comparisons(tree: ast.Module) -> defaultdict[str, set[str]]:
    """Name (or last attribute) to the strings that the code compares it with: the alternatives it knows.

    Understood are `name == "a"`, `name in ("a", "b")`, `match name`, and `{"a": …, "b": …}[name]`.
    """
    compared: defaultdict[str, set[str]] = defaultdict(set)
    tables = dict(pair for statement in tree.body if (pair := _name_and_value(statement)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            if all(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
                for operand in operands:
                    compared[_last_name(operand)].update(text for other in operands for text in _strings(other))
        elif isinstance(node, ast.Match):
            for case in node.cases:
                values = [pattern.value for pattern in ast.walk(case.pattern) if isinstance(pattern, ast.MatchValue)]
                compared[_last_name(node.subject)].update(text for value in values for text in _strings(value))
        elif isinstance(node, ast.Subscript):
            table = tables.get(_last_name(node.value)) if isinstance(node.value, ast.Name) else node.value
            if isinstance(table, ast.Dict):
                compared[_last_name(node.slice)].update(text for key in table.keys if key for text in _strings(key))
    return compared


def _last_name(node: ast.expr) -> str:
    """`name` of `name` and of `anything.name`; empty for any other expression."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _strings(node: ast.expr) -> list[str]:
    """The string literals that a node is or directly holds."""
    elements = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return [item.value for item in elements if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def written(value: Value, literal: str) -> str:
    """`value` as source text in the style of the literal that it replaces: 3e-4, 0.0003, 1_000, 2**19, "gelu"."""
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return repr(value) if literal.startswith("'") else json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if "**" in literal and value > 0 and value.bit_count() == 1:
            return re.sub(r"(?<!\d)\d+$", str(value.bit_length() - 1), literal)
        return f"{value:_}" if "_" in literal else str(value)
    if "e" in literal.lower() and value:
        _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        text = "".join(map(str, digits))
        mantissa = text[0] + ("." + text[1:] if text[1:] else "")
        mark = "E" if "E" in literal else "e"
        return f"{'-' if value < 0 else ''}{mantissa}{mark}{int(exponent) + len(digits) - 1}"
    whole, _, fraction = f"{Decimal(repr(value)):f}".partition(".")
    return f"{int(whole):_}.{fraction or 0}" if "_" in literal else f"{whole}.{fraction or 0}"


def _with_point(text: str) -> str:
    """A number with an exponent as YAML 1.1 knows it: with a point, and with a sign in the exponent."""
    mantissa, mark, exponent = re.fullmatch(r"([^eE]+)([eE])(.+)", text).groups()  # type: ignore[union-attr]
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent if exponent[0] in '+-' else '+' + exponent}"


def edits_for(files: Mapping[str, str], changes: Sequence[tuple[Constant, Value]]) -> tuple[Edit, ...]:
    """The exact replacements that set each constant to its new value, one per place in the text."""
    edits: list[Edit] = []
    for path in sorted({constant.path for constant, _ in changes}):
        here = sorted(((c, v) for c, v in changes if c.path == path), key=lambda change: change[0].start)
        if here[0][0].start < 0:
            edits.append(_with_lines(path, files.get(path, ""), here))
            continue
        apart = [_replacement(path, files[path], [change]) for change in here]
        together = _replacement(path, files[path], here)
        edits += apart if _applied(files[path], apart) == _applied(files[path], [together]) else [together]
    return tuple(edits)


def _with_lines(path: str, old: str, changes: Sequence[tuple[Constant, Value]]) -> Edit:
    """The file anew, with new lines at its end for values that it does not hold yet; it is made if need be."""
    new, shift = old, 0
    for constant, value in changes:
        text = constant.written(value)
        if constant.start < 0:
            new += ("" if not new or new.endswith("\n") else "\n") + f"{constant.label}={text}\n"
        else:
            new = new[: constant.start + shift] + text + new[constant.end + shift :]
            shift += len(text) - (constant.end - constant.start)
    return Edit(path=path, old=old, new=new)


def _applied(text: str, edits: Sequence[Edit]) -> str | None:
    """The text after the edits, in order; None when one of them is not exact when its turn comes."""
    for edit in edits:
        if not _is_unique(edit.old, text):
            return None
        text = text.replace(edit.old, edit.new)
    return text


def _replacement(path: str, text: str, changes: Sequence[tuple[Constant, Value]]) -> Edit:
    """One edit over the whole lines of the changes, with as many lines around them as make it unique."""
    starts = [0, *(match.end() for match in NEWLINE.finditer(text))]
    ends = [*(match.start() for match in NEWLINE.finditer(text)), len(text)]
    first = max(i for i, start in enumerate(starts) if start <= changes[0][0].start)
    last = max(i for i, start in enumerate(starts) if start <= changes[-1][0].end)
    before = True
    while not _is_unique(text[starts[first] : ends[last]], text):
        if (before and first > 0) or last + 1 == len(starts):
            first -= 1
        else:
            last += 1
        before = not before
    start, new, copied = starts[first], "", starts[first]
    for constant, value in changes:
        new += text[copied : constant.start] + constant.written(value)
        copied = constant.end
    return Edit(path=path, old=text[start : ends[last]], new=new + text[copied : ends[last]])


def _is_unique(part: str, text: str) -> bool:
    """Whether `part` occurs exactly once, overlapping occurrences counted."""
    first = text.find(part)
    return first >= 0 and text.find(part, first + 1) < 0
