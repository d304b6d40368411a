"""Revert: propose to take back what landed, as an ordinary candidate with the inverse diff. Gate 2 decides, as always."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction

from agent.proposal import Edit, Proposal
from agent.title import title_of
from research_app.access import may_operate
from research_app.evidence.ablation_words import advice_of
from research_app.loop.land.clashes import Clash, clashes_of, names_of, paths_of
from research_app.loop.land.on_baseline import landings_on_baseline
from research_app.loop.propose.propose import enter
from research_app.models import Ablation, Author, BaselineVersion, Candidate, Kind, Project, Stage
from research_app.models.candidate import DISCARDED
from research_app.repository import Change, ConflictError, Limits, PatchError


class RevertRefused(Exception):
    """It cannot be taken back like this; the message says why and what to do."""


def revert(version: BaselineVersion, actor: User) -> Candidate:
    """Propose to undo one landing, all that it brought. Raises RevertRefused."""
    landings = list(version.landings.select_related("candidate").order_by("batch_id", "pk"))
    if not landings:
        what = "what the project began with" if version.number == 0 else "moved by hand, outside Signoff"
        raise RevertRefused(f"Baseline {version.number} was {what}; only a landing can be reverted.")
    if all(landing.candidate.undone for landing in landings):
        raise RevertRefused(f"Baseline {version.number} was taken back already: {landings[0].candidate.why}")
    project, tip = version.project, version.project.tip()
    names = ", ".join(str(landing.candidate) for landing in landings)
    try:
        change = project.repository.change_reverting(
            version.commit, tip.commit, f"Revert {names}", actor.get_username(), wide(len(landings), version)
        )
    except ConflictError as conflict:
        parent = project.repository.parent_of(version.commit)
        clashes = clashes_of(version, version.commit, parent, conflict)
        raise RevertRefused(later_changes(clashes, names, conflict)) from None
    except PatchError as refused:
        raise RevertRefused(f"Nothing of {names} is left on baseline {tip.number} to take back: {refused}") from None
    hypothesis = f"Revert baseline {version.number} ({names}): {landings[0].candidate.hypothesis}"
    title = title_of(f"Revert baseline {version.number}: {landings[0].candidate.title}")
    return propose_inverse(version, change, Kind.REVERT, (title, hypothesis), actor)


def propose_removal(check: Ablation, candidate: Candidate, actor: User) -> Candidate:
    """Propose to take out one landed change that nobody would miss, as an ablation showed. Raises RevertRefused."""
    project, tip, patch_set = candidate.project, candidate.project.tip(), candidate.revision
    landing = landings_on_baseline([candidate]).get(candidate.pk)
    if landing is None or landing.version is None:
        raise RevertRefused(f"{candidate} is not on the baseline, so there is nothing to remove. Reject it instead.")
    why = removable(check, candidate, tip)
    try:
        change = project.repository.rebased(
            patch_set.commit, patch_set.base_commit, tip.commit, f"Remove {candidate}", actor.get_username()
        )
    except ConflictError as conflict:
        clashes = clashes_of(landing.version, patch_set.commit, patch_set.base_commit, conflict)
        raise RevertRefused(later_changes(clashes, str(candidate), conflict)) from None
    except PatchError as refused:
        raise RevertRefused(f"Nothing of {candidate} is left on baseline {tip.number} to remove: {refused}") from None
    hypothesis = f"Remove {candidate} ({candidate.hypothesis}). {str(check).capitalize()}: {why}"
    title = title_of(f"Remove {candidate}: {candidate.title}")
    details = {"removes": candidate.number, "stack_check": check.pk}
    return propose_inverse(landing.version, change, Kind.REMOVAL, (title, hypothesis), actor, **details)


def removable(check: Ablation, candidate: Candidate, tip: BaselineVersion) -> str:
    """Why a change can be taken out, as the check found. Raises RevertRefused where it did not, or on an earlier baseline."""
    report = check.report
    ablation = report.of(str(candidate.number)) if report else None
    why = advice_of(report, ablation) if report and ablation else f"{str(check).capitalize()} has no such figures of it."
    if ablation is None or not ablation.advice.removes:
        raise RevertRefused(
            f"It is not shown that {candidate} can be taken out without a loss. {why} To take it out all the same, revert its "
            "landing on the baseline page."
        )
    if check.version_id != tip.pk:
        raise RevertRefused(
            f"{str(check).capitalize()} is of baseline {check.version.number}, and the baseline is {tip.number} now: what "
            f"{candidate} brings may have changed. Check again."
        )
    return why


def wide(parts: int, version: BaselineVersion) -> Limits:
    """Room for taking several changes back at once."""
    edit = version.project.file.edit
    return Limits(max_files=edit.max_files * parts, max_changed_lines=edit.max_changed_lines * parts)


def later_changes(clashes: Sequence[Clash], names: str, conflict: ConflictError) -> str:
    """Whose lines are in the way, in a sentence."""
    which = "that" if len(clashes) == 1 else "those"
    return (
        f"{names_of(clashes)} altered the same lines of {paths_of(clashes, conflict)} as {names}. "
        f"Revert {which} first, or make the inverse by hand and submit it."
    )


def propose_inverse(
    version: BaselineVersion, change: Change, kind: Kind, words: tuple[str, str], actor: User, **details: int
) -> Candidate:
    """Enter the inverse diff as the next candidate, once: a second click is told of the first. Raises RevertRefused.

    `words` are its title and its hypothesis; `details` are kept with it. Of one ablation one removal is open at a time: each
    was measured with the others in place.
    """
    if not may_operate(actor):
        raise RevertRefused("Your account may look, but not propose. Ask an administrator for the role “operator”.")
    project, name = version.project, actor.get_username()
    title, hypothesis = words
    edits = (Edit("", "", change.diff),)
    proposal = Proposal(hypothesis, "simplification", edits, expected_effect="", title=title, details=details)
    with transaction.atomic():
        type(project).objects.select_for_update().get(pk=project.pk)
        open_ones = Candidate.objects.filter(project=project, kind=kind, reverts=version, undone_by=None).exclude(
            stage__in=DISCARDED
        )
        if earlier := next((row for row in open_ones if row.proposal.patch == change.diff), None):
            raise RevertRefused(f"{earlier} proposes just that already; it is {earlier.get_stage_display()}.")
        if "stack_check" in details and (other := open_removal(project, details["stack_check"])):
            raise RevertRefused(
                f"{other} proposes to remove C-{other.origin.removes} already, and both were measured with the other in "
                "place: taking both out was not. Check again once that has landed."
            )
        return enter(
            project,
            project.tip(),
            proposal,
            author=name,
            kind=Author.PERSON,
            patch=change.diff,
            submitted_by_id=actor.pk,
            taking_back=(kind, version),
        )


def open_removal(project: Project, check: int) -> Candidate | None:
    """The removal that an ablation led to and that may still land (one query)."""
    removals = Candidate.objects.filter(project=project, kind=Kind.REMOVAL, details__stack_check=check)
    return removals.exclude(stage__in=(*DISCARDED, Stage.LANDED)).select_related("project").first()
