"""A chip with a long sentence stays within its cell: it covers nothing that stands beside it."""

import pytest

from research_app.models import Candidate, Verdict
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate, make_project

pytestmark = pytest.mark.django_db(transaction=True)
FAILED = [
    {"name": name, "kind": "source", "sentence": f"worse on {name} by 0.260, margin 0.0217"} for name in ("search", "database")
]
OUTSIDE = """() => [...document.querySelectorAll("main .chip")].filter((chip) => {
    const cell = chip.closest("td, th, .ground, .what, .tile, .row, .card");
    return cell && chip.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1;
}).map((chip) => chip.textContent.trim())"""


@pytest.mark.parametrize("width", [1440, 1280, 1100, 800, NARROW["width"]])
def test_a_failed_guard_is_named_within_its_column(sign_in: SignIn, width: int) -> None:
    project = make_project()
    for effect in (0.05, -0.2):
        candidate = make_candidate(project, effect=effect, runs=3, verdict=Verdict.SOLID if effect > 0 else None)
        assert candidate.evidence is not None
        candidate.evidence.numbers["failed_guards"] = FAILED
        candidate.evidence.save()
    assert all(each.failed_guards for each in Candidate.objects.with_evidence())
    page = sign_in(viewport={"width": width, "height": 900})
    for address in ("/", f"{project.get_absolute_url()}candidates/", f"{project.get_absolute_url()}history/"):
        page.goto(address)
        assert page.locator(".chip", has_text="guard fails").count(), address
        assert page.evaluate(OUTSIDE) == [], address
