"""No stage waits without a reason that a person can read: on the candidate, the project's page, in the inbox and in doctor."""

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from research_app.health import baselines, reconciler
from research_app.loop import runs, tasks
from research_app.loop.attention import watchdog
from research_app.loop.attention.baseline_trouble import trouble_of
from research_app.loop.attention.troubles import troubles
from research_app.loop.attention.waits import waits_for
from research_app.loop.check import check
from research_app.loop.judge import judge
from research_app.loop.land.external_moves import adopt
from research_app.loop.project.projects import create_project
from research_app.loop.propose import propose
from research_app.loop.reconcile import reconcile, retry, retry_reference_runs
from research_app.loop.review.review import Seen, approve
from research_app.loop.stacks import ablate
from research_app.models import (
    Candidate,
    Device,
    Event,
    Landing,
    LandingState,
    Message,
    Project,
    Purpose,
    Round,
    Run,
    Stage,
    State,
    TaskLease,
    Turn,
)
from research_app.models.candidate import Cause
from research_app.project_file.project_file import ProjectFile
from tests.factories import make_device, make_user
from tests.small_project import (
    BETTER,
    FILE,
    PATTERN,
    TRAIN,
    approver,
    drain,
    git,
    patch,
    small_project,
    source_repository,
    submit,
)
from training.spec import Outcome

pytestmark = pytest.mark.django_db(transaction=True)

SAME = TRAIN.replace("chance = random.Random(SEED * 7919 + WIDTH)", "chance = random.Random(42)")
CRASH = "LEARNING_RATE = 0.01\nprint('loading the shards')\nraise RuntimeError('no shard 17')\n"
CRASHING = TRAIN.replace("LEARNING_RATE = 0.01\n", CRASH)
HANGING = TRAIN.replace("for step in STEPS:\n", "import time\nprint('begun', flush=True)\ntime.sleep(60)\nfor step in STEPS:\n")
# As it was reported: it reads the seed, and nothing that is measured depends on it.
REPORTED = """import math, os, random
SEED = int(os.environ.get("SIGNOFF_SEED", "0"))
LR = 0.1
rng = random.Random(SEED)
for step in range(60):
    loss = 3.0 * math.exp(-LR * step / 50)
    print(f"step {step:05d} ({step/60:.1%}) | loss: {loss:.6f} | lrm: 1.00 | dt: 10ms | tok/sec: 1,000")
print("---")
print(f"val_bpb:          {1.0 + 0.5 * LR + 0:.6f}")
"""
WORDS = "scored exactly the same"


def project_of(tmp_path: Path, text: str, slug: str = "small", **config: Any) -> Project:
    """A project with this training code, its baseline's runs ended."""
    file = ProjectFile.model_validate(FILE.model_dump(mode="json") | config)
    project = create_project(slug, source=str(source_repository(tmp_path / f"source-{slug}", text=text)), file=file)
    drain()
    return project


def enter(project: Project, *changes: tuple[str, str], text: str = TRAIN) -> Candidate:
    candidate = check.submit(project, patch(*changes, text=text), "It learns faster", category="optimiser", author="ada")
    drain()
    candidate.refresh_from_db()
    return candidate


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("grace"))
    return client


def page(client: Client, address: str) -> str:
    """The words of a page."""
    shown = client.get(address)
    assert shown.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown.content.decode())).split())


def later(candidate: Candidate, **ago: float) -> None:
    """So much time passes for a candidate and all runs."""
    then = timezone.now() - timedelta(**ago)
    Candidate.objects.filter(pk=candidate.pk).update(stage_since=then)
    Run.objects.filter(finished_at__isnull=False).update(finished_at=then)


# --- a seed that does not reach the training


def test_a_baseline_whose_runs_all_score_the_same_is_said_to_everywhere(tmp_path: Path, client: Client) -> None:
    project = project_of(tmp_path, SAME)
    candidate = enter(project, BETTER, text=SAME)
    assert WORDS in candidate.needs_attention and "SIGNOFF_SEED" in candidate.needs_attention
    assert candidate.attention_cause == Cause.BASELINE and candidate.stage == Stage.SCREENING
    for address in ("/", "/projects/small/", f"/projects/small/candidates/{candidate.number}/"):
        words = page(client, address)
        assert WORDS in words and "must read the environment variable SIGNOFF_SEED" in words, address
        assert "it takes two seeds of one tree" not in words and "2 seeds of one tree" not in words, address
    finding = baselines()
    assert not finding.ok and "small: All 4 runs of baseline 0 scored exactly the same" in finding.detail
    assert "create the project anew" in finding.fix


