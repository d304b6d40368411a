"""The proposer that needs no key: Optuna over the constants of the editable Python files.

Each proposal moves one constant, sometimes two, away from the baseline. The study is rebuilt from the history for every
proposal, so workers share nothing but the database.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from agent.constants import Constant, Value, edits_for, snake
from agent.knob_sources import Survey, survey
from agent.ladder import FORMS, ladder
from agent.launched import UNKNOWN, Launched
from agent.proposal import JSON, Context, NothingToPropose, Proposal, Tried
from agent.title import title_of
from research_app.evidence.digits import gain, spread

PAIRS = 0.25  # share of the proposals that move two constants
DEAD_AFTER = 2  # moves of a knob that changed nothing that runs
NAMED = 5  # of what is left out, in a sentence
ASKS = 12  # suggestions that may repeat an earlier move before any untried one is taken instead
ROLES = ("constant", "also")  # the study's own parameters: which variable moves, and which one with it

# In this order: the first that fits names the category.
CATEGORY_WORDS = (
    ("systems", r"device|micro|accum|compile|workers?|prefetch|threads?|pin|flash|precision|chunk"),
    ("schedule", r"warm_?up|warm_?down|cool_?down|anneal|cosine|schedule|(lr|rate)_decay|decay_(steps|iters)"),
    ("schedule", r"(min|final|end)_(lr|learning)"),
    ("regularisation", r"dropout|drop|decay|wd|smoothing|z_loss|l2|noise"),
    ("initialisation", r"init|initial|std"),
    ("optimiser", r"lr|learning|rate|betas?\d?|momentum|eps|epsilon|optimi[sz]er|muon|adam|adamw|nesterov|clip|batch|ema"),
    ("data", r"mix|mixture|weights?|corpus|sources?|shards?|sampling|seq|sequence|context|block_size"),
    ("architecture", r"layers?|heads?|embd|embed|embedding|dim|width|depth|hidden|mlp|expansion|bias|rope|theta"),
    (
        "architecture",
        r"window|activation|act|norm|tied?|kv|model|attention|attn|qk|ratio|softcap|block|experts?|residual",
    ),
)

Move = frozenset[tuple[str, int]]  # (name of a knob, place on its ladder) of the one or two constants that move


@dataclass(frozen=True)
class Knob:
    """A constant with the values it may take. The study knows a value by its place on this ladder: its scale."""

    constant: Constant
    values: tuple[Value, ...]

    @property
    def distribution(self) -> IntDistribution | CategoricalDistribution:
        last = len(self.values) - 1
        is_word = isinstance(self.constant.value, str)  # words have no order
        return CategoricalDistribution(range(last + 1)) if is_word else IntDistribution(0, last)

    def place(self, value: JSON) -> int | None:
        """The place nearest to a value of the past; None when today's ladder does not reach it."""
        if isinstance(self.constant.value, bool | str) or isinstance(value, bool) or not isinstance(value, int | float):
            same = [place for place, mine in enumerate(self.values) if type(mine) is type(value) and mine == value]
            return same[0] if same else None
        if not float(self.values[0]) <= value <= float(self.values[-1]):
            return None
        return min(range(len(self.values)), key=lambda place: abs(float(self.values[place]) - value))

    @property
    def now(self) -> int:
        """The place of the current value."""
        return self.values.index(self.constant.value)

    def shown(self, place: int) -> str:
        return self.constant.written(self.values[place])


