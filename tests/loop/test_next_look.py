"""A device waits a moment for the judgement of the run that it ended: the next seed goes before somebody's first run."""

import threading
import time

import pytest
from django.db import connection

from research_app.loop.check import check
from research_app.loop.judge import judge
from research_app.loop.train import next_look, train
from research_app.loop.train.next_look import let_it_be_judged
from research_app.models import Candidate, Device, Project, Purpose, Run, Stage, State
from tests.small_project import WIDER, WORSE, drain, patch, small_project

pytestmark = pytest.mark.django_db(transaction=True)
SLIGHTLY_BETTER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.013")
NEVER = threading.Event()


@pytest.fixture
def project() -> Project:
    made = small_project()
    drain()
    return made


@pytest.fixture
def device() -> Device:
    return Device.report("here/cpu.7", "cpu", 7, sandbox_level="basic")


def checked(project: Project, *edits: tuple[str, str]) -> list[Run]:
    """Candidates whose first runs wait, in this order."""
    for edit in edits:
        check.submit(project, patch(edit), f"Try {edit[1]}", category="optimiser", author="ada")
        check.check(project.candidates.order_by("-number")[0].pk, "test")
    return list(Run.objects.filter(state=State.QUEUED).order_by("pk"))


def soon(patch_set: int, seconds: float) -> threading.Thread:
    """The worker of the queue orchestrate, which judges after so many seconds."""

    def work() -> None:
        time.sleep(seconds)
        try:
            judge.judge(patch_set, "test")
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_next_seed_of_what_may_be_real_goes_before_a_first_run(
    project: Project, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_look, "OF_A_RUN", 1000.0)  # its runs take a tenth of a second
    monkeypatch.setattr(next_look, "LONGEST", 20.0)
    first, _ = checked(project, SLIGHTLY_BETTER, WIDER)
    ended = threading.Event()

    def orchestrate() -> None:
        while not Run.objects.filter(pk=first.pk, state=State.FINISHED).exists():
            time.sleep(0.02)
        time.sleep(0.3)
        judge.judge(first.patch_set_id or 0, "test")
        ended.set()
        connection.close()

    worker = threading.Thread(target=orchestrate)
    worker.start()
    assert train.train_next(first.queue, device)
    worker.join()
    assert ended.is_set()
    lease = Run.claim_next(first.queue, device)
    assert lease is not None
    taken = Run.objects.get(pk=lease.pk)
    assert (taken.purpose, taken.patch_set_id) == (Purpose.REPLICATE, first.patch_set_id)


def test_it_waits_no_longer_than_a_small_part_of_the_run(project: Project, device: Device) -> None:
    first, _ = checked(project, SLIGHTLY_BETTER, WIDER)
    train.train_next(first.queue, device)
    Run.objects.filter(pk=first.pk).update(train_seconds=10.0)
    begun = time.monotonic()
    assert not let_it_be_judged(first.pk, NEVER)
    assert 0.4 < time.monotonic() - begun < 2.0
    Run.objects.filter(pk=first.pk).update(train_seconds=3600.0)
    begun = time.monotonic()
    assert not let_it_be_judged(first.pk, NEVER)
    assert time.monotonic() - begun < 3.0


def test_it_does_not_wait_where_nothing_would_come_of_it(project: Project, device: Device) -> None:
    first, second = checked(project, SLIGHTLY_BETTER, WORSE)
    train.train_next(first.queue, device)
    Run.objects.filter(pk=first.pk).update(train_seconds=3600.0)
    run = Run.objects.get(pk=first.pk)
    assert next_look.may_be_followed(run)
    reference = project.runs.filter(purpose=Purpose.REFERENCE)
    newest = reference.order_by("-pk")[0]
    reference.filter(pk=newest.pk).update(state=State.RUNNING)
    assert not next_look.may_be_followed(run), "its judgement waits for the baseline"
    reference.filter(pk=newest.pk).update(state=State.FINISHED)
    Run.objects.filter(pk=second.pk).update(state=State.RUNNING)
    assert not next_look.may_be_followed(run), "no other run would be taken"
    Run.objects.filter(pk=second.pk).update(state=State.QUEUED, priority=2)
    assert not next_look.may_be_followed(run), "what is nearer to a decision goes first in any case"


def test_it_goes_on_at_once_when_the_judgement_is_there(project: Project, device: Device) -> None:
    first, _ = checked(project, WORSE, WIDER)
    train.train_next(first.queue, device)
    Run.objects.filter(pk=first.pk).update(train_seconds=3600.0)
    thread = soon(first.patch_set_id or 0, 0.3)
    assert let_it_be_judged(first.pk, NEVER)
    thread.join()
    assert Candidate.objects.get(number=1).stage != Stage.SCREENING


def test_a_worker_that_is_asked_to_stop_waits_for_nothing(project: Project, device: Device) -> None:
    first, _ = checked(project, SLIGHTLY_BETTER, WIDER)
    train.train_next(first.queue, device)
    Run.objects.filter(pk=first.pk).update(train_seconds=3600.0)
    stopping = threading.Event()
    stopping.set()
    begun = time.monotonic()
    let_it_be_judged(first.pk, stopping)
    assert time.monotonic() - begun < 0.5
