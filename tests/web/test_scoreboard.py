"""The scoreboard: per author what was proposed, solid, landed and held up, what it cost, how much was structure."""

import math
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import (
    Author,
    BaselineVersion,
    Candidate,
    Conversation,
    Kind,
    Landing,
    LandingState,
    PatchSet,
    Project,
    Purpose,
    Run,
    Stage,
    Verdict,
)
from research_app.web.scoreboard.scoreboard import Score, scores_of
from tests.factories import SIGMA, make_candidate, make_landing, make_many, make_run

pytestmark = pytest.mark.django_db
LAYERS = (("train.py", "LAYERS = 3", "LAYERS = 4"),)
ADDRESS = "/projects/demo/scoreboard/"


def score_of(project: Project, author: str) -> Score:
    return next(score for score in scores_of(project) if score.author == author)


def moved(candidate: Candidate, **constants: tuple[float, float]) -> Candidate:
    """Say that nothing but constants differs in a candidate."""
    values = {f"train.py:{name}": list(pair) for name, pair in constants.items()}
    PatchSet.objects.filter(current_of=candidate).update(moved=values)
    return candidate


def landed(project: Project, author: str, effect: float) -> Candidate:
    candidate = make_candidate(
        project, author=author, effect=effect, runs=4, stage=Stage.LANDED, verdict=Verdict.SOLID, edits=LAYERS
    )
    make_landing(candidate, LandingState.LANDED)
    return candidate


def test_each_author_has_a_line_with_the_outcome_of_its_proposals(project: Project) -> None:
    best = landed(project, "playbook", 0.1)
    make_candidate(project, author="playbook", effect=0.05, runs=4, verdict=Verdict.SOLID)
    moved(make_candidate(project, author="knobs", effect=-0.01, stage=Stage.DROPPED), WARMUP=(0.05, 0.02))
    make_candidate(project, author="knobs", effect=None, edits=(), stage=Stage.INVALID, duplicate_of=best)
    make_candidate(project, author="ada", author_kind=Author.PERSON, effect=0.001, stage=Stage.INCONCLUSIVE)
    playbook, knobs, ada = (score_of(project, name) for name in ("playbook", "knobs", "ada"))
    assert scores_of(project)[0].author == "playbook"
    assert (playbook.proposed, playbook.trained, playbook.solid, playbook.landed) == (2, 2, 2, 1)
    assert (playbook.knobs, playbook.structural, playbook.structural_landed) == (0, 2, 1)
    assert best.evidence is not None and playbook.gain and playbook.gain.value == pytest.approx(best.evidence.effect)
    assert (knobs.proposed, knobs.trained, knobs.solid, knobs.landed, knobs.duplicates) == (2, 1, 0, 0, 1)
    assert (knobs.knobs, knobs.structural, knobs.structural_share) == (1, 0, 0.0)
    assert (ada.kind, ada.solid_rate) == ("person", 0.0)


def test_a_landing_is_replicated_where_the_reference_runs_of_its_baseline_are_better_than_those_before(
    project: Project,
) -> None:
    landed(project, "playbook", 0.1)
    unmeasured = make_candidate(project, author="lucky", effect=0.05, runs=4, stage=Stage.LANDED, verdict=Verdict.SOLID)
    make_landing(unmeasured, LandingState.LANDED)
    latest = project.tip()
    Run.objects.filter(baseline=latest).delete()
    assert (score_of(project, "playbook").replicated, score_of(project, "playbook").replicable) == (1, 1)
    assert (score_of(project, "lucky").replicated, score_of(project, "lucky").replicable) == (0, 0)


def test_a_landing_whose_baseline_is_no_better_is_not_replicated(project: Project) -> None:
    landed(project, "knobs", 0.03)
    version = project.tip()
    first = Run.objects.filter(baseline__number=0, patch_set=None, purpose=Purpose.REFERENCE).order_by("seed")
    for run, before in zip(version.runs.order_by("seed"), first, strict=True):
        run.score = before.score
        run.save(update_fields=["score"])
    assert (score_of(project, "knobs").replicated, score_of(project, "knobs").replicable) == (0, 1)


def test_gain_is_set_against_the_device_time_of_all_runs_of_an_author_and_against_its_dollars(project: Project) -> None:
    best = landed(project, "claude", 0.1)
    make_candidate(project, author="claude", effect=-0.02, stage=Stage.DROPPED)
    runs = Run.objects.filter(patch_set__candidate__author="claude")
    assert best.evidence is not None
    runs.update(train_seconds=36.0)
    score = score_of(project, "claude")
    assert score.hours == pytest.approx(runs.count() * 0.01)
    assert score.gain_per_hour and score.gain_per_hour.value == pytest.approx((best.evidence.effect or 0) / score.hours)
    assert score.gain_per_dollar is None, "no price and no conversation: nothing to divide by"
    base = BaselineVersion.objects.get(project=project, number=0)
    Conversation.objects.create(project=project, base=base, candidate=best, model="claude", cost=1.5)
    Conversation.objects.create(project=project, base=base, model="claude", cost=0.5)
    assert score_of(project, "claude").dollars == pytest.approx(2.0)
    per_dollar = score_of(project, "claude").gain_per_dollar
    assert per_dollar and per_dollar.value == pytest.approx((best.evidence.effect or 0) / 2.0)


