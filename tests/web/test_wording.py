"""Counts and articles in sentences."""

import re

import pytest
from django.test import Client

from research_app.access import ROLES
from research_app.models import Kind
from research_app.wording import counted, with_article
from tests.factories import make_candidate, make_device, make_project, make_user


def test_one_of_a_kind_is_singular() -> None:
    assert [counted(n, "run") for n in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
    assert [counted(n, "is", "are") for n in (1, 3)] == ["1 is", "3 are"]


def test_an_article_follows_the_sound() -> None:
    nouns = ["approver", "operator", "reviewer", "viewer", "administrator", "hour", "use", "unit", "one-line change", "int"]
    assert [with_article(noun).partition(" ")[0] for noun in nouns] == ["an", "an", "a", "a", "an", "an", "a", "a", "a", "an"]


def test_every_role_and_kind_has_an_article_that_can_be_said() -> None:
    assert {with_article(str(role)) for role in ROLES} >= {"a viewer", "an operator", "a reviewer", "an approver"}
    assert all(with_article(kind.label).startswith("a ") for kind in Kind)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "place", ["", "projects/demo/", "projects/demo/candidates/", "projects/demo/candidates/1/", "fleet/", "audit/"]
)
def test_no_page_says_one_runs(place: str) -> None:
    project = make_project(baseline={"runs": 2})
    make_candidate(project)
    make_device()
    client = Client()
    client.force_login(make_user("ada"))
    shown = " ".join(re.sub(r"<[^>]+>", " ", client.get(f"/{place}").content.decode()).split())
    wrong = re.findall(
        r"\b1 (?:\w+ )?(?:runs|candidates|experiments|devices|decisions|comments|files|lines|degrees|events|seeds)\b", shown
    )
    assert wrong == []
