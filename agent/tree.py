"""A Python file as text and syntax tree: finds structure by the tree, changes the text in place, and keeps its formatting."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from agent.diff import lines_of
from agent.offsets import NEWLINE, Offsets
from agent.proposal import Edit
from training.parsing import BOM, parse

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class DoesNotApply(Exception):
    """The idea has no place in this tree; the message says why, as a sentence."""


class Source:
    """One Python file and the replacements to be made in it; `text` stays as it was until `result` is asked for.

    Raises DoesNotApply where the text is not Python.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        bare = text.removeprefix(BOM)
        try:
            self.tree = parse(bare)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise DoesNotApply(f"The file cannot be parsed ({error}).") from error
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self._shift, self._offsets = len(text) - len(bare), Offsets(bare)
        self._changes: list[tuple[int, int, str]] = []

    def calls(self, name: str, within: ast.AST | None = None) -> list[ast.Call]:
        """Calls of a dotted name, in the order of the file."""
        calls = (node for node in ast.walk(within or self.tree) if isinstance(node, ast.Call) and dotted(node.func) == name)
        return sorted(calls, key=lambda call: (call.lineno, call.col_offset))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, the nearest first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that a node is or is part of."""
        return next(parent for parent in (node, *self.around(node)) if isinstance(parent, ast.stmt))

    def function(self, node: ast.AST) -> Function:
        """The function around a node. Raises DoesNotApply."""
        for parent in self.around(node):
            if isinstance(parent, Function):
                return parent
        raise DoesNotApply("What it changes is not inside a function here.")

    def class_of(self, node: ast.AST) -> ast.ClassDef:
        """The class around a node. Raises DoesNotApply."""
        for parent in self.around(node):
            if isinstance(parent, ast.ClassDef):
                return parent
        raise DoesNotApply("What it changes is not inside a class here.")

    def names(self, within: ast.AST | None = None) -> set[str]:
        """Every plain name that is read or written, and every definition."""
        nodes = list(ast.walk(within or self.tree))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return names | {node.name for node in nodes if isinstance(node, Function | ast.ClassDef)}

    def segment(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def grouped(self, node: ast.AST) -> str:
        """The text of an expression, in brackets where it needs them beside an operator."""
        simple = isinstance(node, ast.Name | ast.Constant | ast.Attribute | ast.Call | ast.Subscript)
        return self.segment(node) if simple else f"({self.segment(node)})"

    def replace(self, node: ast.AST, new: str) -> None:
        """Put other text in a node's place."""
        self._changes.append((*self.span(node), new))

    def remove(self, statement: ast.stmt) -> None:
        """Take a statement out, with its lines and their comments."""
        start, end = self._offsets.start(statement.lineno), self._offsets.after(statement.end_lineno or statement.lineno)
        self._changes.append((self._shift + start, self._shift + end, ""))

    def before(self, statement: ast.stmt, *lines: str) -> None:
        """Insert lines above a statement, indented as it is; empty lines stay empty."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        at = self._shift + self._offsets.start(first)
        self._changes.append((at, at, self._block(statement, lines)))

    def after(self, statement: ast.stmt, *lines: str) -> None:
        """Insert lines below a statement, indented as it is."""
        at = self._shift + self._offsets.after(statement.end_lineno or statement.lineno)
        lead = "" if at == 0 or self.text[at - 1] in "\r\n" else self.newline
        self._changes.append((at, at, lead + self._block(statement, lines)))

    def constant(self, line: str, near: str) -> None:
        """Add a module-level constant below the one called `near`, or above the first definition where there is none."""
        name = line.partition(" ")[0]
        if name in self.names():
            raise DoesNotApply(f"{name} is there already.")
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign) and [dotted(target) for target in statement.targets] == [near]:
                self.after(statement, line)
                return
        self.before(self.first_definition(), line, "", "")

    def definition(self, above: ast.stmt, code: str) -> None:
        """Add a function or class above a definition at module level, with two empty lines between."""
        self.before(above, *code.strip("\n").split("\n"), "", "")

    def first_definition(self) -> ast.stmt:
        """The first function or class of the module. Raises DoesNotApply."""
        for statement in self.tree.body:
            if isinstance(statement, Function | ast.ClassDef):
                return statement
        raise DoesNotApply("The file defines no function and no class.")

    def top(self, node: ast.AST) -> ast.stmt:
        """The statement at module level that holds a node."""
        return next(
            parent for parent in (node, *self.around(node)) if parent in self.tree.body and isinstance(parent, ast.stmt)
        )

    def result(self) -> str:
        """The text after all replacements. Raises DoesNotApply where two of them are about the same place."""
        text, before = "", 0
        for start, end, new in sorted(self._changes, key=lambda change: change[:2]):
            if start < before:
                raise DoesNotApply("Two of its edits meet in one place of this tree.")
            text += self.text[before:start] + new
            before = end
        return text + self.text[before:]

    @property
    def newline(self) -> str:
        """The line end that the file uses."""
        match = NEWLINE.search(self.text)
        return match[0] if match else "\n"

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Character offsets of a node; the syntax tree counts columns in UTF-8 bytes."""
        line, end_line = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0)
        return self._shift + self._offsets.of(line, start), self._shift + self._offsets.of(end_line, end)

    def _block(self, statement: ast.stmt, lines: Sequence[str]) -> str:
        indent = " " * statement.col_offset
        return "".join((indent + line if line else "") + self.newline for line in lines)


