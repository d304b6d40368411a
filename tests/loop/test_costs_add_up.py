"""Device time is one sum, (lost attempts + training) × devices, on every page, in the API, in lists, budgets and prices."""

import ast
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from research_app.api import representations
from research_app.home import CODE
from research_app.loop import runs as runs_of_the_loop
from research_app.loop.reconcile import retry
from research_app.loop.review.retry import retry_candidate
from research_app.loop.runs import cancel, cost_of, costs_of, requeue
from research_app.loop.scale_up.price import account_of
from research_app.loop.stacks.ablate import stop_ablation
from research_app.models import (
    Ablation,
    Candidate,
    DesignPoint,
    Lease,
    Project,
    Purpose,
    Run,
    ScaleUp,
    ScaleUpState,
    Series,
    Stage,
    State,
    Verdict,
)
from research_app.models.device_time import device_seconds, total_device_seconds
from research_app.web.project.calibration import device_time
from research_app.web.project.funnel import cost_of as project_cost
from research_app.web.scoreboard.scoreboard import device_time as by_author
from tests.factories import make_candidate, make_device, make_project, make_run, make_user
from training.spec import Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

HOUR = 3600.0
LADDER = [{"name": "S"}, {"name": "L", "budget": 8, "devices": 8, "price": 3.0, "seeds": 3}]
PAID: dict[str, Any] = {"ladder": LADDER, "scale_up": {"currency": "USD", "budget_hours": 100}}


@pytest.fixture
def project() -> Project:
    return make_project(**PAID)


def on_eight(project: Project, **fields: object) -> tuple[Candidate, Run]:
    """A candidate whose one run trained for an hour on eight devices, after half an hour that was lost with its worker."""
    candidate = make_candidate(project, stage=Stage.READY, effect=0.02, verdict=Verdict.SOLID, author="knobs")
    Run.objects.filter(patch_set=candidate.patch_set).delete()
    given = {"scale": "L", "purpose": Purpose.SCALE_UP, "devices": 8, "train_seconds": HOUR, "earlier_seconds": HOUR / 2}
    run = make_run(project.tip(), patch_set=candidate.patch_set, **{**given, **fields})  # type: ignore[arg-type]
    return candidate, run


WHOLE = 1.5 * 8 * HOUR


def scaled_up(candidate: Candidate, client: Client) -> str:
    """Its page of larger scales, after a scale-up that passed."""
    user = make_user("grace")
    rungs = [{"rung": "L", "seeds": 3, "runs": 3, "hours": 1.0, "at_most": 2.0, "money": 0.0}]
    fields = {"candidate": candidate, "patch_set": candidate.patch_set, "rungs": rungs, "rung": "L", "approved_by": user}
    ScaleUp.objects.create(project=candidate.project, state=ScaleUpState.PASSED, **fields)
    shown = client.get(f"/projects/{candidate.project.slug}/candidates/{candidate.number}/scale-up/").content.decode()
    return " ".join(shown.split()).replace("&#x27;", "'")


def in_memory(candidate: Candidate, run: Run) -> float:
    return run.device_seconds


def in_sql(candidate: Candidate, run: Run) -> float:
    return float(Run.objects.annotate(taken=device_seconds()).get(pk=run.pk).taken)  # type: ignore[attr-defined]


def of_runs(candidate: Candidate, run: Run) -> float:
    return Run.objects.filter(pk=run.pk).device_seconds()


def by_rung(candidate: Candidate, run: Run) -> float:
    return cost_of(Run.objects.filter(pk=run.pk)).by_rung["L"]


def in_lists(candidate: Candidate, run: Run) -> float:
    return costs_of([candidate])[candidate.pk].seconds


def of_the_author(candidate: Candidate, run: Run) -> float:
    [(_, hours, _)] = by_author(candidate.project)
    return hours * HOUR


def of_the_project(candidate: Candidate, run: Run) -> float:
    reference = candidate.project.runs.of_baseline().device_seconds()
    return project_cost(candidate.project).seconds - reference


def of_the_budget(candidate: Candidate, run: Run) -> float:
    return account_of(candidate.project).spent.counted * HOUR


def in_the_api(candidate: Candidate, run: Run) -> float:
    return representations.run(run, None).device_seconds


def in_the_api_of_the_candidate(candidate: Candidate, run: Run) -> float:
    return representations.candidate(candidate).device_seconds


