"""The table of docs/reference/ends.md is that of the tests."""

from tests.ends.table import CHAPTERS, DOCUMENT, ENDS, rows, says, written


def test_the_table_is_what_the_tests_check() -> None:
    assert DOCUMENT.read_text() == written(), "run python -m tests.ends"


def test_every_end_is_in_it_once_and_there_are_many() -> None:
    rows()
    ways = [each.way for module in CHAPTERS for each in ENDS[module]]
    assert len(ways) == len(set(ways)) >= 25
    assert sum(each.inbox != "–" for module in CHAPTERS for each in ENDS[module]) >= 15


def test_an_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    assert says("It failed 3 times; see above.", "It failed … times")
    assert not says("It failed 3 times", "It failed … hours")
    assert not says("It failedx", "It.failed")
