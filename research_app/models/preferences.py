"""How one person wants the pages: columns of the candidate list, saved views, keys."""

from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from research_app.models.project import Project


class Preferences(models.Model):
    """One person's choices. Without a row everything is as it comes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="preferences"
    )
    columns: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, help_text="Of the candidate list, in order; empty: those that it comes with"
    )
    keys_off = models.BooleanField(default=False, help_text="Single keys do nothing (WCAG 2.1.4)")
    first_steps_away = models.BooleanField(default=False, help_text="The first steps are no longer shown in the inbox")

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"

    @classmethod
    def of(cls, user: AbstractBaseUser | AnonymousUser) -> Self:
        """This person's, unsaved where they never chose anything (one query)."""
        return cls.objects.filter(user_id=user.pk).first() or cls(user_id=user.pk)


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def seen_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """A person's own views and those that others share, by name."""
        return self.filter(Q(user_id=user.pk) | Q(shared=True)).select_related("user").order_by("name", "pk")


class SavedView(models.Model):
    """A candidate list under a name: its address says filters, order and columns."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True, help_text="What stands behind the ? of the address")
    shared = models.BooleanField(default=False, help_text="Others of the project see it too")
    created_at = models.DateTimeField(default=timezone.now)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project", "name"], name="view_name_once")]

    def __str__(self) -> str:
        return self.name
