"""The evidence document: every row that is stored is read as far as it goes, and its bytes stay what they are."""

import json
from typing import Any

import pytest
from django.test import Client

from research_app.documents import Part
from research_app.evidence.evidence_document import EvidenceDocument, GuardRecord, LookRecord, SavingsRecord
from research_app.models import Evidence, Verdict
from research_app.models.seal import storable
from tests.documents.samples import EVIDENCE
from tests.factories import make_candidate, make_project, make_user

ODD: list[Any] = [None, "words", [], {}, [1], {"a": 1}, True, -1, 10**400, float("inf"), float("nan"), "\ud800", [[[{}]]]]


def canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def ways_of(document: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [way, *(longer for key, value in items for longer in ways_of(value, (*way, key)))] if way else [
        longer for key, value in items for longer in ways_of(value, (key,))
    ]  # fmt: skip


def changed(document: Any, way: tuple[Any, ...], value: Any) -> Any:
    """The document with another value there, or, where the value is KeyError, without it."""
    copy: Any = json.loads(json.dumps(document))
    place = copy
    for key in way[:-1]:
        place = place[key]
    if value is KeyError:
        del place[way[-1]]
    else:
        place[way[-1]] = value
    return copy


@pytest.mark.parametrize("name", EVIDENCE)
def test_a_stored_document_is_written_back_byte_for_byte(name: str) -> None:
    document = EVIDENCE[name]
    assert canonical(storable(EvidenceDocument.read(document).written())) == canonical(document)


@pytest.mark.parametrize("name", EVIDENCE)
def test_whatever_one_value_became_the_rest_is_read(name: str) -> None:
    stored = EVIDENCE[name]
    whole = EvidenceDocument.read(stored)
    for way in ways_of(stored):
        for value in (KeyError, *ODD):
            read = EvidenceDocument.read(changed(stored, way, value))
            for field in EvidenceDocument.model_fields:
                if field not in (way[0], "version"):
                    assert getattr(read, field) == getattr(whole, field), f"{way} = {value!r} altered {field}"


@pytest.mark.parametrize("stored", [*ODD, 1.5])
def test_what_is_no_document_is_read_as_an_empty_one(stored: object) -> None:
    assert EvidenceDocument.read(stored) == EvidenceDocument()


def test_a_part_is_there_with_what_it_needs_or_not_at_all() -> None:
    assert EvidenceDocument.read({"confirmation": {"standard_error": 0.1}}).confirmation is None
    confirmation = EvidenceDocument.read({"confirmation": {"effect": 0.2, "standard_error": "wide"}}).confirmation
    assert confirmation and (confirmation.effect, confirmation.standard_error) == (0.2, None)


def test_rows_that_lack_something_are_left_out_and_the_others_stay() -> None:
    whole = {"metric": "speed", "baseline": 1.0, "candidate": 1.1, "change": 0.1, "margin": 0.1, "status": "within"}
    rows = [whole, {"metric": "memory"}, "no row", whole | {"status": "splendid"}, whole | {"change": None}, whole]
    assert [row.metric for row in EvidenceDocument.read({"guards": rows}).guards] == ["speed", "speed"]


def test_a_list_of_numbers_is_there_as_a_whole_or_not_at_all() -> None:
    assert EvidenceDocument.read({"boundaries": [4.2, None, 3.2]}).boundaries == (), "3.2 is the boundary of another look"
    read = EvidenceDocument.read(
        {"guards": [{"metric": "m", "margin": 0.1, "status": "not comparable", "interval": ["a", 1, 2]}]}
    )
    assert read.guards == (GuardRecord(metric="m", margin=0.1, status="not comparable"),)


def test_looks_keep_their_number_whatever_is_damaged_in_one() -> None:
    assert EvidenceDocument.read({"looks": [{"n": 1, "z": None}, {}, {"n": 3, "z": "a"}]}).looks == (
        LookRecord(n=1, z=None), LookRecord(), LookRecord(n=3)
    )  # fmt: skip


def test_a_document_of_a_later_version_is_not_guessed_at() -> None:
    assert EvidenceDocument.read({"version": 2, "tried": 3}) == EvidenceDocument()
    assert EvidenceDocument.read({"version": 1, "tried": 3}).tried == 3
    assert EvidenceDocument.read({"version": "x", "tried": 3}).tried == 3, "that is damage"


def test_writing_keeps_whole_numbers_whole_and_says_nothing_that_was_not_given() -> None:
    written = SavingsRecord(saved=1, low=0.5, high=None).written()
    assert canonical(written) == '{"high":null,"low":0.5,"saved":1}'


def test_every_part_is_named_as_what_it_keeps() -> None:
    parts = [each for each in Part.__subclasses__() if each.__module__ == EvidenceDocument.__module__]
    assert parts and all((each.__doc__ or "").strip() for each in parts)


# Rows


@pytest.mark.django_db
@pytest.mark.parametrize("name", EVIDENCE)
def test_reading_a_row_of_an_older_version_alters_neither_its_numbers_nor_its_hash(name: str) -> None:
    candidate = make_candidate(make_project())
    assert candidate.evidence_id
    Evidence.objects.update(numbers=EVIDENCE[name])
    row = Evidence.objects.get(pk=candidate.evidence_id)
    before = row.compute_hash()
    assert row.document is row.document, "it is read once"
    row.save()
    again = Evidence.objects.get(pk=row.pk)
    assert again.compute_hash() == before and canonical(again.numbers) == canonical(EVIDENCE[name])


@pytest.mark.django_db
def test_a_document_that_was_put_in_place_of_another_is_the_one_that_is_read() -> None:
    evidence = make_candidate(make_project()).evidence
    assert evidence and evidence.document.settle != "2 more runs"
    evidence.document = evidence.document.model_copy(update={"settle": "2 more runs"})
    assert evidence.document.settle == evidence.numbers["settle"] == "2 more runs"


@pytest.mark.django_db
def test_a_guard_that_cannot_be_compared_is_shown_with_its_reason() -> None:
    candidate = make_candidate(make_project(), effect=0.033, verdict=Verdict.SOLID)
    assert candidate.evidence
    row = {"metric": "tokens_per_second", "baseline": None, "candidate": None, "change": None, "interval": None}
    why = "not comparable: no run of the baseline within 45 minutes"
    candidate.evidence.numbers["guards"] = [row | {"margin": 0.1, "status": "not comparable", "note": why}]
    candidate.evidence.save()
    client = Client()
    client.force_login(make_user("ada"))
    assert "no run of the baseline within 45 minutes" in client.get("/projects/demo/candidates/1/").content.decode()
