"""A report is one file to send: what landed with effect, interval, n and price, what was dropped, what is open."""

import base64
import hashlib
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from markdown_it import MarkdownIt
from pytest_django import Settings

from research_app.models import Candidate, Landing, LandingState, Project, Stage, Verdict
from research_app.web.history.report import Report, html_of, markdown_of
from tests.everything import make_everything
from tests.factories import make_candidate, make_landing, make_project, make_user
from tests.routes.spellings import BIDI, MARKUP

pytestmark = pytest.mark.django_db
TITLES = ("What landed", "Tried and dropped", "Noise", "Stacking", "Transfer to larger sizes", "Open questions")


def text_of(html: str) -> str:
    """What a person reads."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


class Loads(HTMLParser):
    """Everything in a page that a browser would fetch or run, or that a policy without inline styles refuses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        bad = {"src", "href", "xlink:href", "style", "srcset", "action", "data", "background", "poster", "ping", "formaction"}
        self.found += [f"<{tag} {name}>" for name, _ in attrs if name in bad or name.startswith("on")]
        self.found += (
            [f"<{tag}>"] if tag in ("script", "link", "iframe", "object", "embed", "base", "img", "form", "use") else []
        )


@pytest.fixture
def project() -> Project:
    return make_everything()


def test_what_landed_stands_there_with_effect_interval_n_and_price(project: Project) -> None:
    landed = Candidate.objects.select_related("evidence").get(number=1)
    assert landed.evidence and landed.evidence.gain
    for said in (text_of(html_of(Report.of(project))), markdown_of(Report.of(project))):
        assert "C-1 Deeper" in said and landed.evidence.gain.text in said and landed.evidence.gain.interval in said
        assert f"{landed.evidence.candidate_n} / {landed.evidence.baseline_n}" in said
        assert re.search(r"C-1 Deeper.{0,200}\d+ (s|min)\b", said)
        assert all(title in said for title in TITLES)


def test_the_gain_in_all_is_measured_and_no_sum(project: Project) -> None:
    said = text_of(html_of(Report.of(project)))
    assert re.search(r"gain in all \+0\.0\d+ 95% interval \+0\.0\d+ … \+0\.0\d+, n = 4 / 4", said)


@pytest.mark.both_databases
def test_open_questions_name_what_waits_what_is_contradicted_and_what_is_within_noise(project: Project) -> None:
    Landing.objects.filter(candidate__number=1).update(contradictions="A later check did not find it again.")
    said = text_of(html_of(Report.of(project)))
    assert "Waiting for a person’s decision: C-2" in said
    assert "Landed, and contradicted by what was measured later: C-1 Deeper" in said
    assert "Landed at the smallest size alone" in said


def test_the_file_loads_nothing_and_its_policy_allows_its_own_style_alone(project: Project) -> None:
    html = html_of(Report.of(project))
    assert Loads(html).found == [] and "http" not in re.sub(r"http-equiv", "", html)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style and "prefers-color-scheme: dark" in style[1] and "url(" not in style[1] and "@import" not in style[1]
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src &#x27;none&#x27;; style-src &#x27;sha256-{digest}&#x27;" in html


def test_words_of_agents_stay_words(project: Project) -> None:
    Candidate.objects.update(title=MARKUP[:72], author=BIDI, why=MARKUP)
    Landing.objects.update(contradictions=f"{MARKUP}\n\n# Not a heading | cell | [x](http://evil.example)")
    found = Report.of(project)
    html = html_of(found)
    assert Loads(html).found == [] and "<script" not in html and "\u202e" not in html
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown_of(found))
    assert "<script" not in shown and "<img" not in shown and "<a " not in shown and "Not a heading</h1>" not in shown
    assert shown.count("<table>") == 2 and "\u202e" not in shown


def test_an_empty_project_has_a_report_too() -> None:
    project = make_project(reference_runs=0)
    said = text_of(html_of(Report.of(project)))
    assert "Nothing has landed yet." in said and "Nothing was dropped." in said and "not measured" in said
    assert '<svg viewBox="0 0 860' not in html_of(Report.of(project))
    assert markdown_of(Report.of(project)).startswith("# demo\n")


