"""How busy the devices are: from the rows of finished runs, for the project page and the report of `manage.py loop`."""

import itertools
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from research_app.models import Run, State


@dataclass(frozen=True)
class Utilisation:
    """Use of the devices in a window. Gaps are seconds from the end of one run to the start of the next on a device.

    `device_busy` is training seconds over device seconds: a device counts from the window's beginning, or its first run
    where that is earlier, to the end of its last run; start-up of a run's process counts as training, scoring does not.
    """

    runs: int
    train_seconds: float
    device_seconds: float
    gaps: tuple[float, ...]

    @property
    def device_busy(self) -> float:
        """Share of the device time that was training; 0 where nothing ran."""
        return self.train_seconds / self.device_seconds if self.device_seconds else 0.0

    def gap(self, percentile: float) -> float | None:
        """Percentile of the gaps in seconds; None below two runs on one device."""
        return float(np.percentile(self.gaps, percentile)) if self.gaps else None


def utilisation(since: datetime, until: datetime, project_id: int | None = None) -> Utilisation:
    """Over the runs that ended between two moments, of all projects or one. One query."""
    rows = Run.objects.filter(state=State.FINISHED, finished_at__gt=since, finished_at__lte=until, device__isnull=False)
    if project_id is not None:
        rows = rows.filter(project_id=project_id)
    by_device: dict[int, list[tuple[datetime, datetime, float]]] = defaultdict(list)
    fields = ("device_id", "started_at", "finished_at", "train_seconds")
    for device, started, finished, seconds in rows.order_by("started_at").values_list(*fields):
        by_device[device].append((started, finished, seconds or 0.0))
    spans, trained, gaps = 0.0, 0.0, []
    for runs in by_device.values():
        begin = min(since, runs[0][0])
        spans += (runs[-1][1] - begin).total_seconds()
        trained += sum(seconds for _, _, seconds in runs)
        gaps += [(later[0] - earlier[1]).total_seconds() for earlier, later in itertools.pairwise(runs)]
    return Utilisation(sum(map(len, by_device.values())), trained, spans, tuple(gaps))


def readable(seconds: float) -> str:
    """A duration for people: 48 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
