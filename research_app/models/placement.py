"""Which run begins next on a pool of devices, and on which of them: pure, for docs/decisions/0027-device-pool.md.

Runs are given in the order of their worth. The first one that fits begins, unless one before it does not fit: that one is
promised the devices. A run behind it begins only where that cannot make the promised one wait longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

USABLE = 0.9  # of a device's memory: runs that share it also take what the driver keeps for each of them


@dataclass(frozen=True)
class Job:
    """A run that waits."""

    run: int
    devices: int
    expected: Callable[[], float]  # seconds that it will train; asked only where it matters
    memory: int = 0  # bytes that it says it takes of its device at most; 0: it shares a device with nobody


@dataclass(frozen=True)
class Training:
    """A run that has devices now."""

    devices: frozenset[int]
    ends_in: Callable[[], float]  # seconds
    memory: int = 0


@dataclass(frozen=True)
class Pool:
    """The devices that one host lends: their rows' keys with their memory in bytes, and how many runs may share one."""

    memory: Mapping[int, int]
    share: int = 1

    def place(self, order: Sequence[Job], training: Sequence[Training]) -> tuple[Job, tuple[int, ...]] | None:
        """The run that begins now, and its devices; None where none does."""
        promised: Job | None = None
        for job in order:
            devices = self.room_for(job, training)
            if devices and (promised is None or self._keeps_promise(promised, job, devices, training)):
                return job, devices
            if not devices and promised is None and job.devices <= len(self.memory):
                promised = job
        return None

    def room_for(self, job: Job, training: Iterable[Training]) -> tuple[int, ...]:
        """Devices on which it could begin: free ones first, then those that it may share; none where there are too few."""
        holders = self._holders(training)
        free = [device for device in self.memory if not holders[device]]
        if job.devices <= len(free):
            return tuple(free[: job.devices])
        if job.devices > 1 or not job.memory:
            return ()
        shared = [device for device in self.memory if holders[device] and self._has_share(job, device, holders[device])]
        return (min(shared, key=lambda device: len(holders[device])),) if shared else ()

    def _has_share(self, job: Job, device: int, holders: Sequence[Training]) -> bool:
        """Whether a device that others hold has room for this one too; all of them must have said what they take."""
        taken = sum(each.memory for each in holders) + job.memory
        return len(holders) < self.share and all(each.memory for each in holders) and taken <= USABLE * self.memory[device]

    def _holders(self, training: Iterable[Training]) -> dict[int, list[Training]]:
        holders: dict[int, list[Training]] = {device: [] for device in self.memory}
        for each in training:
            for device in each.devices & self.memory.keys():
                holders[device].append(each)
        return holders

    def _keeps_promise(self, promised: Job, job: Job, devices: Sequence[int], training: Sequence[Training]) -> bool:
        """Whether a run may begin on these devices before the promised one: it is over by then, or they are not needed."""
        due, free_then = self._due(promised, training)
        return job.expected() <= due or len(free_then - set(devices)) >= promised.devices

    def _due(self, promised: Job, training: Sequence[Training]) -> tuple[float, set[int]]:
        """In how many seconds there are enough free devices for a run, and which are free then."""
        holders = self._holders(training)
        free_in = {device: max((each.ends_in() for each in held), default=0.0) for device, held in holders.items()}
        due = sorted(free_in.values())[promised.devices - 1]
        return due, {device for device, seconds in free_in.items() if seconds <= due}


def in_turn(order: Sequence[Job], waited: frozenset[int]) -> list[Job]:
    """The same runs, those on one device that have `waited` long enough before those on several."""
    first = [job for job in order if job.run in waited]
    return [*first, *(job for job in order if job.run not in waited)]
