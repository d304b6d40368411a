"""Detectors of the shape of a run's curves: losses and gradient norms. They need no model, only what was logged.

Losses are compared as ratios, so that nats, bits and perplexities of one curve say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress

from research_app.evidence.digits import number
from training.detectors.record import (
    GRAD_NORM,
    LEARNING_RATES,
    TRAIN_LOSS,
    VAL_LOSS,
    Circumstances,
    Curve,
    Finding,
    Level,
    RunRecord,
)

BLOCKS = 50  # at most: a curve is judged by the medians of blocks, because one odd batch is no trend
BLOCK_POINTS = 5  # at least, in a block
FEWEST = 20  # points; a shorter curve shows no trend
OVER_MINIMUM = 1.5  # the smoothed loss of an honest default run stays below 1.1 times its running minimum
SPIKE_NOISE = 10.0  # times the usual residual; the largest of honest default runs is 7.4
SPIKE_SHARE = 0.4  # of the loss around it; one odd batch of an honest default run reaches 0.26
SPIKE_WINDOW = 15  # points that say what is usual around a point
MANY_SPIKES = 3
BLOW_UP = 10.0  # times the median norm so far; clipping hides such a step from the loss curve
LATE_RISE = 4.0  # times the norm in the middle: decaying the learning rate alone doubles it
BEYOND_BASELINE = 2.0  # times what the baseline's own curve does
HIGH_RATE = 0.9  # of the peak learning rate: from its peak down to here the decay has hardly begun
PLATEAU_SHARE = 0.15  # of the run; a shorter flat stretch is noise
PLATEAU_DROP = 0.01  # share of the loss; from 35% to 70% of a run, losses that still fall do so by 3 to 7%
SURE = 2.0  # standard errors
GAP_SHARE = 0.05  # of the validation loss: seeds of the default target lie within 0.022 of each other
LEAK_SHARE = 0.10  # of the validation loss: dropout of 0.3 moves the default target's gap by 0.02


def not_finite(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """NaN or infinity: invalid in a loss, a warning elsewhere (a norm overflows where mixed precision skips a step)."""
    if run.not_finite:
        yield Finding("not finite", "invalid", f"The run stopped itself: {run.not_finite}.")
    for name, curve in run.raw.items():
        bad = np.flatnonzero(~np.isfinite(curve.values))
        if len(bad):
            first, last = int(curve.steps[bad[0]]), int(curve.steps[bad[-1]])
            level: Level = "invalid" if "loss" in name or "bpb" in name else "warning"
            what = "NaN" if np.isnan(curve.values[bad[0]]) else "infinite"
            sentence = f"{name} is {what} at step {first}; {len(bad)} of {len(curve)} points are not finite."
            yield Finding("not finite", level, sentence, name, first, last)


def over_running_minimum(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """The smoothed train loss rises to OVER_MINIMUM times the lowest it had been."""
    curve = run.curve(TRAIN_LOSS)
    if len(curve) < FEWEST or curve.values.min() <= 0:
        return
    smooth = _smooth(curve)
    ratios = smooth.values / np.minimum.accumulate(smooth.values)
    over = np.flatnonzero(ratios > OVER_MINIMUM)
    if not len(over):
        return
    worst = int(np.argmax(ratios))
    stays = ratios[-1] > OVER_MINIMUM
    end = "and does not come back" if stays else f"and ends at {ratios[-1]:.2f} times"
    sentence = (
        f"The train loss rises from {number(smooth.values[:worst].min(), 4)} to {number(smooth.values[worst], 4)}, "
        f"{ratios[worst]:.2f} times its running minimum (the limit is {OVER_MINIMUM:g}), {end}."
    )
    last = curve.steps[-1] if over[-1] + 1 == len(smooth) else smooth.steps[over[-1] + 1]
    yield Finding("loss over its minimum", "warning", sentence, TRAIN_LOSS, int(smooth.steps[over[0]]), int(last))


def spikes(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """Single points of the train loss far above their neighbourhood. A few are information, MANY_SPIKES a warning."""
    curve = run.curve(TRAIN_LOSS)
    if len(curve) < FEWEST or curve.values.min() <= 0:
        return
    residuals = _residuals(np.log(curve.values))
    noise = 1.4826 * np.median(np.abs(residuals[len(curve) // 10 :]))  # the first tenth falls too fast to tell noise
    limit = max(SPIKE_NOISE * noise, np.log1p(SPIKE_SHARE))
    high = np.flatnonzero(residuals > limit)
    if not len(high):
        return
    count = 1 + int(np.sum(np.diff(high) > 1))
    worst = int(high[np.argmax(residuals[high])])
    size = f"{np.exp(residuals[worst]):.2f} times the loss around it"
    sentence = (
        f"{count} spikes of the train loss, the largest {size} (step {curve.steps[worst]})."
        if count > 1
        else f"A spike of the train loss at step {curve.steps[worst]}, {size}."
    )
    level: Level = "warning" if count >= MANY_SPIKES else "info"
    yield Finding("loss spikes", level, sentence, TRAIN_LOSS, int(curve.steps[high[0]]), int(curve.steps[high[-1]]))


def gradient_blow_up(run: RunRecord, _: Circumstances) -> Iterator[Finding]:
    """After the first tenth, the gradient norm of a whole block is BLOW_UP times the median of all blocks before."""
    curve = run.curve(GRAD_NORM)
    if len(curve) < FEWEST:
        return
    smooth = _smooth(curve)
    for at in range(len(smooth) // 10 + 1, len(smooth)):
        usual = float(np.median(smooth.values[:at]))
        if usual > 0 and smooth.values[at] > BLOW_UP * usual:
            step = int(smooth.steps[at])
            size, times = smooth.values[at], smooth.values[at] / usual
            sentence = f"The gradient norm jumps to {number(size)} at step {step}, {times:.0f} times its median until then."
            yield Finding("gradient blow-up", "warning", sentence, GRAD_NORM, step, int(smooth.steps[-1]))
            return


def gradient_late_rise(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """The gradient norm of the last tenth is LATE_RISE times that of the middle third, and the baseline's is not."""
    rise = _late_rise(run)
    if rise is None:
        return
    usual = _median(_late_rise(base) for base in circumstances.baseline)
    limit = LATE_RISE if usual is None else max(LATE_RISE, BEYOND_BASELINE * usual)
    if rise > limit:
        end = run.curve(GRAD_NORM).part(0.9, 1)
        beside = "" if usual is None else f" (the baseline's: {usual:.1f} times)"
        sentence = f"The gradient norm ends at {number(np.median(end.values))}, {rise:.1f} times its level in mid-run{beside}."
        yield Finding("gradient late rise", "warning", sentence, GRAD_NORM, int(end.steps[0]), int(end.steps[-1]))