PLACES = [
    in_memory, in_sql, of_runs, by_rung, in_lists, of_the_author, of_the_project, of_the_budget, in_the_api,
    in_the_api_of_the_candidate,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_every_place_says_the_same_of_a_run_on_eight_devices_after_a_lost_attempt(
    project: Project, place: Callable[[Candidate, Run], float]
) -> None:
    candidate, run = on_eight(project)
    assert place(candidate, run) == pytest.approx(WHOLE)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_run_that_trains_counts_up_to_now(project: Project, place: Callable[[Candidate, Run], float]) -> None:
    now = timezone.now()
    running = {"state": State.RUNNING, "train_seconds": None, "started_at": now - timedelta(hours=1), "lease_until": now}
    candidate, run = on_eight(project, **running)
    assert place(candidate, run) == pytest.approx(WHOLE, abs=8 * 5)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_run_that_waits_for_another_attempt_counts_what_was_lost(
    project: Project, place: Callable[[Candidate, Run], float]
) -> None:
    candidate, run = on_eight(project, state=State.QUEUED, train_seconds=None)
    assert place(candidate, run) == pytest.approx(WHOLE / 3)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_stuck_run_spends_nothing_more(project: Project, place: Callable[[Candidate, Run], float]) -> None:
    long_ago = timezone.now() - timedelta(days=3)
    candidate, run = on_eight(project, state=State.STUCK, train_seconds=None, started_at=long_ago)
    assert place(candidate, run) == pytest.approx(WHOLE / 3)


def test_the_pages_show_the_same_figure(project: Project, client: Client) -> None:
    candidate, run = on_eight(project)
    make_device("box/train.cpu.0")
    client.force_login(make_user("ada"))
    pages = ["", f"candidates/{candidate.number}/", f"runs/{run.pk}/", "candidates/?columns=spent", "scoreboard/"]
    for page in pages:
        shown = client.get(f"/projects/{project.slug}/{page}").content.decode()
        assert re.search(r"\b12 h\b", shown), page
    inbox = client.get("/").content.decode()
    assert "12 h of device time, 36.00 USD" in inbox, "at the price of the rung that it ran on"
    assert "12.00 device-hours spent so far" in scaled_up(candidate, client)


def test_the_baselines_runs_are_no_cost_of_the_candidate(project: Project, client: Client) -> None:
    candidate, _ = on_eight(project)
    make_run(project.tip(), seed=1, scale="L", purpose=Purpose.SCALE_UP, devices=8, train_seconds=HOUR)
    assert costs_of([candidate])[candidate.pk].seconds == pytest.approx(WHOLE)
    client.force_login(make_user("ada"))
    said = scaled_up(candidate, client)
    assert "12.00 device-hours spent so far; 8.00 more on the baseline's runs" in said


def test_candidates_are_sorted_by_what_they_cost(project: Project, client: Client) -> None:
    cheap, _ = on_eight(project, devices=1)
    dear, _ = on_eight(project)
    nothing = make_candidate(project, edits=(), effect=None, stage=Stage.CHECKING)
    client.force_login(make_user("ada"))
    for sort, order in (("dearest", [dear, cheap, nothing]), ("cheapest", [cheap, dear, nothing])):
        shown = client.get(f"/projects/{project.slug}/candidates/?sort={sort}&columns=spent").content.decode()
        places = [shown.index(f'id="c-{candidate.pk}"') for candidate in order]
        assert places == sorted(places), sort


def test_trying_a_crashed_candidate_again_does_not_erase_what_it_spent(project: Project) -> None:
    crashed = make_candidate(project, stage=Stage.CRASHED, effect=None)
    fields = {"outcome": Outcome.crashed, "reason": "No.", "train_seconds": 600.0, "earlier_seconds": 60.0, "exit_code": 1}
    run = make_run(project.tip(), patch_set=crashed.patch_set, **fields)  # type: ignore[arg-type]
    Series.objects.bulk_create([Series.of(run.pk, "train_loss", [1], [2.0])])
    retry_candidate(crashed, "grace")
    run.refresh_from_db()
    assert (run.state, run.outcome, run.exit_code, run.train_seconds) == (State.QUEUED, "", None, None)
    assert run.device_seconds == pytest.approx(660)
    lease = Run.claim_next(run.queue, make_device(sandbox_level="strong"))
    assert lease is not None and not Series.objects.filter(run=run).exists(), "the curves are those of this attempt alone"


def test_trying_a_stuck_run_again_keeps_what_it_spent_and_gives_it_all_attempts(project: Project) -> None:
    candidate, run = on_eight(project, state=State.STUCK, train_seconds=HOUR, attempts=4, last_error="OSError: no")
    Candidate.objects.filter(pk=candidate.pk).update(needs_attention="OSError: no")
    retry(candidate, "grace")
    run.refresh_from_db()
    assert (run.state, run.attempts, run.last_error) == (State.QUEUED, 0, "")
    assert run.device_seconds == pytest.approx(WHOLE)


def test_a_lost_attempt_counts_until_its_worker_was_last_heard_of(project: Project) -> None:
    now = timezone.now()
    _, run = on_eight(project, state=State.RUNNING, train_seconds=None, started_at=now - timedelta(seconds=100))
    with transaction.atomic():
        assert requeue(run, until=now - timedelta(seconds=40))
    run.refresh_from_db()
    assert run.earlier_seconds == pytest.approx(HOUR / 2 + 60)


def test_what_is_held_or_moved_on_is_not_queued_again(project: Project) -> None:
    now = timezone.now()
    _, run = on_eight(project, state=State.RUNNING, train_seconds=None, lease_until=now + timedelta(minutes=1))
    with transaction.atomic():
        assert not requeue(run)
    Run.objects.filter(pk=run.pk).update(lease_until=None, fence_token=7)
    with transaction.atomic():
        assert not requeue(run), "somebody claimed it since it was read"


def test_what_an_ablation_spent_before_it_was_stopped_stays(project: Project) -> None:
    check = Ablation.objects.create(project=project, version=project.tip(), asked_by="grace")
    cell = DesignPoint.objects.create(check_of=check, row=0, on=[], commit=project.tip().commit)
    run = make_run(project.tip(), state=State.QUEUED, cell=cell, purpose=Purpose.STACK, seed=900, earlier_seconds=300.0)
    stop_ablation(check, "grace")
    run.refresh_from_db()
    assert run.outcome == Outcome.cancelled and run.device_seconds == pytest.approx(300)


def test_what_a_person_cancels_keeps_what_it_spent_even_where_a_worker_failed_on_it(project: Project) -> None:
    _, run = on_eight(project, state=State.STUCK, train_seconds=HOUR)
    with transaction.atomic():
        assert cancel(Run.objects.filter(pk=run.pk), "enough") == 1
    run.refresh_from_db()
    assert run.device_seconds == pytest.approx(WHOLE)


def test_a_run_that_failed_stops_spending_at_once(project: Project) -> None:
    now = timezone.now()
    candidate, run = on_eight(
        project, state=State.RUNNING, train_seconds=None, started_at=now, lease_until=now, fence_token=3, seed=4
    )
    runs_of_the_loop.fail(run, Lease(Run, run.pk, 3), "No corpus.", "finding its text")
    run.refresh_from_db()
    candidate.refresh_from_db()
    assert (run.state, run.failed_step, candidate.needs_attention) == (State.STUCK, "finding its text", "No corpus.")
    assert run.device_seconds == pytest.approx(WHOLE / 3, abs=8)


def test_the_days_device_time_counts_lost_attempts_and_devices(project: Project) -> None:
    on_eight(project)
    [spent] = [each for each in device_time(project) if each.purpose == Purpose.SCALE_UP]
    assert spent.seconds == pytest.approx(WHOLE)


def test_the_cost_of_a_project_moves_with_a_run_that_is_made_again(project: Project) -> None:
    _, run = on_eight(project, state=State.FINISHED, outcome=Outcome.crashed)
    make_run(project.tip(), seed=99)  # the newest end is another run's
    before = project_cost(project).seconds
    with transaction.atomic():
        assert requeue(run, fresh=True)
    assert project_cost(project).seconds == pytest.approx(before)


def test_no_runs_cost_nothing() -> None:
    assert Run.objects.none().device_seconds() == 0.0
    assert Run.objects.aggregate(taken=total_device_seconds())["taken"] == 0.0


def test_only_one_module_changes_the_state_of_runs_that_are_there() -> None:
    writers = set()
    for path in (CODE / "research_app").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        named = [call for call in calls if getattr(call.func, "attr", "") in ("update", "write")]
        values = [ast.unparse(word.value) for call in named for word in call.keywords if word.arg == "state"]
        if any(value.startswith("State.") for value in values):
            writers.add(path.name)
    assert writers <= {"runs.py", "record.py"}, "record.py writes the outcome of a run"


def test_the_api_says_it_as_a_plain_number(project: Project) -> None:
    _, run = on_eight(project)
    assert json.loads(representations.run(run, None).model_dump_json())["device_seconds"] == WHOLE
