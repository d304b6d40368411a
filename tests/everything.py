"""One project in which everything occurs: a candidate at every stage, votes, landings, trouble, runs that train, comments."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from agent.failure import Failure
from research_app.loop.review.review import Seen
from research_app.models import (
    Ablation,
    Candidate,
    Conversation,
    ConversationState,
    Decision,
    Gate,
    ImportedHistory,
    ImportedResult,
    LandingState,
    Project,
    Review,
    Round,
    SavedView,
    Stage,
    State,
    Thread,
    Trial,
    TrialState,
    Verdict,
)
from research_app.project_file.ladder import DEFAULT_LADDER
from tests.factories import make_candidate, make_device, make_landing, make_project, make_run, make_user, record
from training.spec import Outcome

DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4")]
WIDER = [("train.py", "WIDTH = 96", "WIDTH = 128")]
FASTER = [("train.py", "LEARNING_RATE = 3e-3", "LEARNING_RATE = 4e-3")]


def make_everything(slug: str = "demo") -> Project:
    """The project. The people in it are grace and linus, both approvers; whoever looks is somebody else."""
    project = make_project(slug, ladder=[rung.model_dump(mode="json") for rung in DEFAULT_LADDER])
    grace, linus = make_user("grace"), make_user("linus")
    landed = make_candidate(
        project, edits=DEEPER, hypothesis="Deeper", stage=Stage.LANDED, effect=0.03, runs=3, verdict=Verdict.SOLID
    )
    make_vote(landed, grace)
    make_landing(landed, LandingState.LANDED)
    shown = make_candidate(project, effect=0.033, runs=3, verdict=Verdict.SOLID, expected_effect="Less warm-up, more training.")
    make_vote(shown, linus, voided_at=timezone.now(), void_reason="Its evidence changed: it was judged again.")
    assert shown.patch_set
    shown.patch_set.flags = [
        {
            "detector": "edit near the budget",
            "level": "warning",
            "sentence": "WARMUP is near the budget",
            "path": "train.py",
            "line": 8,
        }
    ]
    shown.patch_set.save()
    Thread.objects.begin(shown.patch_set, "train.py", 8, "Does it hold with more text?", linus, quoted="WARMUP = 0.02")
    make_candidate(
        project, edits=WIDER, hypothesis="Wider", stage=Stage.SHORTLISTED, effect=0.02, runs=3, verdict=Verdict.SOLID
    )
    queued = make_candidate(
        project, edits=FASTER, hypothesis="Faster", stage=Stage.LANDING, effect=0.025, verdict=Verdict.SOLID
    )
    make_landing(queued, reason="It waits for the one before it.")
    for number, (stage, verdict) in enumerate(OTHERS.items()):
        warm = [("train.py", "WARMUP = 0.05", f"WARMUP = 0.{number + 11}")]
        words: dict[str, Any] = {"hypothesis": f"Warm-up, {stage.label}", "why": f"It is {stage.label}."}
        away = timezone.now() if number == 0 else None
        effect = 0.004 * number - 0.012
        make_candidate(project, edits=warm, stage=stage, effect=effect, verdict=verdict, archived_at=away, **words)
    make_trouble(project)
    make_work(project)
    make_trials()
    check = Ablation.objects.create(project=project, version=project.tip(), asked_by="grace")
    check.candidates.set([landed, shown])
    program = {"project": project, "base": project.tip(), "model": "claude-sonnet-4-5", "category": "schedule"}
    Conversation.objects.create(**program, state=ConversationState.DECLINED, failure=Failure.GAVE_UP, reason="Nothing helps.")
    make_imported(project)
    SavedView.objects.create(user=grace, project=project, name="What is solid", query="verdict=solid", shared=True)
    return project


OTHERS = {
    Stage.DROPPED: Verdict.DROP,
    Stage.INVALID: Verdict.INVALID,
    Stage.INCONCLUSIVE: Verdict.INCONCLUSIVE,
    Stage.CHANGES: None,
    Stage.REJECTED: None,
    Stage.NO_TRANSFER: None,
    Stage.CONFIRMING: None,
}


def make_trouble(project: Project) -> None:
    """A candidate whose worker failed, one whose run crashed, and a device that rejects runs."""
    make_candidate(
        project, edits=(), effect=None, stage=Stage.CHECKING, needs_attention="The repository is gone. Bring it back."
    )
    crashed = make_candidate(project, edits=[("train.py", "WIDTH = 96", "WIDTH = 9600")], stage=Stage.CRASHED, effect=None)
    make_run(project.tip(), patch_set=crashed.patch_set, outcome=Outcome.crashed, reason="Killed: it wanted 40 GB of memory.")
    make_device("box/train.cpu.1", sandbox_level="basic", refusal="Project demo needs the sandbox level strong.")


def make_imported(project: Project) -> ImportedHistory:
    """What another loop reported: a baseline, a keep and a discard."""
    history = ImportedHistory.objects.create(
        project=project, name="exp/april", file="results.tsv", file_digest="a" * 64, metric="val_bpb", rows_digest="",
        imported_by="ada",
    )  # fmt: skip
    for number, (outcome, score) in enumerate((("baseline", 0.99), ("keep", 0.98), ("discard", 0.985)), 1):
        ImportedResult.objects.create(history=history, number=number, outcome=outcome, reported=score, description="Wider")
    history.rows_digest = history.digest_of_rows()
    history.save()
    return history


def make_work(project: Project) -> None:
    """A run that trains on a device, one that waits, and a round that goes on."""
    device = make_device(sandbox_level="strong")
    candidate = make_candidate(project, edits=[("train.py", "WIDTH = 96", "WIDTH = 64")], stage=Stage.SCREENING, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.43, device=device)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED, seed=2)
    Round.objects.create(project=project, proposers=["knobs"], wanted=12, opened_by="ada")
    record("round opened", project, project, "ada", wanted=12, opened=str(timezone.now() - timedelta(minutes=3)))


def make_trials() -> None:
    """Repositories on their way to being projects: one that is looked at, one that is tried, one that was."""
    grace = User.objects.get(username="grace")
    Trial.objects.create(source="https://example.org/nanogpt.git", slug="nanogpt", asked_by=grace)
    file = '[train]\ncommand = ["python", "train.py"]  # train.py line 3\n[metric]\nsource = "nanogpt"\nkey = "val_loss"\n'
    said = {"source": "/srv/research/nanoGPT", "slug": "shakespeare", "asked_by": grace, "file": file, "tried_file": file}
    log = "Copying /srv/research/nanoGPT\nTraining seed 1\n  3 points, step 2: train_loss 2, val_loss 2.1\n"
    Trial.objects.create(**said, state=TrialState.TRYING, log=log)
    lines = [
        {"text": "tokens per iteration will be: 16,384"},
        {"text": "step 0: train loss 4.2874, val loss 4.2823", "values": {"step": 0, "train_loss": 4.2874, "val_loss": 4.2823}},
    ]
    run = {"words": "seed 1", "seed": 1, "outcome": "completed", "reason": "Trained and scored.", "score": 2.31, "steps": 251,
           "seconds": 41.5, "spent": 251, "curves": [], "lines": lines, "missed": [], "level": "strong"}  # fmt: skip
    checks = [
        {"question": "Did it start, and end well?", "good": True, "answer": "It ran for 41.5 s in a sandbox of level strong."},
        {
            "question": "Does the seed change the result?",
            "good": False,
            "answer": "Both seeds gave 2.31.",
            "mend": "[seed] how",
        },
        {"question": "How large is the noise?", "good": None, "answer": "Two scores are needed."},
    ]
    Trial.objects.create(**said, state=TrialState.DRAFT, report={"runs": [run], "checks": checks, "failed": ""})


def make_vote(candidate: Candidate, reviewer: User, **fields: Any) -> Review:
    """An approval for the baseline, of what there is now."""
    seen = Seen.of(candidate)
    return Review.objects.create(
        candidate=candidate, patch_set=candidate.revision, gate=Gate.BASELINE, reviewer=reviewer, decision=Decision.APPROVE,
        diff_hash=seen.diff_hash, base_commit=seen.base_commit, evidence_hash=seen.evidence_hash,
        policy_version=seen.policy_version, **fields,
    )  # fmt: skip
