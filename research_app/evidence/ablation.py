"""Ablation: what each of several changes brings alone, beside all others, and on today's baseline; and which interact.

Changes that each helped alone may hinder each other, do the same thing twice, or work only together. So no figure here is an
average over the others: each is the difference between the means of runs of two trees (design points: the changes that are
switched on), and its name says what else was on.

    alone      the tree with this change alone, against the tree without any of them
    beside     the tree with all of them, against the same without this one (leave one out)
    baseline   today's baseline, against the same with this one change switched

An interaction of two is what both together bring beyond the sum of what each brings alone. What is advised rests on the
baseline, because that is what would be changed; advice to remove rests on fresh seeds besides, because what is looked at again
was chosen for having looked bad.

Effects are positive where the change improves the metric, in the metric's unit. Intervals are 95% by Student's t; those of
interactions hold for all pairs together (Bonferroni). Sigma is pooled from the runs of every point and what was known before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from research_app.evidence.ablation_design import EVERY_PAIR, MOST_PAIRS, MOST_SUSPECTS, FollowUp, Point, Stack, design_of
from research_app.evidence.difference import t_quantile
from research_app.evidence.errors import EvidenceError
from research_app.evidence.noise import Noise, pool
from research_app.evidence.stacking import (
    BundleCheck,
    Effect,
    Interaction,
    added_alone,
    check_sum,
    interaction,
    leave_one_out,
    main_effects,
)

Scores = Mapping[Point, Sequence[float]]

SUSPICIOUS = 1.645  # standard errors between alone and beside, beyond which a change seems to depend on the others
EARLY = 0.98  # level of the interval that settles it after one round, so that looking twice costs little of the 95%
LEAST = 0.9
"""Sigma. Nobody would miss a change that brings less: it would have been dropped when it was screened (Policy.drop)."""


class Advice(StrEnum):
    """What the figures of one change say should be done with it."""

    KEEP = "keep"
    KEEP_FOR_OTHERS = "keep for others"
    REMOVE_HARM = "remove: does harm"
    REMOVE_NOTHING = "remove: brings nothing"
    ADD = "land"
    ADD_WITH_OTHERS = "land with others"
    ADD_NOTHING = "brings nothing"
    ADD_HARM = "does harm"
    UNCLEAR = "cannot tell"

    @property
    def removes(self) -> bool:
        return self in (Advice.REMOVE_HARM, Advice.REMOVE_NOTHING)


@dataclass(frozen=True)
class MemberEffect:
    """One change. `effect`, `standard_error` and `interval` are on today's baseline; None where that was not measured.

    `fresh` is the same on seeds that had no part in choosing it; `average` its mean effect over the two-level design.
    `margin` is the most that a removal may cost.
    """

    change: str
    landed: bool
    advice: Advice
    unhelpful: bool
    effect: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    alone: Effect | None
    beside: Effect | None
    fresh: Effect | None
    average: Effect | None
    margin: float

    @property
    def here(self) -> Effect | None:
        """What it brings to today's baseline; None where that was not measured."""
        if self.effect is None or self.standard_error is None or self.interval is None:
            return None
        return Effect(self.change, self.effect, self.standard_error, self.interval)


@dataclass(frozen=True)
class Report:
    """What a check found. `effects` are in the order of what each brings to today's baseline, best first."""

    effects: tuple[MemberEffect, ...]
    interactions: tuple[Interaction, ...]
    bundle: BundleCheck | None
    sigma: float
    degrees: float
    version: int = 2

    @property
    def found(self) -> tuple[Interaction, ...]:
        """The interactions that are no noise, largest first."""
        return tuple(sorted((each for each in self.interactions if each.found), key=lambda each: -abs(each.effect)))

    def of(self, change: str) -> MemberEffect | None:
        """What was found of one change."""
        return next((each for each in self.effects if each.change == change), None)


@dataclass(frozen=True)
class Known:
    """What was known of the changes before: what each was approved on, and the least effect in sigma that counts."""

    approved: Mapping[str, float] = field(default_factory=dict)
    least: float = LEAST

    def margin(self, change: str, sigma: float) -> float:
        """The most that taking a change out may cost: less than would be picked up, and less than half of what it promised."""
        promised = self.approved.get(change, math.inf)
        return min(min(self.least, LEAST) * sigma, promised / 2 if promised > 0 else math.inf)


