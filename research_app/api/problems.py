"""Errors as problem details (RFC 9457): what was wrong and what to do, in one shape for every endpoint."""

import logging
import math
from functools import partial

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError

from research_app.api.reach import NotYours
from research_app.door.problem import problem
from research_app.loop.check.check import CheckFailed
from research_app.loop.propose.revise import RevisionRefused
from research_app.models import StageMoved
from research_app.repository import PatchError, RepositoryError

logger = logging.getLogger(__name__)


def unauthorised() -> HttpResponse:
    """Nobody known called."""
    detail = "Send a valid token: Authorization: Bearer signoff_…. Tokens are made under Access tokens, and expire."
    return problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="signoff"'})


def install(api: NinjaAPI) -> None:
    """Give every error of the API this shape."""

    api.add_exception_handler(AuthenticationError, lambda request, error: unauthorised())

    @api.exception_handler(Throttled)
    def throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
        seconds = max(1, math.ceil(error.wait or 1))
        return problem(
            429, f"Too many requests with this token. Try again in {seconds} s.", headers={"Retry-After": str(seconds)}
        )

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [{"where": ".".join(map(str, each["loc"])), "message": str(each["msg"])} for each in error.errors]
        return problem(422, "Some fields are not as they must be; `errors` names each.", errors)

    @api.exception_handler(HttpError)
    def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
        return problem(error.status_code, str(error))

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return problem(404, "There is nothing at this address, or nothing that this token may see.")

    @api.exception_handler(PermissionDenied)
    def denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return problem(403, str(error))

    for status, kinds in {403: (NotYours,), 422: (CheckFailed, PatchError), 409: (RevisionRefused, StageMoved)}.items():
        for kind in kinds:
            api.add_exception_handler(kind, partial(_said, status))

    @api.exception_handler(RepositoryError)
    def machine(request: HttpRequest, error: RepositoryError) -> HttpResponse:
        logger.exception("the API could not work on a repository")
        detail = "The repository cannot be used now. Nothing was written; try again in a while."
        return problem(503, detail, headers={"Retry-After": "30"})

    @api.exception_handler(Exception)
    def broken(request: HttpRequest, error: Exception) -> HttpResponse:
        logger.exception("an error in the API")
        return problem(500, "This is a fault of Signoff's; its log has the details.")


def _said(status: int, request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(status, str(error))
