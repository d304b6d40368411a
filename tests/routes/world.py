"""One project in which everything occurs, and a candidate at every stage with everything, without a patch set and stuck."""

from dataclasses import asdict
from itertools import count
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from agent.failure import Failure
from research_app.evidence.ablation import Known, noise_of, report
from research_app.evidence.ablation_design import Point, Stack, points_of
from research_app.loop.notify.channel import CHANNELS
from research_app.models import (
    Ablation,
    AblationState,
    BaselineVersion,
    Candidate,
    Conversation,
    ConversationMessage,
    ConversationState,
    Delivery,
    DesignPoint,
    ExternalMove,
    ImportedHistory,
    ImportedResult,
    Kind,
    Landing,
    LandingState,
    MoveState,
    Note,
    Notification,
    Occasion,
    ProgramVersion,
    Project,
    Purpose,
    Push,
    PushState,
    ReportedOutcome,
    SavedView,
    ScaleUp,
    ScaleUpState,
    Sending,
    Stage,
    State,
    Thread,
    Token,
    Turn,
    TurnState,
    Verdict,
)
from tests.everything import make_everything
from tests.factories import BASE_SCORE, make_candidate, make_run
from tests.notify_samples import want
from training.spec import Outcome

VERDICT_AT = {
    Stage.INVALID: Verdict.INVALID,
    Stage.DROPPED: Verdict.DROP,
    Stage.INCONCLUSIVE: Verdict.INCONCLUSIVE,
    Stage.CRASHED: None,
}
TRANSFER = {
    "sentence": "It holds.", "p_value": 0.01, "promised": 0.3, "compute": 4.0,
    "below": {"rung": "S", "compute": 1.0, "saved": 0.3, "standard_error": 0.05},
    "predicted": {"saved": 0.25, "low": 0.1, "high": 0.4},
}  # fmt: skip
UNJUDGED = (Stage.PROPOSED, Stage.CHECKING, Stage.CRASHED, Stage.SCREENING)


def make_world() -> Project:
    """The project, and ada beside it, who may do everything and has a token and views."""
    project = make_everything()
    grace = User.objects.get(username="grace")
    for number, stage in enumerate(Stage):
        every_shape(project, stage, number)
    scale_up(project, grace)
    queue(project)
    talk(project, grace)
    check_stacks(project)
    tell_people(project)
    move_outside(project, grace)
    import_histories(project)
    project.refresh_from_db()
    return project


def every_shape(project: Project, stage: Stage, number: int) -> None:
    """A candidate at a stage three times: with all there is, without a patch set, and failed by the machine."""
    words: dict[str, Any] = {"hypothesis": f"It is {stage.label}", "why": f"Why it is {stage.label}.", "stage": stage}
    edits = [("train.py", "WIDTH = 96", f"WIDTH = {number + 100}"), ("train.py", "WARMUP = 0.05", f"WARMUP = 0.{number + 40}")]
    verdict = VERDICT_AT.get(stage, Verdict.SOLID)
    effect = None if stage in UNJUDGED else 0.004 * (number - 4)
    whole = make_candidate(project, edits=edits, effect=effect, runs=2, verdict=verdict, **words)
    if stage in (Stage.SCREENING, Stage.CRASHED):
        every_run(project, whole)
    make_candidate(project, edits=(), effect=None, **words)
    stuck = make_candidate(project, edits=edits[:1], effect=None, needs_attention="It was killed. Look at the log.", **words)
    make_run(project.tip(), patch_set=stuck.patch_set, state=State.STUCK, reason="It was killed.", seed=5)


def every_run(project: Project, candidate: Candidate) -> None:
    """A run in every state, and one with every outcome."""
    tip, seeds = project.tip(), count(900 + 100 * candidate.number)
    for state in (State.RUNNING, State.QUEUED, State.STUCK):
        make_run(tip, patch_set=candidate.patch_set, seed=next(seeds), state=state, progress=0.5, reason="Why.")
    for outcome in Outcome:
        make_run(tip, patch_set=candidate.patch_set, seed=next(seeds), outcome=outcome, reason=f"It ended as {outcome}.")


def candidate_at(project: Project, stage: Stage) -> Candidate:
    """The whole one."""
    found = project.candidates.filter(stage=stage, hypothesis__startswith="It is", patch_set__isnull=False, needs_attention="")
    return found.select_related("project", "patch_set", "evidence").order_by("number").get()


