"""Check: before any device time, see that a change applies, stays within its bounds, parses and is new."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from agent.proposal import Edit, Proposal
from research_app.loop.attention.attention import attempt, out_of_attempts
from research_app.loop.check.duplicates import Fingerprint, fingerprint_of, tried_before
from research_app.loop.check.examine import flags_of
from research_app.loop.propose.propose import enter
from research_app.loop.runs import request_run
from research_app.loop.train.launched import problem_of_options
from research_app.models import Author, BaselineVersion, Candidate, Event, Kind, PatchSet, Project, Purpose, Stage
from research_app.models.documents.changed_file import ChangedFile
from research_app.models.documents.finding import KeptFinding
from research_app.models.documents.typed_column import rows_written
from research_app.models.event_kinds import EventKind
from research_app.models.lease import Lease
from research_app.plain_text import problem_in
from research_app.repository import Change, Limits, PatchError, check_paths, normalised_syntax_hash
from training.parsing import try_to_compile

FIRST_SEED = 1
AA_SEED = 1_000_000


class CheckFailed(Exception):
    """The change cannot be tried; the message has one sentence for each reason."""


class Duplicate(CheckFailed):
    """The change was tried before, as `earlier`."""

    def __init__(self, earlier: Candidate, why: str) -> None:
        super().__init__(f"{why} Reopen that one, or change something else.")
        self.earlier = earlier


def check(candidate_id: int, worker: str) -> None:
    """Take one candidate from proposed to screening, or to invalid with the reason. A repeated call does nothing."""
    lease = Candidate.claim(candidate_id, worker, Q(stage__in=[Stage.PROPOSED, Stage.CHECKING]))
    if lease is None:
        return
    candidate = Candidate.objects.select_related("project", "base").get(pk=candidate_id)
    if out_of_attempts(candidate, lease, "Checking"):
        return
    if candidate.stage == Stage.PROPOSED:
        lease.write(stage=Stage.CHECKING)
        candidate.stage = Stage.CHECKING
    with lease.heartbeat(), attempt(candidate, lease, "Checking"):
        try:
            change = build(candidate.project, candidate.base, candidate.proposal.model_dump(), str(candidate), candidate.author)
            fingerprint = examine(candidate.project, candidate.base, change, but=candidate)
        except Duplicate as problem:
            event = {"duplicate_of": str(problem.earlier)}
            candidate.move(Stage.INVALID, str(problem), lease=lease, event=event, duplicate_of=problem.earlier)
            return
        except (CheckFailed, PatchError) as problem:
            candidate.move(Stage.INVALID, str(problem), lease=lease)
            return
        number = candidate.patch_sets.count() + 1
        candidate.project.repository.keep(f"candidates/{candidate.number}/{number}", change.commit)
        begin_screening(candidate, lease, change, fingerprint, number)


def submit(
    project: Project,
    patch: str,
    hypothesis: str,
    *,
    category: str,
    author: str,
    title: str = "",
    submitted_by_id: int | None = None,
) -> Candidate:
    """Enter a person's patch. It is checked first, so that a bad one is refused at once and leaves nothing behind.

    Raises RepositoryError or CheckFailed.
    """
    # The contract wants an edit; the patch itself is what is kept.
    proposal = Proposal(hypothesis, category, (Edit("", "", patch),), expected_effect="", title=title.strip())
    base = vet(project, proposal, author, patch)
    return enter(project, base, proposal, author=author, kind=Author.PERSON, patch=patch, submitted_by_id=submitted_by_id)


def vet(project: Project, proposal: Proposal, author: str, patch: str = "") -> BaselineVersion:
    """See that a proposal, or the patch in its place, can be tried; the baseline version that it is for.

    Raises RepositoryError or CheckFailed.
    """
    if Project.objects.filter(pk=project.pk).exclude(archived_at=None).exists():
        raise CheckFailed(f"{project.slug} is archived, and nothing begins in it: bring it back first, under Settings.")
    for name in ("title", "hypothesis", "expected_effect"):
        if problem := problem_in(getattr(proposal, name)):
            raise CheckFailed(f"The {name.replace('_', ' ')} {problem}.")
    base = project.tip()
    proposed = {"patch": patch} if patch else {"edits": [[edit.path, edit.old, edit.new] for edit in proposal.edits]}
    examine(project, base, build(project, base, proposed, "submitted", author))
    return base


def limits_of(project: Project) -> Limits:
    """How large a change of this project may be."""
    edit = project.file.edit
    return Limits(max_files=edit.max_files, max_changed_lines=edit.max_changed_lines)


def build(project: Project, base: BaselineVersion, proposed: Mapping[str, Any], name: str, author: str) -> Change:
    """Make a commit of what was proposed, on its base, without a work tree.

    Raises PatchError where it cannot be applied, another RepositoryError where the machine is in the way (full disk).
    """
    limits = limits_of(project)
    message = f"{project.slug} {name}"
    if patch := proposed.get("patch"):
        return project.repository.change_from_patch(base.commit, str(patch), message, author, limits)
    edits = proposed["edits"]
    return project.repository.change_from_edits(base.commit, edits, message, author, limits)


def examine(project: Project, base: BaselineVersion, change: Change, but: Candidate | None = None) -> Fingerprint:
    """Everything that is wrong with a change, or what it is known by. Raises CheckFailed, Duplicate."""
    repository, edit = project.repository, project.file.edit
    problems = check_paths(change, edit.editable, edit.protected)
    after = repository.texts(change.commit, [file.path for file in change.files])
    problems += [problem for path, text in after.items() if (problem := syntax_problem(path, text))]
    if (place := project.file.seed.place) and (problem := place.problem(repository.text(change.commit, place.file))):
        problems.append(f"{problem}.")
    if problem := problem_of_options(project, change):
        problems.append(problem)
    if problems:
        raise CheckFailed("\n".join(problems))
    fingerprint = fingerprint_of(project, base, change)
    if but and but.kind != Kind.CHANGE:
        return fingerprint  # what takes back or puts together what was tried before is meant to be code that was tried before
    if fingerprint.syntax == normalised_syntax_hash(repository.texts(base.commit, edit.editable)):
        raise CheckFailed("Nothing but comments or formatting differs from the baseline, so there is nothing to measure.")
    if not (but and but.aa) and (earlier := tried_before(base, fingerprint, but)):
        raise Duplicate(*earlier)
    return fingerprint


def syntax_problem(path: str, text: str) -> str | None:
    """Why a Python file does not parse, as a sentence."""
    if not path.endswith(".py"):
        return None
    try:
        try_to_compile(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"{path}{line} does not parse: {message}."
    return None


def begin_screening(candidate: Candidate, lease: Lease, change: Change, fingerprint: Fingerprint, number: int) -> None:
    """Write the patch set, queue the first run and move on, in one transaction."""
    flags = flags_of(candidate.project, change)
    with transaction.atomic():
        patch_set = record_patch_set(candidate, candidate.base, change, fingerprint, flags, number=number)
        # The same tree with the same seed scores the same: an A/A candidate needs seeds that the baseline never had.
        seed = AA_SEED + 100 * candidate.number if candidate.aa else FIRST_SEED
        request_run(candidate.project, candidate.base, patch_set, Purpose.SCREEN, seed)
        candidate.move(Stage.SCREENING, "Its first run is queued.", lease=lease, patch_set=patch_set)


def record_patch_set(
    candidate: Candidate,
    base: BaselineVersion,
    change: Change,
    fingerprint: Fingerprint,
    flags: Sequence[KeptFinding],
    *,
    number: int,
    rebased: bool = False,
) -> PatchSet:
    """The immutable row of one revision; who made it and why stands beside what was proposed. In a transaction."""
    proposal = candidate.proposal
    submitter = proposal.submitted_by if proposal.names_submitter else candidate.submitted_by_id if number == 1 else None
    files = [ChangedFile(path=f.path, kind=f.kind, added=f.added, removed=f.removed) for f in change.files]
    patch_set = PatchSet.objects.create(
        candidate=candidate,
        number=number,
        base=base,
        base_commit=change.base,
        commit=change.commit,
        tree=change.tree,
        diff=change.diff,
        diff_hash=change.diff_hash,
        syntax_hash=fingerprint.syntax,
        resolved_hash=fingerprint.resolved,
        moved=fingerprint.moved,
        files=rows_written(files),
        flags=rows_written(flags),
        rebased=rebased,
        author="" if rebased else proposal.author,
        submitted_by_id=None if rebased else submitter,
        message="" if rebased else proposal.message,
        description={name: getattr(candidate, name) for name in ("title", "hypothesis", "category", "expected_effect")},
    )
    kept = {"patch_set": number, "diff": change.diff_hash, "base": change.base, "commit": change.commit, "tree": change.tree}
    by = "signoff" if rebased else patch_set.author or candidate.author
    Event.objects.seal([patch_set], EventKind.PATCH_SET_MADE, candidate, by, candidate.project, **kept, rebased=rebased)
    return patch_set
