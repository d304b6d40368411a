"""One-time sign-in links, as `make up` prints them."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.utils import timezone

VALID_FOR = timedelta(hours=12)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class SignInLink(models.Model):
    """A link that signs one person in once. Only the hash of its token is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"sign-in link for {self.user}"

    @classmethod
    def make(cls, user: AbstractBaseUser) -> str:
        """A new token for a person; the older unused links of the same person stop working."""
        cls.objects.filter(user_id=user.pk, used_at=None).delete()
        token = secrets.token_urlsafe(24)
        cls.objects.create(user_id=user.pk, token_hash=_hash(token), expires_at=timezone.now() + VALID_FOR)
        return token

    @classmethod
    def redeem(cls, token: str) -> "SignInLink | None":
        """Use a token up; None when it is unknown, used or expired. Two at once: exactly one succeeds."""
        now = timezone.now()
        link = cls.objects.select_related("user").filter(token_hash=_hash(token), used_at=None, expires_at__gt=now).first()
        if link and cls.objects.filter(pk=link.pk, used_at=None).update(used_at=now) and link.user.is_active:
            return link
        return None
