"""Checkpoints: signed heads of the log, one a line, in a file or at an address outside the database.

Each names the newest event, its hash, the tip of every baseline, and the line before it. A log that was cut, emptied or written
anew to its end does not have the heads that stand there.
"""

import hashlib
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from research_app import environment
from research_app.audit.chain import Head
from research_app.audit.keys import BadKey, is_signed, private_key, public_half
from research_app.audit.report import Kind, Report
from research_app.audit.repositories import repository_of
from research_app.models import Event, Project, TaskLease
from research_app.models.event_kinds import EventKind
from research_app.repository import Repository, RepositoryError
from research_app.repository.trailers import history

logger = logging.getLogger(__name__)
FIRST_LINE = "0" * 64
MOST_BYTES = 64 << 20  # of an answer with checkpoints
TIMEOUT = 10.0  # seconds for the address
NAME = "checkpoints"  # of the row that the event about the key is about


class NotExported(Exception):
    """The checkpoint could not be written to its place; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What one line says. `tips`: the commit at the tip of each project's baseline; `previous`: hash of the line before."""

    sequence: int
    hash: str
    at: str
    tips: dict[str, str]
    previous: str
    key: str
    signature: str = field(default="")

    @property
    def content(self) -> bytes:
        """What is signed."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @property
    def line(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, line: str) -> "Checkpoint":
        """Raises ValueError where the line is none."""
        try:
            fields = json.loads(line)
            return cls(
                int(fields["sequence"]), *(fields[name] for name in ("hash", "at", "tips", "previous", "key", "signature"))
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no checkpoint: {error}") from error


def export_due() -> None:
    """Export a checkpoint if the last one of this installation is old enough. What goes wrong is logged, and tried again."""
    if settings.CHECKPOINTS == "off" or time.time() - _last_export() < settings.CHECKPOINT_EVERY:
        return
    try:
        export()
    except (NotExported, BadKey):
        logger.exception("The audit log has no new checkpoint")


def export() -> Checkpoint | None:
    """Write a checkpoint of the newest event, here and at the address; None where nothing happened since the last one.

    Raises BadKey and NotExported.
    """
    _announce_key()
    before = last_line(local_file())
    last = Event.objects.order_by("-sequence").values_list("sequence", "hash").first()
    if last is None or (before and (before.sequence, before.hash) == last):
        _touch()
        return None
    key = private_key()
    made = Checkpoint(*last, datetime.now(UTC).isoformat(timespec="seconds"), tips(), line_hash(before), public_half(key))
    signed = Checkpoint(**{**asdict(made), "signature": key.sign(made.content).hex()})
    try:
        append(local_file(), signed.line)
        if is_address(settings.CHECKPOINTS):
            post(settings.CHECKPOINTS, signed.line)
    except OSError as error:
        raise NotExported(f"{settings.CHECKPOINTS} did not take the checkpoint of event {last[0]}: {error}") from error
    return signed


def _announce_key() -> None:
    """The log itself says with which key its checkpoints are signed: then their absence is a fault, too."""
    public = public_half(private_key())
    row, _ = TaskLease.objects.get_or_create(name=NAME)
    with transaction.atomic():
        TaskLease.objects.select_for_update().get(pk=row.pk)
        announcements = Event.objects.filter(kind=EventKind.CHECKPOINT_KEY_MADE, subject_type="tasklease", subject_id=row.pk)
        if not announcements.filter(data__public=public).exists():
            Event.objects.record(EventKind.CHECKPOINT_KEY_MADE, row, "signoff", None, public=public)


def tips() -> dict[str, str]:
    """The tip of every baseline that can be read."""
    tips_by_project = {}
    for project in Project.objects.order_by("slug"):
        try:
            tips_by_project[project.slug] = repository_of(project).tip()
        except RepositoryError as error:
            logger.warning("No tip of %s for the checkpoint: %s", project, error)
    return tips_by_project


def is_address(place: str) -> bool:
    """Whether checkpoints are sent somewhere instead of being written to a file alone."""
    return place.startswith(("http://", "https://"))


def local_file() -> Path:
    """The file of this host: the one that the settings name, or the copy of what is sent."""
    named = settings.CHECKPOINTS
    return Path(settings.HOME) / "checkpoints.jsonl" if is_address(named) or named == "off" else Path(named)


def append(path: Path, line: str) -> None:
    """One more line, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def post(address: str, line: str) -> None:
    """Send one line. Raises OSError; an address that leads elsewhere is refused."""
    token = environment.read().SIGNOFF_CHECKPOINT_TOKEN.get_secret_value()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(address, f"{line}\n".encode(), headers, method="POST")
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as answer:
        answer.read(1)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **options: object) -> None:
        return None


