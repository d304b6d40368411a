"""A change may touch thousands of constants: what lists names from code lists some of them and says how many there are.

tests/routes opens every page in a world where every change does.
"""

import pytest
from django.test import Client

from research_app.models import Candidate, Project, Stage
from tests.factories import make_candidate, make_project
from tests.ladder_project import CONFIG

pytestmark = pytest.mark.django_db
COUNT = 1000


def large(project: Project, number: int) -> Candidate:
    """One that sets 1,000 new constants."""
    added = "".join(f"NUMBER_{n} = {n + number}\n" for n in range(COUNT))
    return make_candidate(
        project, edits=[("train.py", "LAYERS = 3\n", f"LAYERS = 3\n{added}")], runs=1, stage=Stage.SHORTLISTED
    )


def test_a_comparison_shows_the_first_that_differ(client: Client, project: Project) -> None:
    large(project, 1)
    text = client.get("/projects/demo/compare/constants/?c=1").content.decode()
    assert text.count('<th scope="row"') == 100
    assert f"and {COUNT - 100} more that differ" in text


def test_the_filter_offers_those_that_most_candidates_touched_and_the_one_that_is_asked_for(
    client: Client, project: Project
) -> None:
    large(project, 1)
    for _ in range(2):
        make_candidate(project)  # of WARMUP
    page = client.get("/projects/demo/candidates/").content.decode()
    assert page.count('<option value="NUMBER_') == 199
    assert '<option value="WARMUP"' in page
    asked = client.get(f"/projects/demo/candidates/?constant=NUMBER_{COUNT - 1}").content.decode()
    assert f'<option value="NUMBER_{COUNT - 1}" selected' in asked
    assert "C-1" in asked and "C-2" not in asked
    unknown = client.get("/projects/demo/candidates/?constant=NOBODY").content.decode()
    assert '<option value="NOBODY"' not in unknown


def test_the_shortlist_names_the_first_that_are_changed_and_that_clash(client: Client) -> None:
    project = make_project(ladder=CONFIG["ladder"], scale_up={"budget_hours": 30, "currency": "EUR"})
    large(project, 1)
    large(project, 2)
    page = client.get("/projects/demo/shortlist/").content.decode()
    assert f"and {COUNT - 8} more constants" in page
    assert f"and {COUNT - 8} more; same lines" in page
    assert page.count("NUMBER_") <= 6 * 8  # each is a link, too


def test_tried_before_leads_to_the_first(client: Client, project: Project) -> None:
    for number in range(30):
        large(project, number)
    text = client.get("/projects/demo/candidates/1/similar/").content.decode()
    assert "more: " in text
    assert text.count("?constant=") == 8