def noise_of(scores: Iterable[Sequence[float]], known: Noise | None) -> Noise:
    """Sigma from the runs of every tree, on top of what was known. Raises TooFewRuns, BadSigma where nothing varies."""
    return pool(list(scores), known=known)


def switched(stack: Stack, scores: Scores, base: Point, noise: Noise, lower: bool) -> dict[str, Effect]:
    """What each change brings where all else is as in `base`; without those of which a tree has no score."""
    mine = scores.get(base)
    if not mine:
        return {}
    other = {change: scores[base ^ {change}] for change in stack.changes if scores.get(base ^ {change})}
    on = {change: runs for change, runs in other.items() if change in base}
    off = {change: runs for change, runs in other.items() if change not in base}
    pairs = (
        *leave_one_out(noise.sigma, mine, on, lower, noise.degrees),
        *added_alone(noise.sigma, mine, off, lower, noise.degrees),
    )
    return {effect.change: effect for effect in pairs}


def interactions_of(stack: Stack, scores: Scores, noise: Noise, lower: bool) -> tuple[Interaction, ...]:
    """Every pair whose trees were measured, with intervals that hold for all of them together."""
    bare = scores.get(Point())
    ready = [
        (one, other)
        for one, other in stack.pairs
        if bare and all(scores.get(point) for point in (Point({one}), Point({other}), Point({one, other})))
    ]
    level = 1 - 0.05 / max(1, len(ready))
    return tuple(
        interaction(
            noise.sigma, (one, other), scores[Point()], (scores[Point({one})], scores[Point({other})]),
            scores[Point({one, other})], lower, noise.degrees, level,
        )
        for one, other in ready
    )  # fmt: skip


def follow_up(stack: Stack, scores: Scores, noise: Noise, lower: bool) -> FollowUp:
    """What the first round leaves open: changes that depend on others, and landed ones that are not seen to help.

    What waits is judged on fresh seeds when it lands, so no runs are spent on that here.
    """
    alone = switched(stack, scores, Point(), noise, lower)
    beside = switched(stack, scores, stack.everything, noise, lower)
    here = switched(stack, scores, stack.landed, noise, lower)
    suspects = [
        change
        for change in sorted(stack.landed & here.keys(), key=lambda change: here[change].effect)
        if not helps(here[change]) and not helps(beside.get(change))
    ]
    return FollowUp(_dependent_pairs(stack, scores, alone, beside), tuple(suspects[:MOST_SUSPECTS]))


def unsettled(stack: Stack, fresh: Scores, noise: Noise, known: Known, lower: bool) -> FollowUp:
    """The suspects of which one round on fresh seeds shows neither that they help nor that nobody would miss them."""
    again = switched(stack, fresh, stack.landed, noise, lower)
    reach = t_quantile(noise.degrees, EARLY)
    return FollowUp(
        suspects=tuple(
            change
            for change, each in again.items()
            if each.effect - reach * each.standard_error <= 0
            and each.effect + reach * each.standard_error >= known.margin(change, noise.sigma)
        )
    )


def _dependent_pairs(
    stack: Stack, scores: Scores, alone: Mapping[str, Effect], beside: Mapping[str, Effect]
) -> tuple[Point, ...]:
    """Pairs of changes that bring something else beside the others than alone; one such change is paired with every other."""
    if len(stack.changes) <= EVERY_PAIR:
        return ()
    shift = {
        change: abs(beside[change].effect - alone[change].effect)
        / math.hypot(beside[change].standard_error, alone[change].standard_error)
        for change in alone.keys() & beside.keys()
    }
    dependent = {change for change, size in shift.items() if size > SUSPICIOUS}
    least = 2 if len(dependent) > 1 else 1
    pairs = [pair for pair in stack.pairs if len(dependent & set(pair)) >= least and not scores.get(Point(pair))]
    pairs.sort(key=lambda pair: -sum(shift.get(change, 0.0) for change in pair))
    return tuple(Point(pair) for pair in pairs[:MOST_PAIRS])


