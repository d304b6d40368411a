"""What the scorer asks a model beyond its score, and what the answers must have in common. Pure: plans in, verdicts out.

Two fresh processes are asked. The first gets the held-out windows, each once, in a random order, and nothing else, so that
there is nothing in its questions to recognise. When it is gone the second gets the questions of a `Plan`: some of the same
windows, whole or with another ending. Whatever the second makes of them, it cannot know what the first one saw beyond the
change, and the first could not know what the second would be asked. A question stands in the same row of a batch of the same
shape as in the first process (unless the row itself is under test), so that an honest model does the same arithmetic and
answers alike to the last bit on most machines; the tolerances are for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum

import numpy as np

from research_app.evidence.digits import number

TOLERANCE = 1e-3  # nats between two answers to one question in one row: a cheat within it gains < 0.003 bits per token
ROW_TOLERANCE = 0.05  # nats between two rows of a batch: there, reductions may be ordered in another way
CLAIM_TOLERANCE = 1e-3  # nats between a log-probability that the model's process stated and one computed outside
CUTS = 128  # windows asked with another ending
REPEATS = 32  # windows of the end asked in a fresh process, and windows asked among other neighbours or in another row
ROWS_LIMIT = 1 << 18  # bytes of logits compared for one question


class Kind(IntEnum):
    """What a question of the second process has in common with the first, and what not."""

    again = 0  # the first batch of the first process, at the start of the second
    last = 1  # the same batch once more, at the end of the second
    neighbours = 2  # a window of that batch in its row, among others
    row = 3  # a window of that batch in another row
    late = 4  # a window that the first process saw near its end
    ending = 5  # a window that goes on differently from a cut


@dataclass(frozen=True)
class Probe:
    """One verdict. `reason` is a sentence; `tolerance` is in nats, 0 where equality is asked."""

    ok: bool
    reason: str
    tolerance: float

    def told(self) -> dict[str, bool | str | float]:
        """The verdict as plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """Who is asked what. `windows` are rows of the held-out text; a batch has `n` rows, a question R compared positions.

    The first process gets `first` (batches, n); the last batch is filled up with windows of the first, which `scored`
    (batches, n) leaves out. The second gets `second`, `batches` of (n,) questions with the fields below.
    """

    first: np.ndarray
    scored: np.ndarray
    kind: np.ndarray  # (batches, n) of Kind
    base_batch: np.ndarray  # (batches, n): where the first process was asked the window
    base_row: np.ndarray
    cut: np.ndarray  # (batches, n): from this position on the donor's tokens stand there; the length where nothing changes
    donor: np.ndarray  # (batches, n) windows
    positions: np.ndarray  # (batches, n, R): where the answers are compared, all of them before the cut

    @property
    def window(self) -> np.ndarray:
        """(batches, n): the window each question of the second process starts with."""
        base: np.ndarray = self.first[self.base_batch, self.base_row]
        return base

    def second(self, tokens: np.ndarray) -> np.ndarray:
        """(batches, n, T): the questions of the second process, from all windows' tokens (N, T)."""
        changed = np.arange(tokens.shape[1]) >= self.cut[..., None]
        other: np.ndarray = np.where(changed, tokens[self.donor], tokens[self.window])
        return other


