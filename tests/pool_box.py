"""A box with a pool of GPUs as processes of its own: `python -m tests.pool_box queue 170 30`, and `work` for one worker.

A run is a shell that prints the mask that it sees and when it began and ended, in nanoseconds.
"""

from __future__ import annotations

import json
import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
django.setup()

from research_app.loop import reconcile, tasks  # noqa: E402
from research_app.loop.train import train  # noqa: E402
from research_app.models import Device, Project, Purpose, Run, State  # noqa: E402
from research_app.models.purpose import PRIORITY  # noqa: E402

SCRIPT = (
    'began=$(date +%s%N); sleep 0.2; echo "saw $CUDA_VISIBLE_DEVICES $SIGNOFF_DEVICE $began $(date +%s%N)"; echo "score: 1"\n'
)
FILE = """
[train]
command = ["sh", "train.sh"]
device = "cuda"
wall_limit_seconds = 60
processes = 16
[edit]
editable = ["train.sh"]
[metric]
source = "pattern"
key = "score"
pattern = '^score: (?P<score>[0-9]+)'
[data]
corpus = "none"
[[ladder]]
name = "S"
[[ladder]]
name = "L"
budget = 8
devices = 8
"""


def queue(small: int, large: int) -> None:
    """Ask for so many runs on one device and on eight."""
    project = Project.objects.get()
    Run.objects.filter(project=project).delete()
    tip = project.tip()
    wanted = [("S", 1, Purpose.SCREEN, "train.cuda", small), ("L", 8, Purpose.SCALE_UP, "scale_up", large)]
    Run.objects.bulk_create(
        Run(
            project=project, baseline=tip, purpose=purpose, priority=PRIORITY[purpose], queue=queue, commit=tip.commit,
            scale=scale, devices=devices, seed=seed,
        )
        for scale, devices, purpose, queue, count in wanted
        for seed in range(1000, 1000 + count)
    )  # fmt: skip


def work() -> None:
    """Train what there is, until all is done."""
    print("ready", flush=True)
    while Run.objects.exclude(state__in=(State.FINISHED, State.STUCK)).exists():
        if not train.train_from(tasks.this_pool()):
            time.sleep(0.1)


def watch() -> None:
    """What the reconciler does about workers that died, until all is done."""
    while Run.objects.exclude(state__in=(State.FINISHED, State.STUCK)).exists():
        reconcile.free_lost_runs()
        time.sleep(0.5)


def report() -> None:
    """The outcome of the runs, as JSON."""
    rows = Run.objects.select_related("log", "device").prefetch_related("further_devices").order_by("started_at")
    told = [
        {
            "devices": run.devices,
            "outcome": run.outcome,
            "reason": run.reason,
            "leased": [device.number for device in run.leased_devices],
            "saw": next((line.split()[1:] for line in run.log.text.splitlines() if line.startswith("saw ")), []),
            "attempts": run.attempts,
        }
        for run in rows
    ]
    print(json.dumps({"runs": told, "busy": Device.objects.busy().count(), "devices": Device.objects.count()}))


if __name__ == "__main__":
    command, *numbers = sys.argv[1:]
    if command == "queue":
        queue(*map(int, numbers))
    else:
        {"work": work, "watch": watch, "report": report}[command]()
