"""How a candidate ends that nothing went wrong with: by its verdict, or by what a person decides."""

from pathlib import Path

from django.contrib.auth.models import User

from research_app.loop.check import check
from research_app.loop.review import archive, review
from research_app.loop.review.review import Seen, approve
from research_app.models import Candidate, Stage
from tests.ends.table import end
from tests.ends.test_candidates import in_the_queue, judged, move_branch
from tests.ends.world import PAUSE, World
from tests.factories import make_candidate
from tests.small_project import BAD_WHEN_WIDE, WIDER, WORSE, approver


def at_the_gate(world: World) -> tuple[Candidate, User, Seen]:
    """A candidate that waits for a decision, somebody who may give one, and what they saw."""
    world.measure_baseline()
    candidate = judged(world, WIDER)
    assert candidate.stage == Stage.READY, candidate.why
    return Candidate.objects.with_evidence().get(pk=candidate.pk), approver(), Seen.of(candidate)


@end(
    "It changes nothing that counts",
    "a comment alone",
    "Nothing but comments or formatting differs from the baseline, so there is nothing to measure.",
)
def test_a_change_of_a_comment(world: World) -> str:
    return refused(world, ("train.py", "# How wide it is.", "# How wide it may be."))


@end("It touches what it may not", "a protected file", "README.md is protected: a candidate of this project may not change it.")
def test_a_change_of_a_protected_file(world: World) -> str:
    return refused(world, ("README.md", "# Small", "# Large"))


@end(
    "Its change does not apply",
    "lines that the baseline does not have",
    "The text to replace does not occur in train.py: copy it exactly from the base",
)
def test_a_change_that_does_not_apply(world: World) -> str:
    return refused(world, ("train.py", "WIDTH = 64", "WIDTH = 65"), proposed=("train.py", "WIDTH = 640", "WIDTH = 65"))


def refused(world: World, edit: tuple[str, str, str], proposed: tuple[str, str, str] | None = None) -> str:
    """A candidate whose check refuses it."""
    candidate = make_candidate(world.project, edits=[edit], stage=Stage.PROPOSED, effect=None)
    fields = {"patch_set": None, "proposed": {"edits": [list(proposed or edit)]}}
    Candidate.objects.filter(pk=candidate.pk).update(**fields)
    candidate.patch_sets.all().delete()
    check.check(candidate.pk, "test")
    candidate.refresh_from_db()
    assert candidate.stage == Stage.INVALID
    return world.address(candidate)


@end(
    "It changes nothing that runs",
    "a real change of a constant that is overridden further down",
    "It changes nothing that runs: with seed 1 it printed what the baseline printed, to the last digit (the score and 20 "
    "points of 1 curve; times, speeds and memory are not compared). … dropped",
)
def test_a_change_that_does_not_reach_the_training(world: World) -> str:
    world.measure_baseline()
    return world.address(judged(world, ("WIDTH = 64", "WIDTH = 128\nWIDTH = 64")))


@end("It is worse", "a real change, ten times too fast", "worse … dropped")
def test_a_candidate_that_is_worse(world: World) -> str:
    world.measure_baseline()
    candidate = judged(world, WORSE)
    assert candidate.stage == Stage.DROPPED
    return world.address(candidate)


@end(
    "It diverges on some seeds",
    "a real change whose score is far off on every third seed",
    "It diverged: with seed … it ended at a score of … the … other runs of its tree around",
)
def test_a_candidate_that_diverges_on_some_seeds(world: World) -> str:
    world.measure_baseline()
    lines = "import os\nif int(os.environ['SIGNOFF_SEED']) % 3 == 0:\n    print('score=9')\n    raise SystemExit\n"
    candidate = judged(world, WIDER, (PAUSE, lines + PAUSE))
    assert candidate.stage == Stage.CRASHED, (candidate.stage, candidate.why)
    return world.address(candidate)


@end("Somebody rejects it", "a vote", "rejected … Too wide for what it brings.", again="“Undo”, or reopened with a reason")
def test_a_candidate_that_is_rejected(world: World) -> str:
    candidate, grace, seen = at_the_gate(world)
    review.reject(candidate, grace, seen, "Too wide for what it brings.")
    return world.address(candidate)


@end("Somebody asks for changes", "a vote", "changes requested … Half as wide, please.", again="by its author's next patch set")
def test_a_candidate_that_is_to_be_changed(world: World) -> str:
    candidate, grace, seen = at_the_gate(world)
    review.request_changes(candidate, grace, seen, "Half as wide, please.")
    return world.address(candidate)


@end("It is put away", "archived after it was rejected", "archived", again="taken out again")
def test_a_candidate_that_is_archived(world: World) -> str:
    candidate, grace, seen = at_the_gate(world)
    review.reject(candidate, grace, seen, "Too wide for what it brings.")
    archive.archive(Candidate.objects.get(pk=candidate.pk), "grace")
    return world.address(candidate)


@end("It lands", "a real landing on a real branch", "landed … baseline 1", again="–")
def test_a_candidate_that_lands(world: World) -> str:
    candidate, grace, seen = at_the_gate(world)
    approve(candidate, grace, seen)
    world.finish()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.LANDED, candidate.why
    return world.address(candidate)


@end(
    "Its gain is gone on what landed meanwhile",
    "a branch that was moved by hand, so that it does harm there",
    "On baseline 1 it does harm. Worse: … It clashes with what landed since it was judged on baseline 0: "
    "baseline 1, moved outside Signoff.",
    again="by another approval",
)
def test_a_candidate_whose_gain_is_gone(world: World, tmp_path: Path) -> str:
    candidate = in_the_queue(world, WIDER)
    move_branch(world, tmp_path, *BAD_WHEN_WIDE)
    world.finish()
    candidate.refresh_from_db()
    assert candidate.stage not in (Stage.LANDING, Stage.LANDED), candidate.why
    return world.address(candidate)
