"""No end of a run without a row: every sentence with which the runner ends one is read by some test of the table."""

import ast
from pathlib import Path

import pytest

from research_app.home import CODE
from tests.ends.table import CHAPTERS, ENDS, rows
from training.spec import Outcome


def sentences(path: Path) -> list[str]:
    """The longest constant part of each reason that is given to `ending.fail`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr="fail"), args=[_, reason]):
                constants = [part.value for part in ast.walk(reason) if isinstance(part, ast.Constant)]
                if texts := [value for value in constants if isinstance(value, str)]:
                    found.append(max(texts, key=len).strip(" .:("))
    return found


@pytest.fixture(scope="module")
def pages() -> str:
    rows()
    return "\n".join(each.page for module in CHAPTERS for each in ENDS[module])


def test_every_reason_of_the_runner_has_a_row(pages: str) -> None:
    said = [sentence for name in ("runner.py", "ending.py") for sentence in sentences(Path(CODE) / "training" / name)]
    assert len(said) >= 10
    missing = [sentence for sentence in said if sentence[:24] not in pages]
    assert missing == []


def test_every_outcome_has_a_row(pages: str) -> None:
    ends = {
        Outcome.completed: "completed", Outcome.crashed: "exit code 1", Outcome.timed_out: "Still running after its limit",
        Outcome.out_of_memory: "Ran out of memory", Outcome.not_finite: "nan", Outcome.diverged: "Stopped early",
        Outcome.no_score: "without printing its metric", Outcome.cancelled: "cancelled",
    }  # fmt: skip
    assert set(ends) == set(Outcome)
    assert [outcome for outcome, words in ends.items() if words not in pages] == []
