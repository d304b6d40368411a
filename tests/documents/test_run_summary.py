"""What a run and a patch set keep: read as far as it goes, written as it always was."""

import json
from typing import Any, get_args

import pytest
from django.test import Client

from research_app.models import PatchSet, Run
from research_app.models.documents import finding
from research_app.models.documents.finding import KeptFinding
from research_app.models.documents.run_summary import RunSummary, facts_stored, figures_read
from research_app.models.seal import storable
from tests.factories import make_candidate, make_project, make_user
from training.detectors import Finding, Level

WHOLE: dict[str, Any] = {
    "parameters": 12, "loss": 1.5, "account": "task clock", "version": 7, "findings": [
        {"detector": "loss spikes", "level": "warning", "sentence": "3 spikes", "series": "train_loss", "step_from": 4}
    ],
    "probes": {"causality": {"ok": False, "reason": "it looks ahead"}}, "left_out": {"too long": 3},
}  # fmt: skip
ODD: list[Any] = [None, "words", [], {}, [1], {"a": 1}, True, -1, 10**400, float("inf"), float("nan"), [[[{}]]]]


def test_a_summary_has_its_parts_and_all_other_facts_whatever_their_names_are() -> None:
    summary = RunSummary.read(WHOLE)
    assert summary.facts == {"parameters": 12, "loss": 1.5, "account": "task clock", "version": 7}
    assert summary.findings and summary.findings[0].detector == "loss spikes"
    assert not summary.probes["causality"].ok and summary.left_out == {"too long": 3}
    assert storable(summary.written()) == WHOLE


def test_that_no_detector_looked_is_not_that_none_found_anything() -> None:
    assert RunSummary.read({}).findings is None
    assert RunSummary.read({"findings": []}).findings == ()


@pytest.mark.parametrize("part", ["findings", "probes", "left_out", "parameters"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_one_part_became_the_others_are_read(part: str, value: Any) -> None:
    summary = RunSummary.read(WHOLE | {part: value})
    whole = RunSummary.read(WHOLE)
    for name in ("findings", "probes", "left_out"):
        assert name == part or getattr(summary, name) == getattr(whole, name)
    assert summary.text("account") == "task clock" and summary.number("loss") == 1.5


@pytest.mark.parametrize("stored", ODD, ids=repr)
def test_what_is_no_object_is_an_empty_summary(stored: Any) -> None:
    assert RunSummary.read(stored).probes == {} and RunSummary.read(stored).findings is None


def test_only_finite_numbers_are_figures() -> None:
    odd = {"a": 1, "b": True, "c": "2", "d": 10**400, "e": float("nan"), "f": float("inf"), "g": -0.5}
    assert figures_read(odd) == {"a": 1.0, "g": -0.5}
    assert [RunSummary.read(odd).number(name) for name in "abcdefg"] == [1.0, None, None, None, None, None, -0.5]


def test_a_finding_has_the_levels_of_a_detector() -> None:
    assert get_args(finding.Level) == get_args(Level)


def test_a_finding_is_stored_with_what_it_says_and_nothing_else() -> None:
    written = KeptFinding.of_finding(Finding("loss spikes", "info", "one", series="loss", step_from=0)).written()
    assert written == {"detector": "loss spikes", "level": "info", "sentence": "one", "series": "loss", "step_from": 0}


def test_a_result_is_stored_as_it_is() -> None:
    probes = {"causality": {"ok": True, "reason": "", "tried": 3}}
    kept = KeptFinding(detector="d", level="info", sentence="s")
    assert facts_stored({"flops": 3, "probes": probes}, {}, None) == {"flops": 3, "probes": probes}
    stored = facts_stored({"flops": 3, "probes": probes}, {"x": 1}, [kept])
    assert stored == {"flops": 3, "probes": probes, "left_out": {"x": 1}, "findings": [kept.written()]}


@pytest.mark.django_db
def test_flags_and_files_of_a_patch_set_are_rows_and_a_damaged_one_costs_no_other() -> None:
    patch_set = make_candidate(make_project()).patch_set
    assert patch_set and [file.path for file in patch_set.changed_files] == ["train.py"]
    flag = {"detector": "seed", "level": "warning", "sentence": "It sets the seed", "path": "train.py", "line": 1}
    flags = [flag, flag | {"level": "splendid"}, "no flag", flag | {"line": "one"}]
    files = [*patch_set.files, {"path": "x"}, None, {"path": "y", "kind": "added", "added": "many"}]  # type: ignore[misc]
    PatchSet.objects.filter(pk=patch_set.pk).update(flags=flags, files=files)
    patch_set = PatchSet.objects.get(pk=patch_set.pk)
    assert [edit.line for edit in patch_set.risky_edits] == [1, None]
    assert [file.path for file in patch_set.changed_files] == ["train.py", "y"]
    assert patch_set.added == patch_set.changed_files[0].added
    client = Client()
    client.force_login(make_user("ada"))
    assert "It sets the seed" in client.get("/projects/demo/candidates/1/").content.decode()


@pytest.mark.django_db
def test_reading_a_run_alters_neither_its_facts_nor_what_is_saved() -> None:
    candidate = make_candidate(make_project())
    odd = json.loads(json.dumps(WHOLE | {"odd": [1], "findings": [{"detector": "a"}, *WHOLE["findings"]]}))
    Run.objects.filter(patch_set=candidate.patch_set).update(facts=odd)
    run = Run.objects.filter(patch_set=candidate.patch_set).first()
    assert run and run.summary is run.summary and len(run.summary.findings or ()) == 1
    run.save()
    assert Run.objects.get(pk=run.pk).facts == odd
    run.facts = {"flops": 5}
    assert run.summary.number("flops") == 5.0, "the column was given another value"
