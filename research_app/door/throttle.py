"""How often a password, or a sign-in link, may be tried: django-axes counts, and refuses before anything is hashed.

Three limits at once, each within COOL_OFF: an account from one address, an address whatever it tries, and an account from
everywhere. The last one is wide, because whoever reaches it keeps the account's owner out, too; a one-time link still lets
them in.
What was typed as a name is kept nowhere: people type passwords there. Failures and successes are events.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.http import HttpRequest

from research_app.models import Event
from research_app.models.event_kinds import EventKind

COOL_OFF = timedelta(minutes=15)
OF_ACCOUNT_AT_ADDRESS, OF_ADDRESS, OF_ACCOUNT = 8, 30, 60
LIMITS = {("username", "ip_address"): OF_ACCOUNT_AT_ADDRESS, ("ip_address",): OF_ADDRESS, ("username",): OF_ACCOUNT}
NOBODY = User(pk=0)  # whom an event is about where the name is unknown
UNKNOWN = "somebody unknown"
LINK = ""  # the account of a link that opens nothing

Credentials = Mapping[str, Any] | None


def key_of_account(request: HttpRequest, credentials: Credentials) -> str:
    """What attempts on an account are counted under, whoever it is: a hash, and the same in capital letters."""
    name = str((credentials or {}).get("username") or "").casefold()
    return hashlib.sha256(f"{settings.SECRET_KEY}{name}".encode()).hexdigest() if name else LINK


def address_of(request: HttpRequest) -> str | None:
    """Where a request comes from; of IPv6 the network, because a subscriber has 2**64 addresses."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


class WebBackend(AxesStandaloneBackend):  # type: ignore[misc]
    """Counts what comes over the web; a shell on this machine is not throttled."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Raises PermissionDenied where the limit is reached."""
        if request is not None:
            super().authenticate(request, **credentials)


class Throttle(AxesDatabaseHandler):  # type: ignore[misc]
    """Where attempts are counted. A failure is said in hundredths of the limit that is nearest."""

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """100 where a limit is reached. Two or three queries."""
        account = key_of_account(request, credentials)
        limits = {names: most for names, most in LIMITS.items() if account != LINK or names == ("ip_address",)}
        rows = zip(self._attempts(request, account, limits), limits.values(), strict=True)
        return max(100 * (row.aggregate(all=Sum("failures_since_start"))["all"] or 0) // most for row, most in rows)

    def _attempts(self, request: Any, account: str, limits: Mapping[tuple[str, ...], int]) -> list[QuerySet[Any]]:
        values = {"username": account, "ip_address": request.axes_ip_address}
        since = AccessAttempt.objects.filter(attempt_time__gte=request.axes_attempt_time - COOL_OFF)
        return [since.filter(**{name: values[name] for name in names}) for names in limits]

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **more: Any) -> None:
        """Count a failure and keep an event of it. What was refused before it was tried leaves none."""
        if request is None or request.axes_locked_out:
            return
        super().user_login_failed(sender, credentials, request, **more)
        name = str(credentials.get("username") or "")
        person = User.objects.filter(username=name).first() if name and "\0" not in name else None
        _record(EventKind.SIGN_IN_FAILED, person or NOBODY, request)
        if request.axes_locked_out:
            _record(EventKind.SIGN_IN_BLOCKED, person or NOBODY, request, minutes=COOL_OFF // timedelta(minutes=1))

    def user_logged_in(self, sender: Any, request: Any, user: User, **more: Any) -> None:
        """Forget this account's failures at this address, and nobody else's, and keep an event."""
        if request.resolver_match is None:
            return  # not over the web
        account = key_of_account(request, {"username": user.get_username()})
        AccessAttempt.objects.filter(username=account, ip_address=request.axes_ip_address).delete()
        _record(EventKind.SIGNED_IN, user, request, user.get_username())

    def user_logged_out(self, sender: Any, request: Any, user: User | None, **more: Any) -> None:
        """Nothing to count."""


def may_try_link(request: HttpRequest) -> bool:
    """Whether this address may try a sign-in link. One query."""
    return bool(AxesProxyHandler.is_allowed(request, {"username": LINK}))


def link_refused(request: HttpRequest) -> None:
    """Count a link that opens nothing, like a wrong password of its address."""
    user_login_failed.send(__name__, credentials={"username": LINK}, request=request)


def _record(kind: EventKind, person: User, request: Any, actor: str = UNKNOWN, **data: Any) -> None:
    """Keep an event about an account. Who failed to sign in to it is not known to be its owner."""
    by_link = request.resolver_match is not None and request.resolver_match.url_name == "sign-in-link"
    event_data = {"how": "link" if by_link else "password", "address": address_of(request) or "", **data}
    with transaction.atomic():
        Event.objects.record(kind, person, actor, None, **event_data)
