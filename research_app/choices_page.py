"""docs/reference/choices.md, made from the registries: `python -m research_app.choices_page` writes it."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "choices.md"
HEAD = """# What can be chosen

Made by `python -m research_app.choices_page` from the registries: each row is a file, and
[one more file](../how-to/extend.md) is one more row.
"""
TITLES: Mapping[str, str] = {
    "metric source": 'Metric sources: `[metric] source`, besides `"scored"`',
    "kind of budget": "Kinds of budget: `[budget] kind`",
    "proposer": "Proposers",
    "channel": "Channels of notifications",
    "export format": "Formats of `signoff project export`",
    "column": "Columns of the candidate list",
    "list": "Lists that go out as CSV",
}


def page() -> str:
    """The whole page, in Markdown. Needs Django's applications."""
    return HEAD + "".join(_lines())


def _lines() -> Iterator[str]:
    from research_app.registries import registries

    by_noun = {registry.noun: registry for registry in registries()}
    for noun, title in TITLES.items():
        yield f"\n## {title}\n\n| name | what it is | file |\n|---|---|---|\n"
        for name, variant in by_noun[noun].items():
            yield f"| `{name}` | {_words(variant)} | `{by_noun[noun].files[name]}` |\n"


def _words(variant: Any) -> str:
    """What a variant says of itself, whatever it calls that."""
    words = [getattr(variant, name, "") for name in ("words", "title", "unit", "label", "hint")]
    return ": ".join(str(each) for each in words if each).replace("|", "\\|") or "kept by the code itself"


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    django.setup()
    sys.stdout.write(f"{PAGE}\n")
    PAGE.write_text(page(), encoding="utf-8")
