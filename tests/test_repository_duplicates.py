"""Finding what was tried before, however it is written."""

from __future__ import annotations

import pytest

from research_app.repository import normalised_syntax_hash

TEXT = "import torch\n\nWIDTH = 64\n\n\ndef build_model():\n    x = torch.ones(2, 3)\n    return x * WIDTH\n"


@pytest.mark.parametrize(
    "other",
    [
        TEXT.replace("WIDTH = 64", "WIDTH = 64  # wider?"),
        TEXT.replace("WIDTH = 64", "WIDTH=(\n    0x40)"),
        TEXT.replace("():\n", '():\n    """Make it."""\n'),
        '"""A module."""\n' + TEXT,
        TEXT.replace("(2, 3)", "(\n        2,\n        3,\n    )"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n\n\n", "\n"),
    ],
)
def test_writing_it_otherwise_is_a_duplicate(other: str) -> None:
    assert normalised_syntax_hash({"train.py": other}) == normalised_syntax_hash({"train.py": TEXT})


@pytest.mark.parametrize(
    "other",
    [
        {"train.py": TEXT.replace("64", "65")},
        {"train.py": TEXT.replace("64", "64.0")},
        {"train.py": TEXT.replace("    return", "return")},
        {"train.py": TEXT.replace("x * WIDTH", "WIDTH * x")},
        {"train.py": TEXT.replace("WIDTH = 64", 'WIDTH = "64"')},
        {"model.py": TEXT},
        {"train.py": TEXT, "model.py": ""},
    ],
)
def test_meaning_something_else_is_no_duplicate(other: dict[str, str]) -> None:
    assert normalised_syntax_hash(other) != normalised_syntax_hash({"train.py": TEXT})


def test_a_function_that_was_only_a_docstring_is_one_that_passes() -> None:
    assert normalised_syntax_hash({"a.py": 'def f():\n    "x"\n'}) == normalised_syntax_hash({"a.py": "def f():\n    pass\n"})


def test_a_string_that_is_no_docstring_counts() -> None:
    first, second = ({"a.py": f"x = 1\n{text!r}\n"} for text in ("a", "b"))
    assert normalised_syntax_hash(first) != normalised_syntax_hash(second)


@pytest.mark.parametrize("text", ["def (:\n  x", "(" * 5000, "x = " + "-" * 100_000 + "1", "a\0b", "\ud800"])
def test_what_is_no_python_counts_by_its_words(text: str) -> None:
    spaced = "  ".join(f"{text} end".split(" "))
    assert normalised_syntax_hash({"a.py": spaced}) == normalised_syntax_hash({"a.py": f"{text} end"})
    assert normalised_syntax_hash({"a.py": text}) != normalised_syntax_hash({"a.py": text + " more"})


def test_other_texts_count_by_their_words() -> None:
    assert normalised_syntax_hash({"a.toml": "x  =\n 1"}) == normalised_syntax_hash({"a.toml": "x = 1\n"})
    assert normalised_syntax_hash({"a.toml": "x = 1"}) != normalised_syntax_hash({"a.toml": "x = 2"})


def test_the_borders_between_files_cannot_be_blurred() -> None:
    assert normalised_syntax_hash({"a": "b", "c": "d"}) != normalised_syntax_hash({"a": "b c", "": "d"})
