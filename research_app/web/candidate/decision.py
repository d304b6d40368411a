"""What the decision bar shows: what was seen, where the votes stand, and what this person may do now."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest

from research_app.access import may_operate, may_review, may_vote, may_widen
from research_app.loop.propose.revise import REVISABLE, next_number
from research_app.loop.review.retry import stoppable
from research_app.loop.review.review import Seen, blocking, withdrawable
from research_app.loop.review.votes import Tally, gate_of, may_not_vote, tally
from research_app.loop.review.widen import suggested, widenable
from research_app.models import Candidate, Decision, Gate, Kind, Landing, Stage, Thread
from research_app.models.candidate import AWAITING_AUTHOR, REOPENABLE
from research_app.models.landing import ACTIVE

REASONS = (
    "Looks like seed noise",
    "Gain too small for what it adds to the code",
    "Costs more memory or speed than it gains",
    "Tunes to the metric, not to the model",
    "The same idea was tried before",
)


def decision_context(request: HttpRequest, candidate: Candidate, landing: Landing | None) -> dict[str, Any]:
    """For the decision bar's template. A constant number of queries, a few more where a vote is due."""
    user = request.user
    assert isinstance(user, User)  # the views let nobody else in
    gate = gate_of(candidate)
    seen, votes = Seen.of(candidate), tally(candidate, gate) if gate else None
    why_not = may_not_vote(user, candidate, gate) if gate else ""
    closed_by = [] if gate else blocking(candidate)
    mine = withdrawable(candidate, user)
    beyond = widenable(candidate)
    reopenable = candidate.stage in REOPENABLE and candidate.evidence is not None
    return {
        "seen": seen,
        "gate": gate,
        "landing": landing,
        "tip": candidate.project.tip(),
        "git_show": f"git -C {candidate.project.folder / 'repository.git'} show {landing.commit}" if landing else "",
        "votes": votes,
        "approved_already": votes is not None and any(vote.reviewer_id == user.pk for vote in votes.approvals),
        "may_review": may_review(user),
        "may_vote": may_vote(user, candidate.project, gate or Gate.BASELINE),
        "votes_open": gate is not None and may_review(user),
        "approves_here": gate == Gate.BASELINE and not why_not,
        "why_not": why_not,
        "at_gate": candidate.waits_for_person,
        "in_queue": landing is not None and candidate.stage == Stage.LANDING and landing.state in ACTIVE,
        "closed_by": closed_by,
        "undo": mine,
        "undo_of": undo_words(mine.decision) if mine else "",
        "beyond_envelope": beyond,
        "may_widen": beyond and may_widen(user),
        "suggested_times": suggested(candidate) if beyond else None,
        "may_stop": may_operate(user) and stoppable(candidate),
        "may_retry": candidate.stage == Stage.CRASHED and candidate.patch_set_id is not None and may_operate(user),
        "may_reopen": reopenable and mine is None and may_operate(user) and not closed_by,
        "may_revise": candidate.stage in REVISABLE and candidate.kind == Kind.CHANGE and may_operate(user),
        "next_patch_set": next_number(candidate) if candidate.stage in AWAITING_AUTHOR else None,
        "author": candidate.author_to_answer,
        "clashes": clashes_with(candidate, landing),
        "reasons": REASONS,
        "reason_needed": candidate.reason_needed,
        "standing": standing(votes) if votes else "",
        "unresolved": list(Thread.objects.open().filter(candidate=candidate).order_by("pk")),
    }


def clashes_with(candidate: Candidate, landing: Landing | None) -> list[Candidate]:
    """Whose landings altered the same lines as a change that conflicts (one query then)."""
    if landing is None or candidate.stage != Stage.CONFLICT:
        return []
    return list(landing.clashes_with.select_related("project").order_by("number"))


def undo_words(decision: str) -> str:
    """What taking one's own vote back is called."""
    words = {Decision.APPROVE: "my approval", Decision.REJECT: "my rejection", Decision.CHANGES: "my request"}
    return words[Decision(decision)]


def standing(votes: Tally) -> str:
    """Who approved and who is missing, in a sentence; empty where one approval is all that is wanted and nothing stands."""
    lines = []
    if votes.approvals:
        lines.append(f"Approved by {names([vote.reviewer.get_username() for vote in votes.approvals])}.")
    if votes.lapsed:
        lines.append(f"Does not count any more: the approval of {names([v.reviewer.get_username() for v in votes.lapsed])}.")
    if votes.open and (votes.needed > 1 or lines):
        could = [user.get_username() for user in votes.missing]
        who = f", from {names(could[:5], 'or')}{' or others' if len(could) > 5 else ''}" if could else ""
        lines.append(f"{votes.open} more approval{'s' if votes.open > 1 else ''} needed{who}.")
    if votes.stuck:
        wanted = " or ".join(votes.policy.roles)
        lines.append(f"Too few people may give them: the policy of this gate wants the role {wanted}. Tell an administrator.")
    return " ".join(lines)


def names(people: list[str], joined: str = "and") -> str:
    """ "ada, grace and lin"."""
    return f" {joined} ".join([", ".join(people[:-1]), people[-1]] if len(people) > 1 else people)
