"""A fingerprint of source files that looks through comments, formatting and docstrings, to find duplicates."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from functools import partial

from agent.formats import normal_form
from agent.known_forms import KnownForms, is_small_python
from training.parsing import parse

_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)  # PEP 263
_known = KnownForms()


def normalised_syntax_hash(files: Mapping[str, str]) -> str:
    """SHA-256 over the meaning of `files` (path to text), the same for sets that differ only in how they are written.

    Python counts by its syntax tree without docstrings, YAML, TOML, JSON and INI by what they say, anything else by every
    byte, and so do very large files. A file that was seen before is not parsed again.
    """
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        digest.update(hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest())
        digest.update(_known.digest(path, text, partial(_normalised, path, text)))
    return digest.hexdigest()


def _normalised(path: str, text: str) -> str:
    if is_small_python(path, text):
        try:
            tree = parse(text)
            _drop_docstrings(tree)
            return f"python:{_encoding(text)}{ast.dump(tree, annotate_fields=False)}"
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # not Python after all: a check of its own reports that it does not parse
    return normal_form(path, text)


def _encoding(text: str) -> str:
    """A comment that says in which encoding Python shall read the file: it means something where there is more than ASCII."""
    return "" if text.isascii() else "".join(_CODING.findall("\n".join(text.split("\n", 2)[:2])))


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    # A body that was a docstring alone means the same as `pass`.
                    node.body = rest or ([] if isinstance(node, ast.Module) else [ast.Pass()])
