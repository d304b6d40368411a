"""Verify: all checks of the audit, on one snapshot of the database, so that it can run while everything else does."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from research_app.audit.baseline import check_baselines, heads_of_landings
from research_app.audit.chain import Chain, check_guards
from research_app.audit.checkpoints import check_presence, check_tips, heads_of, local_file, read_checkpoints
from research_app.audit.diffs import check_diffs
from research_app.audit.evidence import check_current, check_evidence
from research_app.audit.index import Index
from research_app.audit.keys import BadKey, public_key
from research_app.audit.report import Kind, Report
from research_app.audit.rows import TABLES, check_rows
from research_app.audit.votes import check_stages, check_votes
from research_app.models import Event
from research_app.models.event_kinds import EventKind

logger = logging.getLogger(__name__)


def verify(places: Sequence[str] = (), progress: Callable[[str], None] = lambda line: None, git: bool = True) -> Report:
    """Recompute all that can be from what is stored; `places`: files and addresses of checkpoints besides the usual one.

    Without `git`, diffs and baselines are not held against the repositories, which takes most of the time.
    """
    report = Report(progress=progress)
    check_guards(report)
    keys = known_keys()
    places = [*dict.fromkeys((*usual_places(), *places))]
    checkpoints = list(read_checkpoints(report, places, keys))
    heads = [*heads_of(checkpoints), *heads_of_landings(report)]
    with Index() as index, snapshot():
        Chain(report, index, heads).read()
        check_presence(report, checkpoints, any(True for _ in index.of("key")))
        check_emptied(report)
        run_checks(
            report,
            {
                "rows": lambda: check_rows(report, index),
                "evidence": lambda: check_evidence(report),
                "candidates": lambda: check_current(report),
                "votes": lambda: check_votes(report, index),
                "stages": lambda: check_stages(report, index),
            },
        )
    run_checks(report, {"tips of checkpoints": lambda: check_tips(report, checkpoints)})
    if git:
        run_checks(report, {"diffs": lambda: check_diffs(report), "baselines": lambda: check_baselines(report)})
    else:
        report.cannot("diffs and baselines against git: left out")
    return report


def run_checks(report: Report, checks: Mapping[str, Callable[[], None]]) -> None:
    """Each check to its end. One that cannot go on has met content that this program never wrote: a fault of its own."""
    for name, check in checks.items():
        try:
            check()
        except Exception as error:
            logger.exception("the audit could not go on with its %s", name)
            report.fault(Kind.UNREADABLE, name, f"What stands there cannot be read: {type(error).__name__}: {error}")


def usual_places() -> list[str]:
    """Where this installation's checkpoints are, if there are any."""
    places = [str(local_file())] if local_file().exists() else []
    return places if settings.CHECKPOINTS in ("off", *places) else [settings.CHECKPOINTS, *places]


def known_keys() -> list[str]:
    """Public keys that checkpoints may be signed with: this host's, and those that the log tells of."""
    announcements = Event.objects.filter(kind=EventKind.CHECKPOINT_KEY_MADE).values_list("data__public", flat=True)
    try:
        ours = public_key()
    except BadKey:
        ours = None
    return [*([ours] if ours else []), *announcements]


def check_emptied(report: Report) -> None:
    """A log without a single event, beside rows that events tell of."""
    if report.checked["events"]:
        return
    rows = sum(table.model._default_manager.count() for table in TABLES)
    if rows:
        report.fault(Kind.LOG_EMPTIED, "event 1", f"The log is empty, and there are {rows:,} rows that events told of.", 1)


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything that is read inside is of one moment, and no writer waits for it."""
    if connection.in_atomic_block:
        yield  # of whoever calls
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    else:
        with connection.cursor() as cursor:  # not `atomic`: that takes the writers' lock at once
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
