"""A step of a candidate that ends it or stands still, a baseline that cannot be measured, a queue that is held up."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from research_app.loop import runs
from research_app.loop.attention import watchdog
from research_app.loop.check import check
from research_app.loop.judge import judge
from research_app.loop.land import land
from research_app.loop.land.external_moves import adopt, notice_moved_branches
from research_app.loop.propose import propose
from research_app.loop.review.review import Seen, approve
from research_app.loop.stacks.ablate import begin_ablation
from research_app.models import Candidate, Message, Purpose, Round, Run, Stage, State, Turn
from research_app.models.lease import MAX_ATTEMPTS
from tests.ends.table import end
from tests.ends.world import PAUSE, World
from tests.factories import make_candidate
from tests.small_project import BETTER, TRAIN, WIDER, WORSE, approver, git
from training.spec import Outcome

MEND = "by “Try again”"


def judged(world: World, *changes: tuple[str, str]) -> Candidate:
    """A candidate after everything that was woken for it."""
    candidate = world.enter(*changes)
    world.finish()
    candidate.refresh_from_db()
    return candidate


@end("Its change does not parse", "a real syntax error", "train.py, line … does not parse: …")
def test_a_change_that_does_not_parse(world: World) -> str:
    edits = [("train.py", "WIDTH = 64", "WIDTH = (")]
    candidate = make_candidate(world.project, edits=edits, stage=Stage.PROPOSED, effect=None)
    check.check(candidate.pk, "test")
    return world.address(candidate)


@end("Its change was tried before", "the same change, twice", "tried before as C-1")
def test_a_change_that_was_tried_before(world: World) -> str:
    world.queue(BETTER)
    world.project.refresh_from_db()
    edits = [("train.py", *BETTER)]
    candidate = make_candidate(world.project, edits=edits, stage=Stage.PROPOSED, effect=None)
    Candidate.objects.filter(pk=candidate.pk).update(patch_set=None)
    candidate.patch_sets.all().delete()
    check.check(candidate.pk, "test")
    return world.address(candidate)


@end("Its run crashes", "a real exception in a real run", "crashed … The training command failed with exit code 1.", again=MEND)
def test_a_candidate_whose_run_crashes(world: World) -> str:
    return world.address(judged(world, (PAUSE, "raise RuntimeError('no')\n" + PAUSE)))


@end(
    "Its checks keep failing",
    "the repository is moved away, three times",
    "Needs attention. Checking failed 3 times; the last time: …",
    inbox="C-1: checking Checking failed 3 times; the last time: …",
    again="3 times, with pauses; then " + MEND,
)
def test_checks_that_keep_failing(world: World) -> str:
    candidate, path = world.enter(BETTER), world.project.repository.path
    path.rename(path.with_suffix(".away"))
    for attempt in range(MAX_ATTEMPTS):
        try:
            check.check(candidate.pk, "test")
        except Exception:
            assert attempt < MAX_ATTEMPTS - 1
    path.with_suffix(".away").rename(path)
    return world.address(candidate)


@end(
    "Judging it keeps failing",
    "an exception in the judge (injected)",
    "Needs attention. Judging failed 3 times; the last time: ValueError: the flux is off",
    inbox="C-1: screening Judging failed 3 times; the last time: ValueError: the flux is off",
    again="3 times, with pauses; then " + MEND,
)
def test_a_judge_that_keeps_failing(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(judge, "judge_look", lambda *_: (_ for _ in ()).throw(ValueError("the flux is off")))
    run = world.queue(BETTER)
    world.train(run)
    assert run.patch_set is not None
    for attempt in range(MAX_ATTEMPTS):
        try:
            judge.judge(run.patch_set.pk, "test")
        except ValueError:
            assert attempt < MAX_ATTEMPTS - 1
    return world.address(run.patch_set.candidate)


def reference(world: World, **fields: object) -> None:
    """How the runs of the baseline ended."""
    world.project.runs.of_baseline().update(**fields)


@end(
    "All runs of the baseline score the same",
    "a target whose seed does not reach the training",
    "All 4 runs of baseline 0 scored exactly the same, 1, whatever their seed. The code must read the "
    "environment variable SIGNOFF_SEED",
    inbox="All 4 runs of baseline 0 scored exactly the same, 1, whatever their seed. The code must read the "
    "environment variable SIGNOFF_SEED … 1 candidate waits for it. Nothing is proposed until it can be "
    "measured.",
)
def test_a_baseline_whose_runs_score_the_same(world: World) -> str:
    reference(world, score=1.0)
    return world.address(judged(world, BETTER))


@end(
    "The baseline's runs crash",
    "four real runs that crash",
    "4 of 4 runs of baseline 0 did not end well (4 crashed). … RuntimeError: no shard 17",
    inbox="baseline 0 4 of 4 runs of baseline 0 did not end well (4 crashed). … RuntimeError: no shard 17 … "
    "Mend what stands in the way and choose “Try again”",
    again=MEND,
)
def test_a_baseline_that_crashes(world: World) -> str:
    crash_baseline(world)
    return "/projects/small/"


def crash_baseline(world: World) -> None:
    """A version of the baseline whose four runs really crash."""
    text = TRAIN.replace(PAUSE, "raise RuntimeError('no shard 17')\n" + PAUSE)
    change = world.project.repository.change_from_edits(world.project.tip().commit, [("train.py", TRAIN, text)], "Crash", "ada")
    tip = world.project.tip()
    type(tip).objects.filter(pk=tip.pk).update(commit=change.commit, tree=change.tree)
    world.project.repository.keep("crash", change.commit)
    world.measure_baseline()


@end(
    "The baseline's runs hang",
    "their outcome, as it is recorded at the wall limit",
    "4 of 4 runs of baseline 0 did not end well (4 timed out). … Still running after its limit of 1 s",
    inbox="did not end well (4 timed out). … Still running after its limit of 1 s",
    again=MEND,
)
def test_a_baseline_that_hangs(world: World) -> str:
    why = "Still running after its limit of 1 s, so it was killed. It printed nothing."
    reference(world, outcome=Outcome.timed_out, reason=why, score=None)
    return "/projects/small/"


@end(
    "The baseline's runs overshoot their budget",
    "facts of 105 tokens for a budget of 100",
    "4 of 4 runs of baseline 0 spent more than their budget. Candidates may spend as much, and are compared all the same.",
    inbox="4 of 4 runs of baseline 0 spent more than their budget.",
)
def test_a_baseline_that_overshoots(world: World) -> str:
    reference(world, facts={"findings": [{"detector": "budget overrun", "level": "info", "sentence": "105 of 100"}]})
    return "/projects/small/"


@end(
    "A run of the baseline is stuck",
    "a curve run that a worker failed on, while a candidate waits for it",
    "Needs attention. It waits for baseline 0 seed 1 at S, which cannot be trained. The disk is full.",
    inbox="It waits for baseline 0 seed 1 at S, which cannot be trained. The disk is full.",
    again=MEND,
)
def test_a_stuck_run_of_the_baseline(world: World) -> str:
    run = world.queue(BETTER)
    world.train(run)
    Message.objects.all().delete()
    curve = runs.request_run(world.project, world.project.tip(), None, Purpose.CURVE, 1, budget_share=0.8)
    Run.objects.filter(pk=curve.pk).update(state=State.STUCK, reason="The disk is full.")
    assert run.patch_set is not None
    quiet(run.patch_set.candidate, minutes=1)
    watchdog.watch()
    return world.address(run.patch_set.candidate)


def quiet(candidate: Candidate, **ago: float) -> None:
    """So much time passes without anything."""
    then = timezone.now() - timedelta(**ago)
    Candidate.objects.filter(pk=candidate.pk).update(stage_since=then)
    Run.objects.filter(finished_at__isnull=False).update(finished_at=then)


@end(
    "No worker serves its device",
    "runs for a GPU on a fleet without one",
    "It waits for a device: no worker serves the queue train.cuda.",
    inbox="1 run waits for a device No worker serves the queue train.cuda, so nothing of this is trained. Start one: …",
    again="by itself, once there is one",
)
def test_a_device_that_nobody_serves(world: World) -> str:
    run = world.queue(BETTER)
    Run.objects.filter(pk=run.pk).update(queue="train.cuda", created_at=timezone.now() - timedelta(minutes=2))
    assert run.patch_set is not None
    return world.address(run.patch_set.candidate)


@end(
    "Its worker takes no work",
    "a device below the project's sandbox level",
    "It waits for a device: the worker of the queue train.cpu takes no work. Project small needs the "
    "sandbox level basic, this machine has none.",
    inbox="The only worker of the queue train.cpu takes no work: Project small needs the sandbox level basic",
    again="by itself, once that is mended",
)
def test_a_worker_that_takes_no_work(world: World) -> str:
    run = world.queue(BETTER)
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(minutes=2))
    type(world.device).objects.update(sandbox_level="none")
    world.device.refresh_from_db()
    assert Run.claim_next(run.queue, world.device) is None
    assert run.patch_set is not None
    return world.address(run.patch_set.candidate)


@end(
    "Nothing is on its way, and nobody knows why",
    "five minutes without a message, a run or a step",
    "Needs attention. Nothing is queued, running or due for it since … UTC, and why is not known.",
    inbox="C-1: screening Nothing is queued, running or due for it since",
    again=MEND,
)
def test_a_candidate_that_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    run = world.queue(BETTER)
    world.train(run)
    Message.objects.all().delete()
    monkeypatch.setattr("research_app.machine.broker.waiting", lambda _: 0)
    assert run.patch_set is not None
    quiet(run.patch_set.candidate, minutes=5)
    watchdog.watch()
    return world.address(run.patch_set.candidate)


def in_the_queue(world: World, *changes: tuple[str, str]) -> Candidate:
    """An approved candidate at the head of the landing queue."""
    world.measure_baseline()
    candidate = judged(world, *changes)
    approve(Candidate.objects.with_evidence().get(pk=candidate.pk), approver(), Seen.of(candidate))
    Message.objects.all().delete()
    return Candidate.objects.get(pk=candidate.pk)


@end(
    "Its landing conflicts with what landed meanwhile",
    "a branch that was moved by hand, on the same line",
    "It clashes with what somebody changed by hand (baseline 1): both alter the same lines of train.py.",
    again="by its author's answer",
)
def test_a_landing_that_conflicts(world: World, tmp_path: Path) -> str:
    candidate = in_the_queue(world, BETTER)
    move_branch(world, tmp_path, "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.03")
    land.land(world.project.pk, "test")
    return world.address(candidate)


def move_branch(world: World, folder: Path, old: str, new: str, *, taken_over: bool = True) -> None:
    """Somebody commits to the baseline branch by hand, and somebody who may takes that over."""
    copy = folder / "copy"
    git(folder, "clone", "-q", "-b", "baseline", str(world.project.repository.path), str(copy))
    text = (copy / "train.py").read_text()
    assert old in text
    (copy / "train.py").write_text(text.replace(old, new))
    git(copy, "commit", "-qam", "By hand")
    git(copy, "push", "-q", "origin", "HEAD:baseline")
    notice_moved_branches()
    if taken_over:
        adopt(world.project.external_moves.get(), approver(), "It was meant")


@end(
    "The branch was moved by hand while it waits to land",
    "a real push past Signoff that nobody has taken over",
    "Its landing is held up: The branch was moved outside Signoff, from … to …",
    inbox="landing of C-1 The branch was moved outside Signoff, from … to …",
    again="by itself, once somebody decided",
)
def test_a_branch_that_was_moved_by_hand(world: World, tmp_path: Path) -> str:
    candidate = in_the_queue(world, BETTER)
    move_branch(world, tmp_path, "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.03", taken_over=False)
    land.land(world.project.pk, "test")
    return world.address(candidate)


@end(
    "Its landing cannot write",
    "no room while it writes (injected)",
    "Its landing is held up: [Errno 28] No space left on device",
    inbox="landing of C-1 [Errno 28] No space left on device",
    again="by itself, again and again",
)
def test_a_landing_that_is_held_up(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    candidate = in_the_queue(world, BETTER)
    monkeypatch.setattr(land, "step", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    land.land(world.project.pk, "test")
    return world.address(candidate)


@end(
    "It is to be judged again on a baseline that crashes",
    "a branch that was moved by hand to code whose runs crash",
    "It could not be judged again on the new baseline: 4 of 4 runs of baseline 1 did not end well (4 "
    "crashed). … RuntimeError: no shard 17",
    inbox="4 of 4 runs of baseline 1 did not end well (4 crashed)",
    again="by another approval",
)
def test_a_landing_on_a_baseline_that_crashes(world: World, tmp_path: Path) -> str:
    candidate = in_the_queue(world, BETTER)
    move_branch(world, tmp_path, "# what is measured,", "raise RuntimeError('no shard 17')")
    land.land(world.project.pk, "test")
    tip = world.project.tip()
    crashed = {"state": State.FINISHED, "outcome": Outcome.crashed, "reason": "RuntimeError: no shard 17"}
    Run.objects.filter(baseline=tip, patch_set=None).update(**crashed, finished_at=timezone.now())
    good = {"state": State.FINISHED, "outcome": Outcome.completed, "score": 0.9, "finished_at": timezone.now()}
    Run.objects.filter(baseline=tip, patch_set__candidate=candidate).update(**good)
    Message.objects.all().delete()
    quiet(candidate, minutes=1)
    watchdog.watch()
    return world.address(candidate)


@end(
    "Proposers keep failing",
    "an exception in what they are told (injected)",
    "The proposers failed: It failed 3 times; the last time: ValueError: the flux is off",
    inbox="proposing The proposers failed: It failed 3 times; the last time: ValueError: the flux is off",
    again="3 times a turn; after three turns less and less often",
)
def test_proposers_that_keep_failing(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(propose, "context_of", lambda *_: (_ for _ in ()).throw(ValueError("the flux is off")))
    asked = propose.open_round(world.project, ["knobs"], 3, "ada")
    for _ in range(40):
        if Round.objects.get(pk=asked.pk).closed_at:
            break
        try:
            propose.propose(asked.pk, "test")
        except ValueError:
            Turn.objects.update(retry_at=None)
    return "/projects/small/"


@end(
    "An ablation cannot take its changes apart",
    "two real changes of the same line",
    "C-2 cannot be switched without another: they alter the same lines of train.py. Leave one of them out.",
    inbox="ablation … C-2 cannot be switched without another",
)
def test_an_ablation_that_cannot_be_made(world: World) -> str:
    both = [judged(world, BETTER), judged(world, WORSE)]
    Candidate.objects.filter(pk__in=[each.pk for each in both]).update(stage=Stage.READY)
    started = begin_ablation(world.project, [Candidate.objects.get(pk=each.pk) for each in both], False, "grace")
    world.finish()
    return started.get_absolute_url()


@end("Nothing goes wrong", "a real change, screened, replicated, confirmed", "ready", again="–")
def test_a_candidate_that_ends_well(world: World) -> str:
    world.measure_baseline()
    candidate = judged(world, WIDER)
    assert candidate.stage == Stage.READY
    return world.address(candidate)
