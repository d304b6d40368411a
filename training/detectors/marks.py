"""Places in Python code that touch randomness, the budget, the data, the evaluation, or the world outside.

A mark is found on the syntax tree, with imported names resolved (`import torch as t`, `from torch import manual_seed`) and the
names of ordinary variables left out, so that a rename, a move or a reformatting leaves every mark as it was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from training.detectors.record import Level

Kind = Literal["seed", "budget", "data", "evaluation", "outside access", "replaced code"]

# Words of an identifier (`val_loss` has two) that say what it is about.
WORDS: dict[Kind, frozenset[str]] = {
    "seed": frozenset({"seed", "seeds"}),
    "budget": frozenset({"budget", "flop", "flops", "deadline"}),
    "data": frozenset(
        {"dataset", "datasets", "dataloader", "loader", "corpus", "shard", "shards", "tokenizer", "tokeniser", "parquet"}
    ),
    "evaluation": frozenset({"evaluate", "evaluation", "evaluator", "validation", "bpb", "watch"}),
}
PAIRED_EVALUATION = frozenset({"val", "eval"})  # `val_loss` is one; a plain `val` is any value, `eval()` switches dropout off
MILD_NAMES: dict[str, Kind] = {  # worth a look, and often part of honest research
    **dict.fromkeys(("max_steps", "num_steps", "total_steps", "num_iterations", "max_iters", "total_iterations"), "budget"),
    **dict.fromkeys(("mixture", "batch", "get_batch", "next_batch"), "data"),
}
STEPS = "training_steps"  # of prepare.py's run: hands out the budget
RUN_COUNTERS = frozenset({"step", "tokens", "flops", "cost", "started", "budget", "budget_kind", "_used"})
GENERATORS = frozenset(
    {"default_rng", "Generator", "RandomState", "set_rng_state", "get_rng_state", "set_rng_state_all", "fork_rng", "urandom"}
)
RANDOM_MODULES = ("random", "numpy.random", "secrets", "uuid", "torch.random")
TORCH_DRAWS = frozenset(
    f"torch.{name}"
    for name in ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "multinomial")
)
OUTSIDE_MODULES = (
    "socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "subprocess", "multiprocessing",
    "threading", "_thread", "concurrent", "asyncio", "ctypes", "cffi", "mmap", "importlib", "pickle", "marshal", "inspect",
    "gc", "builtins", "signal", "atexit", "shutil", "tempfile", "glob", "torch._C", "torch.library", "torch.overrides",
    "torch.hub", "torch.multiprocessing", "torch.utils._python_dispatch", "torch.utils.cpp_extension",
    "torch.utils.flop_counter",
)  # fmt: skip
OUTSIDE_CALLS = frozenset({
    "open", "exec", "eval", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "breakpoint", "input",
    "io.open", "torch.load", "numpy.load", "numpy.memmap", "numpy.fromfile", "numpy.loadtxt", "numpy.genfromtxt",
    "safetensors.torch.load_file", "sys._getframe", "sys.settrace",
})  # fmt: skip
OUTSIDE_NAMES = ("os.", "sys.modules", "sys.path", "sys.meta_path", "pathlib.")
OUTSIDE_ATTRIBUTES = frozenset({"__dict__", "__globals__", "__code__", "__builtins__", "__subclasses__", "f_back"})
CLOCKS = frozenset(f"time.{name}" for name in ("time", "monotonic", "perf_counter", "process_time", "sleep", "time_ns"))
SETTINGS = ("torch.backends.", "torch._dynamo.config", "torch._inductor.config")  # module attributes made to be assigned
COMPOUND = (ast.stmt, ast.ExceptHandler, ast.match_case)


@dataclass(frozen=True)
class Mark:
    """One place. Marks with the same kind and key are the same code; `statement` is the key of all that stands around it."""

    kind: Kind
    level: Level
    key: str
    statement: str
    line: int


def marks_of_tree(statements: list[ast.stmt], aliases: dict[str, str], protected: Collection[str]) -> list[Mark]:
    """The marks of some statements of a file, which are altered; `aliases` are what the whole file imports."""
    canonical = _Canonical(aliases).visit(ast.Module(statements, []))
    reader = _Reader(set(aliases.values()), protected)
    return [mark for node in ast.walk(canonical) if isinstance(node, COMPOUND) for mark in reader.marks_of(node)]


def kinds_of_words(identifier: str) -> Iterator[tuple[Kind, Level]]:
    """What an identifier is about, by its words."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]
    for kind, known in WORDS.items():
        if known.intersection(words):
            yield kind, "warning"
    if len(words) > 1 and PAIRED_EVALUATION.intersection(words):
        yield "evaluation", "warning"
    if identifier.lower() == STEPS:
        yield "budget", "warning"
    if mild := MILD_NAMES.get(identifier.lower()):
        yield mild, "info"


def imports_of(statements: list[ast.stmt]) -> dict[str, str]:
    """Local name to the full name of what was imported under it, anywhere in the statements of a file."""
    names = {}
    for node in ast.walk(ast.Module(statements, [])):
        if isinstance(node, ast.Import):
            for item in node.names:
                names[item.asname or item.name.partition(".")[0]] = item.name if item.asname else item.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {item.asname or item.name: f"{node.module}.{item.name}" for item in node.names}
    return names


class _Canonical(ast.NodeTransformer):
    """Writes imported names in full, and every ordinary variable as `_`."""

    def __init__(self, aliases: dict[str, str]) -> None:
        self.aliases = aliases

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self.aliases:
            node.id = self.aliases[node.id]
        elif not (node.id.isupper() or node.id == "self" or node.id in OUTSIDE_CALLS or any(kinds_of_words(node.id))):
            node.id = "_"
        return node


