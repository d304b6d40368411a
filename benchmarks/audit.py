"""How long `audit verify` takes over a long history, and how much memory, on the database that DATABASE_URL names.

    python -m benchmarks.audit [--events 1000000] [--rows 200000]
    python -m tests.postgresql --run benchmarks.audit

Writes into a throwaway database: a project, notes that events vouch for, and other events up to the number asked for. A tenth
of it is audited first, then all of it: the peak of memory must be about the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from research_app.models import Note, Project
    from research_app.models.event_kinds import EventKind

BATCH = 5000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--audit", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.audit:
        audit()
        return
    with tempfile.TemporaryDirectory(prefix="signoff-audit-") as home:
        os.environ["SIGNOFF_HOME"] = home
        prepare()
        print(
            f"{'events':>10} {'rows':>9} {'written in':>11} {'audited in':>11} {'events/s':>9} {'peak memory':>12}", flush=True
        )
        for share in (10, 1):
            seconds = write(asked.events // share, asked.rows // share)
            print(f"{asked.events // share:>10,} {asked.rows // share:>9,} {seconds:>10.1f}s", end=" ", flush=True)
            subprocess.run([sys.executable, "-m", "benchmarks.audit", "--audit"], check=True)


def prepare() -> None:
    """Tables, and a project that is there in name."""
    set_up()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import transaction

    from research_app.models import Event, Project
    from research_app.project_file.project_file import ProjectFile

    call_command("migrate", verbosity=0)
    User.objects.create_user("ada")
    with transaction.atomic():
        project = Project.objects.create(slug="long", config=ProjectFile().model_dump(mode="json"))
        Event.objects.seal([project], EventKind.PROJECT_CREATED, project, "ada", project)


def write(events: int, rows: int) -> float:
    """Bring the log to so many events, of which so many vouch for a row; the seconds that took."""
    from django.contrib.auth.models import User
    from django.db import transaction

    from research_app.models import Event, Note, Project

    begun, project, ada = time.perf_counter(), Project.objects.get(), User.objects.get()
    have = Event.objects.count()
    while have < events:
        with transaction.atomic():
            size = min(BATCH, events - have)
            sealed = min(size, max(0, rows - Note.objects.count()))
            made = Note.objects.bulk_create(
                Note(project=project, text=f"note {have + i}", written_by=ada) for i in range(sealed)
            )
            append(project, made, size)
        have += size
    return time.perf_counter() - begun


def append(project: Project, notes: list[Note], count: int) -> None:
    """Events as `record` writes them, many at once."""
    from django.utils import timezone

    from research_app.models import Event
    from research_app.models.seal import seals_of

    last = Event.objects.order_by("-sequence").first()
    assert last
    previous, made = last.hash, []
    for place in range(count):
        data: dict[str, object] = {
            "from": "screening",
            "to": "replicating",
            "why": "+1.2 sigma on 1 run: it may be real; more seeds will tell.",
        }
        if place < len(notes):
            data = {"says": notes[place].text, "sealed": seals_of([notes[place]])}
        event = Event(
            sequence=last.sequence + 1 + place, at=timezone.now(), kind="note to agents" if place < len(notes) else "told",
            actor="ada", subject_type="project", subject_id=1, project=project, data=data, previous_hash=previous,
        )  # fmt: skip
        event.hash = previous = event.compute_hash()
        made.append(event)
    Event.objects.bulk_create(made)


def audit() -> None:
    """One audit in a process of its own: seconds and peak memory."""
    set_up()
    from research_app.audit.verify import verify
    from research_app.models import Event

    count = Event.objects.count()
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    report = verify(git=False)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert report.whole, report.faults[:3]
    print(f"{seconds:>10.1f}s {count / seconds:>9,.0f} {peak / 1024:>8.0f} MB (before: {before / 1024:.0f} MB)", flush=True)


def set_up() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    os.environ["SIGNOFF_CHECKPOINTS"] = "off"
    import django

    django.setup()


if __name__ == "__main__":
    main()
