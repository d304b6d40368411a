"""Turns held-out text into tokens with the owner's own `encode`, in a sandbox, once: started by `training/held_out.py`.

    python -I -B encode.py TREE MODULE WANTED IN OUT

MODULE of TREE must have `encode` and the function WANTED, which the scorer will build the model with. IN is a JSON list of
texts; OUT gets for each the number of its tokens and the tokens, little-endian uint32. What is wrong is one line on stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from array import array
from pathlib import Path
from typing import Any

REFUSED = 3  # exit code: the last line says why
LARGEST = 2**32


def main() -> None:
    tree, module, wanted, texts, out = sys.argv[1:6]
    os.chdir(tree)
    sys.path.insert(0, tree)
    owners = found(module)
    for name in ("encode", wanted):
        if not callable(getattr(owners, name, None)):
            refuse(f"{module} has no function {name}")
    with open(out, "wb") as file:
        for text in json.loads(Path(texts).read_text()):
            tokens = encoded(owners, text)
            numbers = array("I", [len(tokens), *tokens])
            if sys.byteorder == "big":
                numbers.byteswap()
            numbers.tofile(file)


def found(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except BaseException as error:
        return refuse(f"{module} cannot be imported: {told(error)}")


def encoded(owners: Any, text: str) -> list[int]:
    """The tokens of one text. Ends the process where they are no whole numbers from 0."""
    try:
        tokens = list(owners.encode(text))
    except BaseException as error:
        refuse(f"encode() failed: {told(error)}")
    for token in tokens:
        if isinstance(token, bool) or not hasattr(token, "__index__") or not 0 <= token < LARGEST:
            refuse(f"encode() gave {token!r:.40}, which is no token: it must return whole numbers from 0")
    return [int(token) for token in tokens]


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def refuse(why: str) -> Any:
    print(why, file=sys.stderr, flush=True)
    os._exit(REFUSED)


if __name__ == "__main__":
    main()
