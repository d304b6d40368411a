"""Templates are not typed: what they look up must be a name somewhere in the code, so that a rename reaches them too."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from django.template.base import Lexer, TokenType

from research_app.home import CODE

TEMPLATES = sorted(path for path in (CODE / "templates").rglob("*") if path.is_file())
OF_DJANGO = {  # attributes and variables that Django brings
    "forloop", "counter", "counter0", "parentloop", "user", "csrf_token", "GET", "paginator", "num_pages", "has_previous",
    "has_next", "previous_page_number", "next_page_number", "start_index", "end_index", "page_range", "get_username",
    "id_for_label", "get_full_path", "errors", "label",
}  # fmt: skip
WORDS = {  # of its language, tags and libraries
    "if", "elif", "else", "endif", "for", "endfor", "empty", "in", "with", "endwith", "not", "and", "or", "is", "as", "include",
    "only", "load", "static", "block", "endblock", "extends", "url", "now", "autoescape", "endautoescape", "off", "ifchanged",
    "endifchanged", "cycle", "firstof", "comment", "endcomment", "True", "False", "None", "body_class", "with_runs", "signoff",
    "humanize", "django_htmx", "htmx_script", "live", "reversed",
}  # fmt: skip
TEXTS = re.compile(r"\"[^\"]*\"|'[^']*'")


@cache
def names_in_code() -> frozenset[str]:
    """Every identifier of the product, and every text in it that could be a key."""
    names: set[str] = set()
    for folder in ("research_app", "agent", "training"):
        for path in (CODE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found = {getattr(node, field, None) for field in ("name", "attr", "id", "arg")}
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                    found.add(node.value)
                names |= {name for name in found if isinstance(name, str)}
    return frozenset(names)


def unknown_in(text: str) -> list[str]:
    """The lookups of a template that no code could answer, such as a property under the name that it had once."""
    tags = [token.contents for token in Lexer(text).tokenize() if token.token_type in (TokenType.VAR, TokenType.BLOCK)]
    own = {word for tag in tags for word in re.findall(r"\bas (\w+)|\b(\w+)=", tag) for word in word}
    own |= {word for tag in tags if tag.startswith("for ") for word in re.findall(r"\w+", tag.split(" in ")[0])}
    known = names_in_code() | OF_DJANGO | WORDS | own
    lookups = [chain for tag in tags for chain in re.findall(r"(?<![|\w])\w+(?:\.\w+)*", TEXTS.sub("", tag))]
    parts = ((chain, part) for chain in lookups for part in chain.split("."))
    return sorted({chain for chain, part in parts if not part[0].isdigit() and part not in known and "_display" not in part})


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(CODE / "templates")))
def test_what_a_template_looks_up_is_a_name_of_the_code(path: Path) -> None:
    assert unknown_in(path.read_text(encoding="utf-8")) == []


def test_a_lookup_that_no_code_answers_is_found() -> None:
    text = "{% for x in listing.candidates %}{{ x.title }}{% if x.no_such_thing %}{% endif %}{{ no_row.title }}{% endfor %}"
    assert unknown_in(text) == ["no_row.title", "x.no_such_thing"]
