"""Idempotency keys: a request that is sent again, because its answer was lost, does nothing twice and gets the same answer."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import HttpError

from research_app.api.auth import token_of
from research_app.models import KeptAnswer

KEPT = timedelta(days=2)
ABANDONED = timedelta(minutes=5)  # a first request that never answered: its process was killed
MOST = 200  # characters of a key


Answer = dict[str, Any]


def once(request: HttpRequest, key: str | None, prepare: Callable[[], Callable[[], Answer]]) -> Answer:
    """What the request is answered, or was answered to this key before. Without a key it is simply done.

    `prepare` checks, slowly if need be, and returns what writes and answers: that shares a transaction with the kept answer.
    Raises HttpError: 409 while the first request is still at work, 422 where the key came with another request.
    """
    if key is None:
        return prepare()()
    if not 1 <= len(key) <= MOST or not key.isprintable():
        raise HttpError(422, f"An Idempotency-Key has 1 to {MOST} printable characters.")
    token, request_hash = token_of(request), _hash(request)
    now = timezone.now()
    KeptAnswer.objects.filter(token=token, created_at__lt=now - KEPT).delete()
    KeptAnswer.objects.filter(token=token, key=key, status=None, created_at__lt=now - ABANDONED).delete()
    try:
        with transaction.atomic():
            kept = KeptAnswer.objects.create(token=token, key=key, request_hash=request_hash)
    except IntegrityError:
        return _again(KeptAnswer.objects.filter(token=token, key=key).first(), request_hash)
    try:
        write = prepare()
        with transaction.atomic():
            answer = write()
            KeptAnswer.objects.filter(pk=kept.pk).update(status=201, answer=answer)
    except BaseException:
        kept.delete()  # it did nothing: the key is free for a corrected request
        raise
    return answer


def _again(kept: KeptAnswer | None, request_hash: str) -> Answer:
    if kept is None:
        raise HttpError(409, "A request with this Idempotency-Key has just failed. Send it again.")
    if kept.request_hash != request_hash:
        raise HttpError(422, "This Idempotency-Key came with another request before. Use a new key for a new request.")
    if kept.status is None:
        raise HttpError(409, "The first request with this Idempotency-Key is still at work. Ask again in a moment.")
    return dict(kept.answer or {})


def _hash(request: HttpRequest) -> str:
    return hashlib.sha256(b"\0".join([str(request.method).encode(), request.path.encode(), request.body])).hexdigest()
