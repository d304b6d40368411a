"""A guard that fails is part of the verdict: it needs a reason, and it is named wherever the candidate is."""

from typing import Any

import pytest
from django.test import Client

from research_app.api.representations import evidence as told
from research_app.evidence.guards import Guard, check_guard, check_sources, failed_guards
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.build_evidence import confirm, evidence_of_confirmation
from research_app.loop.land import land
from research_app.loop.land.rejudge import no_longer_holds, still_good
from research_app.loop.notify.compose import evidence_line
from research_app.loop.review.review import ReviewRefused, Seen, approve
from research_app.models import Candidate, Event, Evidence, Landing, LandingState, Project, Purpose, Stage, Verdict
from tests.factories import NOISE, make_candidate, make_landing, make_user

pytestmark = pytest.mark.django_db
NAMED = "worse on science by 0.127"


def costly(project: Project, **fields: Any) -> Candidate:
    """Better by 0.042 on the whole, confirmed, and worse on one source of text by 0.127."""
    candidate = make_candidate(project, effect=0.042, verdict=Verdict.SOLID, stage=Stage.READY, **fields)
    return with_source(candidate, -0.127)


def with_source(candidate: Candidate, science: float) -> Candidate:
    """The candidate with its confirming evidence made anew, where science differs by so much; positive is better."""
    patch_set = candidate.revision
    mine = list(patch_set.runs.filter(purpose=Purpose.CONFIRM).order_by("seed"))
    theirs = list(patch_set.base.runs.filter(patch_set=None, seed__in=[run.seed for run in mine]).order_by("seed"))
    for ours, base in zip(mine, theirs, strict=True):
        base.score_by_source = {"web": base.score, "science": base.score}
        ours.score_by_source = {"web": ours.score, "science": (base.score or 0) - science}
        ours.save()
        base.save()
    arms = Arms(theirs, mine)
    confirmation, tau = confirm(candidate.project, NOISE, arms, None, hidden=True)
    evidence = evidence_of_confirmation(patch_set, arms, NOISE, confirmation, [], tau)
    evidence.save()
    Candidate.objects.filter(pk=candidate.pk).update(evidence=evidence)
    return fresh(candidate)


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_a_source_beyond_its_margin_fails_with_its_size_beside_the_margin() -> None:
    base = {"web": [2.0, 2.01, 1.99], "tables": [2.0, 2.01, 1.99]}
    mine = {"web": [1.9, 1.91, 1.89], "tables": [2.13, 2.14, 2.12]}
    [failed] = failed_guards([], check_sources(base, mine, 0.037))
    assert failed.name == "text from tables"
    assert failed.sentence == "worse on tables by 0.130, 3.5 times its margin of 0.037"
    assert failed_guards([], check_sources(base, mine, 0.2)) == []


def test_a_metric_beyond_its_margin_fails_and_one_that_is_not_settled_does_not() -> None:
    memory = check_guard(Guard("peak_memory", 0.1), [100.0, 101.0, 99.0], [150.0, 151.0, 149.0])
    speed = check_guard(Guard("tokens_per_second", 0.1, lower_is_better=False), [100.0, 101.0, 99.0], [60.0, 61.0, 59.0])
    unsettled = check_guard(Guard("peak_memory", 0.1), [100.0, 160.0, 70.0], [120.0, 130.0, 110.0])
    assert [failed.sentence for failed in failed_guards([memory, speed, unsettled], None)] == [
        "peak memory +50.0%, its margin is +10%",
        "tokens per second −40.0%, its margin is −10%",
    ]
    absurd = check_guard(Guard("peak_memory", 0.1), [1e-90], [1e90])
    assert absurd.status == "exceeded" and absurd.change is not None and absurd.change < 1e30


def test_it_stands_in_the_verdict_and_in_the_columns_that_lists_read(project: Project) -> None:
    evidence = costly(project).evidence
    assert evidence is not None and evidence.verdict == Verdict.SOLID
    assert NAMED in evidence.reason and "A guard fails" in evidence.reason
    assert [each["name"] for each in evidence.numbers["failed_guards"]] == ["text from science"]
    assert Evidence.objects.get(pk=evidence.pk).failed_guards == [
        each["sentence"] for each in evidence.numbers["failed_guards"]
    ]
    assert evidence.content_hash == evidence.compute_hash()