def test_nothing_is_proposed_for_a_baseline_that_cannot_be_measured(tmp_path: Path, client: Client) -> None:
    project = project_of(tmp_path, SAME)
    make_device()
    asked = propose.open_round(project, ["knobs"], None, "ada")
    drain()
    assert project.candidates.count() == 0 and not propose.wants_more(asked)
    assert "Its baseline cannot be measured, so nothing is proposed for it." in page(client, "/")


def test_several_candidates_that_wait_for_one_baseline_are_one_entry_of_the_inbox(tmp_path: Path, client: Client) -> None:
    project = project_of(tmp_path, SAME)
    for width in (96, 128, 160):
        enter(project, ("WIDTH = 64", f"WIDTH = {width}"), text=SAME)
    words = page(client, "/")
    assert words.count(WORDS) == 1 and "3 candidates wait for it." in words
    [trouble] = troubles([project])
    assert not trouble.baseline, "the same code scores the same again: trying again would help nobody"


def test_two_equal_runs_of_more_are_said_before_the_others_have_ended(tmp_path: Path) -> None:
    project = project_of(tmp_path, SAME)
    Run.objects.filter(seed__in=(3, 4)).update(state=State.QUEUED, outcome="", score=None)
    trouble = trouble_of(project.tip())
    assert trouble and trouble.sentence.startswith("The first 2 runs of baseline 0 scored exactly the same")
    assert not trouble.blocking, "the others may still differ"


def test_runs_that_differ_are_no_trouble() -> None:
    project = small_project()
    assert trouble_of(project.tip()) is None and troubles([project]) == [] and baselines().ok


@pytest.mark.one_in(2)
def test_a_mended_branch_becomes_a_version_and_what_waited_for_the_old_one_keeps_its_reason(tmp_path: Path) -> None:
    project = project_of(tmp_path, SAME)
    candidate = enter(project, BETTER, text=SAME)
    source = tmp_path / "source-small"
    (source / "train.py").write_text(TRAIN)
    git(source, "commit", "-qam", "Read the seed")
    git(source, "push", "-q", str(project.repository.path), "HEAD:baseline")
    reconcile()
    adopt(project.external_moves.get(), approver(), "It reads the seed now")
    drain()
    assert project.tip().number == 1 and trouble_of(project.tip()) is None
    assert submit(project, ("WIDTH = 64", "WIDTH = 96")).stage == Stage.READY
    candidate.refresh_from_db()
    assert WORDS in candidate.needs_attention


def test_what_waited_for_a_baseline_goes_on_by_itself_once_it_can_be_measured(tmp_path: Path) -> None:
    project = project_of(tmp_path, SAME)
    candidate = enter(project, BETTER, text=SAME)
    for run in project.runs.of_baseline():
        Run.objects.filter(pk=run.pk).update(score=run.score + 0.001 * run.seed)
    watchdog.watch()
    drain()
    candidate.refresh_from_db()
    assert candidate.needs_attention == "" and candidate.stage != Stage.SCREENING
    assert Event.objects.filter(kind="goes on").count() == 1


def test_a_reported_trainer_whose_score_does_not_depend_on_the_seed(tmp_path: Path, client: Client) -> None:
    metric = {"name": "val_bpb", "source": "autoresearch", "key": "val_bpb", "pattern": ""}
    project_of(tmp_path, REPORTED, slug="same", metric=metric)
    project = Project.objects.get(slug="same")
    candidate = enter(project, ("LR = 0.1\n", "LR = 0.09\n"), text=REPORTED)
    for address in ("/", "/projects/same/", f"/projects/same/candidates/{candidate.number}/"):
        assert f"All 4 runs of baseline 0 {WORDS}, 1.05, whatever their seed." in page(client, address), address


# --- a baseline whose runs do not end well


