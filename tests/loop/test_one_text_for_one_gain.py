"""A gain reads the same wherever it stands: digits from its error, positive is better, no exponents in the ordinary range."""

import ast
import math
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.evidence.digits import Gain, gain, number, p_value, score, share, spread
from research_app.home import CODE
from research_app.loop.disclosure import effect_told
from research_app.loop.land.land import message_of
from research_app.loop.notify.compose import item_of
from research_app.models import Candidate, Evidence, LandingState, Project, Stage, Verdict
from tests.factories import make_candidate, make_landing, make_project, make_user

LAYERS = (("train.py", "LAYERS = 3", "LAYERS = 4"),)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.0144, 0.0027, "+0.0144"),
        (0.000056, 0.0012, "+0.0001"),  # not +5.6e-05 beside 0.0012
        (-0.0115, 0.0044, "−0.0115"),
        (0.2, 0.041, "+0.200"),
        (0.0012, 0.00094, "+0.00120"),
        (12.3456, 0.52, "+12.35"),
        (12345.678, 340.0, "+12,346"),
        (0.0, 0.0044, "0.0000"),
        (0.0, None, "0"),
        (-0.0, 0.0044, "0.0000"),
        (1e-9, 3e-10, "+1.00×10⁻⁹"),
        (-1e200, 1e198, "−1.000×10²⁰⁰"),
        (1e200, None, "+1×10²⁰⁰"),
        (5e-324, 5e-324, "+4.9×10⁻³²⁴"),
        (0.42, 1e-17, "+0.420000"),  # of a target whose seed does nothing
        (0.0144, math.inf, "+0.0144"),
        (math.nan, 0.1, "–"),
        (math.inf, 0.1, "–"),
        (None, None, "–"),
    ],
)
def test_a_gain_has_the_digits_that_its_error_leaves(value: float | None, error: float | None, text: str) -> None:
    assert gain(value, error) == text


def test_the_interval_has_the_decimals_of_the_gain() -> None:
    assert Gain(0.0144, 0.0027, 0.00911, 0.0197).sentence == "+0.0144, 95% interval +0.0091 … +0.0197"
    assert Gain(0.0144, None, 0.00911, 0.0197).text == "+0.0144", "where the error was not kept it is read off the interval"
    assert Gain(0.0144).sentence == "+0.0144"


def test_no_number_of_the_ordinary_range_has_an_exponent() -> None:
    for exponent in range(-6, 9):
        for digits in (1.0, 2.187, 5.6, 9.9999):
            value = digits * 10.0**exponent
            for text in (gain(value, value / 7), gain(value), score(value), spread(value), number(value), number(-value)):
                assert not re.search(r"[e×]", text), (value, text)
                assert len(text) <= 16, (value, text)


def test_a_finite_number_of_any_size_is_short() -> None:
    for exponent in range(-323, 309):
        value = 10.0**exponent
        for error in (None, value, 1e-300, 1.0, 1e300):
            for text in (gain(value, error), score(value, error), share(value)):
                assert len(text) <= 20, (exponent, text)


def test_probabilities_and_shares_read_as_people_write_them() -> None:
    assert [p_value(p) for p in (0.0123, 0.00031, 2.3e-17, 0.0, 1.0)] == [
        "p = 0.012",
        "p = 0.00031",
        "p = 2.3×10⁻¹⁷",
        "p < 10⁻³⁰⁰",
        "p = 1",
    ]
    assert [share(x) for x in (0.041, -0.304, -0.001, 12.5, math.nan)] == ["4%", "−30%", "0%", "1,250%", "–"]
    assert share(0.041, 1, signed=True) == "+4.1%"


@pytest.fixture
def landed(db: None) -> Candidate:
    project = make_project()
    candidate = make_candidate(project, stage=Stage.LANDED, effect=0.0337, runs=3, verdict=Verdict.SOLID, edits=LAYERS)
    make_landing(candidate, LandingState.LANDED)
    return candidate


def told(candidate: Candidate) -> Gain:
    assert candidate.evidence and candidate.evidence.gain
    return candidate.evidence.gain


def page(address: str) -> str:
    client = Client()
    client.force_login(User.objects.filter(username="ada").first() or make_user("ada"))
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


PLACES = (
    "candidates/",
    "candidates/1/",
    "compare/?c=1",
    "history/?show=table",
    "history/?show=tree",
    "history/?show=landings",
    "scoreboard/",
    "stacks/",
)


@pytest.mark.parametrize("place", PLACES)
def test_every_page_shows_the_same_text_for_the_same_gain(landed: Candidate, place: str) -> None:
    assert re.search(rf">{re.escape(told(landed).text)}<", page(f"/projects/demo/{place}")), told(landed).text


@pytest.mark.parametrize("place", ["/", "/projects/demo/", "/projects/demo/candidates/", "/projects/demo/candidates/1/"])
def test_a_gain_that_waits_for_a_person_reads_the_same_too(db: None, place: str) -> None:
    waiting = make_candidate(make_project(), effect=0.0337, runs=3, verdict=Verdict.SOLID)
    assert f">{told(waiting).text}<" in page(place)


