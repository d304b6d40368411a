"""A candidate: one proposed change under review, and the stages of its way."""

import hashlib
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone

from agent.proposal import CATEGORIES
from agent.title import MOST, title_of
from research_app.models.baseline import BaselineVersion
from research_app.models.documents.candidate_origin import CandidateOrigin, origin_read
from research_app.models.documents.proposed_change import ProposedChange
from research_app.models.documents.typed_column import TypedColumn, document_in
from research_app.models.event import Event
from research_app.models.event_kinds import EventKind
from research_app.models.lease import FREE, Lease, Leased, LeaseLost
from research_app.models.outbox import Message
from research_app.models.project import Project, Round
from research_app.project_file.ladder import SMALLEST

if TYPE_CHECKING:
    from agent.proposal import JSON
    from research_app.models.patch_set import PatchSet


class Stage(models.TextChoices):
    """Where a candidate stands on its way (design, section 3)."""

    PROPOSED = "proposed", "proposed"
    CHECKING = "checking", "checking"
    SCREENING = "screening", "screening"
    REPLICATING = "replicating", "replicating"
    CONFIRMING = "confirming", "confirming"
    SHORTLISTED = "shortlisted", "shortlisted"
    SCALING_UP = "scaling_up", "scaling up"
    READY = "ready", "awaiting landing approval"
    CHANGES = "changes", "changes requested"
    LANDING = "landing", "landing"
    LANDED = "landed", "landed"
    INVALID = "invalid", "invalid"
    CRASHED = "crashed", "crashed"
    DROPPED = "dropped", "dropped"
    INCONCLUSIVE = "inconclusive", "inconclusive"
    REJECTED = "rejected", "rejected"
    NO_TRANSFER = "no_transfer", "no transfer"
    CONFLICT = "conflict", "conflict"


WAITING = (Stage.SHORTLISTED, Stage.READY)
DISCARDED = (
    Stage.INVALID,
    Stage.CRASHED,
    Stage.DROPPED,
    Stage.INCONCLUSIVE,
    Stage.REJECTED,
    Stage.NO_TRANSFER,
    Stage.CONFLICT,
)
AWAITING_AUTHOR = (Stage.CHANGES, Stage.CONFLICT)  # what goes on is another patch set, by the author
AWAITING_HUMAN = (*WAITING, *AWAITING_AUTHOR)
"""Stages in which somebody is told that it is their turn: reviewers at a gate, the author of what should be changed."""

IDLE = (*WAITING, Stage.CHANGES, Stage.LANDED, *DISCARDED)
"""Stages in which no machine works on the candidate: it waits for a person, or for its author, or is done."""

REOPENABLE = (Stage.DROPPED, Stage.INCONCLUSIVE, Stage.REJECTED, Stage.NO_TRANSFER, Stage.CHANGES)


class Author(models.TextChoices):
    """What kind of author proposed a candidate."""

    AGENT = "agent", "agent"
    SEARCH = "search", "search"
    PERSON = "person", "person"


class Kind(models.TextChoices):
    """What a candidate is made of."""

    CHANGE = "change", "change"
    STACK = "stack", "stack"  # several candidates together
    REMOVAL = "removal", "removal"  # takes a landed change out that nobody would miss
    REVERT = "revert", "revert"  # undoes one landing


class Cause(models.TextChoices):
    """What a candidate that needs attention waits for."""

    STEP = "step", "a step of its own that failed"
    RUN = "run", "a run that its worker failed on"
    BASELINE = "baseline", "a baseline that cannot be measured"
    NOTHING = "nothing", "nothing that is known"


class StageMoved(LeaseLost):
    """The candidate is no longer at the stage that the caller saw."""


COLOURS = 10  # hues of curves, which follow from the number
LONG = ("hypothesis", "proposed", "details", "why")  # fields that lists of other things need not read


class CandidateQuerySet(models.QuerySet["Candidate"]):
    def waiting_for_review(self) -> Self:
        """Candidates at a gate: a person's turn."""
        return self.filter(stage__in=WAITING)

    def under_way(self) -> Self:
        """Candidates that a machine works on, or should."""
        return self.exclude(stage__in=IDLE).filter(needs_attention="")

    def on_the_baseline(self) -> Self:
        """What landed and was not taken back."""
        return self.filter(stage=Stage.LANDED, undone_by=None)

    def with_evidence(self) -> Self:
        """For lists: all that a row shows, without further queries per row (one more in all)."""
        return self.with_patch_set().prefetch_related(failed_at_rungs())

    def with_patch_set(self) -> Self:
        """For one candidate: with its project, patch set, evidence and author, in one query."""
        return self.with_stage().select_related("project", "patch_set", "evidence", "submitted_by")

    def with_stage(self) -> Self:
        """With what the words for its stage need: the number of the earlier try that it is a duplicate of."""
        return self.select_related("duplicate_of").defer(*(f"duplicate_of__{name}" for name in LONG))


