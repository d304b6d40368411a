"""What crosses the border between the loop and a proposer is checked where it is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.proposal import Edit, Proposal, Tried

EDIT = Edit("train.py", "LR = 1", "LR = 2")


def test_an_unknown_category_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match="'magic' is unknown; use one of: architecture, optimiser"):
        Proposal("Raise LR.", "magic", (EDIT,), "")


def test_a_proposal_without_edits_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one edit"):
        Proposal("Raise LR.", "optimiser", (), "")


def test_a_proposal_without_a_hypothesis_is_refused() -> None:
    with pytest.raises(ValueError, match="hypothesis"):
        Proposal(" \n", "optimiser", (EDIT,), "")


def test_an_unknown_outcome_in_the_history_is_refused() -> None:
    with pytest.raises(ValueError, match="'lost' is unknown; use one of: pending, evaluated, crashed, invalid"):
        Tried(1, "knobs", "dropped", "lost", "Raise LR.", None)


def test_the_contract_needs_neither_optuna_nor_django() -> None:
    code = "import sys, agent.proposal; print(sorted({'optuna', 'django'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
