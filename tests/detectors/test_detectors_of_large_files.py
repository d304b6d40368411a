"""Of a large Python file the statements that changed are looked at, as in a small one; what is too much is said."""

import ast
from typing import Any

import pytest

from training.detectors import changed_code, marks
from training.detectors.changed_code import LARGEST, changed_marks
from training.detectors.edits import examine_changes
from training.detectors.source import FileEdit

PADDING = "".join(f"def part_{n}(x, seed={n}):\n    import torch\n\n    return torch.rand({n}) * x\n\n\n" for n in range(300))
BEFORE = """import torch as t

SEED = 7


def draw(n):
    t.manual_seed(SEED)
    return t.rand(n)


@t.no_grad()
def f(x):
    return x
"""
CHANGES = [
    ("t.manual_seed(SEED)", "t.manual_seed(3)"),
    ("    t.manual_seed(SEED)\n", ""),
    ("SEED = 7", "SEED = 8"),
    ("@t.no_grad()\n", "@t.compile\n"),
    ("return x\n", "return open('x').read()\n"),
    ("import torch as t", "import random as t"),
    ("def f(x):", "def evaluate(x):"),
    ("SEED = 7\n", "# nothing\nSEED = 7\n"),
]


def findings(before: str, after: str) -> list[tuple[str, str, str]]:
    """Detector, level and sentence without its line of each finding."""
    found = examine_changes([FileEdit("train.py", before, after)], ["prepare.py"])
    return sorted((each.detector, each.level, each.sentence.partition(": ")[2]) for each in found)


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_change_is_found_as_it_would_be_in_a_small_file(old: str, new: str) -> None:
    after = BEFORE.replace(old, new)
    assert after != BEFORE
    small = findings(BEFORE, after)
    assert findings(BEFORE + PADDING, after + PADDING) == small
    assert findings(PADDING + BEFORE, PADDING + after) == small


def test_only_what_changed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ast.stmt] = []

    def reading(body: list[ast.stmt], *more: Any) -> list[marks.Mark]:
        read.extend(body)
        return marks.marks_of_tree(body, *more)

    monkeypatch.setattr(changed_code, "marks_of_tree", reading)
    changed_marks(BEFORE + PADDING, BEFORE.replace("manual_seed(SEED)", "manual_seed(3)") + PADDING)
    assert [each.name for each in read if isinstance(each, ast.FunctionDef)] == ["draw", "draw"] and len(read) == 2


def test_code_that_moved_is_no_edit() -> None:
    draw = BEFORE[BEFORE.index("def draw") : BEFORE.index("@t.no_grad")]
    assert findings(BEFORE + PADDING, BEFORE.replace(draw, "") + PADDING + draw) == []


def test_a_statement_that_stands_there_twice_and_then_once_is_an_edit() -> None:
    line = "torch.manual_seed(1)\n"
    assert findings("import torch\n" + 2 * line, "import torch\n" + line) != []


def test_another_meaning_of_an_imported_name_is_looked_at_everywhere() -> None:
    before = "from math import sqrt as draw\n\n\ndef f(n):\n    return draw(n)\n"
    found = findings(before, before.replace("from math import sqrt", "from torch import rand"))
    assert any("return draw(n)" in sentence for _, _, sentence in found)


def test_too_much_that_changed_is_said_and_looked_at_by_its_words() -> None:
    large = "".join(f"x_{n} = {n}\n" for n in range(LARGEST // 8)) + "seed = 5\n"
    found = findings("import torch\n", "import torch\n" + large)
    assert any(
        detector == "change too large" and "its lines were looked at by their words alone" in s for detector, _, s in found
    )
    assert any("`seed = 5`" in sentence for _, _, sentence in found)
