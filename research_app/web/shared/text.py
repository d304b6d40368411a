"""Untrusted text made safe and honest to read: escaped, with invisible and direction-changing characters spelled out."""

import re
import unicodedata
from functools import lru_cache

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

# Everything that a reader cannot see, or that moves what a reader sees: controls, format characters (zero width,
# bidirectional overrides), odd spaces, private use, fillers that look like a space.
_ODD_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2028\u2029\u115f\u1160\u3164\uffa0\u2800"
_SUSPECT = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb"
    f"\ud800-\udfff\ue000-\uf8ff\U0001d173-\U0001d17a\U000e0000-\U000e0fff{_ODD_SPACES}]"
)


@lru_cache(maxsize=512)
def _ghost(character: str) -> SafeString:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "control character").lower()
    return format_html('<span class="ghost" title="{} {}">{}</span>', code, name, code)


def visible(text: str) -> SafeString:
    """HTML of a text in which nothing hides: every suspect character stands as its code point."""
    if not _SUSPECT.search(text):
        return escape(text)
    parts, end = [], 0
    for match in _SUSPECT.finditer(text):
        parts += [escape(text[end : match.start()]), _ghost(match[0])]
        end = match.end()
    parts.append(escape(text[end:]))
    return mark_safe("".join(parts))  # every part is escaped


def spelled(text: str) -> str:
    """A text for an attribute, where no markup can stand: suspect characters as their code points, plain."""
    return _SUSPECT.sub(lambda match: f"U+{ord(match[0]):04X}", text)


def beginning(text: str, most: int) -> str:
    """A text, or its beginning with how much is left out."""
    return text if len(text) <= most else f"{text[:most]} … and {len(text) - most:,} more characters"


_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")


def markdown(text: str) -> str:
    """A text for a line of Markdown: on one line, what would be markup escaped, suspect characters as their code points."""
    return _MARKUP.sub(r"\\\1", spelled(" ".join(text.split())))


def count_hidden(text: str) -> int:
    """How many characters of a text are spelled out."""
    return len(_SUSPECT.findall(text))


def hides_something(text: str) -> bool:
    """Whether the text holds a character that a reader would not see."""
    return bool(_SUSPECT.search(text))
