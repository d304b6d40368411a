"""Every page of lists costs the same number of queries for 10 rows as for 10,000, and none of them reads a series."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.models import (
    Author,
    BaselineVersion,
    Candidate,
    Event,
    Evidence,
    ImportedResult,
    Landing,
    LandingState,
    PatchSet,
    Project,
    Purpose,
    Review,
    Run,
    Stage,
    State,
    Verdict,
)
from research_app.models.event_kinds import EventKind
from research_app.web.shared.every_page import every_address
from research_app.web.shared.stats_cache import _kept
from tests.everything import make_everything, make_vote
from tests.factories import BASE_SCORE, SIGMA, make_candidate, make_landing, make_user
from training.spec import Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.one_in(2)]
FEW, MANY = 10, 10_000
MOST = 60  # queries of any page
ABOUT_ONE = {
    "candidate",
    "candidate-side-by-side",
    "candidate-figure",
    "scale-up",
    "run",
    "stack",
}  # pages of one thing, no lists
FILTERED = "q=warm&constant=WARMUP&effect=unclear&gain=-1&since=2020-01-01&archived=too&sort=saved"
STAGES = (Stage.DROPPED, Stage.READY, Stage.INVALID, Stage.LANDED, Stage.INCONCLUSIVE, Stage.SHORTLISTED, Stage.CRASHED)


@pytest.fixture
def project() -> Project:
    return make_everything()


@pytest.fixture
def ada() -> User:
    return make_user("ada")


def lists(project: Project, client: Client) -> dict[str, str]:
    """Every page that is not about one thing; whatever answers with a page, asked for and not listed."""
    found = {}
    for name, address in every_address(project):
        if name not in ABOUT_ONE:
            response = client.get(address)
            if response.status_code == 200 and b"<!doctype html>" in response.content[:40].lower():
                found[name] = address
    return found | {"candidates-filtered": f"{project.get_absolute_url()}candidates/?{FILTERED}"}


def queries(client: Client, address: str) -> list[str]:
    """What a page asks for that no process has seen before."""
    _kept.clear()
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def grow(project: Project, count: int) -> None:
    """So many more candidates with patch set, evidence, a run, an event; versions and landings for those that landed."""
    pattern = project.candidates.select_related("patch_set", "evidence").get(number=2)
    assert pattern.patch_set and pattern.evidence
    last = make_candidate(
        project, edits=[(f"more_{count}.py", "", "MORE = 1\n")], stage=Stage.LANDED
    )  # the tip is a real commit
    first, base, now = project.last_number + 1, project.tip(), timezone.now()
    numbers = range(first, first + count)
    candidates = Candidate.objects.bulk_create(
        Candidate(project=project, number=n, base=base, hypothesis=f"Warm-up {n}", category="schedule",
                  author=f"a {n % 5}", author_kind=Author.AGENT, stage=STAGES[n % len(STAGES)], created_at=now,
                  stage_since=now - timedelta(seconds=n % 9999))
        for n in numbers
    )  # fmt: skip
    patch_sets = PatchSet.objects.bulk_create(
        PatchSet(candidate=c, number=1, base=base, base_commit=base.commit, commit=pattern.patch_set.commit, tree=base.tree,
                 diff=pattern.patch_set.diff, diff_hash=f"{c.number:064}", touched="\nWARMUP\n", files=pattern.patch_set.files)
        for c in candidates
    )  # fmt: skip
    evidence = Evidence.objects.bulk_create(
        Evidence(patch_set=p, policy_version=1, verdict=Verdict.INCONCLUSIVE, effect=0.001, low=-0.01, high=0.02, sigma=SIGMA,
                 candidate_n=1, baseline_n=4, content_hash=f"{p.pk:064}", numbers=pattern.evidence.numbers)
        for p in patch_sets
    )  # fmt: skip
    for candidate, patch_set, frozen in zip(candidates, patch_sets, evidence, strict=True):
        candidate.patch_set, candidate.evidence = patch_set, frozen
    Candidate.objects.bulk_update(candidates, ["patch_set", "evidence"], batch_size=500)
    Run.objects.bulk_create(
        Run(project=project, baseline=base, patch_set=p, purpose=Purpose.SCREEN, priority=5, queue=project.queue, seed=1,
            commit=p.commit, state=State.FINISHED, outcome=Outcome.completed, score=BASE_SCORE, train_seconds=15.0,
            started_at=now - timedelta(hours=2), finished_at=now - timedelta(hours=2), progress=1.0)
        for p in patch_sets
    )  # fmt: skip
    grow_the_rest(project, candidates)
    make_landing(last, LandingState.LANDED)
    project.last_number = first + count - 1
    project.save(update_fields=["last_number"])


def grow_the_rest(project: Project, candidates: list[Candidate]) -> None:
    """Landings with versions, returned landings, votes and events."""
    begin = project.tip().number + 1
    landed = [c for c in candidates if c.stage == Stage.LANDED]
    versions = BaselineVersion.objects.bulk_create(
        BaselineVersion(project=project, number=begin + i, commit=f"{c.pk:040}", tree=f"{c.pk:040}")
        for i, c in enumerate(landed)
    )
    Landing.objects.bulk_create(
        Landing(project=project, candidate=c, patch_set=c.patch_set, state=LandingState.LANDED, version=v, commit=v.commit)
        for c, v in zip(landed, versions, strict=True)
    )
    Landing.objects.bulk_create(
        Landing(project=project, candidate=c, patch_set=c.patch_set, state=LandingState.RETURNED, reason="It conflicts.")
        for c in candidates
        if c.stage == Stage.DROPPED
    )
    history = project.imported_histories.latest("pk")
    last = history.results.count()
    ImportedResult.objects.bulk_create(
        ImportedResult(history=history, number=last + n, outcome=("keep", "discard")[n % 2], reported=1 - n / 1e6,
                       description=f"Change {n}", diff="x" * 100, candidate=candidates[n % len(candidates)])
        for n in range(1, len(candidates) + 1)
    )  # fmt: skip
    vote = make_vote(project.candidates.get(number=2), User.objects.get(username="grace"))
    fields = {f.name: getattr(vote, f.name) for f in Review._meta.fields if f.name not in ("id", "candidate", "patch_set")}
    Review.objects.filter(pk=vote.pk).delete()
    Review.objects.bulk_create(
        Review(candidate=c, patch_set=c.patch_set, **fields) for c in candidates if c.stage != Stage.DROPPED
    )
    with transaction.atomic():
        for c in candidates:
            Event.objects.record(EventKind.VOTE, c, "grace", project)


def test_every_list_costs_as_many_queries_for_10000_rows_as_for_10_and_reads_no_series(project: Project, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    grow(project, FEW)
    addresses = lists(project, client)
    assert set(addresses) >= {"inbox", "candidates", "history", "history-tree", "history-landings", "audit", "fleet", "project"}
    few = {name: queries(client, address) for name, address in addresses.items()}
    grow(project, MANY)
    many = {name: queries(client, address) for name, address in addresses.items()}
    assert {name: (len(few[name]), len(sql)) for name, sql in many.items() if len(sql) > len(few[name])} == {}
    assert {name: len(sql) for name, sql in many.items() if len(sql) > MOST} == {}
    read = {name for name, sql in many.items() if name != "project" and any("serieschunk" in each.lower() for each in sql)}
    assert read == set()  # the project's page draws small curves of what trains now, and of nothing else
    whole = {name for name, sql in many.items() if any('"research_app_patchset"."diff",' in each for each in sql)}
    # Two say which lines conflict; the project's page says what the few that train now change.
    assert whole - {"shortlist", "stacks", "project"} == set()
