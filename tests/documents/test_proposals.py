"""What came in as a candidate, and what was approved for its rungs: read as far as it goes, written as it always was."""

from typing import Any

import pytest
from django.test import Client

from research_app.models import Candidate, ScaleUp
from research_app.models.documents.approved_rung import ApprovedRung
from research_app.models.documents.proposed_change import ProposedChange
from research_app.models.documents.typed_column import rows_written
from tests.factories import make_candidate, make_project, make_user

EDITS = {"edits": [["train.py", "WIDTH = 96", "WIDTH = 128"]]}
RUNG = {"rung": "M", "seeds": 4, "runs": 8, "hours": None, "at_most": 1.5, "money": 2, "money_at_most": 3}


def test_edits_are_there_as_a_whole_or_not_at_all() -> None:
    assert ProposedChange.read(EDITS).edits == (("train.py", "WIDTH = 96", "WIDTH = 128"),)
    damages: list[Any] = [[["train.py", "WIDTH"]], [["a", "b", "c"], ["a", 1, "c"]], "edits", None, [[]]]
    for damaged in damages:
        assert ProposedChange.read({"edits": damaged, "message": "wider"}) == ProposedChange(message="wider")


def test_code_that_is_no_text_is_kept_as_it_came() -> None:
    assert ProposedChange.read({"patch": "+caf\udce9"}).patch == "+caf\udce9"


def test_who_handed_it_in_is_told_from_a_row_that_does_not_say() -> None:
    assert not ProposedChange.read(EDITS).names_submitter
    assert ProposedChange.read(EDITS | {"submitted_by": None}).names_submitter


def test_a_rung_is_written_as_it_is_read() -> None:
    kept = ApprovedRung.read(RUNG)
    assert kept and rows_written([kept]) == [RUNG]
    assert ApprovedRung.read({"rung": "M"}) is None, "without its seeds nothing was approved"


@pytest.mark.django_db
@pytest.mark.parametrize("stored", [{}, [], {"edits": [1]}, {"patch": 5, "edits": None}, {"edits": {"a": 1}}], ids=repr)
def test_the_page_of_a_candidate_opens_whatever_its_proposal_became(stored: Any) -> None:
    candidate = make_candidate(make_project())
    Candidate.objects.filter(pk=candidate.pk).update(proposed=stored, patch_set=None, evidence=None)
    client = Client()
    client.force_login(make_user("ada"))
    assert client.get(candidate.get_absolute_url()).status_code == 200


def test_a_scale_up_knows_its_rungs_whatever_stands_between_them() -> None:
    step = ScaleUp(rung="M", rungs=[{"rung": "S"}, RUNG, "no rung", RUNG | {"rung": "L", "seeds": 2}])
    assert step.step.seeds == 4 and step.following == "L" and len(step.seeds) == 4
