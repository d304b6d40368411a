"""Bring: what a person asks of a repository before it is a project, and what workers do of it: look, try, create."""

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from research_app.loop.project.projects import ProjectRefused, create_project
from research_app.loop.project.try_project import try_out
from research_app.loop.project.try_report import TryReport
from research_app.loop.train.idle_gpus import GpusAtWork
from research_app.loop.train.train import stopping
from research_app.models import Event, Lease, LeaseLost, Message, Trial, TrialState
from research_app.models.event_kinds import EventKind
from research_app.models.lease import DATABASE_AWAY, MAX_ATTEMPTS, due, unclaimed
from research_app.models.trial import AT_WORK, LOG_LIMIT
from research_app.project_file.ladder import SMALLEST
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.repository import RepositoryError
from research_app.survey.draft import NothingTrains
from research_app.survey.look import inspect
from training.corpus import CorpusError
from training.device_lock import StillHeld
from training.failure import in_words

WRITE_EVERY = 1.0  # seconds between two writes of the log
LONGEST_FILE = 60_000  # characters
MOST_OPEN = 5  # of one person that workers are busy with


class BringRefused(ValueError):
    """It cannot be done now; the message says what to do."""


def begin(source: str, branch: str, person: User) -> Trial:
    """Have a repository looked at. Raises BringRefused."""
    source, branch = source.strip(), branch.strip()
    if not source or len(source) > 500 or not source.isprintable():
        raise BringRefused("Name a repository: a folder of this machine, or an address such as https://….")
    if len(branch) > 100 or not branch.isprintable():
        raise BringRefused("A branch has at most 100 printable characters.")
    if Trial.objects.filter(asked_by=person, state__in=AT_WORK).count() >= MOST_OPEN:
        raise BringRefused(f"{MOST_OPEN} repositories of yours are at work: wait for one of them, or stop it.")
    with transaction.atomic():
        trial = Trial.objects.create(source=source, branch=branch, slug=name_for(source), asked_by=person)
        _wake(trial)
    return trial


def name_for(source: str) -> str:
    """A name for the project of a repository, from the end of its address."""
    last = re.sub(r"\.git$|/(repo(sitory)?)?$", "", source.rstrip("/")).rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:40] or "project"


def save(trial: Trial, file: str, slug: str) -> None:
    """Keep the file and the name as a person wrote them. Raises BringRefused where a worker is at it, or it is no file."""
    if len(file) > LONGEST_FILE:
        raise BringRefused(f"A project file has at most {LONGEST_FILE:,} characters.")
    text = file.replace("\r\n", "\n")
    changed = Trial.objects.filter(pk=trial.pk, state=TrialState.DRAFT).update(
        file=text, slug=slug.strip()[:60], reason="", changed_at=timezone.now()
    )
    if not changed:
        raise BringRefused("A worker is at it: wait until it is done, or stop it.")
    trial.refresh_from_db()
    read(trial)


def read(trial: Trial) -> ProjectFile:
    """Its file. Raises BringRefused with a line for each mistake."""
    try:
        return read_project_file(trial.file, "the file")
    except ProjectFileError as error:
        raise BringRefused(str(error)) from error


def ask_to_try(trial: Trial) -> None:
    """Let a device try it; what was asked is an event. Raises BringRefused."""
    file = read(trial)
    with transaction.atomic():
        _move(trial, TrialState.WAITING, report={}, log="", tried_file=trial.file, wants_stop=False)
        record_asked(trial, file)


def record_asked(trial: Trial, file: ProjectFile) -> None:
    """The event of a trial that is to take device time."""
    event_data = {"source": trial.source, "file": hash_of(trial.file), "device": file.train.device}
    Event.objects.record(EventKind.TRIAL_ASKED_FOR, trial, trial.actor, None, **event_data, devices=file.rung(SMALLEST).devices)


def record_tried(trial: Trial, file: ProjectFile, report: TryReport) -> None:
    """What it took, on the trial's account, and the event that reports the outcome."""
    taken = report.seconds * file.rung(SMALLEST).devices
    with transaction.atomic():
        Trial.objects.filter(pk=trial.pk).update(device_seconds=F("device_seconds") + taken)
        came_of_it = {"good": report.good, "runs": [run.outcome for run in report.runs], "device_seconds": round(taken, 3)}
        Event.objects.record(
            EventKind.TRIED, trial, trial.actor, None, source=trial.source, file=hash_of(trial.tried_file), **came_of_it
        )


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def try_here(source: str, text: str, file: ProjectFile, say: Callable[[str], None]) -> TryReport:
    """Try it now, for a command: with a row, a lease and events like one that a person asked for on the page.

    Raises GpusAtWork, StillHeld.
    """
    with transaction.atomic():
        fields = {"source": source[:500], "slug": name_for(source), "file": text, "tried_file": text}
        trial = Trial.objects.create(**fields, state=TrialState.DRAFT)
        record_asked(trial, file)
    lease = Trial.claim(trial.pk, f"{socket.gethostname()}/{os.getpid()}")
    assert lease, "nobody else knows of it"
    try:
        with lease.heartbeat():
            report = try_out(source, file, say=say, trial=trial)
        lease.write(report=report.model_dump(mode="json"))
        record_tried(trial, file, report)
    finally:
        lease.release()
    return report


def ask_to_create(trial: Trial) -> None:
    """Let it become a project. Raises BringRefused."""
    read(trial)
    _move(trial, TrialState.CREATING)


