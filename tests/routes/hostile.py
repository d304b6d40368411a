"""What rows may come to hold: each entry changes the whole world to one kind of it. The test takes it back afterwards."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import DatabaseError, models, transaction
from django.db.models import F
from django.utils import timezone

from agent.touched import touched_in
from research_app.models import (
    Ablation,
    BaselineVersion,
    Candidate,
    Conversation,
    ConversationMessage,
    Device,
    Event,
    Evidence,
    ImportedHistory,
    ImportedResult,
    Landing,
    Note,
    PatchSet,
    ProgramVersion,
    Project,
    Run,
    RunLog,
    Series,
    SeriesChunk,
    Thread,
)
from tests.routes import spellings
from tests.routes.numbers import CURVES, SCORES, every_number, every_series, write

Change = Callable[[Project], object]
WORLDS: dict[str, Change] = {"as it is": lambda project: None}
WORLDS |= {f"every number is {words}": partial(every_number, value=number) for words, number in SCORES.items()}
WORLDS |= {
    "the baseline scores 1e308, the candidates -1e308": partial(every_number, value=-1e308, other=1e308),
    "the baseline scores 1e-300, the candidates 1e300": partial(every_number, value=1e300, other=1e-300),
    "the baseline scores 0, the candidates infinity": partial(every_number, value=float("inf"), other=0.0),
}
WORLDS |= {words: partial(every_series, curves=curves) for words, curves in CURVES.items()}


def world(name: str) -> Callable[[Change], Change]:
    """Enter a change of the world under a name."""

    def enter(change: Change) -> Change:
        WORLDS[name] = change
        return change

    return enter


@world("facts are whole numbers of any length, words, lists")
def _facts(project: Project) -> None:
    odd: list[Any] = [10**400, -(10**400), "many", None, [1, 2], {"a": 1}, True, "1e999", 2**63]
    for run in project.runs.all():
        write(run, facts={key: odd[(run.pk + i) % len(odd)] for i, key in enumerate(run.facts)})  # type: ignore[arg-type, var-annotated]


@world("counts are as large as a column holds")
def _counts(project: Project) -> None:
    Evidence.objects.update(candidate_n=32767, baseline_n=32767, policy_version=2**31 - 1)
    Conversation.objects.update(requests=2**31 - 1, input_tokens=10**15, output_tokens=10**15, cache_read_tokens=10**15)
    Run.objects.filter(project=project, patch_set__isnull=False).update(devices=32767, attempts=32767)
    for patch_set in PatchSet.objects.all():
        write(patch_set, files=[{**file, "added": 10**30, "removed": 10**30} for file in patch_set.files])  # type: ignore[attr-defined]


# Text

WORDS: Mapping[type[models.Model], tuple[str, ...]] = {
    Candidate: ("hypothesis", "why", "expected_effect", "author"),
    PatchSet: ("message", "author"),
    Run: ("reason", "last_error"),
    RunLog: ("text",),
    Evidence: ("reason",),
    ImportedHistory: ("file", "source", "branch", "metric", "imported_by"),
    ImportedResult: ("description", "author", "message", "commit", "why_no_diff"),
    Thread: ("quoted",),
    Note: ("text",),
    Landing: ("reason", "trouble", "contradictions"),
    Conversation: ("reason", "model"),
    ProgramVersion: ("text", "note"),
    Device: ("description", "refusal", "sandbox_advice"),
    Ablation: ("reason", "asked_by"),
}


def every_text(project: Project, text: str) -> None:
    """Whatever an agent, a run or a machine said is this."""
    for model, names in WORDS.items():
        longest = {name: getattr(model._meta.get_field(name), "max_length", None) for name in names}
        model._default_manager.update(**{name: text[:most] if most else text for name, most in longest.items()})
    Candidate.objects.exclude(needs_attention="").update(needs_attention=text)
    for patch_set in PatchSet.objects.all():
        flag = {"detector": text, "level": "warning", "sentence": text, "path": text, "line": 3}
        write(patch_set, flags=[flag], moved={text[:50]: [text, text]})
    call = {"type": "tool_use", "id": text, "name": text, "input": {text: text}}
    for message in ConversationMessage.objects.all():
        write(message, content=[{"type": "text", "text": text}, call])


WORLDS |= {f"all text is {text[:20]!r}": partial(every_text, text=text) for text in spellings.STORABLE}


def every_diff(project: Project, body: str, path: str) -> None:
    """Every patch set's stored diff is this."""
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n" if body else ""
    files = [{"path": path, "kind": "changed", "added": 1, "removed": 1}]
    touched = ["WARMUP", "LAYERS", *touched_in(head + body)]
    PatchSet.objects.update(diff=head + body, touched="\n" + "".join(f"{name}\n" for name in touched), files=files)


