"""Pages speak the field's language: what was private English, or not true, does not come back."""

import re
from pathlib import Path

import pytest
from django.test import Client

from research_app.home import CODE
from research_app.models import Stage
from research_app.web.shared.every_page import every_address
from tests.everything import make_everything
from tests.factories import make_user

GONE = {  # what stood there: what stands there now
    "not told apart from 0": "interval includes 0",
    "archived left out": "hide archived",
    "only archived": "archived only",
    "as it comes": "default order",
    "How far they came": "Funnel",
    "What verdicts rest on": "Noise and calibration",
    "not heard of": "offline",
    "refuses work": "rejecting runs",
    "Changes are asked of you": "Changes requested",
    "hidden: health first": "not comparable: health check failed",
    "would we not miss": "No measurable contribution",
    "but not proved": "better, not significant",
    "What became of it": "outcome",
    "Make the token": "Create token",
    "It may<": "Permissions",
    ">Yours<": "Your tokens",
    "gain doubted": "gain under question",
    "machine gave up": "worker failed",
    "mend what it says": "see the error",
    ">no.<": "#",
    ">brought<": "outcome",
    ">began<": "started",
    "candidate − baseline": "gain",
    "at gate 2</": "awaiting landing approval",
    "bank of": "reference runs",
}


def shown_by(path: Path) -> str:
    """A template without its comments and logic."""
    text = re.sub(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\{%.*?%\}", "", text)


def test_no_template_holds_the_old_words() -> None:
    found = [
        f"{path.relative_to(CODE)}: {old} (say: {new})"
        for path in (CODE / "templates").rglob("*.html")
        for old, new in GONE.items()
        if old in shown_by(path)
    ]
    assert found == []


@pytest.mark.django_db
def test_no_page_shows_them() -> None:
    project = make_everything()
    client = Client()
    client.force_login(make_user("ada"))
    found = []
    for name, address in every_address(project):
        if name in ("sign-out", "change-diff", "audit"):  # the log keeps the words of its time
            continue
        answer = client.get(address)
        if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html"):
            page = answer.content.decode()
            found += [f"{name}: {old} (say: {new})" for old, new in GONE.items() if old in page]
    assert found == []


@pytest.mark.django_db
def test_one_stage_has_one_name_wherever_it_stands() -> None:
    make_everything()
    client = Client()
    client.force_login(make_user("ada"))
    label = Stage.READY.label
    assert label == "awaiting landing approval"
    for address in ("candidates/", "candidates/2/", "history/?show=tree", ""):
        assert label in client.get(f"/projects/demo/{address}").content.decode(), address


@pytest.mark.django_db
def test_sigma_is_explained_where_it_first_stands() -> None:
    make_everything()
    client = Client()
    client.force_login(make_user("ada"))
    project = client.get("/projects/demo/").content.decode()
    assert "run-to-run noise (σ)" in project and "the standard deviation of the score over seeds of one tree" in project
    assert "run-to-run noise σ" in client.get("/projects/demo/candidates/2/").content.decode()