def last_line(path: Path) -> Checkpoint | None:
    """The newest checkpoint of a file; None where there is none, or where its last line is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - (1 << 20)))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return Checkpoint.parse(lines[-1]) if lines else None
    except (FileNotFoundError, ValueError):
        return None


def line_hash(checkpoint: Checkpoint | None) -> str:
    """What the next line names this one by."""
    return hashlib.sha256(checkpoint.line.encode()).hexdigest() if checkpoint else FIRST_LINE


def _last_export() -> float:
    """When this host last exported, or found nothing new to export."""
    try:
        return local_file().stat().st_mtime
    except OSError:
        return 0.0


def _touch() -> None:
    if local_file().exists():
        os.utime(local_file())


def read_lines(place: str) -> Iterator[str]:
    """The lines of a file or of what an address answers. Raises OSError."""
    if is_address(place):
        with urllib.request.build_opener(_NoRedirect).open(place, timeout=TIMEOUT) as answer:
            text = answer.read(MOST_BYTES).decode("utf-8", "replace")
    else:
        text = Path(place).read_text("utf-8", "replace")
    return (line for line in text.splitlines() if line.strip())


def read_checkpoints(report: Report, places: Sequence[str], keys: Sequence[str]) -> Iterator[tuple[str, Checkpoint]]:
    """The checkpoints of some places, each checked: signed with a known key, and following the one before it."""
    for place in places:
        try:
            lines = list(read_lines(place))
        except OSError as error:
            report.cannot(f"checkpoints at {place}: {error}")
            continue
        before: Checkpoint | None = None
        for number, line in enumerate(lines, 1):
            where = f"{place}, line {number}"
            try:
                checkpoint = Checkpoint.parse(line)
            except ValueError:
                report.fault(Kind.CHECKPOINT_FORGED, where, "It is no checkpoint.")
                continue
            if checkpoint.key not in keys or not is_signed(checkpoint.content, checkpoint.signature, checkpoint.key):
                report.fault(Kind.CHECKPOINT_FORGED, where, "It is not signed with a key of this installation.")
                continue
            if before and checkpoint.previous != line_hash(before):
                report.fault(Kind.CHECKPOINT_MISSING, where, "It does not follow the line before it: one was taken out.")
            before = checkpoint
            report.checked["checkpoints"] += 1
            yield where, checkpoint


def heads_of(checkpoints: Sequence[tuple[str, Checkpoint]]) -> list[Head]:
    """What the log must have."""
    return [Head(each.hash, f"the checkpoint of {each.at} ({where})", each.sequence) for where, each in checkpoints]


def check_presence(report: Report, checkpoints: Sequence[object], announced: bool) -> None:
    """Where the log says that there are checkpoints, there must be some."""
    if checkpoints:
        return
    if announced:
        why = "The log tells of a key that signs them, and there is none. If they are elsewhere, name the place: --checkpoints."
        report.fault(Kind.CHECKPOINT_MISSING, "checkpoints", why)
    else:
        report.cannot("the end of the log: there is no checkpoint yet")


def check_tips(report: Report, checkpoints: Sequence[tuple[str, Checkpoint]]) -> None:
    """Every tip that a checkpoint saw is still in the history of its baseline, or was left with a person's knowledge."""
    for project in Project.objects.order_by("slug"):
        seen = {each.tips[project.slug]: where for where, each in checkpoints if project.slug in each.tips}
        try:
            lost = seen.keys() - _history(repository_of(project)) - {v.commit for v in project.baseline_versions.all()}
        except RepositoryError as error:
            report.cannot(f"tips of {project.slug} that checkpoints saw: {error}")
            continue
        report.checked["tips of checkpoints"] += len(seen)
        for tip in sorted(lost):
            why = f"{seen[tip]} saw it at the tip; it is no longer in the branch's history."
            report.fault(Kind.BASELINE_ALTERED, f"{project.slug} commit {tip[:12]}", why)


def _history(repository: Repository) -> set[str]:
    return {entry.commit for entry in history(repository.path, repository.tip())}
