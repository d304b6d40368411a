"""Judge an imported change with real seeds: its diff enters the project as an ordinary candidate, like any person's patch."""

from dataclasses import replace

from django.db import transaction

from agent.diff import parse_diff
from agent.proposal import Edit, Proposal
from agent.title import title_of
from research_app.evidence import digits
from research_app.histories.bring_in import title_of_result
from research_app.histories.moved_lines import NotFound, edits_of
from research_app.loop.check.check import vet
from research_app.loop.propose.propose import enter
from research_app.models import Author, BaselineVersion, Candidate, Event, ImportedResult
from research_app.models.event_kinds import EventKind
from research_app.repository import PatchError

MOST_WORDS = 2000  # characters of the row's own words in the hypothesis


class RejudgeRefused(Exception):
    """It cannot become a candidate; the message says why."""


def rejudge(result: ImportedResult, *, author: str, category: str, submitted_by_id: int | None = None) -> Candidate:
    """The candidate with which a row is judged: a new one, or the one that there is. `author` is who asks, not who wrote it.

    Raises RejudgeRefused, CheckFailed, or RepositoryError where the diff does not apply to the baseline.
    """
    if result.candidate is not None:
        return result.candidate
    if not result.diff:
        raise RejudgeRefused(f"There is no diff to judge. {result.why_no_diff}".strip())
    project = result.history.project
    proposal, base, patch = applied(result, author, category)
    with transaction.atomic():
        row = ImportedResult.objects.select_for_update().select_related(None).get(pk=result.pk)
        if row.candidate is not None:
            return row.candidate
        row.candidate = enter(
            project, base, proposal, author=author, kind=Author.PERSON, patch=patch, submitted_by_id=submitted_by_id
        )
        row.save(update_fields=["candidate"])
        event_data = {"history": result.history.name, "row": result.number, "candidate": str(row.candidate)}
        Event.objects.record(EventKind.IMPORTED_CHANGE_SUBMITTED, row.candidate, author, project, **event_data)
    return row.candidate


def applied(result: ImportedResult, author: str, category: str) -> tuple[Proposal, BaselineVersion, str]:
    """The change as a proposal, the version that it is for, and the patch that is kept: none where its lines stand elsewhere.

    Raises CheckFailed, or RepositoryError where it neither applies nor changes lines that occur once.
    """
    project = result.history.project
    proposal = Proposal(
        hypothesis_of(result), category, (Edit("", "", result.diff),), expected_effect=expectation_of(result),
        details={"imported": [result.history.pk, result.number]}, title=title_of(title_of_result(result)),
    )  # fmt: skip
    try:
        return proposal, vet(project, proposal, author, result.diff), result.diff
    except PatchError:
        tip = project.tip().commit
        texts = project.repository.texts(tip, [file.path for file in parse_diff(result.diff)])
        try:
            change = replace(proposal, edits=edits_of(result.diff, texts))
        except NotFound:
            change = None
        if change is None:
            raise
        return change, vet(project, change, author), ""


def hypothesis_of(result: ImportedResult) -> str:
    """What the row says, and whose word that is."""
    words = result.description or result.message or "no words"
    words = words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]} …"
    return (
        f"{words}\n\nImported: {result.history.name}, row {result.number} ({result.outcome}). Nothing of it was measured here."
    )


def expectation_of(result: ImportedResult) -> str:
    """What was claimed of it, for the field that holds claims."""
    if result.reported is None:
        return ""
    return f"{result.history.metric} {digits.score(result.reported)} was reported, on one run as a rule."