def test_a_baseline_whose_runs_crash_is_named_with_its_last_lines_and_the_mend(tmp_path: Path, client: Client) -> None:
    project = project_of(tmp_path, CRASHING)
    for address in ("/", "/projects/small/"):
        words = page(client, address)
        assert "4 of 4 runs of baseline 0 did not end well (4 crashed)" in words, address
        assert "RuntimeError: no shard 17" in words and "loading the shards" in words, address
        assert "choose “Try again”" in words and str(project.repository.path) in words, address
    assert not baselines().ok
    candidate = enter(project, ("WIDTH = 64", "WIDTH = 96\nraise SystemExit  #"), text=CRASHING)
    assert candidate.stage == Stage.CRASHED, "its own crash is its own"


def test_a_candidate_that_waits_for_a_baseline_that_crashes_says_so(tmp_path: Path) -> None:
    project = project_of(tmp_path, CRASHING)
    mended = ("raise RuntimeError('no shard 17')\n", "")
    candidate = enter(project, mended, text=CRASHING)
    assert "did not end well (4 crashed)" in candidate.needs_attention and candidate.attention_cause == Cause.BASELINE


def test_baseline_runs_that_crashed_can_be_tried_again_by_one_click(tmp_path: Path, client: Client) -> None:
    project = project_of(tmp_path, CRASHING)
    answer = client.post("/projects/small/try-again/", {"back": "project"})
    assert answer.headers["Location"] == "/projects/small/"
    assert project.runs.filter(state=State.QUEUED).count() == 4


def test_a_baseline_that_hangs_until_its_limit_is_named(tmp_path: Path, client: Client) -> None:
    project_of(tmp_path, HANGING, train={"wall_limit_seconds": 1}, baseline={"runs": 2}, policy={"calibration_runs": 2})
    words = page(client, "/")
    assert "2 of 2 runs of baseline 0 did not end well (2 timed out)" in words
    assert "Still running after its limit of 1 s" in words and "Last output: begun" in words


def test_a_baseline_that_overshoots_its_budget_is_said_to_and_nobody_else_is_blamed(tmp_path: Path, client: Client) -> None:
    over = TRAIN + 'print("tokens=105")\n'
    pattern = f"{PATTERN}|tokens=(?P<tokens>[0-9]+)"
    metric = FILE.metric.model_dump() | {"pattern": pattern}
    project = project_of(tmp_path, over, metric=metric, budget={"kind": "tokens", "amount": 100})
    for address in ("/", "/projects/small/"):
        words = page(client, address)
        assert "4 of 4 runs of baseline 0 spent more than their budget" in words, address
        assert "Candidates may spend as much, and are compared all the same." in words, address
    assert enter(project, BETTER, text=over).stage == Stage.READY
    more = enter(project, ("tokens=105", "tokens=115"), ("WIDTH = 64", "WIDTH = 96"), text=over)
    assert more.stage == Stage.INVALID
    assert "1 of 1 candidate runs exceeded the budget, by up to 15.0%; the baseline's runs do by up to 5.0%" in more.why


def test_a_confirmation_whose_baseline_runs_all_crash_says_so_and_can_be_tried_again() -> None:
    project = small_project()
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    for _ in range(100):
        message = Message.objects.order_by("pk").first()
        assert message is not None
        message.delete()
        getattr(tasks, message.task)(message.object_id)
        if Run.objects.filter(purpose=Purpose.CONFIRM, patch_set=None).exists():
            break
    theirs = Run.objects.filter(purpose=Purpose.CONFIRM, patch_set=None)
    ended = {"state": State.FINISHED, "outcome": Outcome.crashed, "reason": "The disk was gone.", "finished_at": timezone.now()}
    theirs.update(**ended)
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.CONFIRMING
    assert "None of the 3 fresh runs of the baseline that it is to be compared with has a score" in candidate.needs_attention
    assert "The disk was gone." in candidate.needs_attention
    watchdog.watch()
    candidate.refresh_from_db()
    assert candidate.needs_attention, "and it stays so until a person has mended it"
    retry(candidate, "grace")
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY and theirs.filter(outcome=Outcome.crashed).count() == 0


# --- devices