def scale_up(project: Project, grace: User) -> None:
    """A scale-up in each of its states, with runs and evidence on a larger rung."""
    rung = project.file.upper_rungs[0]
    step = {"rung": rung.name, "seeds": 2, "runs": 4, "hours": 0.1, "at_most": 0.5, "money": 1.0}
    stages = dict(
        zip(ScaleUpState, (Stage.SCALING_UP, Stage.READY, Stage.NO_TRANSFER, Stage.SHORTLISTED, Stage.REJECTED), strict=True)
    )
    for state, stage in stages.items():
        candidate = candidate_at(project, stage)
        ended = None if state == ScaleUpState.RUNNING else timezone.now()
        ScaleUp.objects.create(
            project=project, candidate=candidate, patch_set=candidate.revision, rungs=[step], rung=rung.name, state=state,
            reason="Why it ended.", approved_by=grace, ended_at=ended,
        )  # fmt: skip
        for seed in (1, 2):
            make_run(
                project.tip(), patch_set=candidate.patch_set, seed=seed, scale=rung.name, purpose=Purpose.SCALE_UP, devices=2
            )
        if ended and candidate.evidence:
            above = candidate.evidence
            above.pk, above.scale = None, rung.name
            above.numbers |= {"savings": {"saved": 0.2, "low": 0.1, "high": 0.3, "extrapolated": False}}
            above.numbers |= {"transfer": TRANSFER | {"passed": state == ScaleUpState.PASSED}}
            above.content_hash = above.compute_hash()
            above.save(force_insert=True)
    for seed in (1, 2):
        make_run(project.tip(), seed=seed, scale=rung.name, purpose=Purpose.SCALE_UP, score=BASE_SCORE - 0.2)
    for share in (0.8, 0.9, 1.15, 1.3):
        make_run(project.tip(), seed=1, budget_share=share, purpose=Purpose.CURVE, score=BASE_SCORE - 0.1 * share)


def queue(project: Project) -> None:
    """The landing queue with an entry of every state, a push that failed, and a landing with a contradiction."""
    landing = candidate_at(project, Stage.LANDING)
    for state in (LandingState.QUEUED, LandingState.REJUDGING):
        owner = landing if state == LandingState.REJUDGING else candidate_at(project, Stage.READY)
        Landing.objects.create(
            project=project,
            candidate=owner,
            patch_set=owner.revision,
            state=state,
            reason="It waits.",
            trouble="The disk is full.",
        )
    conflict = candidate_at(project, Stage.CONFLICT)
    Landing.objects.create(
        project=project, candidate=conflict, patch_set=conflict.revision, state=LandingState.RETURNED, reason="It conflicts.",
        ended_at=timezone.now(),
    )  # fmt: skip
    landed = candidate_at(project, Stage.LANDED)
    version = BaselineVersion.objects.create(
        project=project, number=project.tip().number + 1, commit=landed.revision.commit, tree=landed.revision.tree, dropped=[1]
    )
    Landing.objects.create(
        project=project, candidate=landed, patch_set=landed.revision, state=LandingState.LANDED, version=version,
        commit=version.commit, contradictions="A later check did not find it again.",
    )  # fmt: skip
    Push.objects.create(project=project, version=version, state=PushState.WAITING, reason="The remote is away.", failures=3)
    revert = candidate_at(project, Stage.INCONCLUSIVE)
    Candidate.objects.filter(pk=revert.pk).update(kind=Kind.REVERT, reverts=version)


def talk(project: Project, grace: User) -> None:
    """A conversation of every state with what was said, notes, a program, threads, turns, views and a token."""
    base = project.tip()
    program = ProgramVersion.objects.create(project=project, number=1, text="# Do it\n", note="first", written_by=grace)
    shown = candidate_at(project, Stage.READY)
    failures = {ConversationState.FAILED: Failure.REFUSED, ConversationState.DECLINED: Failure.GAVE_UP}
    for state in ConversationState:
        row = Conversation.objects.create(
            project=project, base=base, model="claude-opus-5-5", category="schedule", state=state, program=program,
            failure=failures.get(state, ""), reason="Why.", cost=0.12, input_tokens=900,
        )  # fmt: skip
        row.about.add(shown)
        said: list[dict[str, Any]] = [
            {"type": "text", "text": "Let me see."},
            {"type": "thinking", "thinking": "Hm."},
            {"type": "tool_use", "id": "t1", "name": "edit_file", "input": {"path": "train.py", "old": "a\nb", "new": "c"}},
            {"type": "tool_result", "tool_use_id": "t1", "content": "done", "is_error": True},
        ]
        ConversationMessage.objects.create(
            conversation=row, number=1, role="assistant", content=said, cost=0.01, problem="It broke off."
        )
    Note.objects.create(project=project, text="Mind the warm-up.", written_by=grace)
    Note.objects.create(project=project, candidate=shown, text="Try it with less.", written_by=grace)
    asked = project.rounds.get()
    for number, turn in enumerate(TurnState, 1):
        Turn.objects.create(
            project=project, round=asked, number=number, proposer="knobs", mode="explore", base=base, state=turn, note="Why."
        )
    for path, line in (("train.py", 8), ("train.py", None), ("gone.py", 3)):
        Thread.objects.begin(shown.revision, path, line, "Does it hold?", grace, quoted="WARMUP")
    ada = User.objects.create_user("ada", password="correct horse battery")
    ada.groups.set(grace.groups.all())
    SavedView.objects.create(user=ada, project=project, name="Mine", query="stage=ready&until=2026-01-01")
    Token.make(ada, "outsider", ["read", "submit"], 1)