class KnobsProposer:
    """Moves constants to where Optuna's tree-structured Parzen estimator expects an improvement."""

    name = "knobs"

    def propose(self, context: Context) -> Proposal:
        """One constant moved, sometimes two, never to a value that was tried on this baseline.

        Raises NothingToPropose: there is no constant, a `# knob:` comment cannot be used, or every move was tried.
        """
        knobs = find_knobs(context.files, context.launched)
        baseline = _digest(context.files)
        knobs = _without_dead(knobs, context.history, baseline)
        past = [(earlier, move) for earlier in context.history if (move := _move(knobs, earlier))]
        tried = {move for earlier, move in past if earlier.details.get("baseline", baseline) == baseline}
        chance = random.Random(f"knobs {context.attempt}")
        study = _study(knobs, past, seed=chance.getrandbits(32))
        is_pair = len(knobs) > 1 and chance.random() < PAIRS
        move = _suggested(study, knobs, tried, is_pair, context.category) or _untried(knobs, tried, chance)
        if move is None:
            raise NothingToPropose(
                "Every value of every constant in the editable files was tried on this baseline, alone and in pairs "
                f"(constants: {len(knobs)}). Allow more values with comments ({FORMS}), or choose another proposer."
            )
        return _proposal(knobs, move, past, baseline, context)


def find_knobs(files: Mapping[str, str], launched: Launched = UNKNOWN) -> dict[str, Knob]:
    """Name to knob, in the order of files and lines. Raises NothingToPropose when there is none, BadKnobComment."""
    seen = survey(files, launched)
    knobs = {constant.name: Knob(constant, values) for constant in seen.constants if (values := ladder(constant))}
    if not knobs:
        problems = [*seen.unreadable, *_left_out(seen)]
        raise NothingToPropose(
            "There is no constant to move in the editable files. "
            + "".join(f"{problem} " for problem in problems)
            + "Write hyperparameters as plain literals at module level (LEARNING_RATE = 6e-4), make such a file "
            "editable, or choose another proposer."
        )
    return knobs


def _left_out(seen: Survey) -> list[str]:
    """What was found and is no knob, with the reason, the first few by name."""
    names = [f"{each.constant.name} ({each.why})" for each in seen.left_out[:NAMED]]
    if not names:
        return []
    more = len(seen.left_out) - len(names)
    return [f"Left out: {', '.join(names)}{f' and {more} more' if more else ''}."]


def _without_dead(knobs: dict[str, Knob], history: Iterable[Tried], baseline: str) -> dict[str, Knob]:
    """The knobs without those that, whenever they moved alone on this baseline, and twice at least, changed nothing that runs.

    Raises NothingToPropose where none is left.
    """
    moves: dict[str, list[bool]] = {}
    for earlier in history:
        moved = _mapping(earlier, "knobs")
        if len(moved) == 1 and earlier.outcome == "evaluated" and earlier.details.get("baseline", baseline) == baseline:
            moves.setdefault(next(iter(moved)), []).append(earlier.no_op)
    dead = {name for name, ended in moves.items() if len(ended) >= DEAD_AFTER and all(ended)}
    alive = {name: knob for name, knob in knobs.items() if name not in dead}
    if not alive:
        raise NothingToPropose(f"Every knob changed nothing that runs when it was moved ({', '.join(sorted(dead)[:NAMED])}).")
    return alive


def _digest(files: Mapping[str, str]) -> str:
    """Identifies the editable files of a baseline."""
    return hashlib.sha256(repr(sorted(files.items())).encode(errors="surrogatepass")).hexdigest()[:16]


def _move(knobs: Mapping[str, Knob], earlier: Tried) -> Move | None:
    """The earlier candidate on today's ladders; None when it was no such move, or lies beyond them."""
    moved = earlier.details.get("knobs")
    if not isinstance(moved, Mapping) or not 1 <= len(moved) <= 2:
        return None
    places = {name: knobs[name].place(value) if name in knobs else None for name, value in moved.items()}
    if None in places.values():
        return None
    return frozenset((name, place) for name, place in places.items() if place is not None)


def _groups(knobs: Mapping[str, Knob]) -> dict[str, list[str]]:
    """The knobs by variable: one with many elements is chosen no more often than one with a single value."""
    groups: dict[str, list[str]] = {}
    for name, knob in knobs.items():
        groups.setdefault(knob.constant.variable, []).append(name)
    return groups