def test_a_landing_queue_shows_it_as_the_list_does(db: None) -> None:
    candidate = make_candidate(make_project(), stage=Stage.LANDING, effect=0.0337, runs=3, verdict=Verdict.SOLID, edits=LAYERS)
    make_landing(candidate, LandingState.QUEUED)
    assert f">{told(candidate).text}<" in page("/projects/demo/landings/")


def test_the_mail_says_it_as_the_pages_do(landed: Candidate) -> None:
    unit, measured = landed.project.file.metric.name, told(landed)
    mail = " ".join(item_of(landed).lines)
    assert f"gain {measured.text} {unit}, 95% interval {measured.interval} (positive is better), n = 5" in mail


def test_the_commit_says_it_in_the_same_way_as_rounded_as_agents_may_know_it(landed: Candidate) -> None:
    landing, effect = landed.landings.get(), effect_told(landed, landed.project.noise())
    line = f"{gain(effect, told(landed).spread)} {landed.project.file.metric.name}, better (n=5, to half a sigma)"
    assert f"Effect: {line}\n" in message_of(landing, [landing], [])


@pytest.mark.parametrize("effect", [5.6e-5, 1e-9, 1e200, -1e200, 0.0, 5e-324, 1.7e308])
def test_a_gain_of_any_size_is_shown_on_every_page(landed: Candidate, effect: float) -> None:
    error = abs(effect) / 5 or 0.0012
    Evidence.objects.filter(pk=landed.evidence_id or 0).update(
        effect=effect, standard_error=error, low=effect - 2 * error, high=effect + 2 * error
    )
    for place in PLACES:
        assert f">{gain(effect, error)}<" in page(f"/projects/demo/{place}").replace("&nbsp;", " "), place


def test_a_metric_where_higher_is_better_has_the_same_sign(db: None) -> None:
    project = make_project(metric={"direction": "higher", "name": "accuracy"})
    better = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    assert told(better).text.startswith("+")
    assert f">{told(better).text}<" in page("/projects/demo/candidates/")
    assert "positive is better" in page("/projects/demo/candidates/1/")


ALLOWED = {  # not what was measured: settings and constants as their authors wrote them, and values for machines
    "agent/playbook.py",
    "research_app/loop/propose/conversation/facts.py",
    "research_app/web/figure/figure.py",
    "research_app/web/figure/paper_script.py",
    "research_app/web/shared/cells.py",
    "research_app/loop/review/widen.py",
    "research_app/management/commands/candidate.py",
    "research_app/environment_page.py",
    "research_app/evidence/digits.py",
    "research_app/evidence/errors.py",
    "research_app/evidence/noise.py",
    "research_app/evidence/policy.py",
    "research_app/evidence/savings.py",
    "research_app/loop/scale_up/price.py",
    "research_app/machine/supervisor.py",
    "research_app/survey/budget.py",
    "research_app/survey/draft.py",
    "research_app/survey/keys.py",
    "research_app/web/shared/charts.py",
    "research_app/web/shared/curves.py",
    "training/answers.py",
    "training/claims.py",
    "training/detectors/curves.py",
    "training/detectors/watch.py",
    "training/escape/stage.py",
    "training/command.py",
    "training/ending.py",
    "training/runner.py",
}


def test_nothing_else_in_the_tree_writes_signs_or_significant_digits_by_hand() -> None:
    found = set()
    for room in ("agent", "research_app", "training"):
        for path in (CODE / room).rglob("*.py"):
            name = str(path.relative_to(CODE))
            if "migrations" not in name and "training/targets" not in name and _by_hand(path):
                found.add(name)
    assert found <= ALLOWED, "format measured numbers with research_app/evidence/digits.py"


def _by_hand(path: Path) -> bool:
    """Whether an f-string has a format like :+.3f, :.4g or :e."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(str(part.value) for part in node.format_spec.values if isinstance(part, ast.Constant))
            if spec and (spec[-1] in "eg" or "+" in spec):
                return True
    return False


def test_no_template_formats_a_gain_or_a_score_by_hand() -> None:
    """But for scripts, which get every digit."""
    for path in (CODE / "templates").rglob("*.html"):
        for name in re.findall(r"{{ ([\w.]+)\|(?:floatformat|stringformat)(?!:'\.17g')", path.read_text(encoding="utf-8")):
            assert not re.search(r"\b(value|effect|gain|low|high|mean|std|score|sigma)$", name), f"{path}: {name}"


def test_old_evidence_without_an_error_still_has_its_gain(landed: Candidate) -> None:
    Evidence.objects.filter(pk=landed.evidence_id or 0).update(standard_error=None)
    landed.refresh_from_db()
    assert told(landed).text in page("/projects/demo/candidates/")
    Evidence.objects.filter(pk=landed.evidence_id or 0).update(low=None, high=None)
    landed.refresh_from_db()
    assert told(landed).text in page("/projects/demo/candidates/")
    assert Project.objects.get().slug == "demo"
