"""None of the words that the glossary replaced stands in code, templates, documents or messages."""

import re

import pytest

from research_app.home import CODE
from tests.house.words import EXCEPTIONS, OLD_WORDS, OldWord, every_place, excepted, matches, places_in

GLOSSARY = CODE / "docs" / "reference" / "glossary.md"
ENGLISH = {"look", "hold", "told", "try again", "sigma"}  # in the glossary, and too ordinary to be looked for


@pytest.mark.slow
def test_no_old_word_is_left() -> None:
    left = [
        f"{place.path}:{place.line}: {place.text} (say: {place.word.instead})" for place in every_place() if not excepted(place)
    ]
    assert left == []


@pytest.mark.slow
def test_every_exception_is_needed_and_has_a_reason() -> None:
    places = list(every_place())
    unused = [
        (old, path, text) for old, path, text, _ in EXCEPTIONS if not any(matches(old, path, text, each) for each in places)
    ]
    assert unused == [] and all(reason for *_, reason in EXCEPTIONS)


@pytest.mark.parametrize(
    ("text", "old"),
    [
        ("def bank_of(self):", "banks?|banked"),
        ("class _Bank:", "banks?|banked"),
        ("The runs of Purpose.BANK", "banks?|banked"),
        ("it is not told\napart from 0", "(not|cannot be) told apart from (0|nothing)"),
        ('"this is not heard " \\\n"of since"', "not heard of"),
        ("a worker that gave_up", "(gave|gives?|given|giving) up"),
    ],
)
def test_an_old_word_is_found_however_it_is_written(text: str, old: str) -> None:
    assert [place.word.old for place in places_in("a.md", text)] == [old]


def test_words_that_only_look_like_one_are_not_found() -> None:
    assert list(places_in("a.md", "bankrupt weights of benchmarks, grounded")) == []


def test_a_variable_that_is_named_after_a_verb_is_found_in_python() -> None:
    assert [place.line for place in places_in("a.py", "x = 1\nfound = 2\n\ndef f(told): ...\n")] == [2, 4]


def test_the_glossary_names_what_replaced_each_old_word() -> None:
    before = [cell for row in rows() for cell in re.split(r", (?!but)", row[2]) if cell and cell not in ENGLISH]
    assert [word for word in before if not any(is_about(old, word) for old in OLD_WORDS)] == []


def test_every_noun_of_the_glossary_has_one_meaning() -> None:
    words = [row[0] for row in rows()]
    assert len(words) > 40 and len(words) == len(set(words))
    assert all(row[1].endswith(".") for row in rows())


def rows() -> list[list[str]]:
    """The rows of the glossary's tables of words: word, meaning, what was said before."""
    text = GLOSSARY.read_text(encoding="utf-8").split("## Stored")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Word")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def is_about(old: OldWord, text: str) -> bool:
    return any(place.word is old for place in places_in("a.md", text))
