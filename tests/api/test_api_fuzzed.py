"""Schemathesis asks each endpoint for what its OpenAPI document allows and forbids: no server error, answers as documented.

SCHEMATHESIS_EXAMPLES=200 for as many requests to each endpoint as one likes.
"""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from research_app.api import auth
from research_app.api.application import api
from tests.factories import make_candidate, make_project, make_user
from tests.outside import served, token_for

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def document(transactional_db: None) -> Iterator[OpenApiSchema]:
    with served() as site:
        yield schemathesis.openapi.from_url(f"{site}/api/v1/openapi.json")


@pytest.fixture
def token(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of somebody who may submit, on a project with a candidate; the limits of rate are not what is looked at here."""
    for throttle in (auth.READING, auth.SUBMITTING):
        monkeypatch.setattr(throttle, "most", 10**9)
    make_candidate(make_project())
    return token_for(make_user("ada", role="operator"))


ENDPOINTS = [(path, method) for path, found in api.get_openapi_schema()["paths"].items() for method in found]


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), ENDPOINTS)
def test_every_answer_is_as_the_document_says(
    path: str, method: str, mode: GenerationMode, document: OpenApiSchema, token: str
) -> None:
    operation = document[path.removeprefix(document.base_path.rstrip("/"))][method.upper()]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: Case) -> None:
        if mode == GenerationMode.POSITIVE and "slug" in case.path_parameters:
            case.path_parameters["slug"] = "demo"  # a made-up name would find nothing each time
        if isinstance(number := case.path_parameters.get("number"), int) and number % 2:
            case.path_parameters["number"] = 1
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    ask()