def dotted(node: ast.AST) -> str:
    """`nn.init.normal_` of such an expression; empty for anything but names joined by dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def edits_between(path: str, old: str, new: str) -> tuple[Edit, ...]:
    """Exact replacements that turn one text into another, each with as many lines around it as make it unique.

    Every `old` occurs once in the old text and, in order, once in the text as the edits before it left it.
    """
    before, after = lines_of(old), lines_of(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    hunks: list[tuple[int, int, int, int]] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            continue
        i1, i2, j1, j2 = _unique(before, old, i1, i2, j1, j2)
        if hunks and i1 < hunks[-1][1]:
            i1, j1 = hunks[-1][0], hunks[-1][2]
            hunks.pop()
        hunks.append((i1, i2, j1, j2))
    edits = [Edit(path, "".join(before[i1:i2]), "".join(after[j1:j2])) for i1, i2, j1, j2 in hunks]
    if not _exact(edits, old, new):
        first, last = hunks[0], hunks[-1]
        i1, i2, j1, j2 = _unique(before, old, first[0], last[1], first[2], last[3])
        edits = [Edit(path, "".join(before[i1:i2]), "".join(after[j1:j2]))]
    return tuple(edits)


def _unique(lines: Sequence[str], text: str, i1: int, i2: int, j1: int, j2: int) -> tuple[int, int, int, int]:
    """A hunk, widened by equal lines until its old side occurs once."""
    up = True
    while i1 == i2 or _occurrences(text, "".join(lines[i1:i2])) != 1:
        if (up and i1 > 0) or i2 == len(lines):
            i1, j1 = i1 - 1, j1 - 1
        else:
            i2, j2 = i2 + 1, j2 + 1
        up = not up
    return i1, i2, j1, j2


def _exact(edits: Sequence[Edit], old: str, new: str) -> bool:
    """Whether the edits, in order, are each exact when their turn comes and end in the new text."""
    for edit in edits:
        if _occurrences(old, edit.old) != 1:
            return False
        old = old.replace(edit.old, edit.new)
    return old == new


def _occurrences(text: str, part: str) -> int:
    """How many places `part` fits, overlapping ones counted; two stand for any number above one."""
    first = text.find(part)
    return 0 if first < 0 else 1 if text.find(part, first + 1) < 0 else 2