def _study(knobs: Mapping[str, Knob], past: Sequence[tuple[Tried, Move]], seed: int) -> optuna.Study:
    """A study that was told everything: which constants moved, where to, and the outcome.

    A candidate that runs is told as running, so that the sampler keeps away from it; one without an effect (crashed,
    invalid) as pruned, which ranks below every effect.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    landed = [earlier for earlier, _ in past if earlier.stage == "landed" and earlier.effect is not None]
    groups = _groups(knobs)
    for earlier, move in past:
        params: dict[str, str | int] = {}
        distributions: dict[str, BaseDistribution] = {}
        both = sorted(move) * (3 - len(move))  # one that moved alone teaches both roles
        for role, (name, place) in zip(ROLES, both, strict=True):
            group = knobs[name].constant.variable
            params |= {role: group, f"{role} in {group}": name, name: place}
            distributions[role] = CategoricalDistribution(tuple(groups))
            distributions[f"{role} in {group}"] = CategoricalDistribution(groups[group])
            distributions[name] = knobs[name].distribution
        effect = _effect_today(earlier, landed)
        state = TrialState.PRUNED if effect is None else TrialState.COMPLETE
        if earlier.outcome == "pending":
            state = TrialState.RUNNING
        value = effect if state is TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, params=params, distributions=distributions))
    return study


def _effect_today(earlier: Tried, landed: Iterable[Tried]) -> float | None:
    """The effect as it would stand against today's baseline; None when there is none.

    Values in the history are absolute, effects are differences with the baseline of their day. Where that baseline's
    value of the same constant has landed somewhere else since, what the landing gained is no longer on offer, so it is
    taken off. Landings of other constants are taken to add up, and change nothing.
    """
    if earlier.effect is None or not math.isfinite(earlier.effect):
        return None
    effect, was = earlier.effect, _mapping(earlier, "was")
    for landing in landed:
        start, end = _mapping(landing, "was"), _mapping(landing, "knobs")
        for name in end.keys() & was.keys():
            if was[name] == start.get(name):
                effect -= (landing.effect or 0.0) / len(end)
                was[name] = end[name]
    return effect


def _mapping(tried: Tried, key: str) -> dict[str, JSON]:
    mapping = tried.details.get(key)
    return dict(mapping) if isinstance(mapping, Mapping) else {}


def _suggested(study: optuna.Study, knobs: Mapping[str, Knob], tried: set[Move], is_pair: bool, category: str) -> Move | None:
    """A move that the study suggests, in the category that is wanted if it suggests one there; None when none can be used.

    A suggestion that is refused stays in the study as running: the next one keeps away from it.
    """
    groups = _groups(knobs)
    spare: Move | None = None
    for _ in range(ASKS):
        trial = study.ask()
        places: dict[str, int] = {}
        for role in ROLES if is_pair else ROLES[:1]:
            group = trial.suggest_categorical(role, tuple(groups))
            name = trial.suggest_categorical(f"{role} in {group}", groups[group])
            distribution = knobs[name].distribution
            if isinstance(distribution, IntDistribution):
                places[name] = trial.suggest_int(name, distribution.low, distribution.high)
            else:
                places[name] = cast(int, trial.suggest_categorical(name, distribution.choices))
        move = frozenset(places.items())
        if move in tried or any(place == knobs[name].now for name, place in move):
            continue
        if not category or any(category_of(knobs[name].constant.label) == category for name, _ in move):
            return move
        spare = spare or move
    return spare


def _untried(knobs: Mapping[str, Knob], tried: set[Move], chance: random.Random) -> Move | None:
    """Any move that was not tried, single ones first; None when there is none left."""
    places = {name: [p for p in range(len(knob.values)) if p != knob.now] for name, knob in knobs.items()}
    singles = [move for name in knobs for place in places[name] if (move := frozenset({(name, place)})) not in tried]
    if singles:
        return chance.choice(singles)
    couples = list(itertools.combinations(knobs, 2))
    chance.shuffle(couples)
    for first, second in couples:
        pairs = itertools.product(places[first], places[second])
        left = [move for a, b in pairs if (move := frozenset({(first, a), (second, b)})) not in tried]
        if left:
            return chance.choice(left)
    return None


def _proposal(
    knobs: Mapping[str, Knob], move: Move, past: Sequence[tuple[Tried, Move]], baseline: str, context: Context
) -> Proposal:
    """The move as edits, in words, and as the details from which later proposals learn."""
    moved = [(knobs[name], place) for name, place in sorted(move)]
    steps = " and ".join(_step(knobs, knob, place) for knob, place in moved)
    reasons = [_what_is_known(knobs, knob, past, context.sigma) for knob, _ in moved]
    return Proposal(
        title=title_of(", ".join(_arrow(knobs, knob, place) for knob, place in moved)),
        hypothesis=f"{steps[0].upper()}{steps[1:]}: {'; '.join(reasons)}.",
        category=category_of(moved[0][0].constant.label),
        edits=edits_for(context.files, [(knob.constant, knob.values[place]) for knob, place in moved]),
        expected_effect="Not predicted: a step of a search, chosen from the effects measured so far.",
        details={
            "knobs": {knob.constant.name: knob.values[place] for knob, place in moved},
            "was": {knob.constant.name: knob.constant.value for knob, _ in moved},
            "baseline": baseline,
        },
    )


def _called(knobs: Mapping[str, Knob], constant: Constant) -> str:
    """The label, with its file where another file has the same label."""
    alike = [knob for knob in knobs.values() if knob.constant.label == constant.label]
    return constant.label if len(alike) == 1 else f"{constant.label} in {constant.path}"


def _step(knobs: Mapping[str, Knob], knob: Knob, place: int) -> str:
    """ "raise LEARNING_RATE from 6e-4 to 1e-3": the direction is that of the number, whatever it means."""
    called, new = _called(knobs, knob.constant), knob.values[place]
    if isinstance(new, bool):
        return f"turn {called} {'on' if new else 'off'}"
    verb = "switch" if isinstance(new, str) else "raise" if place > knob.now else "lower"
    return f"{verb} {called} from {knob.shown(knob.now)} to {knob.shown(place)}"


def _arrow(knobs: Mapping[str, Knob], knob: Knob, place: int) -> str:
    """ "LEARNING_RATE 6e-4 → 1e-3": a move as a title has it."""
    return f"{_called(knobs, knob.constant)} {knob.shown(knob.now)} → {knob.shown(place)}"


def _what_is_known(knobs: Mapping[str, Knob], knob: Knob, past: Sequence[tuple[Tried, Move]], sigma: float | None) -> str:
    """What was measured when this constant moved alone."""
    name, called = knob.constant.name, _called(knobs, knob.constant)
    alone = [(earlier, dict(move)[name]) for earlier, move in past if {n for n, _ in move} == {name}]
    measured = [(earlier.effect, place) for earlier, place in alone if earlier.effect is not None]
    if not measured:
        waiting = " with a measured effect" if alone else ""
        return f"no other value of {called} was tried{waiting} so far"
    effect, place = max(measured)
    times = f"best of {len(measured)} tries" if len(measured) > 1 else "only try"
    noise = f"; sigma is {spread(sigma)}" if sigma else ""
    clause = f"the {times} with {called} alone so far, {knob.shown(place)}, measured {gain(effect)}"
    return f"{clause} (positive is better{noise})"


def category_of(label: str) -> str:
    """A guess from the words of a constant's name."""
    words = snake(label)
    for category, pattern in CATEGORY_WORDS:
        if re.search(rf"(^|_)({pattern})(_|$)", words):
            return category
    return "optimiser"
