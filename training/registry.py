"""Registries: the variants of one thing, each a module of one folder that holds it under one name.

Adding a variant is a file in the folder and nothing else (docs/how-to/extend.md). Nothing registers itself while it is
imported: the registry reads its folder when it is first asked, and a module that cannot be used is named with its file. Modules
whose names begin with an underscore are helpers.
"""

from __future__ import annotations

import pkgutil
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

Variant = TypeVar("Variant")
LAST = 1000


class BrokenVariant(Exception):
    """A module of a registry cannot be used; the message names its file and what is wrong."""


class UnknownVariant(ValueError):
    """There is no variant of that name; the message lists those that there are."""


class Registry(Mapping[str, Variant], Generic[Variant]):
    """What the modules of `package` hold under the name `constant`, by the `name` of each.

    They stand in the order of their files' names, those with an `order` first. Whoever asks first pays for the imports, so
    modules import what is slow within their functions. Raises BrokenVariant.
    """

    def __init__(self, noun: str, package: str, constant: str, kind: type[Variant]) -> None:
        self.noun, self.package, self.constant, self.kind = noun, package, constant, kind
        self._variants: dict[str, Variant] | None = None
        self.files: dict[str, str] = {}  # where each stands, once they were read
        self._lock = threading.RLock()

    def __getitem__(self, name: str) -> Variant:
        return self.variants[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.variants)

    def __len__(self) -> int:
        return len(self.variants)

    def named(self, name: str) -> Variant:
        """The variant of that name. Raises UnknownVariant."""
        if name not in self.variants:
            raise UnknownVariant(f"There is no {self.noun} {name!r}; there are: {', '.join(self.variants)}.")
        return self.variants[name]

    @property
    def variants(self) -> dict[str, Variant]:
        """All of them, read once. Raises BrokenVariant."""
        with self._lock:
            if self._variants is None:
                self._variants = self._read()
            return self._variants

    def forget(self) -> None:
        """Read the folder again when asked next: for tests that add a module."""
        with self._lock:
            self._variants = None

    def _read(self) -> dict[str, Variant]:
        variants: dict[str, Variant] = {}
        files: dict[str, str] = {}
        for module in sorted(pkgutil.iter_modules(import_module(self.package).__path__), key=lambda module: module.name):
            if module.name.startswith("_"):
                continue
            file = f"{self.package}.{module.name}".replace(".", "/") + ("/__init__.py" if module.ispkg else ".py")
            variant = self._variant_of(module.name, file)
            name = str(getattr(variant, "name", ""))
            if not name:
                raise BrokenVariant(f"{file}: its {self.constant} has no name.")
            if name in variants:
                raise BrokenVariant(f"{file} and {files[name]} are both called {name!r}.")
            variants[name], files[name] = variant, file
        self.files = files
        return dict(sorted(variants.items(), key=lambda item: getattr(item[1], "order", LAST)))

    def _variant_of(self, module: str, file: str) -> Variant:
        try:
            imported = import_module(f"{self.package}.{module}")
        except Exception as error:
            raise BrokenVariant(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
        if not hasattr(imported, self.constant):
            raise BrokenVariant(
                f"{file} is no {self.noun}: it has no {self.constant}. The name of a module that only helps begins with _."
            )
        variant = getattr(imported, self.constant)
        if not isinstance(variant, self.kind):
            raise BrokenVariant(f"{file} is no {self.noun}: its {self.constant} is no {self.kind.__name__}.")
        return variant
