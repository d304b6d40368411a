"""A candidate's way from its proposal to the baseline, step by step, with real git and real training processes."""

import pytest

from research_app.evidence.digits import gain
from research_app.loop import disclosure
from research_app.loop.propose import propose
from research_app.loop.review.review import Seen, approve
from research_app.models import Candidate, Event, Message, Project, Purpose, Run, RunLog, Stage, State, Verdict
from research_app.models.run import series_of
from tests.small_project import BETTER, CRASHING, TRAIN, WORSE, approver, drain, patch, small_project, submit
from training.sandbox.probe import found

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


def test_a_new_project_has_a_baseline_with_four_scored_reference_runs(project: Project) -> None:
    reference = project.tip().runs.filter(purpose=Purpose.REFERENCE)
    assert [run.seed for run in reference.order_by("seed")] == [1, 2, 3, 4]
    assert all(run.state == State.FINISHED and run.score is not None for run in reference)
    assert len({run.score for run in reference}) == 4, "each seed gives a score of its own"
    assert project.noise() is not None


def test_an_improvement_submitted_by_hand_is_confirmed_on_fresh_seeds_and_waits_for_review(project: Project) -> None:
    candidate = submit(project, BETTER)
    assert candidate.stage == Stage.READY
    assert candidate.evidence is not None and candidate.patch_set is not None
    assert candidate.evidence.verdict == Verdict.SOLID
    assert candidate.evidence.effect == pytest.approx(0.01, abs=0.005)
    assert candidate.evidence.interval is not None and candidate.evidence.interval[0] > 0
    purposes = list(candidate.patch_set.runs.order_by("pk").values_list("purpose", flat=True))
    assert purposes == [Purpose.SCREEN] + [Purpose.CONFIRM] * 3
    seeds = set(candidate.patch_set.runs.filter(purpose=Purpose.CONFIRM).values_list("seed", flat=True))
    assert seeds == set(project.tip().runs.filter(purpose=Purpose.CONFIRM).values_list("seed", flat=True))
    assert not seeds & set(project.tip().runs.filter(purpose=Purpose.REFERENCE).values_list("seed", flat=True))
    run = candidate.patch_set.runs.first()
    assert run is not None
    assert series_of([run.pk])[run.pk]["train_loss"][0] == list(range(1, 21))
    assert "score=" in RunLog.objects.get(run=run).text
    assert run.self_reported and run.sandbox_level == found().level


def test_a_change_that_makes_it_worse_is_dropped_with_the_reason(project: Project) -> None:
    candidate = submit(project, WORSE)
    assert candidate.stage == Stage.DROPPED
    assert "σ on 1 run" in candidate.why


def test_a_crash_is_a_named_outcome_with_the_last_log_lines(project: Project) -> None:
    candidate = submit(project, CRASHING)
    assert candidate.stage == Stage.CRASHED
    assert "ZeroDivisionError" in candidate.why
    assert candidate.evidence is None


def test_an_approved_candidate_is_the_tip_of_the_baseline_with_its_trailers(project: Project) -> None:
    candidate = submit(project, BETTER)
    before, noise = project.repository.tip(), project.noise()
    approve(candidate, approver("grace"), Seen.of(candidate))
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.LANDED
    [entry, *_] = project.repository.log(2)
    assert entry.commit == project.repository.tip() != before
    trailers = dict(entry.trailers)
    assert trailers["Candidate"] == "small/1"
    assert trailers["Reviewed-by"] == "grace"
    assert candidate.evidence is not None
    assert trailers["Evidence"] == candidate.evidence.content_hash
    told = disclosure.effect_told(candidate, noise)
    assert told is not None and told > 0 and told != candidate.evidence.effect, "to half a sigma, positive where it is better"
    assert trailers["Effect"] == f"{gain(told, candidate.evidence.standard_error)} loss, better (n=3, to half a sigma)"
    assert Event.objects.filter(hash=trailers["Audit-Head"]).exists()
    assert project.repository.read(entry.commit, "train.py").decode() == TRAIN.replace(*BETTER)
    assert project.tip().commit == entry.commit and project.tip().number == 1
    assert project.tip().runs.filter(purpose=Purpose.REFERENCE).completed().count() == 4, (
        "the new baseline has reference runs of its own"
    )


def test_the_knobs_proposer_fills_a_round_and_is_told_every_result(project: Project) -> None:
    propose.open_round(project, ["knobs"], 5, "test")
    drain()
    candidates = list(project.candidates.order_by("number"))
    assert len(candidates) == 5
    assert all(candidate.idle for candidate in candidates)
    assert all(candidate.patch_set and 1 <= candidate.patch_set.added <= 2 for candidate in candidates)
    told = propose.context_of(project, project.tip()).history
    assert [tried.outcome for tried in told] == ["evaluated"] * 5
    assert all(tried.effect is not None and tried.details for tried in told)
    noise = project.noise()
    assert noise is not None
    halves = [tried.effect / noise.sigma * 2 for tried in told if tried.effect is not None]
    assert all(abs(half - round(half)) < 1e-6 for half in halves), "to half a sigma, no finer"


def test_a_round_without_a_number_stops_while_too_many_candidates_wait(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propose, "WAITING_LIMIT", 1)
    submit(project, BETTER)
    asked = propose.open_round(project, ["knobs"], None, "test")
    drain()
    assert not propose.wants_more(asked)
    assert asked.candidates.count() == 0


def test_a_paused_project_proposes_nothing_until_it_is_resumed(project: Project) -> None:
    propose.pause(project, "grace")
    propose.open_round(project, ["knobs"], 2, "test")
    drain()
    assert project.candidates.count() == 0
    propose.resume(project, "grace")
    drain()
    assert project.candidates.count() == 2


def test_every_stage_change_has_an_event_and_the_chain_is_whole(project: Project) -> None:
    candidate = submit(project, BETTER)
    stages = [event.data["to"] for event in Event.objects.about(candidate).filter(kind="stage changed")]
    assert stages == [Stage.SCREENING, Stage.CONFIRMING, Stage.READY]
    assert list(Event.objects.faults()) == []


def test_a_stage_change_its_event_and_its_message_are_written_together_or_not_at_all(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = submit(project, BETTER)
    monkeypatch.setattr(Event, "compute_hash", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        approve(candidate, approver(), Seen.of(candidate))
    assert Candidate.objects.get(pk=candidate.pk).stage == Stage.READY
    assert candidate.reviews.count() == 0 and candidate.landings.count() == 0
    assert not Message.objects.filter(task="land").exists()


def test_a_repeated_message_changes_nothing(project: Project) -> None:
    candidate = submit(project, BETTER)
    events = Event.objects.count()
    assert candidate.patch_set is not None
    for task, object_id in (("check", candidate.pk), ("judge", candidate.patch_set_id), ("land", project.pk)):
        Message.objects.enqueue(task, object_id or 0)
    Message.objects.enqueue("train", Run.objects.latest("pk").pk, "train.cpu")
    drain()
    assert Event.objects.count() == events
    assert patch(BETTER).count("\n+") == 2
