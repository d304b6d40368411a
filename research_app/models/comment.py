"""Line comments: what people, and the authors who answer them, say about a line; and which files a person has read."""

from typing import Self

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone

from research_app.models.candidate import Candidate
from research_app.models.event import Event
from research_app.models.event_kinds import EventKind
from research_app.models.patch_set import PatchSet

MAX_TEXT = 10_000  # characters of one comment
TOLD = 400  # characters of a comment that its event repeats


class Side(models.TextChoices):
    """Which of the two states of a file a thread is about."""

    OLD = "old", "before the change"
    NEW = "new", "after the change"


class ThreadQuerySet(models.QuerySet["Thread"]):
    def open(self) -> Self:
        """Threads that nobody has resolved: what an author still has to answer."""
        return self.filter(resolved_at=None)

    def of(self, candidate: Candidate) -> Self:
        """Threads on every patch set of a candidate with all that pages show, oldest first. Three queries."""
        threads = self.filter(candidate=candidate).select_related("patch_set", "resolved_by")
        return threads.defer("patch_set__diff").prefetch_related("comments__author").order_by("pk")

    def begin(
        self,
        patch_set: PatchSet,
        path: str,
        line: int | None,
        text: str,
        author: User,
        *,
        side: str = Side.NEW,
        quoted: str = "",
    ) -> "Thread":
        """Say something about a line, or with `line` None about a whole file. `quoted` is the line as it reads now."""
        with transaction.atomic():
            thread = self.create(
                candidate=patch_set.candidate, patch_set=patch_set, path=path, side=side, line=line, quoted=quoted[:1000]
            )
            thread.say(text, author)
        return thread


class Thread(models.Model):
    """A conversation about one line of one patch set. It is resolved or open, and it never loses its place: it quotes it."""

    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="threads")
    patch_set = models.ForeignKey(PatchSet, on_delete=models.PROTECT, related_name="threads")
    path = models.CharField(max_length=1000)
    side = models.CharField(max_length=3, choices=Side.choices, default=Side.NEW)
    line = models.PositiveIntegerField(null=True, blank=True, help_text="Counted from 1; empty: about the whole file")
    quoted = models.TextField(blank=True, help_text="The line as it read when the thread began")
    created_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="resolved_threads"
    )

    objects = ThreadQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["candidate", "resolved_at"], name="thread_of_candidate")]  # the candidate's page

    def __str__(self) -> str:
        return f"{self.patch_set} {self.place}"

    @property
    def place(self) -> str:
        """`train.py:12`; `train.py:12 before the change`; the path alone for a whole file."""
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where} before the change" if self.side == Side.OLD else where

    @property
    def resolved(self) -> bool:
        return self.resolved_at is not None

    def say(self, text: str, author: User | None, name: str = "") -> "Comment":
        """Add a comment: of a person, or with `author` None of the proposer called `name`. Comment and event together."""
        with transaction.atomic():
            comment = Comment.objects.create(
                thread=self, author=author, name=author.get_username() if author else name, text=text
            )
            event_data = {"on": str(self), "thread": self.pk, "says": text[:TOLD]}
            project = self.candidate.project
            Event.objects.seal([comment], EventKind.COMMENTED, self.candidate, comment.name, project, **event_data)
        return comment

    def settle(self, resolved: bool, actor: User | None, name: str = "") -> bool:
        """Resolve or open again: a person, or the proposer called `name`. False, and no event, where somebody was faster."""
        now = timezone.now() if resolved else None
        with transaction.atomic():
            rows = Thread.objects.filter(pk=self.pk, resolved_at__isnull=resolved)
            if not rows.update(resolved_at=now, resolved_by=actor if resolved else None):
                return False
            kind = EventKind.THREAD_RESOLVED if resolved else EventKind.THREAD_OPENED_AGAIN
            event_data = {"on": str(self), "thread": self.pk}
            by = actor.get_username() if actor else name
            Event.objects.record(kind, self.candidate, by, self.candidate.project, **event_data)
        self.resolved_at, self.resolved_by = now, actor if resolved else None
        return True


class Comment(models.Model):
    """What somebody said in a thread. Without an author it is a proposer's answer, and marked as its words."""

    thread = models.ForeignKey(Thread, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="comments"
    )
    name = models.CharField(max_length=150, help_text="Who said it")
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    SEALED = ("thread_id", "author_id", "name", "text", "created_at")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.name} on {self.thread}"


class ViewedFile(models.Model):
    """One person has read one file of one patch set."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="viewed_files")
    patch_set = models.ForeignKey(PatchSet, on_delete=models.CASCADE, related_name="viewed_by")
    path = models.CharField(max_length=600)  # PostgreSQL indexes at most 2,700 bytes

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "patch_set", "path"], name="viewed_once")]

    def __str__(self) -> str:
        return f"{self.path} of {self.patch_set}"
