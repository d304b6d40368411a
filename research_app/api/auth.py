"""Who calls: a bearer token with a scope. The same tokens open every door for agents; a person's session opens none here."""

import time
from typing import cast

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.throttling import BaseThrottle

from research_app.access import may_operate, may_see
from research_app.models import Scope, Token

MINUTE = 60


class Bearer(HttpBearer):
    """A valid token that carries the scope, of a person who still may do what the scope is for."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Token | None:
        """None: 401. Raises HttpError 403 where the token is good but this is not for it."""
        row = Token.find(token)
        if row is None:
            return None
        if not row.may(self.scope):
            raise HttpError(403, f"This token lacks the scope “{self.scope}”. Make one that has it, under Access tokens.")
        allowed = may_operate(row.user) if self.scope == Scope.SUBMIT else may_see(row.user)
        if not allowed:
            who = row.user.get_username()
            raise HttpError(403, f"{who} may look, but not submit. Ask an administrator for the role “operator”.")
        return row


READS = Bearer(Scope.READ)
SUBMITS = Bearer(Scope.SUBMIT)


def token_of(request: HttpRequest) -> Token:
    """The token that the request was let in with."""
    return cast(Token, request.auth)  # type: ignore[attr-defined]


class PerToken(BaseThrottle):
    """So many requests of one token in a minute; counted in each web process, from one full minute to the next."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most

    def allow_request(self, request: HttpRequest) -> bool:
        """Count this request, and say whether it is one too many."""
        key = f"api-{self.name}-{token_of(request).pk}-{int(time.time() // MINUTE)}"
        cache.add(key, 0, timeout=2 * MINUTE)
        return cache.incr(key) <= self.most

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return MINUTE - time.time() % MINUTE


READING = PerToken("read", settings.API_READS)
SUBMITTING = PerToken("submit", settings.API_SUBMISSIONS)
