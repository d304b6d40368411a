"""Where installed packages lie, to keep the text of some of them from those who are judged by it."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

ELSEWHERE = ("lib/python3/dist-packages", "lib/python3*/dist-packages", "lib/python3*/site-packages")  # below a prefix


def places_of(packages: Iterable[str]) -> tuple[Path, ...]:
    """Every place that holds these packages, given by import name: their own folders where the interpreter looks for
    packages, and other such folders of the machine as a whole."""
    names = tuple(packages)
    used = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    own = [path for site in sorted(used) for name in names for path in (site / name, site / f"{name}.py") if path.exists()]
    prefixes = {Path(prefix).resolve() for prefix in (sys.base_prefix, sys.prefix, "/usr", "/usr/local")}
    others = {path.resolve() for prefix in sorted(prefixes) for pattern in ELSEWHERE for path in prefix.glob(pattern)}
    return (*own, *sorted(others - used))
