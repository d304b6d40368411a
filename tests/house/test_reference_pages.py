"""Commands, events and operations of the API stand in the reference as the code has them."""

import pytest

from research_app.models.event_kinds import EventKind
from research_app.reference_pages import PAGES, REFERENCE


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_what_the_code_writes(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "python -m research_app.reference_pages"


def test_every_kind_of_event_stands_in_it_once() -> None:
    lines = PAGES["events.md"]().splitlines()
    assert [lines.count(f"- `{kind}`") for kind in EventKind] == [1] * len(EventKind)


def test_verbs_of_commands_stand_in_it_with_their_options() -> None:
    page = PAGES["commands.md"]()
    assert "### project create" in page and "`--config " in page and "## docs" in page
    assert "--settings" not in page and "--traceback" not in page


def test_every_argument_says_what_it_means() -> None:
    assert [line for line in PAGES["commands.md"]().splitlines() if line.endswith("| – |") or "| required |" in line] == []