def test_approving_it_needs_a_written_reason_which_is_kept_as_against_the_verdict(project: Project) -> None:
    candidate, ada = costly(project), make_user()
    with pytest.raises(ReviewRefused, match=r"A guard fails .*worse on science"):
        approve(candidate, ada, Seen.of(candidate))
    approve(candidate, ada, Seen.of(candidate), "Science is not what we train for.")
    vote = candidate.reviews.get()
    assert vote.against_verdict
    assert NAMED in str(Event.objects.get(kind="vote").data["guards_failed"])


def test_every_page_that_shows_the_candidate_names_it(client: Client, project: Project) -> None:
    candidate = costly(project)
    client.force_login(make_user())
    home = project.get_absolute_url()
    for address in (
        "/",
        home,
        f"{home}candidates/",
        f"{home}history/",
        f"{home}history/?show=tree",
        candidate.get_absolute_url(),
    ):
        assert "guard fails: worse on science by 0.127" in page(client, address), address
    shown = page(client, candidate.get_absolute_url())
    assert shown.index("A guard fails.") < shown.index("Health "), "before the checks that pass"
    assert "Approve although a guard fails" in shown and "Approve for baseline" not in shown
    assert "A guard fails (worse on science" in shown, "the decision bar says why a reason is needed"


def test_mail_api_and_commit_name_it_the_last_two_without_figures_of_the_gate_text(project: Project) -> None:
    candidate = costly(project)
    assert NAMED in evidence_line(candidate)
    assert candidate.evidence is not None
    assert told(candidate, candidate.evidence).failed_guards == ["text from science"]
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.LANDING)
    landing = Landing.objects.create(project=project, candidate=fresh(candidate), patch_set=candidate.revision)
    message = land.message_of(landing, [landing], [])
    assert "Guard-Failed: demo/1: text from science" in message and "0.127" not in message


def test_what_landed_so_says_it_in_the_history_the_queue_and_the_baseline(client: Client, project: Project) -> None:
    candidate = costly(project)
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.LANDED)
    make_landing(fresh(candidate), LandingState.LANDED)
    waiting = costly(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    Candidate.objects.filter(pk=waiting.pk).update(stage=Stage.LANDING)
    make_landing(fresh(waiting), LandingState.QUEUED)
    client.force_login(make_user())
    home = project.get_absolute_url()
    for address in (f"{home}history/?show=landings", f"{home}landings/", f"{home}baseline/"):
        assert "guard fails: worse on science" in page(client, address), address


def test_a_guard_that_fails_on_the_new_tip_alone_takes_it_out_of_the_queue(project: Project) -> None:
    candidate = make_candidate(project, effect=0.042, verdict=Verdict.SOLID, stage=Stage.LANDING)
    before = candidate.evidence
    after = with_source(candidate, -0.127).evidence
    assert before is not None and after is not None
    assert not still_good(candidate, before, after)
    assert still_good(candidate, after, after), "what was approved with a reason goes on"
    assert "a guard fails that did not before: worse on science by 0.127" in no_longer_holds(before, after, after.reason)


def test_a_guard_that_fails_on_a_larger_rung_is_named_at_gate_2_and_needs_a_reason(project: Project) -> None:
    candidate = make_candidate(project, effect=0.042, verdict=Verdict.SOLID, stage=Stage.READY)
    assert candidate.reason_needed == ""
    rung = costly(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")]).evidence
    assert rung is not None
    Evidence.objects.filter(pk=rung.pk).update(patch_set=candidate.patch_set, scale="M")
    candidate = fresh(candidate)
    assert candidate.failed_guards == [f"at M: {rung.failed_guards[0]}"]
    assert "at M: worse on science" in candidate.reason_needed
    fetched = Candidate.objects.get(pk=candidate.pk)
    assert fetched.failed_guards == candidate.failed_guards, "also where no list asked for it"
