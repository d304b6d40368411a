"""What curves say at one place: every group's mean with its 95% interval and n, and its difference to a reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from research_app.web.shared.curves import Group, Seeds, Summary, View


@dataclass(frozen=True)
class Reading:
    """One group at one x. `half` is half the width of its 95% interval (Student), None for a single run.

    `difference` is the group's mean less the reference's, with the 95% interval of Welch; None for the reference itself, and
    where the reference has no value there. Its bounds are None where one side is a single run.
    """

    key: str
    name: str
    n: int
    value: float
    half: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def readings(groups: Sequence[Group], series: str, view: View, x: float, reference: str) -> list[Reading]:
    """The groups that have a value at x, the lowest first; as logged, whatever the view smooths. Raises nothing."""
    with np.errstate(over="ignore", invalid="ignore"):  # logged numbers may be of any size
        arms = [(group, Seeds.of(group, series, view)) for group in groups]
        summaries = [(group, arm.raw) for group, arm in arms if arm.plain]
        beside = next((summary for group, summary in summaries if group.key == reference), None)
        rows = [_reading(group, summary, None if group.key == reference else beside, x) for group, summary in summaries]
    return sorted((row for row in rows if row is not None), key=lambda row: row.value)


def _reading(group: Group, summary: Summary, reference: Summary | None, x: float) -> Reading | None:
    mean, error = _at(summary, x)
    if mean is None:
        return None
    half = None if error is None else _finite(error * float(stdtrit(summary.n - 1, 0.975)))
    theirs, their_error = (None, None) if reference is None else _at(reference, x)
    if reference is None or theirs is None:
        return Reading(group.key, group.name, summary.n, mean, half)
    difference = _finite(mean - theirs)
    low = high = None
    if difference is not None and error is not None and their_error is not None:
        wide = _welch(error, summary.n, their_error, reference.n)
        low, high = _finite(difference - wide), _finite(difference + wide)
    return Reading(group.key, group.name, summary.n, mean, half, difference, low, high)


def _at(summary: Summary, x: float) -> tuple[float | None, float | None]:
    """Mean and standard error at x, between the logged points by a straight line; None outside or where nothing is finite."""
    mean, error = summary.at(np.array([x]))
    return _finite(float(mean[0])), None if error is None else _finite(float(error[0]))


def _welch(error: float, n: int, their_error: float, their_n: int) -> float:
    """Half the width of the 95% interval of a difference of two means."""
    square, their_square = error * error, their_error * their_error  # `**` raises where it overflows
    both = square + their_square
    if both == 0:
        return 0.0
    degrees = both * both / (square * square / (n - 1) + their_square * their_square / (their_n - 1))
    return float(np.sqrt(both) * stdtrit(max(degrees, 1.0), 0.975))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