class _Reader:
    """Finds the marks of one statement, its nested statements left out."""

    def __init__(self, imported: set[str], protected: Collection[str]) -> None:
        self.imported = imported
        self.protected = tuple(protected)

    def marks_of(self, statement: ast.AST) -> list[Mark]:
        parts = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, COMPOUND)]
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return []  # a docstring
        key = f"{type(statement).__name__}: {', '.join(map(_written, parts))}"
        line = getattr(statement, "lineno", 0) or getattr(parts[0], "lineno", 1) if parts else 1
        marks: dict[tuple[Kind, str], Mark] = {}
        for kind, level in self._of_statement(statement):
            marks[kind, key] = Mark(kind, level, key, key, line)
        taken = frozenset(kind for kind, _ in marks)
        for part in parts:
            for kind, level, node in self._of_expression(part, taken):
                written = _written(node)
                marks.setdefault((kind, written), Mark(kind, level, written, key, getattr(node, "lineno", line)))
        return list(marks.values())

    def _of_statement(self, statement: ast.AST) -> Iterator[tuple[Kind, Level]]:
        """Marks that are the whole statement: an assignment to something that counts, an import."""
        if isinstance(statement, ast.Import | ast.ImportFrom):
            module = getattr(statement, "module", None)
            names = [f"{module}.{item.name}" if module else item.name for item in statement.names]
            if any(_within(name, OUTSIDE_MODULES) for name in names):
                yield "outside access", "warning"
        targets = statement.targets if isinstance(statement, ast.Assign | ast.Delete) else []
        if isinstance(statement, ast.AnnAssign | ast.AugAssign):
            targets = [statement.target]
        for target in targets:
            for node in _assigned(target):
                yield from self._of_target(node)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from kinds_of_words(statement.name)
        if isinstance(statement, ast.If) and any(_is_training(node) for node in ast.walk(statement.test)):
            yield "evaluation", "info"

    def _of_target(self, node: ast.AST) -> Iterator[tuple[Kind, Level]]:
        if isinstance(node, ast.Name):
            yield from kinds_of_words(node.id)
        elif isinstance(node, ast.Attribute):
            yield from kinds_of_words(node.attr)
            name = _dotted(node)
            if _root(node) in self.imported and not name.startswith(SETTINGS):
                yield "replaced code", "warning"
            elif node.attr in RUN_COUNTERS and name.startswith("_.") and isinstance(node.value, ast.Name):
                yield "budget", "info" if node.attr == "step" else "warning"

    def _of_expression(self, node: ast.AST, taken: frozenset[Kind]) -> Iterator[tuple[Kind, Level, ast.AST]]:
        """The outermost expression of each kind, from the outside in."""
        here = dict(reversed([pair for pair in self._kinds(node) if pair[0] not in taken]))  # the first of a kind counts
        yield from ((kind, level, node) for kind, level in here.items())
        for child in ast.iter_child_nodes(node):
            yield from self._of_expression(child, taken | here.keys())

    def _kinds(self, node: ast.AST) -> Iterator[tuple[Kind, Level]]:
        match node:
            case ast.Call():
                yield from self._of_call(node, _dotted(node.func))
            case ast.Attribute() | ast.Name():
                yield from self._of_name(node)
            case ast.keyword(arg=str(name)) | ast.arg(arg=name):
                yield from kinds_of_words(name)
            case ast.arguments():
                for argument in (*node.posonlyargs, *node.args, *node.kwonlyargs):
                    yield from kinds_of_words(argument.arg)
            case ast.Constant(value=str(text)) if text.lstrip("-").replace("-", "_").isidentifier():
                yield from (pair for pair in kinds_of_words(text) if pair[0] in ("seed", "budget"))  # a source has any name
                if text.startswith("SIGNOFF_"):
                    yield "outside access", "warning"
            case ast.IfExp() if _is_training(node.test):
                yield "evaluation", "info"

    def _of_call(self, node: ast.Call, name: str) -> Iterator[tuple[Kind, Level]]:
        last = name.rpartition(".")[2]
        if last in GENERATORS:
            yield "seed", "warning"
        elif name in TORCH_DRAWS or (_within(name, RANDOM_MODULES) and "." in name):
            yield "seed", "info"
        yield from kinds_of_words(last)
        if name in CLOCKS:
            yield "budget", "info"
        if name in OUTSIDE_CALLS:
            yield "outside access", "warning"
        if any(keyword.arg == "generator" for keyword in node.keywords):
            yield "seed", "info"

    def _of_name(self, node: ast.Attribute | ast.Name) -> Iterator[tuple[Kind, Level]]:
        name = _dotted(node)
        last = node.attr if isinstance(node, ast.Attribute) else name.rpartition(".")[2]
        yield from kinds_of_words(last)
        outside = name.startswith(OUTSIDE_NAMES) or _within(name, OUTSIDE_MODULES)
        if last in OUTSIDE_ATTRIBUTES or (outside and _root(node) in self.imported):
            yield "outside access", "warning"
        if isinstance(node, ast.Attribute) and _dotted(node.value) in self.protected:
            yield "evaluation", "info"


def _assigned(target: ast.expr) -> Iterator[ast.expr]:
    """The single names and attributes that a target assigns to; of `name[key]` the name, which it changes."""
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _assigned(element)
        case ast.Starred(value=value) | ast.Subscript(value=value):
            yield from _assigned(value)
        case _:
            yield target


def _written(node: ast.AST) -> str:
    return ast.unparse(node)


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; the last name alone, after a dot, when what stands before it is no name."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _root(node: ast.AST) -> str:
    """The name that an attribute chain begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _within(name: str, modules: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _is_training(node: ast.AST) -> bool:
    """Whether this is, or negates, `anything.training`."""
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Attribute) and node.attr == "training"
