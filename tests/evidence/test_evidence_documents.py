"""Documents of an older version are read as far as they go."""

import pytest

from research_app.evidence.documents import part_of, rows_of, words_of

DOCUMENT = {
    "noise": {"low": 0.1, "high": 0.2},
    "guards": [{"metric": "memory", "change": 0.1}, {"metric": "speed"}, {"metric": None, "change": 0.2}, "no row"],
    "settle": None,
}


def test_a_part_is_there_as_a_whole_or_not_at_all() -> None:
    assert part_of(DOCUMENT, "noise", "low", "high") == {"low": 0.1, "high": 0.2}
    assert part_of(DOCUMENT, "noise", "low", "degrees") == {}


def test_rows_that_lack_something_are_left_out() -> None:
    assert rows_of(DOCUMENT, "guards", "metric", "change") == [{"metric": "memory", "change": 0.1}]


@pytest.mark.parametrize("document", [None, {}, {"noise": None, "guards": None}, {"noise": [], "guards": {}}])
def test_what_is_not_there_is_empty(document: dict[str, object] | None) -> None:
    assert (part_of(document, "noise"), rows_of(document, "guards"), words_of(document, "settle")) == ({}, [], "")


def test_a_text_without_a_value_is_empty() -> None:
    assert words_of(DOCUMENT, "settle") == ""