def plan(tokens: np.ndarray, rows: int, vocabulary: int, random: np.random.Generator) -> Plan:
    """Draw a plan for windows of tokens (N, T) in batches of at most `rows` sequences."""
    count, length = tokens.shape
    n = min(rows, count)
    batches = -(-count // n)
    first = np.empty(batches * n, dtype=np.intp)
    first[:count] = random.permutation(count)
    first[count:] = first[count - batches * n + n : n]  # in the rows they had in the first batch
    first = first.reshape(batches, n)
    kind, base_batch, base_row = _questions(n, batches, random)
    cut = np.full(kind.shape, length)
    endings = kind == Kind.ending
    if length > 1:
        cut[endings] = _cuts(int(endings.sum()), length, random)
    compared = min(length, max(2, ROWS_LIMIT // (4 * vocabulary)))
    return Plan(
        first=first,
        scored=(np.arange(batches * n) < count).reshape(batches, n),
        kind=kind,
        base_batch=base_batch,
        base_row=base_row,
        cut=cut,
        donor=_donors(tokens, first[base_batch, base_row], cut, random),
        positions=_positions(cut, compared, random),
    )


def _questions(n: int, batches: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, batch and row of the base of every question of the second process, (its batches, n) each."""
    few, many = -(-REPEATS // n), -(-CUTS // n)
    middle = np.repeat([Kind.late, Kind.neighbours, Kind.ending], [few, few, many])[:, None].repeat(n, axis=1)
    middle[few : 2 * few, 1::2] = Kind.row  # in every other row
    kind = np.vstack([np.full((1, n), Kind.again), random.permuted(middle, axis=0), np.full((1, n), Kind.last)])
    base_batch = np.zeros(kind.shape, dtype=np.intp)
    for which, earliest in ((Kind.late, batches // 2), (Kind.ending, 0)):
        base_batch[kind == which] = random.integers(earliest, batches, int((kind == which).sum()))
    base_row = np.arange(n)[None, :].repeat(len(kind), axis=0)
    moved = kind == Kind.row
    if moved.any():
        base_row[moved] = (base_row[moved] + random.integers(1, n, int(moved.sum()))) % n
    return kind, base_batch, base_row


def _cuts(number: int, length: int, random: np.random.Generator) -> np.ndarray:
    """`number` cuts between 1 and length − 1, no value again before each came once."""
    rounds = -(-number // (length - 1))
    return np.concatenate([random.permutation(np.arange(1, length)) for _ in range(rounds)])[:number]


def _donors(tokens: np.ndarray, windows: np.ndarray, cut: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each question another window whose token at the cut is another one, where there is any."""
    donors = windows.copy()
    for place in zip(*np.nonzero(cut < tokens.shape[1]), strict=True):
        other = np.nonzero(tokens[:, cut[place]] != tokens[windows[place], cut[place]])[0]
        if len(other):
            donors[place] = random.choice(other)
    return donors


def _positions(cut: np.ndarray, compared: int, random: np.random.Generator) -> np.ndarray:
    """(batches, n, compared) positions before each cut: the last one always, the others at random."""
    positions = np.repeat(cut[..., None] - 1, compared, axis=-1)
    for place in np.ndindex(cut.shape):
        others = random.permutation(cut[place] - 1)[: compared - 1]
        positions[place][1 : 1 + len(others)] = others
    return positions


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural log-probabilities of float32 logits (…, V), in float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def furthest(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference between two answers of logits (R, V), as log-probabilities, in nats."""
    if np.array_equal(first, second):
        return 0.0
    return float(np.abs(log_softmax(first) - log_softmax(second)).max())


def normalisation(misstated: float) -> Probe:
    """`misstated` is the worst difference in nats between a stated log-probability and its row of logits, 0 without any."""
    if misstated > CLAIM_TOLERANCE:
        return Probe(False, f"Log-probabilities were stated {number(misstated, 2)} nats away from the logits.", CLAIM_TOLERANCE)
    return Probe(True, "The probabilities of all tokens add up to one.", CLAIM_TOLERANCE)


def verdicts(kind: np.ndarray, difference: np.ndarray, *, comparable: bool = True) -> dict[str, Probe]:
    """Determinism, state and causality, from the difference in nats of each question's two answers.

    Without `comparable` the answers mean nothing, and neither do their differences.
    """
    if not comparable:
        unknown = Probe(False, "Not judged: the model's answers are not its logits.", TOLERANCE)
        return dict.fromkeys(("determinism", "state", "causality"), unknown)
    worst = {which: float(difference[kind == which].max(initial=0.0)) for which in Kind}
    determinism, state = _determinism(worst), _state(worst)
    return {"determinism": determinism, "state": state, "causality": _causality(worst, difference[kind == Kind.ending])}


def _determinism(worst: Mapping[Kind, float]) -> Probe:
    """Same input, same logits; neither the order of a batch nor the other sequences in it matter."""
    if worst[Kind.again] > TOLERANCE:
        sentence = f"Two fresh processes answered the same batch with logits {number(worst[Kind.again], 2)} nats apart."
        return Probe(False, f"{sentence} Is something random left on when the model is evaluated?", TOLERANCE)
    if worst[Kind.last] > TOLERANCE:  # then a difference among other neighbours would be no news
        return Probe(True, "Two fresh processes answered the same batch alike.", TOLERANCE)
    if worst[Kind.neighbours] > TOLERANCE:
        sentence = (
            f"The other sequences in a batch change a sequence's logits, by up to {number(worst[Kind.neighbours], 2)} nats."
        )
        return Probe(False, f"{sentence} Is there a normalisation over the batch?", TOLERANCE)
    if worst[Kind.row] > ROW_TOLERANCE:
        sentence = f"A sequence's logits depend on its place in the batch, by up to {number(worst[Kind.row], 2)} nats."
        return Probe(False, sentence, ROW_TOLERANCE)
    return Probe(True, "The same sequence got the same logits, whatever its batch, row and neighbours.", TOLERANCE)


def _state(worst: Mapping[Kind, float]) -> Probe:
    """What was asked before does not matter."""
    if worst[Kind.again] > TOLERANCE:
        return Probe(False, "Not judged: the model does not answer the same question alike.", TOLERANCE)
    if worst[Kind.last] > TOLERANCE:
        sentence = (
            f"The first batch, asked again at the end, got logits {number(worst[Kind.last], 2)} nats away from those before."
        )
        return Probe(False, f"{sentence} The model changes while it is evaluated.", TOLERANCE)
    if worst[Kind.late] > TOLERANCE and worst[Kind.neighbours] > TOLERANCE:
        return Probe(False, "Not judged: the other sequences in a batch change the logits.", TOLERANCE)
    if worst[Kind.late] > TOLERANCE:
        sentence = (
            f"What the model was asked before changes its logits, by up to {number(worst[Kind.late], 2)} "
            "nats against a fresh process."
        )
        return Probe(False, f"{sentence} The model changes while it is evaluated.", TOLERANCE)
    return Probe(True, "What was asked before changed no logits.", TOLERANCE)


def _causality(worst: Mapping[Kind, float], changed: np.ndarray) -> Probe:
    """Changing later tokens changes no earlier logits."""
    if max(worst[which] for which in Kind if which is not Kind.ending and which is not Kind.row) > TOLERANCE:
        return Probe(False, "Not judged: the model does not answer the same question alike.", TOLERANCE)
    if worst[Kind.ending] > TOLERANCE:
        sentence = (
            f"With another ending, {int((changed > TOLERANCE).sum())} of {len(changed)} windows had other logits before it,"
        )
        return Probe(False, f"{sentence} by up to {number(worst[Kind.ending], 2)} nats: the model reads ahead.", TOLERANCE)
    return Probe(True, "Changing later tokens changed no earlier logits.", TOLERANCE)