def ask_to_stop(trial: Trial) -> None:
    """Stop trying it; nothing happens where it is not tried."""
    Trial.objects.filter(pk=trial.pk, state=TrialState.WAITING).update(state=TrialState.DRAFT, fence_token=F("fence_token") + 1)
    Trial.objects.filter(pk=trial.pk, state=TrialState.TRYING).update(wants_stop=True)


def _move(trial: Trial, state: TrialState, **fields: Any) -> None:
    with transaction.atomic():
        fields |= {"state": state, "reason": "", "attempts": 0, "changed_at": timezone.now()}
        if not Trial.objects.filter(pk=trial.pk, state=TrialState.DRAFT).update(**fields):
            raise BringRefused("A worker is at it: wait until it is done, or stop it.")
        trial.refresh_from_db()
        _wake(trial)


def queue_of(trial: Trial) -> str:
    """The queue that the next step goes to: trying needs a device."""
    if trial.state not in (TrialState.WAITING, TrialState.TRYING):
        return "orchestrate"
    try:
        return f"train.{read(trial).train.device}"
    except BringRefused:
        return "orchestrate"


def _wake(trial: Trial) -> None:
    Message.objects.enqueue("bring", trial.pk, queue_of(trial))


def wake_trials() -> None:
    """Those whose worker was lost, or whose message was: the reconciler asks again."""
    for trial in Trial.objects.filter(unclaimed(), due(), state__in=AT_WORK).order_by("pk")[:100]:
        Message.objects.wake("bring", trial.pk, queue_of(trial))


def bring(trial_id: int, worker: str) -> None:
    """Do the next step of one trial. A repeated call does nothing."""
    lease = Trial.claim(trial_id, worker, Q(state__in=AT_WORK), due())
    if lease is None:
        return
    trial = Trial.objects.get(pk=trial_id)
    with suppress(LeaseLost), lease.attempt():
        if trial.attempts > MAX_ATTEMPTS:
            rest(lease, f"It was interrupted {MAX_ATTEMPTS} times; the last time: {trial.last_error or 'nothing is known'}.")
        else:
            STEPS[TrialState(trial.state)](trial, lease)


def rest(lease: Lease, reason: str = "", **fields: Any) -> None:
    """Give it back to the person, with why where it did not go well."""
    given = {"state": TrialState.DRAFT, "reason": reason, "changed_at": timezone.now(), **fields}
    lease.close(**given, attempts=0, last_error="")


def look(trial: Trial, lease: Lease) -> None:
    """Write the project file of its repository."""
    with lease.heartbeat():
        try:
            text = inspect(trial.source, trial.branch)
        except (RepositoryError, NothingTrains) as problem:
            rest(lease, str(problem))
            return
    rest(lease, file=text)


def try_it(trial: Trial, lease: Lease) -> None:
    """Run it on this worker's device, and show what it prints meanwhile."""
    file = read(trial)
    trial.tried_file = trial.file
    lease.write(state=TrialState.TRYING, tried_file=trial.file, report={}, log="")
    log = _Log(lease)
    with lease.heartbeat() as lost:

        def should_stop() -> str | None:
            if lost.is_set():
                return lost.why or "It was given to another worker."
            if stopping.is_set():
                return "The worker is stopping."
            return "Somebody stopped it." if log.wants_stop() else None

        try:
            say, so_far = log.say, lambda part: _keep(lease, part)
            report = try_out(trial.source, file, say=say, so_far=so_far, should_stop=should_stop, trial=trial)
        except (GpusAtWork, StillHeld) as busy:  # it waits for a device, and has lost no attempt
            lease.write(state=TrialState.WAITING, attempts=0)
            lease.fail(busy)
            return
    record_tried(trial, file, report)
    if stopping.is_set():
        lease.close(state=TrialState.WAITING, attempts=0)
        return
    log.write()
    rest(lease, report=report.model_dump(mode="json"), wants_stop=False)


def _keep(lease: Lease, report: TryReport) -> None:
    lease.write(report=report.model_dump(mode="json"))


class _Log:
    """The end of what was said, written now and then."""

    def __init__(self, lease: Lease) -> None:
        self.lease, self.text, self.written, self.stop = lease, "", time.monotonic(), False

    def say(self, line: str) -> None:
        self.text = f"{self.text}{line}\n"[-LOG_LIMIT:]
        if time.monotonic() - self.written >= WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """What is shown meanwhile is no reason to end a run: while the database is away, the next write brings it."""
        self.written = time.monotonic()
        with suppress(*DATABASE_AWAY):
            self.lease.write(log=self.text)

    def wants_stop(self) -> bool:
        """Asked for at most once in WRITE_EVERY seconds; the log is written meanwhile."""
        if not self.stop and time.monotonic() - self.written >= WRITE_EVERY:
            self.write()
            self.stop = bool(self.lease.row.filter(wants_stop=True).exists())
        return self.stop


def create(trial: Trial, lease: Lease) -> None:
    """Make the project; its creation is an event of its own."""
    with lease.heartbeat():
        try:
            file = read(trial)
            project = create_project(trial.slug, source=trial.source, file=file, actor=trial.actor)
        except (BringRefused, ProjectRefused, RepositoryError, CorpusError) as problem:
            rest(lease, str(problem))
            return
        except ValidationError as problem:
            rest(lease, " ".join(problem.messages))
            return
        except OSError as problem:
            rest(lease, f"This machine cannot create it: {in_words(problem)}")
            return
    rest(lease, state=TrialState.CREATED, project=project)


STEPS = {
    TrialState.LOOKING: look,
    TrialState.WAITING: try_it,
    TrialState.TRYING: try_it,
    TrialState.CREATING: create,
}
