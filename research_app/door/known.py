"""Who sends a request, told from its headers alone: for what is taken only from somebody who is known."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import close_old_connections
from django.views.decorators.debug import sensitive_variables

from research_app.models import Token


def is_known(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request carries a valid token, or the session of somebody who is signed in. At most two queries."""
    try:
        return token_in(headers.get(b"authorization", b"").decode("latin-1")) is not None or _has_session(headers)
    finally:
        close_old_connections()


@sensitive_variables()
def token_in(authorization: str) -> Token | None:
    """The token of an Authorization header, Basic (as git sends it) or Bearer. One query where there is one."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return Token.find(value.strip())
    if kind.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return Token.find(password)


def _has_session(headers: Mapping[bytes, bytes]) -> bool:
    try:
        cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if cookie is None:
        return False
    store = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
    return SESSION_KEY in store
