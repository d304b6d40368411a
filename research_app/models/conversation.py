"""Conversations with a model: one for each proposal of an agent, and what was said in it."""

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.utils import timezone

from agent.failure import Failure
from agent.prices import Usage
from agent.proposal import CATEGORIES, MODES
from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Candidate
from research_app.models.lease import Leased
from research_app.models.program import ProgramVersion
from research_app.models.project import Project
from research_app.models.turn import Turn


class ConversationPurpose(models.TextChoices):
    """What a conversation was begun for."""

    PROPOSE = "propose", "a new change"
    REWORK = "revive", "an earlier change, reworked"
    COMBINE = "combine", "several changes, combined"


class ConversationState(models.TextChoices):
    """Whether a conversation goes on."""

    OPEN = "open", "open"  # a worker goes on with it, or will
    SUBMITTED = "submitted", "submitted"  # its change is under review; a request for changes opens it again
    STOPPED = "stopped", "stopped"  # by a budget, a person or trouble outside: it can go on where it is
    DECLINED = "declined", "ended"  # the model found nothing worth a run: an outcome
    FAILED = "failed", "failed"  # it ended without a proposal


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def open(self) -> Self:
        """Those that a worker should go on with."""
        return self.filter(state=ConversationState.OPEN, project__paused=False)

    def reserved(self) -> tuple[int, float]:
        """Tokens and dollars set aside for requests that are under way. One query."""
        sums = self.aggregate(tokens=Sum("reserved_tokens"), cost=Sum("reserved_cost"))
        return sums["tokens"] or 0, sums["cost"] or 0.0


class Conversation(Leased):
    """One conversation: what it is to do, how far it came, what it cost. The row is all that a worker needs to go on."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="conversations")
    turn = models.OneToOneField(
        Turn, null=True, blank=True, on_delete=models.PROTECT, related_name="conversation", help_text="Empty: a person asked"
    )
    candidate = models.ForeignKey(
        Candidate, null=True, blank=True, on_delete=models.PROTECT, related_name="conversations", help_text="What came of it"
    )
    about = models.ManyToManyField(Candidate, related_name="conversations_about", help_text="What it reworks or combines")
    base = models.ForeignKey(BaselineVersion, on_delete=models.PROTECT, related_name="conversations")
    program = models.ForeignKey(ProgramVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="conversations")
    purpose = models.CharField(max_length=10, choices=ConversationPurpose.choices, default=ConversationPurpose.PROPOSE)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    category = models.CharField(max_length=20, blank=True, choices=[(name, name) for name in CATEGORIES])
    mode = models.CharField(max_length=10, blank=True, choices=[(name, name) for name in MODES])
    model = models.CharField(max_length=100)
    system: "models.JSONField[list[dict[str, object]], list[dict[str, object]]]" = models.JSONField(
        default=list, help_text="The system prompt as it was sent: later turns need the same"
    )

    state = models.CharField(max_length=10, choices=ConversationState.choices, default=ConversationState.OPEN)
    failure = models.CharField(max_length=20, blank=True, choices=[(f.value, f.words) for f in Failure])
    reason = models.TextField(blank=True, help_text="Why it stopped or failed, with what to do")
    edits: "models.JSONField[list[list[str]], list[list[str]]]" = models.JSONField(
        default=list, help_text="The change so far: [[path, old, new], …]"
    )
    answers_vote = models.PositiveBigIntegerField(default=0, help_text="The request for changes that it answered last")
    wants_stop = models.BooleanField(default=False, help_text="A person asked it to stop")
    setbacks = models.PositiveSmallIntegerField(default=0, help_text="Stops by passing trouble since the last answer")

    requests = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0, help_text="Neither read from the cache nor written to it")
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.FloatField(default=0.0, help_text="Dollars, by the price at the time")
    priced = models.BooleanField(default=True, help_text="False where no price of the model is known")
    reserved_tokens = models.PositiveBigIntegerField(default=0, help_text="For the request that is under way")
    reserved_cost = models.FloatField(default=0.0)
    seconds = models.FloatField(default=0.0, help_text="Time that workers spent on it")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["project", "state", "-id"], name="conversation_by_state")]  # the agents page

    def __str__(self) -> str:
        return f"conversation {self.pk}"

    def get_absolute_url(self) -> str:
        return f"/projects/{self.project.slug}/agents/{self.pk}/"

    @property
    def usage(self) -> Usage:
        """All tokens so far."""
        return Usage(self.input_tokens, self.cache_write_tokens, self.cache_read_tokens, self.output_tokens)

    @property
    def cache_share(self) -> float | None:
        """Share of the prompts that was read from the cache; None before there is any."""
        return self.cache_read_tokens / self.usage.prompt if self.usage.prompt else None

    @property
    def running(self) -> bool:
        """True while a worker holds it."""
        return self.lease_until is not None and self.lease_until > timezone.now()

    @property
    def resumable(self) -> bool:
        """Whether a person can let it go on."""
        return self.state == ConversationState.STOPPED

    @property
    def goes_on_at(self) -> datetime | None:
        """When it is taken up again without a person; None where it is not."""
        return self.retry_at if self.state == ConversationState.STOPPED and self.failure else None

    @property
    def doing(self) -> str:
        """What it works on, in a sentence that other agents are told; nothing of what it says itself."""
        paths = ", ".join(sorted({str(path) for path, _, _ in self.edits}))
        wanted = (f"in {self.category}" if self.category else "", f"({self.mode})" if self.mode else "")
        return " ".join(filter(None, (self.get_purpose_display(), *wanted, f"editing {paths}" if paths else "")))


class ConversationMessage(models.Model):
    """What one side said, as it was sent or received, with secrets removed; and what the request took."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    number = models.PositiveIntegerField()
    role = models.CharField(max_length=10, choices=[("user", "Signoff"), ("assistant", "model")])
    content: "models.JSONField[list[dict[str, object]], list[dict[str, object]]]" = models.JSONField(
        help_text="Blocks of the Messages API"
    )
    sent = models.BooleanField(default=True, help_text="False for an answer that broke off: it is shown and not sent again")
    problem = models.TextField(blank=True, help_text="What was wrong with this answer")
    stop_reason = models.CharField(max_length=40, blank=True)
    request_id = models.CharField(max_length=100, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    bound = models.BooleanField(default=False, help_text="The service did not say how much it was: counted in full")
    cost = models.FloatField(default=0.0)
    seconds = models.FloatField(default=0.0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "number"], name="utterance_number_once")]
        indexes = [models.Index(fields=["created_at"], name="utterance_by_day")]  # what a day cost
        ordering = ["conversation", "number"]

    def __str__(self) -> str:
        return f"message {self.number} of conversation {self.conversation_id}"

    @property
    def usage(self) -> Usage:
        """Tokens of its request."""
        return Usage(self.input_tokens, self.cache_write_tokens, self.cache_read_tokens, self.output_tokens)

    @classmethod
    def spent(cls, *conditions: Q, since: datetime | None = None) -> tuple[int, float]:
        """Tokens and dollars of some requests. One query."""
        rows = cls._default_manager.filter(*conditions)
        if since:
            rows = rows.filter(created_at__gte=since)
        names = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens", "cost")
        sums: dict[str, Any] = rows.aggregate(**{f"all_{name}": Sum(name) for name in names})
        *tokens, cost = (sums[f"all_{name}"] or 0 for name in names)
        return sum(tokens), float(cost)
