"""A JSON column with a typed property is read through it: its name stands in the models alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app import models
from research_app.home import CODE
from research_app.models.documents.typed_column import TypedColumn

ROOT = Path(CODE) / "research_app"
TYPED = {  # column: its typed property
    "numbers": "Evidence.document",
    "facts": "Run.summary",
    "score_by_source": "Run.source_scores",
    "files": "PatchSet.changed_files",
    "flags": "PatchSet.risky_edits",
    "result": "Ablation.report",
    "rungs": "ScaleUp.approved_rungs",
    "proposed": "Candidate.proposal",
}
# What else has an attribute of such a name, by what it is called wherever it stands.
OTHERS = {
    "numbers": {"device", "best"},
    "facts": {"summary", "result", "self", "like", "output"},
    "score_by_source": {"result"},
    "files": {"change", "repository", "sources", "comparison", "self", "figure"} | {"by_noun[noun]"},
    "flags": {"line", "draft"},
    "result": {"self"},
    "rungs": {"file", "self", "each"},
    "proposed": {"score", "s", "self"},
}
RECORDS = {("histories", "facts")}  # rooms where `run` is a record of its own
ROWS = re.compile(r"\b(?:evidence|run|patch_set|candidate|check|step|newest|s)\.(\w+)")


def product() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the product's code outside the models, with its file."""
    for path in ROOT.rglob("*.py"):
        if not {"migrations", "models"} & set(path.relative_to(ROOT).parts):
            yield from ((path.relative_to(ROOT), node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def places() -> Iterator[tuple[str, str, str]]:
    """(file and line, what stands before the dot, the column) of every attribute outside the models that has such a name."""
    for path, node in product():
        if isinstance(node, ast.Attribute) and node.attr in TYPED and (path.parts[0], node.attr) not in RECORDS:
            yield f"{path}:{node.lineno}", ast.unparse(node.value), node.attr


def test_no_code_outside_the_models_reads_or_writes_such_a_column() -> None:
    found = list(places())
    raw = [(at, f"{owner}.{name}", TYPED[name]) for at, owner, name in found if owner.rpartition(".")[2] not in OTHERS[name]]
    assert len(found) > 40 and raw == []


def test_no_query_outside_the_models_fetches_the_values_of_such_a_column() -> None:
    fetched = []
    for path, node in product():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("values", "values_list"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            fetched += [f"{path}:{node.lineno}: {text}" for text in texts if set(text.split("__")) & set(TYPED)]
    assert fetched == []


def test_no_template_reads_such_a_column() -> None:
    read = [
        f"{path.name}: {match.group()}"
        for path in (Path(CODE) / "templates").rglob("*.html")
        for match in ROWS.finditer("".join(re.findall(r"{[{%].*?[%}]}", path.read_text(encoding="utf-8"), flags=re.DOTALL)))
        if match.group(1) in {*TYPED}
    ]
    assert read == []


@pytest.mark.parametrize("column", TYPED)
def test_the_property_that_is_named_is_there(column: str) -> None:
    model, name = TYPED[column].split(".")
    assert isinstance(found := getattr(getattr(models, model), name), TypedColumn) and found.column == column