def report(
    stack: Stack,
    scores: Scores,
    fresh: Scores,
    noise: Noise,
    known: Known,
    lower: bool = True,
    folded: bool = True,
) -> Report:
    """All that a check found. `fresh` holds the runs of the second round on today's baseline, with and without a suspect."""
    alone = switched(stack, scores, Point(), noise, lower)
    beside = switched(stack, scores, stack.everything, noise, lower)
    here = switched(stack, scores, stack.landed, noise, lower)
    again = switched(stack, fresh, stack.landed, noise, lower)
    average = averages(stack, scores, noise, lower, folded)
    effects = [
        ablation(
            change, change in stack.landed, known.margin(change, noise.sigma), here.get(change), alone.get(change),
            beside.get(change), again.get(change), average.get(change),
        )
        for change in stack.changes
    ]  # fmt: skip
    effects.sort(key=lambda each: -math.inf if each.effect is None else each.effect, reverse=True)
    return Report(
        tuple(effects),
        interactions_of(stack, scores, noise, lower),
        bundle_of(stack, scores, noise, lower),
        noise.sigma,
        noise.degrees,
    )


def ablation(
    change: str,
    landed: bool,
    margin: float,
    here: Effect | None,
    alone: Effect | None,
    beside: Effect | None,
    fresh: Effect | None,
    average: Effect | None,
) -> MemberEffect:
    """One change with its advice; of what was looked at again the fresh seeds are shown, because they were not chosen."""
    effect = fresh or here
    advice = advise(landed, margin, here, beside, fresh)
    return MemberEffect(
        change=change,
        landed=landed,
        advice=advice,
        unhelpful=advice.removes or advice in (Advice.ADD_NOTHING, Advice.ADD_HARM),
        effect=effect.effect if effect else None,
        standard_error=effect.standard_error if effect else None,
        interval=effect.interval if effect else None,
        alone=alone,
        beside=beside,
        fresh=fresh,
        average=average,
        margin=margin,
    )


def advise(landed: bool, margin: float, here: Effect | None, beside: Effect | None, fresh: Effect | None) -> Advice:
    """What to do with a change.

    A landed one is to be removed only where fresh seeds show that today's baseline loses less than `margin` without it (95%),
    and where it is not seen to help beside what waits.
    """
    effect = fresh or here
    if effect is None:
        return Advice.UNCLEAR
    if helps(effect):
        return Advice.KEEP if landed else Advice.ADD
    if helps(beside):
        return Advice.KEEP_FOR_OTHERS if landed else Advice.ADD_WITH_OTHERS
    most = effect.interval[1]
    if most >= margin or (landed and fresh is None):
        return Advice.UNCLEAR
    if landed:
        return Advice.REMOVE_HARM if most < 0 else Advice.REMOVE_NOTHING
    return Advice.ADD_HARM if most < 0 else Advice.ADD_NOTHING


def helps(effect: Effect | None) -> bool:
    """Whether its interval lies above 0."""
    return effect is not None and effect.interval[0] > 0


def averages(stack: Stack, scores: Scores, noise: Noise, lower: bool, folded: bool) -> dict[str, Effect]:
    """What each change brings on average over the two-level design; nothing where its runs do not tell the changes apart."""
    plan = design_of(stack, folded)
    there = [number for number, point in enumerate(plan.runs) if scores.get(point)]
    means = {number: sum(scores[plan.runs[number]]) / len(scores[plan.runs[number]]) for number in there}
    counts = {number: len(scores[plan.runs[number]]) for number in there}
    try:
        effects = main_effects(plan, means, noise.sigma, lower, noise.degrees, counts)
    except EvidenceError:
        return {}
    return {effect.change: effect for effect in effects}


def bundle_of(stack: Stack, scores: Scores, noise: Noise, lower: bool) -> BundleCheck | None:
    """All of them together against the sum of what each brings alone; None where a tree of these has no score."""
    alone = {change: scores.get(Point({change}), ()) for change in stack.changes}
    bare, everything = scores.get(Point()), scores.get(stack.everything)
    if not bare or not everything or not all(alone.values()):
        return None
    return check_sum(noise.sigma, bare, alone, everything, lower, noise.degrees)


def read(document: object) -> Report | None:
    """A report as it was kept; None before there is one, where it cannot be read, and for checks of before, which had averages
    over the stack alone."""
    if not isinstance(document, Mapping) or document.get("version") != Report.version:
        return None
    try:
        return _REPORT.validate_python(document)
    except ValidationError:
        return None


def written(report: Report | None, **counts: int) -> dict[str, object]:
    """A report as it is kept, with counts of the runs that it rests on; empty where there is none."""
    return {} if report is None else asdict(report) | counts


_REPORT = TypeAdapter(Report)
