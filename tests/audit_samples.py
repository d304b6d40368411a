"""A world to tamper with: a project with two landings, a dropped candidate, votes of all kinds, notes, and two checkpoints.

It is made once; every tampering happens in a transaction that is taken back, or to a copy of the repository.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from research_app.audit.chain import COLUMNS, compute_hash
from research_app.audit.checkpoints import export, local_file
from research_app.audit.report import Report
from research_app.audit.verify import verify
from research_app.loop.propose import steer
from research_app.loop.review.review import Seen, approve, reject, withdraw
from research_app.loop.train import train
from research_app.models import Event, Project, SeriesChunk, Side, Thread, append_only
from research_app.models.append_only import GENESIS, TABLE
from tests.landing_samples import executed
from tests.small_project import BETTER, WIDER, WORSE, approver, drain, small_project, submit


@dataclass
class World:
    """The project and where everything stands in the log."""

    project: Project
    checkpointed: list[int] = field(default_factory=list)  # sequences of the checkpoints

    @property
    def repository(self) -> Path:
        return Path(self.project.folder) / "repository.git"

    @property
    def last(self) -> int:
        return Event.objects.latest("sequence").sequence

    def event(self, kind: str, **where: Any) -> Event:
        """The first event of a kind."""
        found = Event.objects.filter(kind=kind, **where).order_by("sequence").first()
        assert found is not None, kind
        return found

    @contextlib.contextmanager
    def tampered(self) -> Iterator[None]:
        """Whatever is done inside, to the database past the triggers or to the repository, is undone."""
        copy = self.repository.with_name("copy.git")
        shutil.copytree(self.repository, copy, symlinks=True)
        lines = local_file().read_bytes()
        try:
            with transaction.atomic():
                append_only.remove(connection)
                yield
                transaction.set_rollback(True)
        finally:
            shutil.rmtree(self.repository)
            copy.rename(self.repository)
            local_file().write_bytes(lines)


def audit(**options: Any) -> Report:
    """An audit, triggers put back first: what is looked for is what was done while they were away."""
    append_only.install(connection)
    return verify(**options)


def scored(run: Any, *rest: Any) -> Any:
    """A run with a hidden score and a curve, as the scorer would give them."""
    SeriesChunk.objects.create(run=run, sequence=0, points={"train_loss": [[0.0, 1.0, 2.0], [3.0, 2.5, 2.25]]})
    result = executed(run, *rest)
    return replace(result, hidden_score=(result.score or 0.0) + 0.02)


def make_world(folder: Path) -> World:
    """Everything through the product's own steps."""
    empty()
    with mock.patch.object(train, "execute", scored):
        world = World(small_project("audited"))
        project, grace = world.project, approver()
        first, second, third = submit(project, BETTER), submit(project, WIDER), submit(project, WORSE)
        thread = Thread.objects.create(
            candidate=first, patch_set=first.revision, path="train.py", line=6, side=Side.NEW, quoted="LEARNING_RATE = 0.02"
        )
        thread.say("Why this one?", grace)
        steer.add_note(project, "Look at the width", grace)
        steer.write_program(project, "Make it better.", grace, seen=0)
        approve(first, grace, Seen.of(first))
        drain()
        reject(second, grace, Seen.of(second), "Not now.")
        withdraw(second, grace)
        _checkpoint(world)
        second.refresh_from_db()
        approve(second, approver("ada"), Seen.of(second))
        drain()
        third.refresh_from_db()
        first.refresh_from_db()
        assert (first.stage, third.stage) == ("landed", "dropped")
        _checkpoint(world)
        steer.add_note(project, "After the last checkpoint", grace)
        steer.add_note(project, "And another", grace)
    return world


def _checkpoint(world: World) -> None:
    made = export()
    assert made is not None
    world.checkpointed.append(made.sequence)


def empty() -> None:
    """Take the world out of the database and the home again."""
    append_only.remove(connection)
    call_command("flush", interactive=False, verbosity=0)
    append_only.install(connection)
    for path in (local_file(), Path(settings.CHECKPOINT_KEY)):
        path.unlink(missing_ok=True)
    shutil.rmtree(Path(settings.HOME) / "projects", ignore_errors=True)


def run_sql(statement: str, *values: Any) -> int:
    """What somebody with the database's password does; how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        return int(cursor.rowcount)


def rechain(first: int) -> None:
    """Compute every hash from an event on anew, up to the end: what a careful forger does."""
    previous = Event.objects.filter(sequence__lt=first).order_by("-sequence").values_list("hash", flat=True).first() or GENESIS
    for row in list(Event.objects.filter(sequence__gte=first).order_by("sequence").values_list(*COLUMNS)):
        linked = (*row[:8], previous, row[9])
        computed = compute_hash(linked)
        run_sql(f"UPDATE {TABLE} SET previous_hash = %s, hash = %s WHERE sequence = %s", previous, computed, row[0])
        previous = computed


def swap_rows(one: int, other: int) -> None:
    """Exchange two events."""
    for old, new in ((one, 9_000_000), (other, one), (9_000_000, other)):
        run_sql(f"UPDATE {TABLE} SET sequence = %s WHERE sequence = %s", new, old)
