"""A problem (RFC 9457): what was wrong and what to do, in one shape, for whoever refuses a request."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from ninja import Schema

from research_app.strict_json import StrictJsonResponse

MEDIA_TYPE = "application/problem+json"


class Problem(Schema):
    """What went wrong. `errors` names each field that was refused."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []


def problem(
    status: int, detail: str, errors: Sequence[dict[str, Any]] = (), headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """The response that says so."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    return StrictJsonResponse(body.model_dump(), status=status, content_type=MEDIA_TYPE, headers=headers)
