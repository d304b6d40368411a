"""Python's own parser, as it is safe to use from several threads."""

from __future__ import annotations

import ast
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
