"""Which Python files a run reads, following imports from the script of its command: what no run reads cannot change a score.

Anything that may lead to a file counts as reading it: its name as text, a module that cannot be resolved. Where code finds
modules by itself (importlib, pkgutil, runpy), nothing is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from posixpath import dirname, join, normpath

from agent.launched import Launched
from training.parsing import parse

FINDS_MODULES = {"importlib", "pkgutil", "runpy", "__import__"}
LARGEST = 1 << 20  # characters of a file that is followed


def python_trees(texts: Mapping[str, str]) -> dict[str, ast.Module]:
    """The syntax trees of the Python files that can be parsed."""
    trees = {}
    for path, text in texts.items():
        if path.endswith(".py") and len(text) <= LARGEST:
            try:
                trees[path] = parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return trees


def read_by_runs(trees: Mapping[str, ast.Module], launched: Launched) -> frozenset[str] | None:
    """The Python files that a run may read; None where that cannot be told."""
    script = launched.path(launched.program.script) if launched.program.script else ""
    if not launched.complete or script not in trees:
        return None
    roots = (normpath(launched.directory), dirname(script) or ".")
    named = [launched.path(word) for word in launched.program.plain if word.endswith(".py")]
    files, waiting = set(), [script, *named]
    while waiting:
        path = waiting.pop()
        if path in files or path not in trees:
            continue
        files.add(path)
        tree = trees[path]
        if _finds_modules(tree):
            return None
        waiting += _named_in(tree, trees)
        waiting += _imported(tree, path, roots, trees)
    return frozenset(files)


def _finds_modules(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(name.partition(".")[0] in FINDS_MODULES for name in names):
                return True
        elif isinstance(node, ast.Name) and node.id == "__import__":
            return True
    return False


def _named_in(tree: ast.Module, trees: Mapping[str, ast.Module]) -> Iterator[str]:
    """Files whose path, name or module stands in a string of the code."""
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for path in trees:
        module = path.removesuffix(".py").replace("/", ".")
        if not strings.isdisjoint({path, path.rpartition("/")[2], module}):
            yield path


def _imported(tree: ast.Module, path: str, roots: Iterable[str], trees: Mapping[str, ast.Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, roots, trees)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            where: Iterable[str] = roots
            if node.level:
                folder = dirname(path)
                for _ in range(node.level - 1):
                    folder = dirname(folder)
                where = (folder or ".",)
            yield from _files_of(base, where, trees)
            for alias in node.names:
                yield from _files_of(f"{base}.{alias.name}" if base else alias.name, where, trees)


def _files_of(module: str, roots: Iterable[str], trees: Mapping[str, ast.Module]) -> Iterator[str]:
    """The files of a module and of the packages above it; one below none of the folders is looked for anywhere."""
    parts = module.split(".") if module else []
    matched = False
    for root in roots:
        for depth in range(len(parts) + 1):
            for name in ("/".join([*parts[:depth], "__init__.py"]), "/".join(parts[:depth]) + ".py" if depth else ""):
                path = normpath(join(root, name)) if name else ""
                if path in trees:
                    matched = matched or depth == len(parts)
                    yield path
    if not matched and parts:
        tail = "/".join(parts)
        yield from (path for path in trees if path.endswith((f"/{tail}.py", f"/{tail}/__init__.py")))