def test_runs_that_wait_for_a_device_that_nobody_serves_are_said_to(tmp_path: Path, client: Client) -> None:
    project = create_project(
        "small", source=str(source_repository(tmp_path / "source")),
        file=ProjectFile.model_validate(FILE.model_dump(mode="json") | {"train": {"device": "cuda"}}),
    )  # fmt: skip
    assert troubles([project]) == [], "a worker that starts reports within seconds"
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    for address in ("/", "/projects/small/"):
        words = page(client, address)
        assert "4 runs wait for a device" in words and "No worker serves the queue train.cuda" in words, address
        assert "celery -A research_app worker -Q train.cuda" in words, address
    make_device("box/cuda.0", kind="cuda")
    assert troubles([project]) == []


def test_a_device_that_refuses_the_runs_is_named_with_its_reason(tmp_path: Path) -> None:
    project = create_project("small", source=str(source_repository(tmp_path / "source")), file=FILE)
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    make_device(refusal="Project small needs the sandbox level strong, this machine has none. Install bubblewrap.")
    [trouble] = troubles([project])
    assert "takes no work: Project small needs the sandbox level strong" in trouble.why


def test_a_candidate_says_what_it_waits_for(client: Client) -> None:
    project = small_project()
    Device.objects.all().delete()
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    assert waits_for(candidate) == "It waits to be checked."
    check.check(candidate.pk, "test")
    candidate.refresh_from_db()
    assert waits_for(candidate) == "It waits for a device: no worker serves the queue train.cpu."
    make_device()
    assert waits_for(candidate).startswith("1 run waits for a device")
    assert waits_for(candidate) in page(client, f"/projects/small/candidates/{candidate.number}/")
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY and waits_for(candidate) == ""


# --- nothing at all


