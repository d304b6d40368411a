"""Findings of detectors and probes on the pages: per run, together over seeds, on curves, and on the lines of the diff."""

from typing import Any

import pytest
from django.test import Client

from research_app.models import Candidate, Project, Run
from research_app.web.candidate.findings import flagged, together
from tests.factories import make_candidate, make_project

pytestmark = pytest.mark.django_db
SPIKES: dict[str, Any] = {"detector": "loss spikes", "level": "warning", "sentence": "3 spikes", "series": "train_loss"}
SPIKES |= {"step_from": 100, "step_to": 200}
CREEP = {"detector": "memory creep", "level": "info", "sentence": "<b>grows"}


@pytest.fixture
def candidate() -> Candidate:
    return make_candidate(make_project(), runs=3)


def runs_with(candidate: Candidate, **facts: Any) -> list[Run]:
    runs = list(Run.objects.filter(patch_set=candidate.patch_set).order_by("seed"))
    for run in runs:
        run.facts |= facts
        run.save()
    return runs


def page_of(client: Client, address: str) -> str:
    response = client.get(f"/projects/demo/{address}")
    assert response.status_code == 200
    return response.content.decode()


def test_the_same_finding_of_several_seeds_is_one_entry_and_the_worst_comes_first(candidate: Candidate) -> None:
    runs = runs_with(candidate, findings=[CREEP, SPIKES])
    seen = together(runs)
    assert [(one.detector, len(one.runs)) for one in seen] == [("loss spikes", 3), ("memory creep", 3)]
    assert seen[0].place == "train loss, steps 100 to 200"


def test_a_failed_probe_is_the_worst_finding(client: Client, candidate: Candidate) -> None:
    probes = {
        "causality": {"ok": False, "reason": "later tokens change earlier logits"},
        "state": {"ok": True, "reason": "same"},
    }
    runs = runs_with(candidate, findings=[SPIKES], probes=probes)
    assert together(runs)[0].detector == "causality probe"
    page = page_of(client, f"runs/{runs[0].pk}/")
    assert "later tokens change earlier logits" in page
    assert "2 made" in page
    assert "later tokens change earlier logits" in page_of(client, "candidates/1/")


def test_findings_stand_on_the_run_and_the_candidate_as_text(client: Client, candidate: Candidate) -> None:
    runs = runs_with(candidate, findings=[CREEP])
    for address in (f"runs/{runs[0].pk}/", "candidates/1/"):
        page = page_of(client, address)
        assert "&lt;b&gt;grows" in page
        assert "{&#x27;detector" not in page


def test_findings_are_marked_on_the_panel_of_their_series_on_every_axis(client: Client, candidate: Candidate) -> None:
    run, *others = runs_with(candidate, findings=[SPIKES])
    Run.objects.filter(pk__in=[other.pk for other in others]).update(facts={})
    read = client.get("/projects/demo/candidates/1/curves.json?series=train_loss").json()
    assert [(mark["from"], mark["to"], mark["level"]) for mark in read["marks"]] == [(100, 200, "warning")]
    assert read["marks"][0]["words"] == "seed 1: loss spikes"
    over_tokens = client.get("/projects/demo/candidates/1/curves.json?series=train_loss&x=tokens").json()
    assert over_tokens["marks"][0]["from"] == pytest.approx(2048 * 101)
    assert client.get("/projects/demo/candidates/1/curves.json?series=val_loss").json()["marks"] == []
    assert client.get(f"/projects/demo/runs/{run.pk}/curves.json?series=train_loss").json()["marks"]


def flag(line: int | None, level: str = "warning", path: str = "train.py") -> dict[str, Any]:
    return {"detector": "edit near the budget", "level": level, "sentence": f"line {line} is risky", "path": path, "line": line}


def test_a_risky_edit_stands_below_its_line_and_on_top_of_the_diff(client: Client, candidate: Candidate) -> None:
    assert candidate.patch_set
    candidate.patch_set.flags = [flag(999), flag(8)]
    candidate.patch_set.save()
    page = page_of(client, "candidates/1/")
    assert page.count("line 8 is risky") == 2
    assert page.count("line 999 is risky") == 1
    assert page.index("Risky edits") < page.index('class="card diff-file"')
    assert 'href="#flag-2"' in page
    row = page[: page.index('id="flag-2"')].rpartition('<tr class="added">')[2]
    assert '<td class="n a">8</td>' in row
    assert row.count("<tr") == 1  # the flag's own


def test_flags_of_removed_code_and_of_other_files_find_their_line_or_none(candidate: Candidate) -> None:
    from research_app.web.diff.diff import parse

    diff = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,2 @@\n one\n-two\n three\n"
    assert candidate.patch_set
    candidate.patch_set.flags = [flag(2, path="a.py"), flag(2, path="b.py"), flag(None, path="a.py"), flag(1, "info", "a.py")]
    files = parse(diff)
    flags = flagged(candidate.patch_set, files)
    assert [one.anchored for one in flags] == [True, False, False, False], "harmless ones are listed, not put into the diff"
    assert [[one.number for one in line.flags] for line in files[0].hunks[0].lines] == [[], [1], []]


def test_without_findings_nothing_is_said(client: Client, candidate: Candidate) -> None:
    page = page_of(client, "candidates/1/")
    assert "What detectors saw" not in page
    assert "Risky edits" not in page
    run = Run.objects.filter(patch_set=candidate.patch_set).first()
    assert run
    assert "Findings and probes" not in page_of(client, f"runs/{run.pk}/")


def test_a_project_where_a_detector_finds_something_reads_no_series_for_the_page(client: Client, candidate: Candidate) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    runs_with(candidate, findings=[SPIKES])
    with CaptureQueriesContext(connection) as captured:
        page_of(client, "candidates/1/")
    assert not any("serieschunk" in query["sql"].lower() for query in captured.captured_queries)
    assert Project.objects.count() == 1