def test_self_reported_scores_are_marked() -> None:
    project = make_project(metric={"source": "autoresearch", "key": "val_bpb"}, data={"corpus": "none"})
    assert "self-reported" in text_of(html_of(Report.of(project))) and "self-reported" in markdown_of(Report.of(project))


def test_an_undecided_a_a_candidate_is_not_given_away() -> None:
    project = make_project()
    make_candidate(project, stage=Stage.READY, aa=True, verdict=Verdict.SOLID)
    assert "A/A:" not in html_of(Report.of(project))
    Candidate.objects.update(stage=Stage.REJECTED, stage_since=timezone.now())
    assert "A/A: changes nothing" in html_of(Report.of(project))


def test_an_effect_that_health_hides_is_hidden_here() -> None:
    project = make_project()
    make_candidate(project, stage=Stage.INVALID, verdict=Verdict.INVALID, effect=0.4321, hypothesis="Cheat")
    html = html_of(Report.of(project))
    assert "Cheat" in html and "0.43" not in html and '<circle class="tried" cx="6' in html


def test_what_was_taken_back_says_so() -> None:
    project = make_project()
    make_landing(landed := make_candidate(project, stage=Stage.LANDED, verdict=Verdict.SOLID), LandingState.LANDED)
    Candidate.objects.filter(pk=landed.pk).update(undone_by=project.tip())
    assert "taken back" in text_of(html_of(Report.of(project)))


def test_the_project_s_page_offers_it_and_it_comes_as_a_file(project: Project) -> None:
    client = Client()
    client.force_login(make_user("ada", role="viewer"))
    page = client.get("/projects/demo/").content.decode()
    for address, kind in (("/projects/demo/report/", "text/html"), ("/projects/demo/report.md", "text/markdown")):
        assert f'href="{address}"' in page
        answer = client.get(address)
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith('inline; filename="demo-report.')
        assert re.search(f'href="{address}"[^>]* download', page)


def test_the_command_writes_what_the_ending_says(project: Project, tmp_path: Path) -> None:
    said = StringIO()
    for name, begins in (("new/report.html", "<!doctype html>"), ("report.md", "# demo")):
        call_command("project", "report", "demo", "--out", str(tmp_path / name), stdout=said)
        assert (tmp_path / name).read_text("utf-8").startswith(begins)
    with pytest.raises(CommandError, match=r"neither \.html nor \.md"):
        call_command("project", "report", "demo", "--out", str(tmp_path / "report.pdf"), stdout=said)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e-3])
def test_the_chart_holds_scores_of_any_size(scale: float, django_assert_max_num_queries: Any) -> None:
    project = make_project()
    for number in range(12):
        make_candidate(project, edits=[("train.py", "WIDTH = 96", f"WIDTH = {number}")], stage=Stage.DROPPED, runs=1)
    project.runs.update(score=scale)
    for candidate in project.candidates.select_related("evidence"):
        assert candidate.evidence
        type(candidate.evidence).objects.filter(pk=candidate.evidence.pk).update(candidate_mean=scale * candidate.number)
    with django_assert_max_num_queries(60):
        html = html_of(Report.of(project))
    drawn = [float(at) for at in re.findall(r'<circle class="tried" cx="[\d.]+" cy="([\d.]+)" r="2.6"', html)]
    assert len(drawn) == 2 * 12 and all(0 <= at <= 300 for at in drawn), "drawn for a wide window and for a narrow one"


@pytest.mark.parametrize("written", [html_of, markdown_of])
def test_the_folder_of_the_installation_stays_at_home(
    project: Project, settings: Settings, written: Callable[[Report], str]
) -> None:
    candidate = make_candidate(project, stage=Stage.CRASHED)
    where = f'File "{settings.HOME}/runs/41-1/tree/train.py", line 26'
    Candidate.objects.filter(pk=candidate.pk).update(why=f"The training command failed with exit code 1. {where}")
    said = unescape(written(Report.of(project)))
    assert "41-1/tree/train.py" in said
    assert str(settings.HOME) not in said and str(settings.HOME).replace("_", "\\_") not in said
