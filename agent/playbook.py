"""The proposer of structural ideas: each known from the literature, none known to work here. The loop finds out.

With `knobs` it is what runs without a key, and the control against which agents are measured.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.ideas import IDEAS
from agent.ideas.idea import Idea
from agent.proposal import Context, NothingToPropose, Proposal, Tried
from agent.tree import DoesNotApply, edits_between

SETTLED = ("shortlisted", "scaling_up", "ready", "changes", "landing", "landed", "taken_back", "rejected")
"""Stages of a candidate whose idea is in the baseline, on its way there, or was turned down by a person."""


@dataclass(frozen=True)
class Fit:
    """An idea with its dial, in the file of this baseline that it changes."""

    idea: Idea
    dial: float
    path: str
    text: str


class PlaybookProposer:
    """Takes an idea that was not tried, of the category that is wanted where there is one."""

    name = "playbook"

    def propose(self, context: Context) -> Proposal:
        """One idea as exact replacements. Raises NothingToPropose, with the reason of every idea that is left."""
        chance = random.Random(f"playbook {context.attempt}")
        baseline = _digest(context.files)
        fits, reasons = fitting(context.files, open_choices(context.history, baseline))
        if not fits:
            raise NothingToPropose(_why(reasons))
        fit = chance.choice(_wanted(fits, context))
        return Proposal(
            title=_title(fit),
            hypothesis=f"{fit.idea.claim}{_setting(fit)} ({fit.idea.source})",
            category=fit.idea.category,
            edits=edits_between(fit.path, context.files[fit.path], fit.text),
            expected_effect="Not predicted: it helped elsewhere, at another size.",
            details={"idea": fit.idea.name, "dial": fit.dial, "baseline": baseline},
        )


def open_choices(history: Sequence[Tried], baseline: str) -> list[tuple[Idea, float]]:
    """Ideas with the dials that may be tried on this baseline: neither under way nor settled, nor tried on it before.

    An idea is turned to its second dial once its first was measured.
    """
    by_idea: dict[str, list[Tried]] = {}
    for tried in history:
        by_idea.setdefault(str(tried.details.get("idea", "")), []).append(tried)
    landed = {name for name, past in by_idea.items() if any(tried.stage == "landed" for tried in past)}
    choices = []
    for idea in IDEAS:
        past = by_idea.get(idea.name, [])
        if idea.undoes in landed or any(tried.outcome == "pending" or tried.stage in SETTLED for tried in past):
            continue
        here = {tried.details.get("dial") for tried in past if tried.details.get("baseline") == baseline}
        left = [dial for dial in idea.dials if dial not in here]
        choices += [(idea, dial) for dial in left[:1]]
    return choices


def fitting(files: Mapping[str, str], choices: Sequence[tuple[Idea, float]]) -> tuple[list[Fit], dict[str, str]]:
    """The choices that have a place in the Python files, and why the others have none, by their names."""
    fits: list[Fit] = []
    reasons: dict[str, str] = {}
    for idea, dial in choices:
        for path in sorted(path for path in files if path.endswith(".py")):
            try:
                fits.append(Fit(idea, dial, path, idea.applied(files[path], dial)))
                reasons.pop(idea.name, None)
                break
            except DoesNotApply as why:
                reasons.setdefault(idea.name, str(why))
    return fits, reasons


def _wanted(fits: Sequence[Fit], context: Context) -> list[Fit]:
    """The fits that answer best to what is wanted; all of them are equally good."""
    best = best_effects(context.history)
    tried = {str(tried.details.get("idea")) for tried in context.history}
    new = [fit for fit in fits if fit.idea.name not in tried]
    promising = sorted((fit for fit in fits if best.get(fit.idea.name, 0.0) > 0), key=lambda fit: -best[fit.idea.name])
    if context.mode == "exploit" and promising:
        return promising[:1]
    wanted = "simplification" if context.mode == "simplify" else context.category
    if new:
        return [fit for fit in new if fit.idea.category == wanted] or new
    return _most_promising([fit for fit in fits if fit.idea.category == wanted] or fits, best)


def _most_promising(fits: Sequence[Fit], best: Mapping[str, float]) -> list[Fit]:
    """Of ideas that were tried before, on another baseline or with another dial, those with the best effect."""
    most = max(best.get(fit.idea.name, -1.0) for fit in fits)
    return [fit for fit in fits if best.get(fit.idea.name, -1.0) == most]


def best_effects(history: Sequence[Tried]) -> dict[str, float]:
    """The best measured effect of each idea, by its name."""
    effects: dict[str, float] = {}
    for tried in history:
        name = str(tried.details.get("idea", ""))
        if name and tried.effect is not None:
            effects[name] = max(tried.effect, effects.get(name, tried.effect))
    return effects


def _title(fit: Fit) -> str:
    """The idea's name, with its dial where that has more than one position."""
    name = fit.idea.name[0].upper() + fit.idea.name[1:]
    return f"{name}, {fit.dial:g}" if len(fit.idea.dials) > 1 else name


def _setting(fit: Fit) -> str:
    """The dial, where an idea has more than one position."""
    return f" Here with {fit.dial:g}." if len(fit.idea.dials) > 1 else ""


def _why(reasons: Mapping[str, str]) -> str:
    """Why there is nothing left, with the reason of each idea that has no place."""
    reason = "Every idea of the playbook was tried on this baseline, is under way or has no place in it."
    return " ".join([reason, *(f"{name}: {why}" for name, why in sorted(reasons.items()))])


def _digest(files: Mapping[str, str]) -> str:
    """Identifies the editable files of a baseline."""
    return hashlib.sha256(repr(sorted(files.items())).encode(errors="surrogatepass")).hexdigest()[:16]
