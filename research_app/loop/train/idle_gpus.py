"""Devices for what is trained without a run of the database: a trial of a project, a smoke test. None is taken from a run."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import transaction

from research_app import environment
from research_app.machine.fleet import gpus, own_device
from research_app.models import Device, Trial
from training.device_lock import DeviceLocks


class GpusAtWork(OSError):
    """Too few GPUs of this machine are idle; the message says how many are."""


@contextmanager
def idle_device(kind: str, count: int = 1, trial: Trial | None = None) -> Iterator[str]:
    """Devices of this machine that no run has, as they are leased; on entry, raises GpusAtWork. The first run may begin after.

    A trial holds them in the database meanwhile, so that no run begins there and the fleet shows it. Where this machine has no
    GPU at all, the run itself will say so.
    """
    here = {f"{socket.gethostname()}/cuda.{gpu.label}": gpu.mask for gpu in gpus()} if kind == "cuda" else {}
    if not here:
        with _held(trial, _own(kind) if trial else []):
            yield kind if kind != "cuda" else f"cuda:{','.join(map(str, range(count)))}"
        return
    with transaction.atomic():
        rows = list(Device.objects.select_for_update().filter(name__in=here).order_by("pk"))  # as a pool's claim does
        busy = set(Device.objects.busy().filter(name__in=here).values_list("name", flat=True))
        free = [name for name in here if name not in busy]
        if len(free) < count:
            raise GpusAtWork(
                f"{len(free)} of {len(here)} GPUs of this machine are idle, and it takes {count}: try again later."
            )
        taken = free[-count:]
        if trial:
            trial.devices.set([row for row in rows if row.name in taken])
    device = f"cuda:{','.join(here[name] for name in taken)}"
    with _held(trial, None), DeviceLocks(Path(settings.HOME) / "devices", device, wait=0.0):
        yield device


@contextmanager
def _held(trial: Trial | None, devices: list[Device] | None) -> Iterator[None]:
    """A trial holds these devices, or those that it has already, until the end."""
    if trial and devices is not None:
        trial.devices.set(devices)
    try:
        yield
    finally:
        if trial:
            trial.devices.clear()


def _own(kind: str) -> list[Device]:
    """The row of this worker's own core; none for a command, which takes whichever is free."""
    if not environment.read().SIGNOFF_DEVICE:
        return []
    own, masks = own_device()
    return list(Device.objects.filter(name=f"{socket.gethostname()}/{own}.{masks[0]}")) if own == kind else []
