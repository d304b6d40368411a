"""The devices that one host lends, and how a worker takes a run with as many of them as it needs.

What is lent is read from the runs that train: a device is free when no run that is RUNNING holds it. So nothing has to be given
back, and nothing can leak: whoever frees a run, a worker, the reconciler or a person, frees its devices. That the last run's
processes have gone is seen to on the host itself (training/device_lock.py).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
from statistics import median

import psutil
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.models import placement
from research_app.models.device import Device
from research_app.models.lease import Lease
from research_app.models.run import LOOKED_AT, Run, RunQuerySet, State
from research_app.models.trial import Trial
from training.spec import GIB, Outcome

TRIAL_ENDS_IN = 600.0  # seconds; nobody knows yet
LAST = 20  # runs whose time tells how long the next one takes


@dataclass(frozen=True)
class DevicePool:
    """Devices of one host that a worker may take runs for. A single core, or a Mac's GPU, is its worker's alone."""

    devices: tuple[Device, ...]
    queues: tuple[str, ...]
    share: int = 1  # how many runs may share one device, where all of them say what memory they take
    known: dict[tuple[int, str, int], str] = field(default_factory=dict, compare=False)  # why runs are refused

    @classmethod
    def of(cls, queue: str, device: Device) -> DevicePool:
        """One device alone."""
        return cls((device,), (queue,))

    def claim(self) -> Lease | None:
        """Take the run that is to begin next on these devices, with its devices; None when there is none."""
        passed: set[int] = set()
        while True:
            with transaction.atomic():
                list(Device.objects.select_for_update().filter(pk__in=self._rows).order_by("pk"))  # one worker at a time
                placement = self._next(passed)
                if placement is None:
                    return None
                if lease := self._take(*placement):
                    return lease
                passed.add(placement[0])

    def _take(self, run: int, devices: Sequence[Device]) -> Lease | None:
        worker = f"{devices[0].name} pid {os.getpid()}"
        fields = {"state": State.RUNNING, "device": devices[0], "started_at": timezone.now(), "progress": 0.0}
        lease = Run.claim(run, worker[:200], Q(state=State.QUEUED), **fields)
        if lease:
            Run.began_anew(run)
            if not self.is_single:
                Run.objects.only("pk").get(pk=run).further_devices.set(devices[1:])
        return lease

    def _next(self, passed: Collection[int]) -> tuple[int, Sequence[Device]] | None:
        waiting = (run for run in self.in_order() if run.pk not in passed)
        if self.is_single:
            first = next(waiting, None)
            return (first.pk, self.devices) if first else None
        runs = list(waiting)
        pool = placement.Pool({device.pk: device.memory_bytes for device in self.devices}, self.share)
        jobs = placement.in_turn([_job(run) for run in runs], self._waited(runs))
        training = [_training(run, pks) for run, pks in self.held()]
        placed = pool.place(jobs, [*training, *self.tried()])
        if placed is None:
            return None
        rows = {device.pk: device for device in self.devices}
        return placed[0].run, [rows[pk] for pk in placed[1]]

    @property
    def is_single(self) -> bool:
        """Whether it is one device that no other worker lends."""
        return len(self.devices) == 1 and self.devices[0].kind != "cuda"

    @property
    def _rows(self) -> list[int]:
        return [device.pk for device in self.devices]

    def held(self) -> list[tuple[Run, frozenset[int]]]:
        """The runs that hold devices of this pool, with the keys of these. A worker that died holds none (two queries)."""
        training = Run.objects.on_devices(self._rows).training().select_related("project", "device")
        leases = []
        for run in training.prefetch_related("further_devices").distinct():
            pks = {device.pk for device in run.further_devices.all()} | ({run.device_id} if run.device_id else set())
            if not is_gone(run.leased_by):
                leases.append((run, frozenset(pks)))
        return leases

    def tried(self) -> list[placement.Training]:
        """Devices of this pool that trials hold (one query)."""
        rows = Trial.devices.through.objects.filter(trial__lease_until__gt=timezone.now(), device__in=self._rows)
        return [placement.Training(frozenset({pk}), lambda: TRIAL_ENDS_IN) for pk in rows.values_list("device", flat=True)]

    def in_order(self) -> Iterator[Run]:
        """Runs that these devices may train, in the order of their worth; the devices say what they refuse.

        Those on one device are looked at beyond the first few that need more, which may all have to wait.
        """
        waiting = Run.objects.queued_for(*self.queues)
        refused, accepted = "", False
        for run in _once(self._considered(waiting)):
            if why := self._why_not(run):
                refused = refused or why
                continue
            accepted = True
            self._refuse("")
            yield run
        if refused and not accepted:
            self._refuse(refused)

    def _why_not(self, run: Run) -> str:
        """The same for all runs of one project and rung."""
        key = (run.project_id, run.scale, run.devices)
        if key not in self.known:
            self.known[key] = run.why_not(self.devices[0])
        return self.known[key]

    def _considered(self, waiting: RunQuerySet) -> Iterator[Run]:
        listed = waiting.select_related("project")
        oldest = next((run for run in listed.order_by("pk")[:LOOKED_AT] if not self._why_not(run)), None)
        if oldest and oldest.is_overdue(self.queues):
            yield oldest
        fairly = waiting.fairly().select_related("project")
        yield from fairly[:LOOKED_AT]
        if not self.is_single:
            yield from fairly.filter(devices=1)[:LOOKED_AT]

    def _refuse(self, why: str) -> None:
        for device in self.devices:
            device.refuse(why)

    def _waited(self, waiting: Sequence[Run]) -> frozenset[int]:
        """Runs on one device whose turn it is: a run on several began while they waited, and not enough of them since."""
        begun = Run.objects.on_devices(self._rows).last_begun()
        last = begun.filter(devices__gt=1).values_list("started_at", flat=True).first()
        if last is None:
            return frozenset()
        since = begun.filter(devices=1, started_at__gt=last).values("pk").distinct().count()
        waited = (run.pk for run in waiting if run.devices == 1 and run.created_at <= last)
        return frozenset(islice(waited, max(0, len(self.devices) - since)))


def _once(runs: Iterator[Run]) -> Iterator[Run]:
    seen: set[int] = set()
    for run in runs:
        if run.pk not in seen:
            seen.add(run.pk)
            yield run


def _job(run: Run) -> placement.Job:
    return placement.Job(run.pk, run.devices, cache(lambda: expected_seconds(run)), memory_of(run))


def _training(run: Run, devices: frozenset[int]) -> placement.Training:
    return placement.Training(devices, cache(lambda: ends_in(run, timezone.now())), memory_of(run))


def memory_of(run: Run) -> int:
    """Bytes of its device that a run may take at most, where it may share that; 0 where it has the device for itself.

    A run under a budget of seconds would train less beside another one, so it never shares.
    """
    try:
        file = run.project.file
        budget = file.run_budget(1.0, run.scale)
    except (ValueError, KeyError):  # see Run.claim_next; a rung that the ladder does not have any more shares with nobody
        return 0
    if run.devices > 1 or budget.own or budget.is_time:
        return 0
    return round(file.limits.device_memory_gb * GIB) if file.limits.device_memory_gb else 0


def expected_seconds(run: Run) -> float:
    """How long a run takes, by the last ones like it; by its limit where there are none yet (one query)."""
    like = Run.objects.filter(project=run.project_id, scale=run.scale, outcome=Outcome.completed, train_seconds__isnull=False)
    ended = list(like.order_by("-finished_at").values_list("train_seconds", flat=True)[:LAST])
    seconds = [each for each in ended if each is not None]
    return median(seconds) * max(1.0, run.budget_share) if seconds else _limit(run)


def ends_in(run: Run, now: datetime) -> float:
    """In how many seconds a run that trains will end; by its limit where it takes longer than the last ones like it."""
    spent = (now - run.started_at).total_seconds() if run.started_at else 0.0
    expected = expected_seconds(run)
    return expected - spent if spent < expected else max(0.0, _limit(run) - spent)


def _limit(run: Run) -> float:
    try:
        file = run.project.file
        return file.rung(run.scale).wall_limit_seconds + file.limits.first_step_seconds
    except (ValueError, KeyError):
        return 0.0


def is_gone(holder: str) -> bool:
    """Whether the worker that a lease names ("box/cuda.0 pid 123") was of this host and is there no more."""
    host, _, rest = holder.partition("/")
    pid = rest.rpartition(" ")[2]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return bool(psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
