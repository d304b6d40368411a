"""Kinds of events are a closed set: what the code writes is a member, and every member is written somewhere."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from research_app.home import CODE
from research_app.models import Ablation, Event
from research_app.models.event import subject_type
from research_app.models.event_kinds import EventKind
from tests.factories import make_project

PRODUCT = [path for path in (Path(CODE) / "research_app").rglob("*.py") if "migrations" not in path.parts]
WORDS_OF_PAGES = {"tried", "tried again", "vote", "landed", "pushed", "commented", "notified", "needs attention"}
WRITERS = {"record": 0, "seal": 1, "record_many": 0}  # of Event.objects, with the place of the kind among their arguments


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PRODUCT:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def named(tree: ast.AST) -> set[str]:
    """The members that some code names."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "EventKind"
    }


def kinds_written(tree: ast.AST) -> Iterator[ast.expr]:
    """What stands for the kind wherever an event is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[0].endswith("Event.objects"):
            assert isinstance(node.func, ast.Attribute)
            if node.func.attr in WRITERS:
                yield node.args[WRITERS[node.func.attr]]


def test_every_event_is_written_with_a_member() -> None:
    written = [(path, kind) for path, tree in trees() for kind in kinds_written(tree)]
    texts = [each for _, kind in written for each in ast.walk(kind) if isinstance(each, ast.Constant | ast.JoinedStr)]
    assert len(written) > 60 and [ast.unparse(each) for each in texts] == []


def test_no_code_spells_a_kind_as_a_text() -> None:
    spelled = []
    values = set(EventKind) - WORDS_OF_PAGES
    for path, tree in trees():
        if path.name != "event_kinds.py":
            spelled += [
                f"{path.name}:{node.lineno}: {node.value}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in values
            ]
    assert spelled == []


def test_every_member_is_written_somewhere() -> None:
    used = {name for _, tree in trees() for name in named(tree)}
    assert sorted(set(EventKind.__members__) - used) == []
    assert sorted(used - set(EventKind.__members__)) == []


@pytest.mark.django_db
@pytest.mark.parametrize("kind", EventKind)
def test_a_kind_is_stored_as_its_text_and_the_chain_holds(kind: EventKind) -> None:
    with transaction.atomic():
        written = Event.objects.record(kind, make_project("kinds"), "signoff", None)
    assert type(written.kind) is str and Event.objects.get(pk=written.pk).kind == kind.value
    assert len(kind.value) <= 60 and written.hash == Event.objects.get(pk=written.pk).compute_hash()


def test_events_call_a_renamed_model_by_the_name_that_they_were_hashed_with() -> None:
    assert subject_type(Ablation()) == "stackcheck"
