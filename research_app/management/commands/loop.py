"""`manage.py loop`: take N candidates to rest and report how fast that went."""

import json
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q, QuerySet
from django.utils import timezone

from agent.steering import plateau_of
from research_app import set_up
from research_app.loop.propose.propose import close_round, open_round, outcomes_of
from research_app.loop.propose.registered import PROPOSERS, default_proposers
from research_app.loop.train.measure import readable, utilisation
from research_app.machine import broker
from research_app.machine.fleet import UnknownDevice
from research_app.machine.services import run_workers
from research_app.machine.supervisor import raise_on_signals
from research_app.management.base import SignoffCommand
from research_app.management.commands.project import find_project
from research_app.models import Device, Round, Stage
from research_app.models.candidate import IDLE, WAITING
from research_app.wording import counted
from training.registry import UnknownVariant

LOOK_EVERY = 1.0  # seconds
SILENCE = 60.0  # seconds without any worker
TELL_EVERY = 10.0  # seconds, where the progress line cannot be rewritten


class Command(SignoffCommand):
    help = "Propose, check, train and judge a number of candidates, on running workers or on workers that it starts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="name of the project")
        parser.add_argument("--experiments", type=int, required=True, metavar="N", help="how many candidates")
        words = f"names, comma-separated; they take turns. There are {', '.join(PROPOSERS)}"
        parser.add_argument("--proposer", default=",".join(default_proposers(paid=False)), help=words)
        parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        if options["experiments"] < 1:
            raise CommandError("--experiments must be at least 1.")
        if project.paused:
            raise CommandError(f"Project {project.slug} is paused. Resume it: manage.py project resume {project.slug}")
        raise_on_signals()
        begun = timezone.now()
        try:
            round_ = open_round(project, options["proposer"].split(","), options["experiments"], "command line")
        except UnknownVariant as error:
            raise CommandError(str(error)) from error
        try:
            self.wait(round_)
        except KeyboardInterrupt:
            close_round(round_, "Stopped from the command line.", "command line")
            raise CommandError("Stopped. Nothing more is proposed; candidates under way go on with the workers.") from None
        except (set_up.SetUpRefused, broker.BrokerDown, UnknownDevice, OSError) as error:
            close_round(round_, str(error), "command line")
            raise CommandError(str(error)) from error
        report = report_of(round_, begun, timezone.now())
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(f"{k}: {v}" for k, v in report.items()))

    def wait(self, round_: Round) -> None:
        """Until all candidates of the round rest. Raises CommandError without workers, and what starting them raises."""
        progress = Progress(round_)
        if workers_elsewhere(round_):
            self.wait_for_workers(round_, progress)
            return
        try:
            with set_up.hold_home():
                run_workers(every(LOOK_EVERY, progress.done))
        except set_up.HomeTaken:
            self.wait_for_workers(round_, progress)

    def wait_for_workers(self, round_: Round, progress: "Progress") -> None:
        """Watch the running workers, as long as there are any."""
        seen = time.monotonic()
        while not progress.done():
            time.sleep(LOOK_EVERY)
            if online(round_).exists():
                seen = time.monotonic()
            elif time.monotonic() - seen > SILENCE:
                kind = round_.project.file.train.device
                raise CommandError(
                    f"No {kind} training worker has reported for {SILENCE:.0f} s. Look at `manage.py doctor`, "
                    f"or stop what holds this home and let this command start workers of its own."
                )


def online(round_: Round) -> QuerySet[Device]:
    """Devices that can train for this round and whose worker was heard of lately."""
    return Device.objects.online().filter(kind=round_.project.file.train.device)


def workers_elsewhere(round_: Round) -> bool:
    """Whether another host trains for us; a worker of this host is there only while something holds this home."""
    return online(round_).exclude(name__startswith=f"{socket.gethostname()}/").exists()


def every(seconds: float, look: Callable[[], bool]) -> Callable[[], bool]:
    """A question that is asked at most once in so many seconds."""
    asked_at = 0.0

    def ask() -> bool:
        nonlocal asked_at
        if time.monotonic() - asked_at < seconds:
            return False
        asked_at = time.monotonic()
        return look()

    return ask


class Progress:
    """Says how far a round is, with rate and time left: one line, rewritten on a terminal."""

    def __init__(self, round_: Round) -> None:
        self.round = round_
        self.begun = time.monotonic()
        self.told_at = 0.0

    def done(self) -> bool:
        """True once the round is full and all of its candidates rest, or nothing more can be proposed."""
        rests = self.round.candidates.filter(Q(stage__in=IDLE) | ~Q(needs_attention="")).count()
        made = self.round.candidates.count()
        self.round.refresh_from_db(fields=["closed_at", "note"])
        wanted = self.round.wanted or 0
        full = made >= wanted or self.round.closed_at is not None
        self.tell(rests, wanted)
        return full and rests == made

    def tell(self, rests: int, wanted: int) -> None:
        passed = time.monotonic() - self.begun
        on_terminal = sys.stderr.isatty()
        if not on_terminal and time.monotonic() - self.told_at < TELL_EVERY:
            return
        self.told_at = time.monotonic()
        rate = (
            f"{3600 * rests / passed:.0f} per hour, {readable(passed / rests * (wanted - rests))} left" if rests else "starting"
        )
        line = f"{rests} of {counted(wanted, 'candidate')} at rest after {readable(passed)}: {rate}"
        print(f"\r\033[K{line}" if on_terminal else line, end="" if on_terminal else "\n", file=sys.stderr, flush=True)


def report_of(round_: Round, begun: datetime, ended: datetime) -> dict[str, Any]:
    """The figures of a round: its outcome and how well the devices were used."""
    stages = list(round_.candidates.values_list("stage", flat=True))
    use = utilisation(begun, ended, round_.project_id)
    hours = (ended - begun).total_seconds() / 3600
    plateau = plateau_of([solid for _, solid, _ in outcomes_of(round_.project)])

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "experiments": len(stages),
        "runs": use.runs,
        "crashed": stages.count(Stage.CRASHED),
        "waiting": sum(stage in WAITING for stage in stages),
        "experiments_per_hour": round(len(stages) / hours, 1),
        "device_busy": round(use.device_busy, 4),
        "dispatch_gap_p50": rounded(use.gap(50)),
        "dispatch_gap_p95": rounded(use.gap(95)),
        "seconds": round((ended - begun).total_seconds(), 1),
        "note": round_.note,
        "plateau": plateau.sentence if plateau else "",
    }