def failed_at_rungs(prefix: str = "") -> "models.Prefetch[Any]":
    """Evidence of larger rungs on which a guard failed, for candidates at `prefix` of a query."""
    evidence = apps.get_model("research_app", "Evidence").objects.exclude(scale=SMALLEST).exclude(failed_guards=[])
    evidence = evidence.only("patch_set", "scale", "failed_guards").order_by("pk")
    return models.Prefetch(f"{prefix}patch_set__evidence", evidence, to_attr="failed_at_rungs")


class Candidate(Leased):
    """One proposed change: hypothesis, category, author, stage. Its code stands in patch sets."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="candidates")
    number = models.PositiveIntegerField()
    round = models.ForeignKey(Round, null=True, blank=True, on_delete=models.PROTECT, related_name="candidates")
    title = models.CharField(max_length=MOST, help_text="The change in one line; cut from the hypothesis where none was given")
    hypothesis = models.TextField()
    category = models.CharField(max_length=20, choices=[(name, name) for name in CATEGORIES])
    expected_effect = models.CharField(max_length=500, blank=True)
    author_kind = models.CharField(max_length=10, choices=Author.choices)
    author = models.CharField(max_length=100, help_text="Name of the proposer or person")
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    base = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="candidates")
    proposed: "models.JSONField[object, object]" = models.JSONField(
        default=dict, help_text='What came in: {"edits": [[path, old, new], …]} or {"patch": text}'
    )
    details: "models.JSONField[dict[str, JSON], dict[str, JSON]]" = models.JSONField(
        default=dict, help_text="What the proposer wants to be told again, for example constants"
    )
    origin: TypedColumn[CandidateOrigin] = TypedColumn("details", origin_read, CandidateOrigin.written)

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHANGE)
    members = models.ManyToManyField("self", symmetrical=False, related_name="stacks", blank=True)  # of a stack
    reverts = models.ForeignKey(
        BaselineVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reverted_by",
        help_text="The landing that a revert or a removal takes back",
    )
    aa = models.BooleanField(default=False, help_text="An A/A candidate: it changes nothing. Shown once it is decided")
    stage = models.CharField(max_length=15, choices=Stage.choices, default=Stage.PROPOSED)
    stage_since = models.DateTimeField(default=timezone.now)
    announced_for = models.DateTimeField(
        null=True, blank=True, help_text="The stage_since for which the people whose turn it is were told"
    )
    why = models.TextField(blank=True, help_text="Why it is at this stage, in a sentence")
    duplicate_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="duplicates", help_text="The earlier try"
    )
    needs_attention = models.TextField(blank=True, help_text="Why it failed, with what to do")
    attention_cause = models.CharField(max_length=10, choices=Cause.choices, blank=True)
    undone_by = models.ForeignKey(
        BaselineVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="undoes",
        help_text="The version with which what landed was taken off the baseline again: a revert, a removal, a move by hand",
    )
    created_at = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True, blank=True, help_text="Put away by a person: lists leave it out")
    proposal = document_in("proposed", ProposedChange)
    # The newest of each, so that lists need no sub-queries.
    patch_set = models.OneToOneField(
        "research_app.PatchSet", null=True, blank=True, on_delete=models.PROTECT, related_name="current_of"
    )
    evidence = models.OneToOneField(
        "research_app.Evidence", null=True, blank=True, on_delete=models.PROTECT, related_name="current_of"
    )

    objects = CandidateQuerySet.as_manager()

    SEALED = (
        "project_id", "number", "title", "hypothesis", "category", "expected_effect", "author_kind", "author",
        "submitted_by_id", "kind", "aa", "created_at",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="candidate_number_once")]
        indexes = [
            models.Index(fields=["project", "stage", "-number"], name="candidate_by_stage"),  # list and funnel
            models.Index(fields=["stage"], name="candidate_of_stage"),  # whose turn it is, in any project
            models.Index(fields=["project"], condition=models.Q(aa=True), name="candidate_aa"),  # the false accepts
        ]

    def __str__(self) -> str:
        return f"C-{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """With a title, whoever made it."""
        self.title = self.title or title_of(self.hypothesis)
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return f"/projects/{self.project.slug}/candidates/{self.number}/"

    @property
    def colour(self) -> str:
        """`c0` to `c9`: what its curves and the dot beside its name have on every page (static/css/tokens.css)."""
        return f"c{self.number % COLOURS}"

    @property
    def beyond_title(self) -> str:
        """The hypothesis where it says more than the title does; empty otherwise."""
        words = self.hypothesis.strip()
        if " ".join(words.split()).removesuffix(".") == self.title:
            return ""
        first, _, rest = words.partition("\n")
        return rest.strip() if rest.strip() and " ".join(first.split()) == self.title else words

    def get_stage_display(self) -> str:  # type: ignore[no-redef]  # Django leaves one that a model defines
        """Where it stands, in words: what was refused as tried before is called a duplicate, not invalid."""
        if self.stage == Stage.INVALID and self.duplicate_of is not None:
            return f"duplicate of {self.duplicate_of}"
        return str(Stage(self.stage).label)

    @property
    def revision(self) -> "PatchSet":
        """The current patch set. Every candidate that passed its checks has one; ValueError for another."""
        if self.patch_set is None:
            raise ValueError(f"{self} has no patch set: it is {self.get_stage_display()}.")
        return self.patch_set

    @property
    def reason_needed(self) -> str:
        """Why approving it needs a written reason; empty where it needs none."""
        reasons = [f"A guard fails ({'; '.join(failed)})"] if (failed := self.failed_guards) else []
        if self.evidence is None or self.evidence.verdict != "solid":
            harm = self.evidence is not None and self.evidence.verdict == "worse"
            reasons.insert(0, "The evidence says that it does harm" if harm else "The evidence does not say “solid”")
        elif self.evidence.quarantined:
            reasons.insert(0, "The evidence is in quarantine")
        return f"{'. '.join(reasons)}: approving needs a reason." if reasons else ""

    @property
    def failed_guards(self) -> list[str]:
        """What it makes worse than the margins allow, a sentence each, from gate 2 on at the larger rungs too (then one query,
        none where it came from `with_evidence`)."""
        if self.evidence is None or self.evidence.verdict == "invalid":
            return []
        guards = list(self.evidence.failed_guards)
        if self.stage in (Stage.READY, Stage.LANDING, Stage.LANDED) and self.patch_set:
            if not hasattr(self.patch_set, "failed_at_rungs"):
                models.prefetch_related_objects([self], failed_at_rungs())
            newest = {each.scale: each.failed_guards for each in self.patch_set.failed_at_rungs}
            guards += [f"at {scale}: {sentence}" for scale, sentences in newest.items() for sentence in sentences]
        return guards

    @property
    def approval(self) -> str:
        """What approving it for the baseline is called: nobody approves harm without reading that it is."""
        if self.evidence is not None and self.evidence.verdict == "worse":
            return "Approve although it does harm"
        return "Approve although a guard fails" if self.failed_guards else "Approve for baseline"

    @property
    def evidence_hash(self) -> str:
        """What a vote binds to: the hash of its evidence; at gate 2 that of every larger rung too (then one query)."""
        if self.evidence is None or self.stage != Stage.READY:
            return self.evidence.content_hash if self.evidence else ""
        rungs = self.revision.evidence.exclude(scale=self.evidence.scale).order_by("pk")
        hashes = [self.evidence.content_hash, *rungs.values_list("content_hash", flat=True)]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    @property
    def undone(self) -> bool:
        """True where it landed and is no longer part of the baseline."""
        return self.undone_by_id is not None

    @property
    def author_to_answer(self) -> User | None:
        """Who should answer a request for changes or a conflict; None where no person submitted it (two queries at most)."""
        if self.stage not in AWAITING_AUTHOR:
            return None
        latest = self.patch_set.submitted_by if self.patch_set else None
        author = latest or self.submitted_by
        return author if author and author.is_active else None

    @property
    def waits_for_person(self) -> bool:
        """True at a gate."""
        return self.stage in WAITING

    @property
    def idle(self) -> bool:
        """True when no machine works on it or will."""
        return self.stage in IDLE or bool(self.needs_attention)

    def move(
        self,
        stage: Stage,
        why: str,
        *,
        actor: str = "signoff",
        lease: Lease | None = None,
        wake: tuple[str, int] | tuple[str, int, str] | None = None,
        event: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Change the stage: row, event and message in one transaction (invariant 3).

        `lease` is required from a worker and released by the move; a person's move is guarded by the stage alone.
        `wake` names the task to run next and the id that it gets. Raises StageMoved or LeaseLost when somebody was faster.
        """
        with transaction.atomic():
            rows = lease.row if lease else Candidate.objects.filter(pk=self.pk)
            fields |= {"stage": stage, "stage_since": timezone.now(), "why": why, "needs_attention": "", "archived_at": None}
            fields |= FREE | {"attempts": 0, "attention_cause": "", "retry_at": None}
            fields.setdefault("duplicate_of", None)  # what it was once refused for says nothing of what it is now
            if not rows.filter(stage=self.stage).update(**fields):
                raise StageMoved(f"{self} is no longer {self.get_stage_display()}: reload and look again.")
            event_data = {"from": self.stage, "to": stage, "why": why, **(event or {})}
            Event.objects.record(EventKind.STAGE_CHANGED, self, actor, self.project, **event_data)
            if wake:
                Message.objects.enqueue(*wake)
            if stage in AWAITING_HUMAN:
                Message.objects.enqueue("announce", self.pk, "notify")
        for name, value in fields.items():
            setattr(self, name, value)
