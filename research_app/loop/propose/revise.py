"""Revise: the author answers with another patch set, which is checked and judged like the first. Votes before it are void."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from agent.proposal import Edit, Proposal
from agent.title import title_of
from research_app.access import may_operate
from research_app.loop.check.check import CheckFailed, build, examine
from research_app.loop.review.votes import void_votes
from research_app.models import Candidate, Event, Kind, Lease, Stage
from research_app.models.candidate import DISCARDED, WAITING
from research_app.models.event_kinds import EventKind
from research_app.plain_text import problem_in, without_refused
from research_app.repository import Change
from research_app.wording import with_article

REVISABLE = (Stage.CHANGES, *WAITING, *DISCARDED)
"""Where nothing is under way that a new patch set would pull the ground from."""


class RevisionRefused(Exception):
    """The candidate cannot be revised now; the message says why and what to do."""


@dataclass(frozen=True)
class Description:
    """What a change is said to do, by who made it. Empty parts stay as they were."""

    title: str = ""
    hypothesis: str = ""
    category: str = ""
    expected_effect: str = ""

    @classmethod
    def of(cls, proposal: Proposal) -> "Description":
        """What a proposal says of itself; its title is cut from the hypothesis where it names none."""
        title = proposal.title or title_of(proposal.hypothesis)
        return cls(title, proposal.hypothesis, proposal.category, proposal.expected_effect)

    def columns(self) -> dict[str, str]:
        """Columns of a candidate, as they are stored."""
        title, effect = " ".join(without_refused(self.title).split()), without_refused(self.expected_effect)[:500]
        given = {"title": title, "hypothesis": without_refused(self.hypothesis)}
        given |= {"category": self.category, "expected_effect": effect}
        return {name: text for name, text in given.items() if text}


def describe_anew(row: Candidate, description: Description, number: int, author: str) -> None:
    """From here on the candidate's words are those of this patch set; earlier ones stay with theirs. In a transaction."""
    columns = {name: text for name, text in description.columns().items() if getattr(row, name) != text}
    if not columns:
        return
    before = {name: getattr(row, name) for name in columns}
    Candidate.objects.filter(pk=row.pk).update(**columns)
    for name, text in columns.items():
        setattr(row, name, text)
    event_data = {"patch_set": number, "before": before, "now": columns}
    Event.objects.seal([row], EventKind.DESCRIBED_ANEW, row, author, row.project, **event_data)


def revise(
    candidate: Candidate,
    *,
    author: str,
    patch: str = "",
    edits: Sequence[Edit] = (),
    message: str = "",
    details: Mapping[str, Any] | None = None,
    submitted_by: User | None = None,
    lease: Lease | None = None,
    description: Description = Description(),
) -> None:
    """Bring the next patch set of a candidate: a patch, or edits, against the baseline's tip as it is now.

    It is checked before anything is written, so that a bad one is refused at once. `message` says what changed; `details`
    replaces what the proposer wants to be told again; `description` is what the change does from now on; `lease` is a worker's
    claim on the candidate and is released.
    Raises RevisionRefused, CheckFailed, RepositoryError, and LeaseLost or StageMoved where somebody was faster.
    """
    project = candidate.project
    if submitted_by is not None and not may_operate(submitted_by):
        raise RevisionRefused("Your account may look, but not submit. Ask an administrator for the role “operator”.")
    if candidate.kind != Kind.CHANGE:
        raise RevisionRefused(
            f"{candidate} is {with_article(candidate.get_kind_display())}: its change follows from what it is made of."
        )
    if problem := problem_in(message):
        raise RevisionRefused(f"The message {problem}.")
    _require_rest(candidate)
    base = project.tip()
    proposed: dict[str, Any] = {"patch": patch} if patch else {"edits": [[e.path, e.old, e.new] for e in edits]}
    change = build(project, base, proposed, f"{candidate} revised", author)
    _require_difference(candidate, change)
    examine(project, base, change, but=candidate)
    number = next_number(candidate)
    words = " ".join(message.split())
    why = f"Patch set {number} by {author}{': ' + words if words else ''}. Votes given before are void."
    proposed |= {"author": author, "message": message, "submitted_by": submitted_by.pk if submitted_by else None}
    fields = {"proposed": proposed, "base": base, "evidence": None} | ({} if details is None else {"details": dict(details)})
    with transaction.atomic():
        row = Candidate.objects.select_for_update(of=("self",)).select_related("project", "patch_set").get(pk=candidate.pk)
        _require_rest(row)
        void_votes(row, f"Patch set {number} came.")
        describe_anew(row, description, number, author)
        event = {"patch_set": number, "diff": change.diff_hash}
        row.move(Stage.PROPOSED, why, actor=author, lease=lease, wake=("check", row.pk), event=event, **fields)


def next_number(candidate: Candidate) -> int:
    """The number that the next patch set gets (one query)."""
    return (candidate.patch_sets.order_by("-number").values_list("number", flat=True).first() or 0) + 1


def _require_rest(candidate: Candidate) -> None:
    if candidate.stage == Stage.LANDING:
        raise RevisionRefused(f"{candidate} is in the landing queue. Withdraw the approval first, then revise it.")
    if candidate.stage == Stage.LANDED:
        raise RevisionRefused(f"{candidate} landed already. Propose what should change now as a candidate of its own.")
    if candidate.stage not in REVISABLE:
        raise RevisionRefused(f"{candidate} is {candidate.get_stage_display()}: wait for its evidence, then revise it.")


def _require_difference(candidate: Candidate, change: Change) -> None:
    """The same diff on the same base would be judged to the same evidence. Raises CheckFailed."""
    latest = candidate.patch_set
    if latest is not None and (latest.diff_hash, latest.base_commit) == (change.diff_hash, change.base):
        raise CheckFailed(f"This is patch set {latest.number} again, line for line. Change something, or ask for more runs.")