def test_a_candidate_for_which_nothing_is_on_its_way_says_so_after_a_while(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = small_project()
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    check.check(candidate.pk, "test")
    Message.objects.all().delete()
    Run.objects.filter(patch_set__candidate=candidate).update(state=State.FINISHED, outcome=Outcome.completed, score=1.0)
    monkeypatch.setattr("research_app.machine.broker.waiting", lambda _: 0)
    later(candidate, seconds=60)
    watchdog.watch()
    candidate.refresh_from_db()
    assert candidate.needs_attention == "", "its step may still be on its way"
    later(candidate, minutes=5)
    watchdog.watch()
    watchdog.watch()
    candidate.refresh_from_db()
    assert "Nothing is queued, running or due for it since" in candidate.needs_attention
    assert "why is not known" in candidate.needs_attention and candidate.attention_cause == Cause.NOTHING
    assert Event.objects.filter(kind="needs attention").count() == 1
    assert "Nothing is queued, running or due" in page(client, "/")
    retry(candidate, "grace")
    judge.judge(candidate.revision.pk, "test")
    candidate.refresh_from_db()
    assert candidate.stage != Stage.SCREENING


def test_while_wake_ups_wait_for_a_worker_nobody_is_said_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project()
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    Message.objects.all().delete()
    later(candidate, minutes=5)
    monkeypatch.setattr("research_app.machine.broker.waiting", lambda _: 3)
    watchdog.watch()
    candidate.refresh_from_db()
    assert candidate.needs_attention == ""


def test_a_stuck_run_of_the_baseline_is_named_by_those_who_wait_for_it() -> None:
    project = small_project()
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    check.check(candidate.pk, "test")
    Message.objects.all().delete()
    Run.objects.filter(patch_set__candidate=candidate).update(state=State.FINISHED, outcome=Outcome.completed, score=1.0)
    curve = runs.request_run(project, project.tip(), None, Purpose.CURVE, 1, budget_share=0.8)
    Run.objects.filter(pk=curve.pk).update(state=State.STUCK, reason="The disk is full.")
    later(candidate, seconds=60)
    watchdog.watch()
    candidate.refresh_from_db()
    assert "It waits for baseline 0 seed 1 at S, which cannot be trained. The disk is full." in candidate.needs_attention
    retry_reference_runs(project, "grace")
    watchdog.watch()
    candidate.refresh_from_db()
    assert candidate.needs_attention == ""


@pytest.mark.one_in(2)
def test_a_landing_that_is_judged_again_on_a_tip_that_crashes_leaves_the_queue_with_the_reason() -> None:
    project = small_project()
    candidate = submit(project, BETTER)
    approve(Candidate.objects.with_evidence().get(pk=candidate.pk), approver(), Seen.of(candidate))
    Message.objects.all().delete()
    source = Path(project.source)
    (source / "train.py").write_text(TRAIN.replace("# what is measured,", "# what is measured, and what is not,"))
    git(source, "commit", "-qam", "Moved by hand")
    git(source, "push", "-q", str(project.repository.path), "HEAD:baseline")
    reconcile()
    adopt(project.external_moves.get(), approver(), "Moved by hand")
    tasks.land(project.pk)
    landing = Landing.objects.get(candidate=candidate)
    assert landing.state == LandingState.REJUDGING
    tip = project.tip()
    crashed = {"state": State.FINISHED, "outcome": Outcome.crashed, "reason": "RuntimeError: no shard 17"}
    Run.objects.filter(baseline=tip, patch_set=None).update(**crashed, finished_at=timezone.now())
    Message.objects.filter(task="train").delete()
    good = {"state": State.FINISHED, "outcome": Outcome.completed, "score": 0.9, "finished_at": timezone.now()}
    Run.objects.filter(patch_set=landing.patch_set_id).update(**good)
    later(candidate, minutes=5)
    watchdog.watch()
    landing.refresh_from_db()
    candidate.refresh_from_db()
    assert landing.state == LandingState.RETURNED and candidate.stage == Stage.READY
    assert "It could not be judged again on the new baseline" in candidate.why and "no shard 17" in candidate.why


# --- other steps


def test_a_proposer_that_fails_for_ever_is_in_the_inbox(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project()
    make_device()

    def broken(*_: object) -> None:
        raise ValueError("the flux is off")

    monkeypatch.setattr(propose, "context_of", broken)
    asked = propose.open_round(project, ["knobs"], 3, "ada")
    for _ in range(40):
        if Round.objects.get(pk=asked.pk).closed_at:
            break
        try:
            propose.propose(asked.pk, "test")
        except ValueError:
            Turn.objects.update(retry_at=None)
    words = page(client, "/")
    assert "The proposers failed: It failed 3 times; the last time: ValueError: the flux is off" in words


def test_an_ablation_that_fails_is_in_the_inbox(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project()
    first, second = submit(project, BETTER), submit(project, ("WIDTH = 64", "WIDTH = 96"))
    started = ablate.begin_ablation(project, [first, second], False, "grace")
    monkeypatch.setattr(ablate, "take_step", lambda *_: (_ for _ in ()).throw(ValueError("no such tree")))
    for _ in range(3):
        with pytest.raises(ValueError, match="no such tree"):
            ablate.check_stack(started.pk, "test")
    ablate.check_stack(started.pk, "test")
    words = page(client, "/")
    assert f"ablation {started.pk}" in words and "the last time: ValueError: no such tree" in words


def test_a_run_on_which_a_detector_failed_is_in_the_inbox_for_a_day() -> None:
    project = small_project()
    Run.objects.filter(seed=1).update(failed_step="looking for what is odd about it")
    [trouble] = troubles([project])
    assert trouble.name == "1 run of the last day" and "looking for what is odd about it" in trouble.why
    Run.objects.update(finished_at=timezone.now() - timedelta(days=2))
    assert troubles([project]) == []


def test_candidates_that_say_the_same_are_one_entry_and_are_tried_again_by_one_click(client: Client) -> None:
    project = small_project()
    for width in (96, 128):
        check.submit(project, patch(("WIDTH = 64", f"WIDTH = {width}")), "Wider", category="optimiser", author="ada")
    Candidate.objects.update(needs_attention="The repository is gone.")
    [trouble] = troubles([project])
    assert trouble.name == "2 candidates: C-1, C-2" and trouble.picks == [1, 2]
    client.post("/projects/small/candidates/bulk/", {"action": "retry", "pick": ["1", "2"], "back": "inbox"})
    assert not Candidate.objects.exclude(needs_attention="").exists()


def test_a_reconciler_whose_pass_failed_says_so_in_doctor() -> None:
    until = timezone.now() + timedelta(minutes=1)
    TaskLease.objects.create(name="reconciler", lease_until=until, leased_by="box/7", last_error="KeyError: 'L'")
    finding = reconciler()
    assert not finding.ok and "its last pass failed: KeyError: 'L'" in finding.detail


def test_all_is_well_costs_no_attention() -> None:
    project = small_project()
    submit(project, BETTER)
    events = Event.objects.count()
    watchdog.watch()
    assert Event.objects.count() == events
