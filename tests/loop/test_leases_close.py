"""A lease is closed, failed or taken away by one function each: nothing else writes the columns of a claim."""

import re

import pytest
from django.db.models import Q

from research_app.home import CODE
from research_app.models import Candidate, Stage
from research_app.models.lease import Lease, LeaseLost, take_from_worker
from tests.factories import make_candidate, make_project

WRITTEN = re.compile(r"(?:leased_by|[\"']leased_by[\"'])\s*[=:]\s*\"\"")


@pytest.fixture
def lease(db: None) -> Lease:
    make_candidate(make_project(), stage=Stage.SCREENING)
    claimed = Candidate.claim(Candidate.objects.get().pk, "a worker", Q())
    assert claimed is not None
    return claimed


def row() -> Candidate:
    return Candidate.objects.get()


def test_no_code_but_the_leases_own_gives_a_row_back() -> None:
    own = {"research_app/models/lease.py"}
    written = {
        str(path.relative_to(CODE))
        for path in (CODE / "research_app").rglob("*.py")
        if "migrations" not in path.parts and WRITTEN.search(path.read_text(encoding="utf-8"))
    }
    assert written <= own, f"use Lease.close, Lease.fail or take_from_worker: {written - own}"


def test_closing_writes_and_gives_back_in_one(lease: Lease) -> None:
    lease.close(why="Done.")
    assert (row().why, row().lease_until, row().leased_by) == ("Done.", None, "")
    with pytest.raises(LeaseLost):
        lease.close(why="Again.")
    assert row().why == "Done."


def test_an_error_gives_the_row_back_for_another_attempt_and_is_raised(lease: Lease) -> None:
    with pytest.raises(ZeroDivisionError), lease.attempt():
        raise ZeroDivisionError("by nothing")
    assert row().leased_by == "" and "by nothing" in row().last_error and row().retry_at and row().attempts == 1


def test_a_lease_that_is_lost_is_no_error_of_the_attempt(lease: Lease) -> None:
    with pytest.raises(LeaseLost), lease.attempt():
        raise LeaseLost("taken over")
    assert row().last_error == "" and row().leased_by == "a worker"


def test_what_is_taken_from_a_worker_is_not_written_by_it_any_more(lease: Lease) -> None:
    assert take_from_worker(Candidate.objects.all(), why="Stopped.") == 1
    assert not lease.renew() and (row().why, row().leased_by) == ("Stopped.", "")
    again = Candidate.claim(row().pk, "another", Q())
    assert again and again.token == lease.token + 2
