"""Untrusted text on its way into a prompt or a transcript: quoted line by line, with secrets taken out.

A quotation cannot be left from inside: every line of it begins with the mark, whatever the line says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MARK = "| "
ORDER = "> "
REMOVED = "[removed: a secret]"
SHORTEST_SECRET = 8  # characters; a shorter one would take words out of every text

# Forms that keys commonly have, whoever they belong to.
KEYS = re.compile(
    r"\bsk-ant-[A-Za-z0-9_-]{8,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )[A-Za-z0-9._~+/-]{16,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s/:@|]*):([^\s/@|]+)@")
# What a reader cannot see, or what moves what a reader sees: controls, format characters, direction marks, tags.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def quoted(source: str, text: str, limit: int = 12_000) -> str:
    """`text` as a quotation from `source`, at most `limit` characters of it: head and tail, and how much is left out."""
    lines = cut(seen(text), limit).split("\n")
    return f"[{len(lines)} quoted line{'s'[: len(lines) != 1]}: {one_line(source)}]\n" + "\n".join(
        MARK + line for line in lines
    )


def instruction(source: str, text: str, limit: int = 4_000) -> str:
    """A researcher's words, marked line by line as what is to be followed. Only the loop makes these marks."""
    lines = cut(seen(text), limit).split("\n")
    return f"[{source}]\n" + "\n".join(ORDER + line for line in lines)


def cut(text: str, limit: int) -> str:
    """Head and tail of a long text, with a line in between that says how much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters are left out here …]\n{text[-half:]}"


def seen(text: str) -> str:
    """The text with every character that hides or reorders text spelled out, and line ends as line feeds."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return UNSEEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", plain)


def one_line(text: str, limit: int = 300) -> str:
    """The text on one line, for a name or a cell of a table."""
    words = " ".join(seen(text).split())
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


class Redactor:
    """Takes secrets out of text: those it was given, and whatever has the form of a key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """The text without secrets; the same text where there are none."""
        if self._known:
            text = self._known.sub(REMOVED, text)
        return PASSWORD_IN_URL.sub(rf"\1:{REMOVED}@", KEYS.sub(REMOVED, text))

    def deep(self, value: Any) -> Any:
        """The same for every string, keys too, of a value as JSON has it."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self.deep(key): self.deep(part) for key, part in value.items()}
        return [self.deep(part) for part in value] if isinstance(value, list | tuple) else value
