"""What a JSON column stores has a type without `Any`: what it is for, or `object`, which only a document makes readable."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import JSONField

from research_app.home import CODE
from research_app.models.documents.typed_column import TypedColumn

ROOT = Path(CODE) / "research_app"
TYPED = {  # column: the property that reads it, without which it is an `object` that mypy lets nobody look into
    "Ablation.result": "report",
    "Candidate.details": "origin",
    "Candidate.proposed": "proposal",
    "Evidence.numbers": "document",
    "ExternalMove.commits": "new_commits",
    "PatchSet.files": "changed_files",
    "PatchSet.flags": "risky_edits",
    "PatchSet.moved": "moves",
    "Run.facts": "summary",
    "Run.score_by_source": "source_scores",
    "ScaleUp.rungs": "approved_rungs",
}
READ_ELSEWHERE = {  # an `object` that one function reads, which docs/decisions/0029-documents.md names
    "Project.config": "project_file.read_project_file, which wrote it",
    "SeriesChunk.points": "Run's arrays",
    "Trial.report": "web/project/new_project.report_of",
}
PLAIN = {"list[str]", "list[int]", "list[list[str]]", "dict[str, str]"}
OF_ANY_CONTENT = {  # values are `object`s or JSON: what reads one says of which type it must be
    "Candidate.details", "Conversation.system", "ConversationMessage.content", "Event.data", "KeptAnswer.answer",
    "Project.former_gates",
}  # fmt: skip


def columns() -> Iterator[tuple[str, type, str]]:
    """Every JSON column by its name, with its model."""
    for model in apps.get_app_config("research_app").get_models():
        yield from (
            (f"{model.__name__}.{field.name}", model, field.name)
            for field in model._meta.get_fields()
            if isinstance(field, JSONField)
        )


def declared() -> dict[str, str]:
    """The type that each JSON column is declared with, by the column's name; empty where it is not."""
    types = {}
    for path in (ROOT / "models").glob("*.py"):
        for model in (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)):
            for node in model.body:
                if (
                    isinstance(node, ast.Assign | ast.AnnAssign)
                    and node.value
                    and ast.unparse(node.value).startswith("models.JSONField(")
                ):
                    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                    words = str(ast.literal_eval(node.annotation)) if isinstance(node, ast.AnnAssign) else ""
                    types[f"{model.name}.{ast.unparse(target)}"] = words
    return types


def test_every_json_column_is_declared_with_a_type_that_holds_no_any() -> None:
    types = declared()
    assert set(types) == {name for name, _, _ in columns()} and len(types) > 25
    untyped = {name: words for name, words in types.items() if not re.fullmatch(r"models\.JSONField\[(.+), \1\]", words)}
    assert untyped == {} and not [name for name, words in types.items() if re.search(r"\bAny\b", words)]


def test_what_is_not_plain_has_a_document_or_a_reason() -> None:
    types = {name: words.removeprefix("models.JSONField[").partition(", ")[0] for name, words in declared().items()}
    opaque = {name for name, kind in types.items() if kind == "object"}
    assert opaque - set(TYPED) - set(READ_ELSEWHERE) == set()
    others = {
        name for name, words in declared().items() if name not in opaque and not any(f"[{kind}, " in words for kind in PLAIN)
    }
    assert others - OF_ANY_CONTENT == set()
    decision = Path(CODE, "docs", "decisions", "0029-documents.md").read_text(encoding="utf-8")
    assert [name for name in (*READ_ELSEWHERE, *sorted(OF_ANY_CONTENT)) if f"`{name}`" not in decision] == []


@pytest.mark.parametrize("name", TYPED)
def test_a_document_is_read_through_the_property_of_its_column(name: str) -> None:
    [model] = [model for each, model, _ in columns() if each == name]
    prop = getattr(model, TYPED[name])
    assert isinstance(prop, TypedColumn) and prop.column == name.partition(".")[2]


def test_no_query_outside_the_models_fetches_the_values_of_such_a_column() -> None:
    fetched = []
    raw = {name.partition(".")[2] for name in TYPED} - {"details", "moved"}  # whose values a query reads as a document
    for path in ROOT.rglob("*.py"):
        if {"migrations", "models"} & set(path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("values", "values_list")
            ):
                texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
                fetched += [f"{path}:{node.lineno}: {text}" for text in texts if set(text.split("__")) & raw]
    assert fetched == []
