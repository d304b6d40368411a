"""What pages do in one place alone, because each other place had a fault of its own: read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app.home import CODE

PAGES = [*(CODE / "research_app" / "web").rglob("*.py"), *(CODE / "research_app" / "api").rglob("*.py")]


def names_in(path: Path) -> Iterator[str]:
    """Every name, attribute and imported name of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("what", "names", "where"),
    [
        ("JSON without NaN and Infinity", {"JsonResponse"}, ""),
        ("whole numbers of an address or a form", {"isdigit", "isdecimal", "isnumeric"}, "query_numbers.py git_over_http.py"),
        ("means of numbers of any size", {"fmean", "stdev", "variance", "pstdev"}, ""),
    ],
)
def test_pages_do_it_in_one_place(what: str, names: set[str], where: str) -> None:
    elsewhere = {path.name for path in PAGES if path.name not in where and names & set(names_in(path))}
    assert elsewhere == set(), f"{what}: use the one that there is"
