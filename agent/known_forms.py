"""What files come to, remembered by their content: of a repository of many files a change alters a few."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

MOST = 20_000  # files; then all are forgotten
LARGEST = 128 * 1024  # characters of Python; a larger file counts by every byte, because trees cost a hundred times their text


def is_small_python(path: str, text: str) -> bool:
    """Whether a file is worth a syntax tree."""
    return path.endswith(".py") and len(text) <= LARGEST


class KnownForms:
    """Digests of normal forms. Several threads may ask at once: at worst one is worked out twice."""

    def __init__(self) -> None:
        self._digests: dict[bytes, bytes] = {}

    def digest(self, path: str, text: str, form: Callable[[], str], *beside: str) -> bytes:
        """SHA-256 of the form of a file, which depends on its path, its text and what is named `beside` them."""
        key = _hash("\0".join((path, *beside, "", text)))
        digest = self._digests.get(key)
        if digest is None:
            if len(self._digests) >= MOST:
                self._digests.clear()
            digest = self._digests[key] = _hash(form())
        return digest


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