ONE = "@@ -1,1 +1,1 @@\n-x = 1\n+"
LONG = "@@ -1,5000 +1,5000 @@\n" + "".join(f"-x{n} = {n}\n" for n in range(5000)) + "".join(f"+x{n} = 0\n" for n in range(5000))
CONSTANTS = "@@ -1,1 +1,12001 @@\n-WARMUP = 1\n+WARMUP = 2\n" + "".join(f"+NUMBER_{n} = {n}\n" for n in range(12_000))
DIFFS: Mapping[str, tuple[str, str]] = {
    "diffs have a line of 50,000 characters": (f"{ONE}{spellings.LONG_LINE}\n", "train.py"),
    "diffs have a long line without a space": (f"{ONE}x = '{'a' * 50_000}'\n", "train.py"),
    "diffs have 5,000 changed lines": (LONG, "train.py"),
    "diffs touch 12,000 constants": (CONSTANTS, "train.py"),
    "diffs have controls and bidi": (f"{ONE}'{spellings.BIDI}{spellings.CONTROLS}{spellings.EMOJI}'\n", "train.py"),
    "diffs are of oddly named files": (f"{ONE}x = 2\n", 'a b/"ü"\t/<b>.py'),
    "diffs are nonsense": ("@@ -9999999999999999999,-3 +٣,x @@\n no diff at all\n@@@\n+", "train.py"),
    "diffs name line numbers beyond any file": ("@@ -999999999,1 +99999999999999999999,1 @@\n-x = 1\n+x = 2\n", "train.py"),
    "diffs are empty": ("", "train.py"),
}
WORLDS |= {words: partial(every_diff, body=body, path=path) for words, (body, path) in DIFFS.items()}
WHOLE = ("diffs touch 12,000 constants", "there are 100 series", "every row that another refers to and may be gone is gone")
"""Worlds in which every page is opened, and not a part of them."""


# What is missing


@world("no candidate has a patch set")
def _no_patch_sets(project: Project) -> None:
    project.candidates.update(patch_set=None, evidence=None)


@world("no candidate has evidence")
def _no_evidence(project: Project) -> None:
    project.candidates.update(evidence=None)


@world("runs have no device, log, curve, fact, reason or time")
def _bare_runs(project: Project) -> None:
    for rows in (RunLog.objects, SeriesChunk.objects, Series.objects):
        rows.all().delete()
    bare: dict[str, Any] = {"device": None, "facts": {}, "score_by_source": {}, "reason": "", "sandbox_level": ""}
    bare |= {"started_at": None, "finished_at": None, "train_seconds": None, "score": None, "hidden_score": None}
    project.runs.update(**bare, progress=0.0)


@world("versions have no runs, landings no version")
def _no_reference_runs(project: Project) -> None:
    project.runs.filter(patch_set=None).delete()
    Landing.objects.filter(project=project).update(version=None, commit="")


@world("the devices are gone")
def _no_devices(project: Project) -> None:
    Device.objects.all().delete()


@world("the people are gone")
def _no_people(project: Project) -> None:
    User.objects.exclude(username="ada").update(is_active=False, email="")
    project.candidates.update(submitted_by=None)
    for user in User.objects.exclude(username="ada"):
        user.groups.clear()


@world("the repository is gone")
def _no_repository(project: Project) -> None:
    kept = set_aside(project)
    shutil.rmtree(kept, ignore_errors=True)
    project.folder.rename(kept)


def set_aside(project: Project) -> Any:
    """Where the folder of a project waits while it is gone."""
    return project.folder.with_name(f"{project.slug}-kept")