def test_aa_candidates_do_not_count(project: Project) -> None:
    make_candidate(project, author="knobs", aa=True, stage=Stage.DROPPED, effect=0.0)
    assert scores_of(project) == []


def test_the_page_shows_the_lines_and_costs_the_same_however_much_was_tried(client: Client, project: Project) -> None:
    assert "Nothing was proposed yet" in client.get(ADDRESS).content.decode()
    landed(project, "playbook", 0.1)
    moved(make_candidate(project, author="<b>mallory</b>", effect=SIGMA / 10, age=timedelta(minutes=1)), WARMUP=(0.05, 0.02))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            page = client.get(ADDRESS).content.decode()
        counts.append(len(captured))
        make_many(project, 12, author="knobs")
    assert counts[0] == counts[1]
    assert "playbook" in page and "<b>mallory" not in page
    assert "Scoreboard" in page and "structure that landed" in page


def test_nobody_signed_in_sees_no_scoreboard(project: Project) -> None:
    assert Client().get(ADDRESS).status_code == 302


def in_one(project: Project, effect: float, *members: Candidate, batch: bool) -> None:
    """Land some candidates together, as a batch or as a stack that a person formed; together they bring `effect`."""
    stack = make_candidate(
        project, author="signoff", effect=effect, runs=4, stage=Stage.LANDED, verdict=Verdict.SOLID, edits=LAYERS
    )
    Candidate.objects.filter(pk=stack.pk).update(kind=Kind.STACK)
    stack.members.set(members)
    whole = make_landing(stack, LandingState.LANDED)
    for member in members if batch else ():
        Landing.objects.create(
            project=project, candidate=member, patch_set=member.revision, state=LandingState.LANDED, version=whole.version,
            batch=whole,
        )  # fmt: skip


def waiting(project: Project, author: str, effect: float) -> Candidate:
    return make_candidate(
        project, author=author, effect=effect, runs=4, stage=Stage.LANDED, verdict=Verdict.SOLID, edits=LAYERS
    )


@pytest.mark.parametrize("batch", [True, False])
def test_what_landed_together_shares_what_it_brought_together_and_not_the_sum_of_what_each_brought_alone(
    project: Project, batch: bool
) -> None:
    first, second = waiting(project, "playbook", 0.06), waiting(project, "knobs", 0.03)
    in_one(project, 0.03, first, second, batch=batch)
    whole = Candidate.objects.get(kind=Kind.STACK).evidence
    scores = {author: score_of(project, author) for author in ("playbook", "knobs")}
    gains = {author: score.gain.value for author, score in scores.items() if score.gain}
    assert whole and whole.effect and sum(gains.values()) == pytest.approx(whole.effect)
    assert gains["playbook"] == pytest.approx(2 * gains["knobs"], rel=0.15), "in the proportions of what each gained alone"
    assert [score.landed for score in scores.values()] == [1, 1]
    errors = [score.gain.error for score in scores.values() if score.gain and score.gain.error]
    assert whole.standard_error and math.hypot(*errors) == pytest.approx(whole.standard_error)


def test_landings_one_after_the_other_add_up(project: Project) -> None:
    one = waiting(project, "playbook", 0.1)
    other = make_candidate(project, author="playbook", effect=0.02, runs=4, stage=Stage.LANDED, verdict=Verdict.SOLID)
    for candidate in (one, other):
        make_landing(candidate, LandingState.LANDED)
    gain = score_of(project, "playbook").gain
    assert gain and one.evidence and other.evidence
    assert gain.value == pytest.approx((one.evidence.effect or 0) + (other.evidence.effect or 0))


def test_a_member_that_was_taken_back_has_no_part(project: Project) -> None:
    first, second = waiting(project, "playbook", 0.06), waiting(project, "knobs", 0.03)
    in_one(project, 0.03, first, second, batch=False)
    Candidate.objects.filter(pk=second.pk).update(undone_by=project.tip())
    assert score_of(project, "knobs").landed == 0 and score_of(project, "knobs").gain is None


def test_what_was_approved_stands_beside_what_the_baseline_measured(client: Client, project: Project) -> None:
    first = landed(project, "playbook", 0.1)
    newest = BaselineVersion.objects.latest("number")
    before = project.baseline_versions.earliest("number").runs.of_baseline().values_list("score", flat=True)
    newest.runs.all().delete()
    for seed, score in enumerate(before, 1):
        make_run(newest, seed=seed, score=(score or 0) - 0.03)
    page = " ".join(client.get(ADDRESS).content.decode().split())
    assert first.evidence and first.evidence.gain
    shown = re.search(r"approved on <b>([^<]+)</b>, measured <b class=.good.>\+([\d.]+)</b>", page)
    assert shown and shown[1] == first.evidence.gain.text
    assert float(shown[2]) == pytest.approx(0.03, abs=0.002)  # of its own runs, not the sum