def move_outside(project: Project, grace: User) -> None:
    """A move of the branch in every state, with a commit that claims to be a landing."""
    commit = {"commit": "3" * 40, "subject": "By hand", "author": "P", "at": "2026-01-01T00:00:00+00:00", "claims": ["demo/1"]}
    for state in MoveState:
        ended = {} if state == MoveState.WAITING else {"ended_at": timezone.now(), "ended_by": grace, "reason": "Why."}
        ExternalMove.objects.create(
            project=project, before=project.tip(), commit="3" * 40, commits=[commit], added=3, dropped=[1], state=state, **ended
        )


def tell_people(project: Project) -> None:
    """A message in every state, about a candidate, and an address that is paused."""
    ada, shown = User.objects.get(username="ada"), candidate_at(project, Stage.READY)
    want(ada, email="at_once", webhook="digest", webhook_url="https://example.org/hook/abcd")
    for state in Sending:
        for channel in CHANNELS:
            message = Delivery.objects.create(
                user=ada, channel=channel, occasion=Occasion.AT_ONCE, state=state, subject="Yours"
            )
            Notification.objects.create(
                user=ada, candidate=shown, turn=timezone.now(), stage=shown.stage, channel=channel, delivery=message
            )


def check_stacks(project: Project) -> None:
    """An ablation of every state; the finished one with its report, and one of before, which found averages alone."""
    members = sorted(
        [candidate_at(project, Stage.READY), candidate_at(project, Stage.LANDED)], key=lambda member: member.number
    )
    landed = Point(str(member.number) for member in members if member.stage == Stage.LANDED)
    stack = Stack(tuple(str(member.number) for member in members), landed)
    scores = {
        point: [2.1 - 0.02 * (place == 1) + 0.003 * n for n in range(runs)]
        for place, (point, runs) in enumerate(points_of(stack).items())
    }
    again = {point: [2.1 + 0.003 * n for n in range(16)] for point in (landed, Point())}
    found = asdict(report(stack, scores, again, noise_of(scores.values(), None), Known())) | {"runs": 22, "asked": 22}
    average = {"effect": 0.01, "standard_error": 0.004, "interval": [0.002, 0.018], "unhelpful": False}
    earlier = {"effects": [average | {"change": change} for change in stack.changes], "bundle": {"sentence": "No sum."}}
    checks = [(state, found if state == AblationState.FINISHED else {}) for state in AblationState]
    for state, told in [*checks, (AblationState.FINISHED, earlier | {"sigma": 0.007, "runs": 4, "asked": 4})]:
        check = Ablation.objects.create(
            project=project, version=project.tip(), asked_by="grace", state=state, reason="Why.", result=told
        )
        check.candidates.set(members)
        for row in range(4):
            cell = DesignPoint.objects.create(check_of=check, row=row, on=[members[0].number], commit=project.tip().commit)
            make_run(project.tip(), seed=1, purpose=Purpose.STACK, cell=cell)


def import_histories(project: Project) -> None:
    """A history with rows of every outcome, with and without diffs, one that is judged again; and one of a single row."""
    shown = project.candidates.filter(patch_set__isnull=False).select_related("patch_set").order_by("number").first()
    whole = ImportedHistory.objects.create(
        project=project, name="exp/<b>march", file="results.tsv", file_digest="a" * 64, source="../autoresearch",
        branch="exp/march", tip="b" * 40, metric="val_bpb", rows_digest="c" * 64, imported_by="ada",
    )  # fmt: skip
    assert shown and shown.patch_set
    outcomes = [ReportedOutcome.BASELINE, *([ReportedOutcome.DISCARD] * 9), ReportedOutcome.KEEP, ReportedOutcome.CRASH]
    for number, outcome in enumerate(outcomes, 1):
        with_diff = outcome == ReportedOutcome.KEEP
        ImportedResult.objects.create(
            history=whole, number=number, outcome=outcome, description=f"seed {number}", extra={"memory_gb": "44.0"},
            reported=None if outcome == ReportedOutcome.CRASH else 0.99 - 0.0001 * number, commit=f"{number:07}", author="Karl",
            message="As the commit says", at=timezone.now(), diff=shown.patch_set.diff if with_diff else "", added=1, removed=1,
            why_no_diff="" if with_diff else "The table names no commit.", contradictions=["It says so."] if with_diff else [],
            candidate=shown if with_diff else None,
        )  # fmt: skip
    bare = ImportedHistory.objects.create(
        project=project, name="alone", file="r.tsv", file_digest="", metric="loss", rows_digest="", imported_by="ada"
    )
    ImportedResult.objects.create(history=bare, number=1, outcome=ReportedOutcome.DISCARD)
