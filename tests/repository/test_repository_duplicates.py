"""Finding what was tried before, however it is written."""

from __future__ import annotations

import time

import pytest

from agent.formats import FORMATS, normal_form
from agent.resolved import resolved_hash
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
def test_what_is_no_python_counts_by_every_byte(text: str) -> None:
    assert normalised_syntax_hash({"a.py": text}) == normalised_syntax_hash({"a.py": text})
    assert normalised_syntax_hash({"a.py": text}) != normalised_syntax_hash({"a.py": f"{text} "})


def test_a_byte_order_mark_is_no_change_and_a_comment_that_names_the_encoding_is_one() -> None:
    assert normalised_syntax_hash({"a.py": f"\ufeff{TEXT}"}) == normalised_syntax_hash({"a.py": TEXT})
    named = "# -*- coding: latin-1 -*-\n"
    assert normalised_syntax_hash({"a.py": named + TEXT}) == normalised_syntax_hash({"a.py": TEXT})
    text = TEXT + 'NAME = "café"\n'
    assert normalised_syntax_hash({"a.py": named + text}) != normalised_syntax_hash({"a.py": text})


YAML = "lr: 0.1\nwidth: 64\nmodel:\n  depth: 2\n  names: [a, b]\n"
TOML = '[model]\ndepth = 2\nname = "small"\n\n[train]\nlr = 1e-3\n'
JSON = '{"lr": 0.1, "model": {"depth": 2, "names": ["a", "b"]}}'
INI = "[model]\ndepth = 2\nnames =\n    a\n    b\n"
SAME = {
    "a YAML comment": ("c.yaml", YAML, YAML.replace("64", "64  # wider?").replace("lr", "# a rate\nlr")),
    "YAML laid out otherwise": (
        "c.yml",
        YAML,
        "---\n" + YAML.replace("[a, b]", "\n    - a\n    - 'b'\n").replace(": 2", ":   2"),
    ),
    "YAML with other line ends": ("c.yaml", YAML, YAML.replace("\n", "\r\n")),
    "YAML indented throughout": ("c.yaml", YAML, YAML.replace("  depth", "    depth").replace("  names", "    names")),
    "a TOML comment": ("c.toml", TOML, TOML.replace("[train]", "# how fast\n[train]  # really")),
    "TOML laid out otherwise": ("c.toml", TOML, TOML.replace("depth = 2", "depth=0x2").replace("1e-3", "0.001")),
    "TOML with dotted keys": ("c.toml", TOML, 'model.depth = 2\nmodel.name = "small"\ntrain.lr = 1e-3\n'),
    "JSON laid out otherwise": ("c.json", JSON, JSON.replace(", ", ",\n    ").replace("0.1", "1e-1")),
    "an INI comment": ("c.ini", INI, INI.replace("depth", "; how deep\n# so deep\ndepth")),
    "INI laid out otherwise": ("c.cfg", INI, INI.replace(" = 2", ": 2").replace("depth", "\ndepth")),
}
OTHER = {
    "a YAML key under another": ("c.yaml", "lr: 0.1\nwidth: 64\n", "lr:\n  width: 64\n"),
    "a YAML key out of a map": ("c.yaml", YAML, YAML.replace("  depth", "depth").replace("  names", "names")),
    "a deeper YAML list": ("c.yaml", "a:\n- b\n- c\n", "a:\n- - b\n  - c\n"),
    "a YAML number as text": ("c.yaml", "a: 1\n", "a: '1'\n"),
    "a YAML truth as text": ("c.yaml", "a: yes\n", "a: 'yes'\n"),
    "YAML text that keeps its lines": ("c.yaml", "a: |\n  b\n  c\n", "a: >\n  b\n  c\n"),
    "a YAML anchor": ("c.yaml", "a: &x 1\nb: *x\n", "a: 1\nb: 1\n"),
    "a YAML tag": ("c.yaml", "a: 1\n", "a: !!float 1\n"),
    "where Hydra puts YAML": ("c.yaml", YAML, f"# @package _global_\n{YAML}"),
    "YAML that does not parse": ("c.yaml", "a: [1\n b: 2", "a: [1\n  b: 2"),
    "a TOML key in another table": ("c.toml", "[a]\nx = 1\n[b]\n", "[a]\n[b]\nx = 1\n"),
    "a TOML number of another kind": ("c.toml", "x = 1\n", "x = 1.0\n"),
    "blanks in a TOML text": ("c.toml", 'x = "a b"\n', 'x = "a  b"\n'),
    "blanks in a JSON text": ("c.json", '{"x": "a b"}', '{"x": "a  b"}'),
    "a JSON key twice": ("c.json", '{"x": 1, "x": 2}', '{"x": 2}'),
    "a JSON number of another kind": ("c.json", '{"x": 1}', '{"x": 1.0}'),
    "two numbers too large for JSON's readers": ("c.json", "[1e400]", "[1e500]"),
    "an INI value that goes on": ("c.ini", "[a]\nx = 1\ny = 2\n", "[a]\nx = 1\n  y = 2\n"),
    "an INI key in another section": ("c.ini", "[a]\nx = 1\n[b]\n", "[a]\n[b]\nx = 1\n"),
    "a Makefile's tab": ("Makefile", "a:\n\techo\n", "a:\n    echo\n"),
    "a vocabulary's blanks": ("vocab.txt", "a\n b\n", "a\nb\n"),
    "Markdown's line break": ("notes.md", "a  \nb\n", "a\nb\n"),
    "Cython's indentation": ("k.pyx", "if a:\n  b()\nc()\n", "if a:\n  b()\n  c()\n"),
    "a shell's words": ("run.sh", "echo 'a b'\n", "echo 'a  b'\n"),
    "C that goes on": ("k.cu", "#define A 1\nint b;\n", "#define A 1 int b;\n"),
}


@pytest.mark.parametrize("what", SAME)
def test_settings_that_say_the_same_are_the_same(what: str) -> None:
    path, before, after = SAME[what]
    assert normalised_syntax_hash({path: before}) == normalised_syntax_hash({path: after})
    assert resolved_hash({path: before}) == resolved_hash({path: after})


@pytest.mark.parametrize("what", OTHER)
def test_what_may_say_something_else_is_a_change(what: str) -> None:
    path, before, after = OTHER[what]
    assert normalised_syntax_hash({path: before}) != normalised_syntax_hash({path: after})
    assert resolved_hash({path: before}) != resolved_hash({path: after})


@pytest.mark.parametrize("path", [f"a{suffix}" for suffix in FORMATS])
@pytest.mark.parametrize(
    "piece", ["[", "{", "a: ", "- ", "a.", "a = ", '"', "&a *a ", " ", "\n", "[a]\n", "? ", "a=b\n", "x: {a: ", "'"]
)
def test_a_hostile_settings_file_costs_no_more_than_its_size(path: str, piece: str) -> None:
    begin = time.process_time()
    normal_form(path, piece * (200_000 // len(piece)))
    assert time.process_time() - begin < 3


def test_the_borders_between_files_cannot_be_blurred() -> None:
    assert normalised_syntax_hash({"a": "b", "c": "d"}) != normalised_syntax_hash({"a": "b c", "": "d"})
