"""How much of the product is asked: a part that is drawn with a seed, or all of it.

`EVERY_ROUTE=all` asks all of it (about an hour), `EVERY_ROUTE=7` another part than the usual one.
"""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

ASKED = os.environ.get("EVERY_ROUTE", "1")
T = TypeVar("T")


def some(found: Sequence[T], count: int, *seed: object, whole: int | None = None) -> Sequence[T]:
    """A part of what there is, the same for the same seed; all of it, or `whole` of them, where all is wanted."""
    count = (whole or len(found)) if ASKED == "all" else count
    if len(found) <= count:
        return found
    return random.Random(f"{ASKED} {seed}").sample(list(found), count)


def one_of(found: Sequence[T], *seed: object) -> T:
    """One of them, the same for the same seed."""
    return random.Random(f"{ASKED} {seed}").choice(list(found))