def plateau_before_decay(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """The train loss stands still while the learning rate is still near its peak: a warning where the baseline's does not."""
    flat = _plateau(run)
    if flat is None:
        return
    first, last, level_of_loss = flat
    common = sum(_plateau(base) is not None for base in circumstances.baseline)
    level: Level = "info" if 2 * common > len(circumstances.baseline) else "warning"
    beside = f"; {common} of {len(circumstances.baseline)} baseline runs do so too" if common else ""
    sentence = (
        f"The train loss stands still at {number(level_of_loss, 4)} from step {first} to {last}, "
        f"before the learning rate decays{beside}: that part of the budget bought nothing."
    )
    yield Finding("plateau before the decay", level, sentence, TRAIN_LOSS, first, last)


def train_validation_gap(run: RunRecord, circumstances: Circumstances) -> Iterator[Finding]:
    """Validation loss over train loss at the end, as a share, against the baseline's gap. Silent without a baseline."""
    own, bases = _gap(run), [known for base in circumstances.baseline if (known := _gap(base)) is not None]
    if own is None or not bases:
        return
    gap, error = own
    usual = [base for base, _ in bases]
    middle, noise = float(np.median(usual)), max(2 * float(np.ptp(usual)), 2 * SURE * error)
    ends = f"the validation loss ends {_signed(gap)} its train loss; the baseline's ends {_signed(middle)}"
    end = run.curve(VAL_LOSS).part(0.9, 1)
    where = (VAL_LOSS, int(end.steps[0]), int(end.steps[-1]))
    if gap - middle > max(GAP_SHARE, noise):
        sentence = f"A wider gap: {ends}. It fits its own training text better than new text, or was given easier text."
        yield Finding("train/validation gap", "warning", sentence, *where)
    elif middle - gap > max(LEAK_SHARE, noise):
        sentence = f"A gap far below the baseline's: {ends}. Regularisation does that, and so does a look at the answers."
        yield Finding("train/validation gap", "warning", sentence, *where)


def _smooth(curve: Curve) -> Curve:
    return curve.blocks(min(BLOCKS, len(curve) // BLOCK_POINTS))


def _residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values less the running median around each, (N,) to (N,)."""
    half = SPIKE_WINDOW // 2
    padded = np.pad(values, half, mode="edge")
    result: NDArray[np.float64] = values - np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return result


def _late_rise(run: RunRecord) -> float | None:
    curve = run.curve(GRAD_NORM)
    middle = float(np.median(curve.part(1 / 3, 2 / 3).values)) if len(curve) >= FEWEST else 0.0
    return float(np.median(curve.part(0.9, 1).values)) / middle if middle > 0 else None


def _plateau(run: RunRecord) -> tuple[int, int, float] | None:
    """(first step, last step, loss) of the second half of the time before the decay, if it is surely flat."""
    rate, loss = run.first(*LEARNING_RATES), run.curve(TRAIN_LOSS)
    if len(rate) < FEWEST or len(loss) < FEWEST or loss.values.min() <= 0 or rate.values.max() <= 0:
        return None
    high = np.flatnonzero(rate.values >= HIGH_RATE * rate.values.max())
    start, end = rate.steps[high[0]], rate.steps[high[-1]]
    if high[-1] == len(rate) - 1:  # it never decays
        return None
    inside = (loss.steps >= (start + end) / 2) & (loss.steps <= end)
    steps, logs = loss.steps[inside], np.log(loss.values[inside])
    if len(steps) < max(FEWEST, PLATEAU_SHARE * len(loss)):
        return None
    fit = linregress(steps - steps[0], logs)
    if (SURE * fit.stderr - fit.slope) * (steps[-1] - steps[0]) > PLATEAU_DROP:  # it may well have fallen by that
        return None
    return int(steps[0]), int(steps[-1]), float(np.exp(logs.mean()))


def _gap(run: RunRecord) -> tuple[float, float] | None:
    """(validation − train) / validation loss over the last tenth of the run, and its standard error.

    None where either was not logged. The error is the train loss's: the validation text is the same at every step.
    """
    train, validation = run.curve(TRAIN_LOSS).part(0.9, 1).values, run.curve(VAL_LOSS).part(0.9, 1).values
    if len(run.curve(TRAIN_LOSS)) < FEWEST or not len(validation) or validation.mean() <= 0:
        return None
    error = train.std() / np.sqrt(len(train))
    return float(1 - train.mean() / validation.mean()), float(error / validation.mean())


def _signed(share: float) -> str:
    return f"{abs(share):.1%} {'above' if share >= 0 else 'below'}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
