"""Python's own parser, as it is safe to use from several threads."""

from __future__ import annotations

import ast
import warnings
from threading import Lock

BOM = "\ufeff"
_ONE_AT_A_TIME = Lock()


def parse(text: str) -> ast.Module:
    """The syntax tree of a Python file, with or without a byte-order mark, past which Python reads and `ast.parse` does not.

    Python 3.11 counts the depth of trees for all threads together: where a garbage collection hands over to another thread
    that parses too, both fail with a SystemError. So one thread parses at a time.

    Raises SyntaxError and ValueError where the text is no Python, RecursionError and MemoryError where it nests too deeply.
    """
    with _ONE_AT_A_TIME:
        return ast.parse(text.removeprefix(BOM))


def try_to_compile(text: str) -> None:
    """See that a text is Python. No tree is made of it, which would hold up all other threads five times as long.

    Raises SyntaxError and ValueError where it is not, RecursionError and MemoryError where it nests too deeply.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(text.removeprefix(BOM), "<change>", "exec", dont_inherit=True)
