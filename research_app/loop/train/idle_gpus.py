"""GPUs for what is trained without a run of the database: a trial of a project, a smoke test. None is taken from a run."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from research_app.machine.fleet import gpus
from research_app.models import Device
from training.device_lock import DeviceLocks


class GpusAtWork(OSError):
    """Too few GPUs of this machine are idle; the message says how many are."""


@contextmanager
def idle_device(kind: str, count: int = 1) -> Iterator[str]:
    """Devices of this machine that no run has, as they are leased; on entry, raises GpusAtWork. The first run may begin after.

    Where this machine has no GPU at all, the run itself will say so.
    """
    here = {f"{socket.gethostname()}/cuda.{gpu.label}": gpu.mask for gpu in gpus()} if kind == "cuda" else {}
    if not here:
        yield kind if kind != "cuda" else f"cuda:{','.join(map(str, range(count)))}"
        return
    busy = set(Device.objects.busy().filter(name__in=here).values_list("name", flat=True))
    free = [mask for name, mask in here.items() if name not in busy]
    if len(free) < count:
        raise GpusAtWork(f"{len(free)} of {len(here)} GPUs of this machine are idle, and it takes {count}: try again later.")
    device = f"cuda:{','.join(free[-count:])}"
    with DeviceLocks(Path(settings.HOME) / "devices", device, wait=0.0):
        yield device
