"""The project's page while the loop works: candidates at every stage, with and without a patch set."""

import pytest
from django.test import Client

from research_app.models import Project, Stage
from tests.factories import make_candidate

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("stage", Stage)
def test_the_page_opens_with_a_candidate_at_any_stage(client: Client, project: Project, stage: Stage) -> None:
    make_candidate(project, stage=stage, effect=None, details={"constants": {"WARMUP": 0.02}})
    make_candidate(project, stage=stage, effect=None, edits=(), details={"constants": {"WARMUP": 0.02}})
    assert client.get("/projects/demo/").status_code == 200


def test_a_candidate_that_is_tried_now_shows_the_constant_that_it_changes(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    assert candidate.patch_set
    candidate.patch_set.touched = "WARMUP"
    candidate.patch_set.save(update_fields=["touched"])
    page = client.get("/projects/demo/").content.decode()
    assert "WARMUP" in page and "0.05" in page and "0.02" in page
