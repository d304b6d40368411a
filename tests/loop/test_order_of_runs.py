"""What devices take first: the decision that a person is nearest to; and nothing that waits is passed over for ever."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from research_app.loop.judge import judge
from research_app.loop.runs import CURVE_SHARES, ensure_curve, ensure_reference_runs, rank_curves, request_run
from research_app.models import (
    BaselineVersion,
    Candidate,
    Device,
    PatchSet,
    Priority,
    Project,
    Purpose,
    Run,
    Stage,
    State,
)
from research_app.models.purpose import PRIORITY
from research_app.models.run import OF_LAST, SHARED
from tests.factories import make_candidate, make_project

pytestmark = pytest.mark.django_db

SEEDS = count(5000)


@pytest.fixture
def device() -> Device:
    return Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")


def waiting(base: BaselineVersion, purpose: Purpose, patch_set: PatchSet | None = None, **fields: object) -> Run:
    """One more queued run."""
    return request_run(base.project, base, patch_set, purpose, next(SEEDS), **fields)  # type: ignore[arg-type]


def confirming(project: Project) -> Candidate:
    """A candidate with all that its confirmation waits for in the queue."""
    candidate = make_candidate(project, stage=Stage.CONFIRMING)
    for _ in range(3):
        waiting(project.tip(), Purpose.CONFIRM, candidate.patch_set)
        waiting(project.tip(), Purpose.CONFIRM)
    ensure_curve(project.tip())
    return candidate


def taken(device: Device, queue: str = "train.cpu") -> Run | None:
    """The run that a device takes next; it has begun then."""
    lease = Run.claim_next(queue, device)
    return Run.objects.get(pk=lease.pk) if lease else None


def order(device: Device) -> list[Run]:
    """All that waits, in the order in which one device takes it."""
    return list(iter(lambda: taken(device), None))


def test_a_confirmation_goes_before_screenings_and_replications_that_were_there_first(project: Project, device: Device) -> None:
    other = make_candidate(project, stage=Stage.REPLICATING)
    early = [
        waiting(project.tip(), Purpose.SCREEN, other.patch_set),
        waiting(project.tip(), Purpose.REPLICATE, other.patch_set),
    ]
    confirming(project)
    begun = order(device)
    assert {run.pk for run in begun[-2:]} == {run.pk for run in early}


def test_the_screening_share_takes_nothing_from_a_confirmation(project: Project, device: Device) -> None:
    screen = waiting(project.tip(), Purpose.SCREEN, make_candidate(project, stage=Stage.SCREENING).patch_set)
    for _ in range(3):
        waiting(project.tip(), Purpose.CONFIRM)
    assert screen not in order(device)[:3], "though none of the last runs was a screening"


def test_the_screening_share_is_taken_from_replications(project: Project, device: Device) -> None:
    candidate = make_candidate(project, stage=Stage.REPLICATING)
    for _ in range(8):
        waiting(project.tip(), Purpose.REPLICATE, candidate.patch_set)
    for _ in range(2):
        waiting(project.tip(), Purpose.SCREEN, candidate.patch_set)
    assert [run.purpose for run in order(device)].index(Purpose.SCREEN) < 8


def test_runs_that_a_decision_waited_for_count_neither_for_nor_against_the_share(project: Project, device: Device) -> None:
    candidate = make_candidate(project, stage=Stage.REPLICATING)  # with one screening that has begun
    for _ in range(12):
        waiting(project.tip(), Purpose.CONFIRM)
    order(device)
    replication = waiting(project.tip(), Purpose.REPLICATE, candidate.patch_set)
    waiting(project.tip(), Purpose.SCREEN, candidate.patch_set)
    assert taken(device) == replication, "one of the one run that counts was a screening"


def test_the_first_to_be_confirmed_has_all_its_runs_before_the_second_has_any(project: Project, device: Device) -> None:
    first, second = confirming(project), confirming(project)
    begun = order(device)
    assert first.patch_set and second.patch_set
    whose = [run.patch_set_id for run in begun]
    last_curve = max(place for place, run in enumerate(begun) if run.purpose == Purpose.CURVE)
    assert whose.index(second.patch_set.pk) > last_curve > max(i for i, pk in enumerate(whose) if pk == first.patch_set.pk)


def test_runs_at_other_budgets_wait_while_no_confirmation_waits_for_them(project: Project, device: Device) -> None:
    candidate = confirming(project)
    Run.objects.filter(purpose=Purpose.CONFIRM).delete()
    candidate.move(Stage.CRASHED, "One of its runs crashed.")
    rank_curves()
    screen = waiting(project.tip(), Purpose.SCREEN, make_candidate(project, stage=Stage.SCREENING).patch_set)
    assert taken(device) == screen


def test_runs_at_other_budgets_move_up_again_with_the_next_confirmation(project: Project) -> None:
    candidate = confirming(project)
    candidate.move(Stage.CRASHED, "One of its runs crashed.")
    rank_curves()
    curves = Run.objects.filter(purpose=Purpose.CURVE)
    assert {run.priority for run in curves} == {Priority.SPARE} and len(curves) == len(CURVE_SHARES)
    confirming(project)
    assert {run.priority for run in curves.all()} == {Priority.CONFIRM}
    curves.update(priority=Priority.SPARE)
    rank_curves()
    assert {run.priority for run in curves.all()} == {Priority.CONFIRM}, "whoever asked for them"


def test_runs_at_other_budgets_go_before_first_runs_while_a_candidate_may_come_to_need_them(
    project: Project, device: Device
) -> None:
    candidate = make_candidate(project, stage=Stage.REPLICATING)
    screen = waiting(project.tip(), Purpose.SCREEN, candidate.patch_set)
    ensure_curve(project.tip(), Priority.LIKELY)
    replication = waiting(project.tip(), Purpose.REPLICATE, candidate.patch_set)
    rank_curves()
    begun = order(device)
    assert begun[0] == replication and begun[-1] == screen
    assert [run.purpose for run in begun[1:-1]] == [Purpose.CURVE] * len(CURVE_SHARES)


def test_reference_runs_for_one_replication_do_not_go_before_a_confirmation(project: Project, device: Device) -> None:
    ensure_reference_runs(project.tip(), 6)
    confirming(project)
    assert [run.purpose for run in order(device)][-2:] == [Purpose.REFERENCE] * 2


def test_reference_runs_that_a_landing_waits_for_as_well_move_up(project: Project, device: Device) -> None:
    ensure_reference_runs(project.tip(), 6)
    confirming(project)
    ensure_reference_runs(project.tip(), 6, Priority.LACKING)
    assert [run.purpose for run in order(device)][:2] == [Purpose.REFERENCE] * 2


def test_what_makes_up_for_a_failed_run_of_a_confirmation_goes_before_the_next_confirmation(
    project: Project, device: Device
) -> None:
    candidate = make_candidate(project, stage=Stage.CONFIRMING)
    assert candidate.patch_set is not None
    first = judge.first_fresh_seed(candidate.patch_set)
    for seed in range(first, first + 3):
        request_run(project, project.tip(), None, Purpose.CONFIRM, seed)
    theirs = Run.objects.filter(purpose=Purpose.CONFIRM, seed__range=(first, first + 99))
    theirs.update(state=State.FINISHED, outcome="completed")
    theirs.filter(seed=first).update(outcome="crashed")
    confirming(project)
    assert judge.made_up_for(candidate.patch_set, theirs, list(theirs))
    begun = taken(device)
    assert begun is not None and first < begun.seed < first + 100


def test_one_of_twenty_runs_is_the_oldest_that_waits_whatever_else_does(project: Project, device: Device) -> None:
    candidate = make_candidate(project)
    spare = waiting(project.tip(), Purpose.TARGET)
    began = 0
    while spare.state == State.QUEUED:
        waiting(project.tip(), Purpose.REJUDGE, candidate.patch_set)
        began += taken(device) is not None
        spare.refresh_from_db()
    assert began == OF_LAST


def test_a_run_that_no_device_here_may_train_is_no_reason_to_pass_others_over(project: Project, device: Device) -> None:
    large = waiting(project.tip(), Purpose.TARGET)
    Run.objects.filter(pk=large.pk).update(devices=8)
    spare = waiting(project.tip(), Purpose.TARGET)
    candidate = make_candidate(project)
    for _ in range(OF_LAST):
        waiting(project.tip(), Purpose.REJUDGE, candidate.patch_set)
        taken(device)
    spare.refresh_from_db()
    assert spare.state != State.QUEUED


ARRIVALS = st.tuples(st.sampled_from(list(Purpose)), st.booleans())
STEPS = st.lists(st.one_of(ARRIVALS, st.none()), max_size=70)
"""A run of one of two projects arrives, or a device takes one."""


@given(steps=STEPS)
@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_in_every_queue_each_run_begins_in_its_turn_and_the_nearest_to_a_decision_goes_first(
    project: Project, device: Device, steps: Sequence[tuple[Purpose, bool] | None]
) -> None:
    with undone():
        other = Project.objects.filter(slug="other").first() or make_project("other")
        bases, begun, born = (project.tip(), other.tip()), 0, dict[int, tuple[int, int]]()
        for step in [*steps, *[None] * len(steps)]:
            queued = list(Run.objects.filter(state=State.QUEUED).order_by("pk"))
            if step is not None:
                run = waiting(bases[step[1]], step[0])
                born[run.pk] = begun, len(queued)
            elif (next_run := taken(device)) is not None:
                begun += 1
                after, older = born[next_run.pk]
                assert begun - after <= OF_LAST * (older + 1), f"{next_run.purpose} waited for {begun - after} others"
                assert is_in_order(next_run, queued)
        assert not Run.objects.filter(state=State.QUEUED).exists()


def is_in_order(run: Run, queued: Sequence[Run]) -> bool:
    """Whether a run was taken for its priority, for its age, or as a screening that lacks its share."""
    least = min(each.priority for each in queued)
    shared = run.purpose == Purpose.SCREEN and least in SHARED
    return run.priority == least or run == queued[0] or shared


@contextmanager
def undone() -> Iterator[None]:
    """Take back what one example wrote."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def test_every_purpose_has_a_priority() -> None:
    assert set(PRIORITY) == set(Purpose) and set(PRIORITY.values()) < set(Priority)
