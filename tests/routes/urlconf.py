"""The addresses that the application answers, read off its URLconf."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver


@dataclass(frozen=True)
class Route:
    """One address pattern: its name with namespaces, what it looks like, and the kinds of its arguments."""

    name: str
    pattern: str
    arguments: Mapping[str, Any] = field(hash=False)  # argument → converter


def every_route() -> list[Route]:
    """All routes of the URLconf, those of the API included."""
    return list(_routes(get_resolver().url_patterns))


def _routes(patterns: Sequence[URLPattern | URLResolver], before: str = "", namespace: str = "") -> Iterator[Route]:
    for each in patterns:
        pattern = f"{before}{each.pattern}"
        if isinstance(each, URLResolver):
            yield from _routes(each.url_patterns, pattern, f"{namespace}{each.namespace}:" if each.namespace else namespace)
        else:
            arguments = dict(each.pattern.converters) or dict.fromkeys(each.pattern.regex.groupindex)
            yield Route(f"{namespace}{each.name}", pattern, arguments)