@world("commits are not in the repository")
def _no_commits(project: Project) -> None:
    PatchSet.objects.update(commit="0" * 40, tree="0" * 40, base_commit="1" * 40)
    BaselineVersion.objects.filter(number__gt=0).update(commit=F("tree"))
    project.runs.update(commit="2" * 40)


@world("documents are empty")
def _empty_documents(project: Project) -> None:
    for model in (Candidate, PatchSet, Run, Evidence, Ablation):
        documents = [field for field in model._meta.fields if isinstance(field, models.JSONField)]
        model._default_manager.update(**{field.name: field.get_default() for field in documents})
    ConversationMessage.objects.update(content=[])


def forget(project: Project, wanted: Iterable[type[models.Model]]) -> None:
    """Rows refer to no other row, where they need not: what they referred to was deleted."""
    for model in wanted:
        for field in model._meta.fields:
            if field.many_to_one and field.null:
                with suppress(DatabaseError), transaction.atomic():  # where a constraint wants one
                    model._default_manager.update(**{field.name: None})


REFERRING = [each for each in apps.get_app_config("research_app").get_models() if each is not Event]  # events are never changed
WORLDS["every row that another refers to and may be gone is gone"] = partial(forget, wanted=REFERRING)
WORLDS |= {
    f"what a {model._meta.verbose_name} refers to and may be gone is gone": partial(forget, wanted=[model])
    for model in REFERRING
    if any(field.many_to_one and field.null for field in model._meta.fields)
}


# Documents of an older version: a field that was not there yet, or had no value


def keys_of(document: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every key of a document, through the first element of a list."""
    if isinstance(document, list):
        document = document[0] if document else None
    if isinstance(document, Mapping) and len(before) < 4:
        for key, value in document.items():
            yield (*before, key)
            yield from keys_of(value, (*before, key))


def without(document: Any, way: tuple[str, ...], value: Any = KeyError) -> Any:
    """A document without one key, or with another value there; in every element of a list."""
    if isinstance(document, list):
        return [without(each, way, value) for each in document]
    if not isinstance(document, Mapping) or way[0] not in document:
        return document
    if len(way) > 1:
        return {**document, way[0]: without(document[way[0]], way[1:], value)}
    rest = {key: each for key, each in document.items() if key != way[0]}
    return rest if value is KeyError else {**rest, way[0]: value}


def older(project: Project, way: tuple[str, ...], value: Any = KeyError) -> None:
    """All evidence, checks and runs without one key."""
    documents: Mapping[type[models.Model], str] = {Evidence: "numbers", Ablation: "result", Run: "facts"}
    for model, name in documents.items():
        for row in model._default_manager.all():
            write(row, **{name: without(getattr(row, name), way, value)})


# Times


def every_time(project: Project, then: datetime) -> None:
    """All happened at one moment."""
    project.candidates.update(created_at=then, stage_since=then)
    project.runs.update(created_at=then)
    project.runs.exclude(started_at=None).update(started_at=then, finished_at=then)
    Evidence.objects.update(frozen_at=then)
    Landing.objects.update(queued_at=then, ended_at=then)
    project.baseline_versions.update(created_at=then)
    Device.objects.update(seen_at=then)
    Thread.objects.update(created_at=then)
    Conversation.objects.update(created_at=then, changed_at=then)


LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
WORLDS["everything happened in the year 1"] = partial(every_time, then=datetime(1, 1, 2, tzinfo=UTC))
WORLDS["everything happens in the year 9999"] = partial(every_time, then=LAST)


@world("runs ended before they began")
def _backwards(project: Project) -> None:
    began = project.runs.exclude(started_at=None)
    began.update(finished_at=timezone.now() - timedelta(days=9), train_seconds=-5.0, progress=-1.0)


@world("runs took a century, conversations cost a billion")
def _long(project: Project) -> None:
    project.runs.update(train_seconds=3.2e9, earlier_seconds=3.2e9)
    Conversation.objects.update(cost=1e9, seconds=3.2e9)


@world("the metric has an odd name, and higher is better")
def _metric(project: Project) -> None:
    metric = {**project.config["metric"], "name": f"{spellings.EMOJI}{spellings.BIDI} <b>", "direction": "higher"}
    project.config = {**project.config, "metric": metric}
    project.save(update_fields=["config"])
