"""What is there and what is wrong, each with its fix: for `manage.py doctor` and /healthz."""

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F, Max
from django.utils import timezone

from research_app import environment
from research_app.audit.checkpoints import last_line, local_file
from research_app.checks import MANY_WRITERS, POSTGRESQL_ADVISED
from research_app.home import broker_url, home
from research_app.loop import reconcile
from research_app.loop.attention.baseline_trouble import troubles_of_newest
from research_app.loop.attention.watchdog import ORCHESTRATE
from research_app.machine import broker
from research_app.machine.fleet import UnknownDevice, local_devices
from research_app.models import (
    Candidate,
    Delivery,
    Destination,
    Device,
    Landing,
    LandingState,
    Message,
    Project,
    Push,
    PushState,
    Run,
    State,
    TaskLease,
)
from research_app.models.candidate import AWAITING_HUMAN
from research_app.tables import TablesMissing, require_tables, there_is_one
from research_app.wording import counted

LITTLE_SPACE, NO_SPACE = 5 * 1024**3, 200 * 1024**2  # bytes
MANY_UNSENT = 100
MOST_NAMED = 5
STANDS_STILL = timedelta(minutes=1)
"""What a worker should have taken for so long, nobody takes."""

START = "Start it: make up"
OLDEST_GIT = (2, 38)  # merge-tree --write-tree
OLDEST_SQLITE = (3, 37)  # STRICT tables came with it; what we test with is newer
SQLITE_WITH_WAL_FIX = ((3, 51, 3), (3, 50, 7), (3, 44, 6))  # each release line's first with the fix of the WAL-reset bug


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` with a fix is advice: it works, and could be better."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def examine(thorough: bool = False) -> list[Finding]:
    """What matters to whoever serves pages (a few queries, under 50 ms); `thorough` adds versions, settings and devices."""
    findings = [*((*software(), variables()) if thorough else ()), disk()]
    reachable = database()
    findings.append(reachable)
    findings.append(the_broker())
    if thorough:
        findings.append(devices())
    if not reachable.ok:
        return findings
    questions: list[Callable[[], Finding]] = [reconciler, workers, outbox]
    if thorough:
        questions = [
            migrations,
            database_settings,
            *questions,
            sandboxes,
            orchestrator,
            baselines,
            landing_queues,
            messages,
            remotes,
            stuck,
            checkpoints,
        ]
    try:
        return findings + [ask() for ask in questions]
    except DatabaseError as error:
        tables = migrations()
        failed = Finding("tables", False, f"A query failed: {str(error).strip()}", "Bring them up to date: manage.py migrate")
        return [*findings, failed if tables.ok else tables]


def software() -> Iterator[Finding]:
    """Programs and packages, by version."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), python, "" if sys.version_info >= (3, 11) else "Install 3.11 or newer")
    yield Finding("Django", django.VERSION >= (5, 2), django.get_version())
    yield pytorch()
    yield git()
    if connection.vendor == "sqlite":
        yield sqlite()
    yield chromium()


def pytorch() -> Finding:
    """From its metadata: importing it takes seconds."""
    try:
        return Finding("PyTorch", True, version("torch"))
    except PackageNotFoundError:
        return Finding("PyTorch", False, "not installed", "pip install -r requirements.txt (make up does it)")


def git() -> Finding:
    """Git must be able to merge without a work tree."""
    needed = ".".join(map(str, OLDEST_GIT))
    fix = f"Install git {needed} or newer (Debian 12 and later: apt-get install git)"
    try:
        version = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", False, f"cannot be run: {error}", fix)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    good = numbers >= OLDEST_GIT
    return Finding("git", good, ".".join(map(str, numbers)), "" if good else fix)


def sqlite() -> Finding:
    """Its age. Python uses the system's library, so it is replaced together with that."""
    here = sqlite3.sqlite_version_info
    detail = sqlite3.sqlite_version
    if here < OLDEST_SQLITE:
        return Finding("SQLite", False, detail, "3.37 or newer is needed: use a newer system, or PostgreSQL (DATABASE_URL)")
    if any(here >= fixed and (here[:2] == fixed[:2] or fixed == SQLITE_WITH_WAL_FIX[0]) for fixed in SQLITE_WITH_WAL_FIX):
        return Finding("SQLite", True, detail)
    return Finding(
        "SQLite",
        True,
        f"{detail}: older than 3.51.3, which mended a rare corruption when two processes checkpoint at the same moment",
        "For an installation that matters use PostgreSQL (DATABASE_URL), or a Python with SQLite 3.51.3 or newer",
    )


def chromium() -> Finding:
    """Only the browser tests need one."""
    path = shutil.which(environment.read().CHROMIUM or "chromium")
    return Finding("Chromium", True, path or "none", "" if path else "For the browser tests: apt-get install chromium")


def variables() -> Finding:
    """Names in the environment that look like ours and that nothing reads."""
    unread = environment.unread()
    detail = f"nothing reads {', '.join(unread)}" if unread else "every SIGNOFF_ variable is known"
    return Finding("environment", True, detail, " ".join(f"{name}: {fix}" for name, fix in unread.items()))


def disk() -> Finding:
    """Room under the home."""
    free = shutil.disk_usage(home()).free
    detail = f"{free / 1024**3:.1f} GB free under {home()}"
    fix = "Free some space, or move the folder to a larger disk and set SIGNOFF_HOME" if free < LITTLE_SPACE else ""
    return Finding("disk", free >= NO_SPACE, detail, fix)


def database() -> Finding:
    """Whether it answers."""
    name = settings.DATABASES["default"]["NAME"]
    if not there_is_one():
        return Finding("database", False, f"{connection.vendor} {name}: there is none yet", START)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        message = str(error).strip()
        return Finding("database", False, f"{connection.vendor} {name}: {message}", "Start it, or correct DATABASE_URL")
    return Finding("database", True, f"{connection.vendor} {name}")


def migrations() -> Finding:
    """Whether the tables are those of this version."""
    try:
        require_tables()
    except TablesMissing as missing:
        return Finding("tables", False, missing.why, missing.fix)
    return Finding("tables", True, "up to date")


def database_settings() -> Finding:
    """Journal mode of SQLite, and whether PostgreSQL would serve better."""
    if connection.vendor != "sqlite":
        return Finding("database settings", True, "PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode != "wal":
        fix = "Put the home on a local disk: SQLite cannot share memory on network file systems"
        return Finding("database settings", False, f"journal mode is {mode}, not WAL", fix)
    writers = Device.objects.online().count()
    if writers > MANY_WRITERS:
        return Finding("database settings", True, f"journal mode WAL, {writers} training workers write", POSTGRESQL_ADVISED)
    return Finding("database settings", True, "journal mode WAL")


def the_broker() -> Finding:
    """Whether it answers, and keeps messages over a restart."""
    try:
        state = broker.state(timeout=1.0)
    except broker.BrokerDown as down:
        return Finding("broker", False, str(down), START if broker.is_embedded() else "Start it, or correct REDIS_URL")
    fixes = []
    if not state.append_only:
        fixes.append(
            "set appendonly yes, so that a restart keeps its messages (without them the reconciler wakes workers late)"
        )
    if state.policy != "noeviction":
        fixes.append("set maxmemory-policy noeviction, so that no message is thrown away")
    return Finding("broker", True, f"{state.version} at {broker.address(broker_url())}", "; ".join(fixes))


def devices() -> Finding:
    """What this machine can train on."""
    try:
        devices_here = local_devices()
    except UnknownDevice as error:
        return Finding("devices", False, str(error), "Correct SIGNOFF_DEVICES")
    return Finding("devices", True, "; ".join(f"{device.kind} {device.label}: {device.description}" for device in devices_here))


def reconciler() -> Finding:
    """Whether the process that guarantees progress holds its lease. One query."""
    held = TaskLease.objects.filter(name=reconcile.NAME, lease_until__gt=timezone.now())
    holder, error = held.values_list("leased_by", "last_error").first() or ("", "")
    if error:
        return Finding("reconciler", False, f"{holder}: its last pass failed: {error}", "See its log; it tries again by itself")
    return Finding("reconciler", bool(holder), holder or "not seen", "" if holder else START)


def workers() -> Finding:
    """Training workers that report, against the queues on which runs wait. Two queries."""
    online = list(Device.objects.online().order_by("name"))
    waiting = set(Run.objects.queued().values_list("queue", flat=True).distinct())
    unserved = sorted(queue for queue in waiting if not any(device.serves(queue) for device in online))
    if unserved:
        fix = (
            f"Start a worker for it: make up on a machine with such a device, or celery -A research_app worker -Q {unserved[0]}"
        )
        return Finding("workers", False, f"runs wait, and no worker serves {', '.join(unserved)}", fix)
    return Finding("workers", True, ", ".join(device.name for device in online) or "none online", "" if online else START)


def sandboxes() -> Finding:
    """The level at which each worker keeps agent-written code, and whether one rejects runs for want of it. One query."""
    rows = list(Device.objects.online().order_by("name").values_list("name", "sandbox_level", "sandbox_advice", "refusal"))
    for name, _, _, refusal in rows:
        if refusal:
            return Finding("sandbox", False, f"{name} takes no work", refusal)
    advice = next((advice for _, _, advice, _ in rows if advice), "")
    return Finding("sandbox", True, ", ".join(f"{name} {level}" for name, level, _, _ in rows) or "no worker online", advice)


def checkpoints() -> Finding:
    """Whether heads of the audit log are exported, and to where the database's owner cannot reach."""
    place = settings.CHECKPOINTS
    if place == "off":
        return Finding("checkpoints", True, "off", "Without them a cut of the log's end is not found: set SIGNOFF_CHECKPOINTS")
    last, path = last_line(local_file()), local_file()
    detail = f"{place}: event {last.sequence} at {last.at}" if last else f"{place}: none yet"
    if last and time.time() - path.stat().st_mtime > 3 * settings.CHECKPOINT_EVERY + 60:
        fix = "The reconciler's log says why; then: manage.py audit checkpoint"
        return Finding("checkpoints", False, f"{detail}, none since", fix)
    beside = Path(place) == Path(settings.HOME) / path.name
    fix = "Export them to another host, see docs/explanation/audit.md (SIGNOFF_CHECKPOINTS)" if beside else ""
    return Finding("checkpoints", True, detail, fix)


def outbox() -> Finding:
    """Messages that the broker did not take yet. One query."""
    unsent = Message.objects.count()
    fix = "The reconciler sends them once the broker answers; see the findings broker and reconciler"
    return Finding("outbox", unsent < MANY_UNSENT, counted(unsent, "unsent message"), fix if unsent >= MANY_UNSENT else "")


def landing_queues() -> Finding:
    """Approved changes that something stands in the way of, or that nobody takes although it is their turn. Two queries."""
    active = list(Landing.objects.active().select_related("project", "candidate__evidence"))
    left = dict(Landing.objects.filter(ended_at__isnull=False).values_list("project").annotate(Max("ended_at")))
    for head in {landing.project_id: landing for landing in reversed(active)}.values():
        name, evidence = f"{head.candidate} of {head.project.slug}", head.candidate.evidence
        if head.trouble:
            return Finding("landings", False, f"{name} is held up", head.trouble)
        times = [head.queued_at, left.get(head.project_id), evidence.frozen_at if evidence else None]
        since = max(time for time in times if time)
        held = head.lease_until and head.lease_until > timezone.now()
        if head.state == LandingState.QUEUED and not held and since < timezone.now() - STANDS_STILL:
            sentence = f"{name} has waited since {since:%H:%M:%S} UTC and nobody lands it"
            return Finding("landings", False, sentence, f"Only the worker of the queue orchestrate is missing. {START}")
    return Finding("landings", True, f"{len(active)} in the queue")


def messages() -> Finding:
    """Messages to people: whether somebody sends them, and which addresses and servers are paused. Three queries."""
    late = timezone.now() - STANDS_STILL
    overdue = Delivery.objects.waiting().filter(due_at__lt=late).count()
    untold = Candidate.objects.filter(stage__in=AWAITING_HUMAN, stage_since__lt=late)
    overdue += untold.exclude(announced_for=F("stage_since")).count()
    paused = list(Destination.objects.paused()[:MOST_NAMED])
    if overdue:
        fix = "Start a worker for them: make up does, elsewhere celery -A research_app worker -Q notify,push --pool threads"
        return Finding("notifications", False, f"{counted(overdue, 'is', 'are')} overdue: nobody sends them", fix)
    if paused:
        sentence = "; ".join(f"{row.label} is paused until {row.paused_until:%H:%M} UTC: {row.last_error}" for row in paused)
        fix = "Mend the server" if paused[0].server else "Let its person correct the address"
        return Finding("notifications", False, sentence, f"{fix}; it is tried again by itself, and what waits is sent then")
    return Finding("notifications", True, "none is overdue, no address is paused")


def remotes() -> Finding:
    """Landings that did not reach their project's remote. The landing stands in any case. One query."""
    waiting = Push.objects.exclude(state=PushState.PUSHED).select_related("project", "version")
    late = timezone.now() - STANDS_STILL
    newest_pushes = {push.project_id: push for push in waiting.order_by("version__number")[:200]}
    sentences = [f"{push.version} did not arrive: {push.reason}" for push in newest_pushes.values() if push.failures]
    if sentences:
        return Finding(
            "remotes", False, "; ".join(sentences[:MOST_NAMED]), "Fix what the error says; then “Push now” on the landing queue"
        )
    if overdue := [push for push in newest_pushes.values() if push.next_at < late and not push.lease_until]:
        fix = "Start a worker for it: make up does, elsewhere celery -A research_app worker -Q notify,push --pool threads"
        return Finding("remotes", False, f"{overdue[0].version} waits to be pushed and nobody does", fix)
    return Finding("remotes", True, "up to date" if not newest_pushes else "a push is on its way")


def stuck() -> Finding:
    """What waits for a person because a machine failed on it."""
    candidates = Candidate.objects.exclude(needs_attention="").count()
    runs = Run.objects.filter(state=State.STUCK).count()
    fix = "Read the reason on their pages, mend it, and choose “Try again”" if candidates or runs else ""
    return Finding("needs attention", not fix, f"{counted(candidates, 'candidate')}, {counted(runs, 'run')}", fix)


def baselines() -> Finding:
    """Projects whose newest baseline cannot be measured. Three queries."""
    baseline_troubles = list(troubles_of_newest(Project.objects.order_by("slug")).values())
    if not baseline_troubles:
        return Finding("baselines", True, "all can be measured")
    sentence = "; ".join(f"{trouble.project.slug}: {trouble.sentence}" for trouble in baseline_troubles[:MOST_NAMED])
    mends = "; ".join(f"{trouble.project.slug}: {trouble.mend}" for trouble in baseline_troubles[:MOST_NAMED])
    return Finding("baselines", False, sentence, mends if len(baseline_troubles) > 1 else baseline_troubles[0].mend)


def orchestrator() -> Finding:
    """Whether somebody takes the wake-ups of checks, judgements and landings. One round trip to the broker."""
    try:
        waiting = broker.waiting(ORCHESTRATE)
    except broker.BrokerDown:
        return Finding("orchestrator", True, "unknown: the broker does not answer")
    fix = f"{START}, or celery -A research_app worker -Q {ORCHESTRATE}; the log of that worker says more"
    sentence = counted(waiting, "wake-up waits", "wake-ups wait")
    return Finding("orchestrator", waiting < MANY_UNSENT, sentence, fix if waiting >= MANY_UNSENT else "")
