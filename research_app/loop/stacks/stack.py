"""Stack: several candidates together as one candidate, whose diff is theirs together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from agent.title import title_of
from research_app.loop.check.check import FIRST_SEED, record_patch_set
from research_app.loop.check.duplicates import Fingerprint, fingerprint_of
from research_app.loop.check.examine import flags_of
from research_app.loop.land.clashes import in_the_way
from research_app.loop.runs import request_run
from research_app.models import Author, BaselineVersion, Candidate, Event, Kind, Project, Purpose, Stage
from research_app.models.candidate import DISCARDED
from research_app.models.documents.finding import KeptFinding
from research_app.models.event_kinds import EventKind
from research_app.repository import Change, ConflictError, Limits, check_paths


class NoStack(ValueError):
    """These candidates do not make a stack; the message says why and what to do."""


@dataclass(frozen=True)
class Draft:
    """A stack whose commit is made and kept, before there is a row for it."""

    project: Project
    version: BaselineVersion
    members: Sequence[Candidate]
    number: int
    change: Change
    fingerprint: Fingerprint
    flags: Sequence[KeptFinding]


def open_stacks_of(candidates: Sequence[Candidate]) -> dict[int, list[Candidate]]:
    """The stacks that each candidate is part of and that may still land, oldest first, by candidate; others are left out.

    Stacks of stacks count too. One query for each level, so two where stacks are made of single changes.
    """
    containing: dict[int, set[int]] = {}
    level = {candidate.pk for candidate in candidates}
    while level:
        rows = Candidate.members.through.objects.filter(to_candidate__in=level).values_list("to_candidate", "from_candidate")
        known = set(containing)
        for member, stack in rows:
            containing.setdefault(member, set()).add(stack)
        level = {stack for stacks in containing.values() for stack in stacks} - known - level
    if not containing:
        return {}
    wanted = {stack for stacks in containing.values() for stack in stacks}
    alive = Candidate.objects.filter(pk__in=wanted).exclude(stage__in=(*DISCARDED, Stage.LANDED))
    stacks = {stack.pk: stack for stack in alive.select_related("project")}
    open_stacks = {}
    for candidate in candidates:
        above = [stacks[pk] for pk in _above(candidate.pk, containing) if pk in stacks]
        if above:
            open_stacks[candidate.pk] = sorted(above, key=lambda stack: stack.number)
    return open_stacks


def _above(member: int, containing: Mapping[int, set[int]]) -> set[int]:
    """Keys of the stacks that hold a candidate, directly or through another stack."""
    members: set[int] = set()
    level = containing.get(member, set())
    while level:
        members |= level
        level = {outer for stack in level for outer in containing.get(stack, set())} - members
    return members


def form_stack(project: Project, candidates: Sequence[Candidate], actor: str, *, stage: Stage = Stage.SCREENING) -> Candidate:
    """Enter several candidates as one, on the tip: an ordinary candidate, at `stage`, with its first run queued at screening.

    Raises NoStack: fewer than two, one that is on the baseline or in an open stack already, or two that alter the same lines.
    """
    members = sorted(candidates, key=lambda candidate: candidate.number)
    if len({member.pk for member in members}) < 2:
        raise NoStack("A stack needs at least two different candidates.")
    if landed := [str(member) for member in members if member.stage == Stage.LANDED]:
        raise NoStack(f"{', '.join(landed)} landed already: a stack is made of what is not on the baseline yet.")
    if bare := [str(member) for member in members if member.patch_set is None]:
        raise NoStack(f"{', '.join(bare)} did not pass the checks, so there is nothing to put together.")
    if taken := open_stacks_of(members):
        member = next(member for member in members if member.pk in taken)
        stack = taken[member.pk][0]
        raise NoStack(f"{member} is part of the stack {stack} already, which is {stack.get_stage_display()}. Leave it out.")
    version = project.tip()
    parts = [(member.revision.base_commit, member.revision.commit) for member in members]
    try:
        commit = project.repository.combined(version.commit, parts)
    except ConflictError as conflict:
        with_whom, paths = in_the_way(version, members, conflict), ", ".join(conflict.paths)
        raise NoStack(f"{members[conflict.part]} alters the same lines of {paths} as {with_whom}. Leave one out.") from None
    draft = draft_stack(project, version, members, commit, actor)
    if problems := check_paths(draft.change, project.file.edit.editable, project.file.edit.protected):
        raise NoStack("\n".join(problems))
    with transaction.atomic():
        return enter_stack(draft, actor, stage=stage)


def draft_stack(project: Project, version: BaselineVersion, members: Sequence[Candidate], commit: str, actor: str) -> Draft:
    """Take a number and keep the stack's commit under it. Outside any transaction: this is git's part."""
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(last_number=F("last_number") + 1)
        number = Project.objects.values_list("last_number", flat=True).get(pk=project.pk)
    repository, edit = project.repository, project.file.edit
    limits = Limits(max_files=edit.max_files * len(members), max_changed_lines=edit.max_changed_lines * len(members))
    change = repository.as_change(version.commit, commit, f"{project.slug} C-{number}", actor, limits)
    repository.keep(f"candidates/{number}/1", change.commit)
    fingerprint = fingerprint_of(project, version, change)
    return Draft(project, version, members, number, change, fingerprint, flags_of(project, change))


def enter_stack(draft: Draft, actor: str, *, stage: Stage) -> Candidate:
    """Write a stack down at a stage; at screening its first run is queued. In a transaction."""
    project, members = draft.project, draft.members
    names = ", ".join(map(str, members))
    stack = Candidate.objects.create(
        project=project,
        number=draft.number,
        kind=Kind.STACK,
        stage=stage,
        why="Its first run is queued." if stage == Stage.SCREENING else f"Made of {names}.",
        title=title_of(f"Stack of {names}"),
        hypothesis=f"Stack of {names}: " + "; ".join(" ".join(member.hypothesis.split())[:120] for member in members),
        category=members[0].category,
        author_kind=Author.PERSON,
        author=actor,
        base=draft.version,
        proposed={"patch": draft.change.diff},
    )
    stack.members.set(members)
    patch_set = record_patch_set(stack, draft.version, draft.change, draft.fingerprint, draft.flags, number=1)
    Candidate.objects.filter(pk=stack.pk).update(patch_set=patch_set)
    stack.patch_set = patch_set
    event_data = {"members": [str(member) for member in members], "stage": stage}
    Event.objects.seal([stack], EventKind.STACK_FORMED, stack, actor, project, **event_data)
    if stage == Stage.SCREENING:
        request_run(project, draft.version, patch_set, Purpose.SCREEN, FIRST_SEED)
    return stack
