"""Figures that the machine's load bends, tokens per second and training time: compared only between runs of the same minutes.

Reference runs may be hours older than a candidate's runs, and the machine did other things then. So a run counts here
where a run of the other arm was on the same kind of device, at the same time or at most MINUTES away; and where the processor
was shared differently all the same, which the processor time of a run on a CPU tells, nothing is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from research_app.models import Device, Run
from training.reported_by_run import on_accelerator

MINUTES = 10
BENT = ("tokens_per_second", "train_seconds")
"""Facts that the machine's load bends."""
SHARE_APART = 1.10  # times: by so much the shares of a processor that the arms got may differ


@dataclass(frozen=True)
class SameMinutes:
    """The runs of each arm that ran beside the other's, or in `why_not` why there is nothing to compare."""

    baseline: Sequence[Run] = ()
    candidate: Sequence[Run] = ()
    why_not: str = ""
    near: Sequence[Run] = ()
    """The baseline's runs of the same minutes, also where the processor was shared differently: that bends speed, and hardly
    the processor time that a run takes."""


Kinds = Mapping[int, tuple[str, int, str]]


def of_same_minutes(baseline: Sequence[Run], candidate: Sequence[Run], known: Kinds | None = None) -> SameMinutes:
    """The runs of both arms that may be compared in speed (at most one query, none where it is `known` what they ran on)."""
    kinds = known if known is not None else kinds_of((*baseline, *candidate))
    alike = [(theirs, mine) for theirs in baseline for mine in candidate if kinds[theirs.pk] == kinds[mine.pk]]
    pairs = [pair for pair in alike if gap(*pair) <= timedelta(minutes=MINUTES)]
    if not pairs:
        where = "on the same kind of device"
        return SameMinutes(why_not=f"not comparable: no run of the baseline within {MINUTES} minutes {where}")
    theirs = list({b.pk: b for b, _ in pairs}.values())
    mine = list({c.pk: c for _, c in pairs}.values())
    shares = share_of_processor(theirs), share_of_processor(mine)
    if shares[0] and shares[1] and not 1 / SHARE_APART <= shares[1] / shares[0] <= SHARE_APART:
        got = f"the candidate's runs got {shares[1]:.0%} of a processor, the baseline's {shares[0]:.0%}"
        return SameMinutes(why_not=f"not comparable: the machine was busy, {got}", near=theirs)
    return SameMinutes(theirs, mine, near=theirs)


def baseline_beside(candidate: Sequence[Run]) -> list[Run]:
    """The baseline's runs, of any purpose, that ended well about when these runs trained (one query)."""
    first = candidate[0]
    spans = [(run.started_at, run.finished_at) for run in candidate if run.started_at and run.finished_at]
    if not spans:
        return []
    around = timedelta(minutes=MINUTES)
    rows = Run.objects.completed().of_baseline(first.scale).filter(baseline=first.baseline_id, budget_share=1.0)
    near = rows.filter(finished_at__gte=min(s for s, _ in spans) - around, started_at__lte=max(f for _, f in spans) + around)
    return list(near.order_by("pk"))


def gap(one: Run, other: Run) -> timedelta:
    """The time between two runs; none where they overlap, and a day where either's is not known."""
    if not (one.started_at and one.finished_at and other.started_at and other.finished_at):
        return timedelta(days=1)
    return max(timedelta(), one.started_at - other.finished_at, other.started_at - one.finished_at)


def kinds_of(runs: Sequence[Run]) -> Kinds:
    """What each run trained on: queue, number of devices, and what the device is (one query)."""
    devices = Device.objects.in_bulk({run.device_id for run in runs if run.device_id})
    names = {pk: device.description for pk, device in devices.items()}
    shared = {run.pk: ", shared" if run.summary.facts.get("device_shared") else "" for run in runs}
    return {run.pk: (run.queue, run.devices, names.get(run.device_id or 0, "") + shared[run.pk]) for run in runs}


def share_of_processor(runs: Sequence[Run]) -> float | None:
    """The median share of its time that a run on a CPU had a processor; None on GPUs, and where it was not measured."""
    shares = [
        seconds / run.train_seconds
        for run in runs
        if run.train_seconds
        and not on_accelerator(run.summary.facts)
        and (seconds := run.summary.number("cpu_seconds")) is not None
    ]
    return median(shares) if shares else None
