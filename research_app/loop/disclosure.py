"""Disclosure: what a proposer may know, of the people who review its work and of the text that its work is scored on.

An agent that knows its reviewers learns whom to please. It is told the reasons and the comments, because they are for it; names
of people, votes and their number stay out of every context, answer and history that an agent gets.

Many candidates chosen by exact scores would fit the gate text. Of that text an agent is told one figure for each candidate, the
effect to half a sigma; what can be worked out from it and is known anyway (the width of its interval) may stand beside it.
"""

import math
from collections.abc import Sequence

from research_app.evidence.noise import Noise
from research_app.models import Candidate, Comment, Decision, Run, Stage
from training.scorer import rounded_for_agents

PERSON = "a researcher"
"""What any person is called towards an agent."""


def speaker(comment: Comment) -> str:
    """Who said something, as agents are told: proposers by name, people not."""
    return PERSON if comment.author_id is not None else comment.name


def reasons_for(candidate: Candidate) -> Sequence[str]:
    """What people who turned it down or asked for changes want, each text once (one query)."""
    wanted = candidate.reviews.standing().filter(decision__in=(Decision.REJECT, Decision.CHANGES)).exclude(reason="")
    return sorted(set(wanted.values_list("reason", flat=True)))


OF_THE_SCORES = frozenset(("zero variance", "implausible", "scores", "gate text read", "told and measured"))
"""Rules and detectors whose sentences hold figures, or pieces, of the held-out text."""


def finding_told(rule: str, sentence: str) -> str:
    """What is wrong with an evidence's runs, without figures of the held-out text."""
    return f"The check “{rule}” failed; its figures are for people." if rule in OF_THE_SCORES else sentence


def effect_told(candidate: Candidate, noise: Noise | None) -> float | None:
    """What a proposer may know of an effect: to half a sigma, or it would fit the gate text; nothing of invalid evidence."""
    effect = candidate.evidence.effect if candidate.evidence else None
    return None if effect is None or noise is None else rounded_for_agents(effect, noise.sigma)


def interval_told(candidate: Candidate, noise: Noise | None) -> tuple[float | None, float | None]:
    """The interval of an effect as wide as it is, in halves of sigma, around what is told of the effect.

    Its ends rounded by themselves would say where within half a sigma the effect is.
    """
    interval, middle = candidate.evidence.interval if candidate.evidence else None, effect_told(candidate, noise)
    if interval is None or noise is None or middle is None or not all(map(math.isfinite, interval)):
        return None, None
    half = math.ceil((interval[1] - interval[0]) / noise.sigma) * noise.sigma / 2
    return middle - half, middle + half


TOLD_WHY = (Stage.REJECTED, Stage.CHANGES, Stage.CRASHED, Stage.INVALID, Stage.CONFLICT)
"""Stages whose reason agents are told: a person's words, or what broke. Others hold finer figures than agents may know."""


def why_told(candidate: Candidate) -> str:
    """Why a candidate is at its stage, without a figure: a person's words, what broke, or a sentence for its stage.

    A gain in quarantine is named as that, with what puts it there.
    """
    why = (
        candidate.why if candidate.stage in TOLD_WHY or is_no_op(candidate) else WITHOUT_FIGURES.get(Stage(candidate.stage), "")
    )
    health = candidate.evidence.document.health if candidate.evidence and candidate.evidence.quarantined else None
    if health is None:
        return why
    rules = sorted({finding.rule for finding in health.findings})
    return " ".join(filter(None, (why, f"In quarantine until a researcher has looked ({', '.join(rules)}): no verdict.")))


WITHOUT_FIGURES = {
    Stage.DROPPED: "Too little better for another run.",
    Stage.INCONCLUSIVE: "After the most runs that one gets, neither surely better nor surely not.",
    Stage.NO_TRANSFER: "Its gain did not hold at a larger rung.",
}
"""What agents are told of a stage whose reason holds finer figures than they may know."""


def is_no_op(candidate: Candidate) -> bool:
    """Whether it was dropped because its runs were those of the baseline, to the last digit."""
    dropped = candidate.evidence if candidate.stage == Stage.DROPPED else None
    return dropped is not None and dropped.document.no_op is not None


def score_told(run: Run, noise: Noise | None) -> float | None:
    """A run's score to half a sigma; of a candidate's only where its own code prints it: several say more than one effect."""
    if run.score is None or noise is None or (run.patch_set_id is not None and not run.self_reported):
        return None
    return rounded_for_agents(run.score, noise.sigma)
