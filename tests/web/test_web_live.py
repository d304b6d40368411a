"""The pulse of a page: fragments with versions, and 304 where nothing changed."""

import re

import pytest
from django.test import Client

from research_app.models import Run, Stage, State
from tests.factories import make_candidate, make_project, make_run

pytestmark = pytest.mark.django_db
PULSE = {"HX-Request": "true", "HX-Trigger": "pulse"}
ADDRESSES = [
    "/",
    "/projects/demo/",
    "/projects/demo/candidates/",
    "/projects/demo/candidates/1/",
    "/projects/demo/baseline/",
    "/fleet/",
    "/audit/",
]


def versions(html: str) -> dict[str, str]:
    return dict(re.findall(r'<section id="([\w-]+)" data-version="(\w+)"', html))


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_pulse_brings_the_pages_fragments_and_nothing_else(client: Client, address: str) -> None:
    make_candidate(make_project())
    page = client.get(address).content.decode()
    pulse = client.get(address, headers=PULSE).content.decode()
    assert versions(pulse) == versions(page) != {}
    assert pulse.count('hx-swap-oob="true"') == len(versions(pulse))
    assert "<html" not in pulse
    assert '<nav class="bar"' not in pulse


@pytest.mark.parametrize("address", ADDRESSES)
def test_where_nothing_changed_the_answer_is_304_and_empty(client: Client, address: str) -> None:
    make_candidate(make_project())
    first = client.get(address, headers=PULSE)
    second = client.get(address, headers={**PULSE, "If-None-Match": first.headers["ETag"]})
    assert second.status_code == 304
    assert second.content == b""


def test_a_change_renews_only_the_fragments_that_show_it(client: Client) -> None:
    project = make_project()
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.1)
    before = client.get(candidate.get_absolute_url(), headers=PULSE)
    Run.objects.filter(pk=run.pk).update(progress=0.2)
    after = client.get(candidate.get_absolute_url(), headers={**PULSE, "If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    old, new = versions(before.content.decode()), versions(after.content.decode())
    assert {name for name in new if new[name] != old[name]} == {"runs", "curves-mark"}


def test_the_forms_token_alone_is_no_change(client: Client) -> None:
    candidate = make_candidate(make_project())
    answers = [client.get(candidate.get_absolute_url(), headers=PULSE).content.decode() for _ in range(2)]
    tokens = {re.search(r'csrfmiddlewaretoken" value="(\w+)"', answer)[1] for answer in answers}
    assert len(tokens) == 2
    assert versions(answers[0]) == versions(answers[1])


def test_pages_are_not_kept_by_shared_caches(client: Client) -> None:
    make_project()
    for headers in ({}, PULSE):
        response = client.get("/projects/demo/", headers=headers)
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert "Cookie" in response.headers["Vary"]
