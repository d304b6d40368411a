"""Access tokens of outside agents, and the answers that are kept so that a repeated request does nothing twice."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone

from research_app.models.event import Event
from research_app.models.event_kinds import EventKind
from research_app.models.project import Project

PREFIX = "signoff_"
SHOWN = len(PREFIX) + 4  # characters of a token that lists show
MOST_DAYS = 365
USED_EVERY = timedelta(minutes=1)  # how exactly the last use is kept


class Scope(models.TextChoices):
    """What a token may do. No scope votes, lands, or changes a project: only a signed-in person's session does."""

    READ = "read", "read projects, candidates, evidence, logs and curves"
    SUBMIT = "submit", "submit candidates and patch sets"


class Token(models.Model):
    """One person's key for one agent. Only its hash is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60, help_text="The agent's name: candidates that it submits carry it")
    token_hash = models.CharField(max_length=64, unique=True)
    begins = models.CharField(max_length=20, help_text="Its first characters, to know it by")
    scopes: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    every_project = models.BooleanField(default=True, help_text="It reaches later projects too")
    projects = models.ManyToManyField(Project, blank=True, help_text="What it reaches where that is not every project")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"token {self.name!r} of {self.user.get_username()}"

    @classmethod
    def make(cls, user: User, name: str, scopes: list[str], days: int, projects: Sequence[Project] = ()) -> tuple["Token", str]:
        """A new token and its text, which is never shown again. Raises ValueError, with what to do, for bad wishes."""
        name = " ".join(name.split())
        if not name or len(name) > 60:
            raise ValueError("Give the token the name of the agent that will use it, with at most 60 characters.")
        if not scopes or not set(scopes) <= set(Scope.values):
            raise ValueError(f"Choose at least one of these scopes: {', '.join(Scope.values)}.")
        if not 1 <= days <= MOST_DAYS:
            raise ValueError(f"A token is valid for 1 to {MOST_DAYS} days.")
        text = PREFIX + secrets.token_urlsafe(32)
        with transaction.atomic():
            row = cls.objects.create(
                user=user,
                name=name,
                token_hash=_hash(text),
                begins=text[:SHOWN],
                scopes=sorted(set(scopes)),
                every_project=not projects,
                expires_at=timezone.now() + timedelta(days=days),
            )
            row.projects.set(projects)
            event_data = {"name": name, "scopes": row.scopes, "expires_at": row.expires_at.isoformat()}
            event_data["projects"] = sorted(project.slug for project in projects)
            Event.objects.record(EventKind.TOKEN_MADE, row, user.get_username(), None, **event_data)
        return row, text

    @classmethod
    def find(cls, text: str) -> "Token | None":
        """The token with this text, if it is valid now and its person is active. One query, and a write once a minute."""
        now = timezone.now()
        valid = cls.objects.select_related("user").filter(token_hash=_hash(text), revoked_at=None, expires_at__gt=now)
        row = valid.filter(user__is_active=True).first()
        if row and (row.last_used_at is None or now - row.last_used_at > USED_EVERY):
            cls.objects.filter(pk=row.pk).update(last_used_at=now)
        return row

    def revoke(self, actor: str) -> None:
        """It stops working at once. A second time does nothing."""
        with transaction.atomic():
            if Token.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now()):
                Event.objects.record(EventKind.TOKEN_REVOKED, self, actor, None, name=self.name)

    def may(self, scope: str) -> bool:
        """Whether it carries a scope."""
        return scope in self.scopes

    def reach(self) -> models.QuerySet[Project]:
        """The projects that it may be used for. A query set."""
        return Project.objects.all() if self.every_project else self.projects.all()

    @property
    def ended(self) -> bool:
        """True once it was revoked or has expired."""
        return self.revoked_at is not None or self.expires_at <= timezone.now()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class KeptAnswer(models.Model):
    """What a request with an idempotency key was answered: the same key again gets the same answer."""

    token = models.ForeignKey(Token, on_delete=models.CASCADE, related_name="kept_answers")
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64, help_text="Hash of method, path and body")
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Empty while the first request is at work")
    answer: "models.JSONField[dict[str, object] | None, dict[str, object] | None]" = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"answer to {self.key!r}"
