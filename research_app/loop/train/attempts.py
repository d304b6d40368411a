"""The folders of attempts: each attempt at a run has one of its own, and what a lost one saved is there for the next."""

import logging
import shutil
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from research_app.models import Lease, Run, State
from training.resume import PREFIX, carry_over
from training.sandbox.scratch import remove

logger = logging.getLogger(__name__)

DRAWN = "drawn.json"
"""In the folder of an attempt, beyond the reach of its run: what that was given of the training text."""
WAITING = (State.QUEUED, State.RUNNING)
SETTLED = timedelta(minutes=1)
"""Until so long after a run ended its own worker may still be tidying up."""


def folder_of(lease: Lease) -> Path:
    """Where this attempt trains. No other attempt ever does, so that a lost worker can harm nothing."""
    return folders() / f"{lease.pk}-{lease.token}"


def folders() -> Path:
    """The folder of all attempts on this machine."""
    return Path(settings.HOME) / "runs"


def earlier(lease: Lease) -> list[Path]:
    """Folders of earlier attempts at the same run on this machine, newest first."""
    attempts = {path: path.name.rpartition("-")[2] for path in folders().glob(f"{lease.pk}-*")}
    before = [path for path, token in attempts.items() if token.isdigit() and int(token) < lease.token]
    return sorted(before, key=lambda path: -int(attempts[path]))


def resume(lease: Lease, scratch: Path, limit: int) -> bool:
    """Put what an earlier attempt saved into this one's folder; whether there was anything. Raises OSError."""
    before = earlier(lease)
    saved = next((path for path in before if carry_over(path / "scratch", scratch, limit)), None)
    resumed = saved is not None
    if saved is not None and (saved / DRAWN).is_file():
        shutil.copyfile(saved / DRAWN, scratch.parent / DRAWN)
    for path in before:
        tidy(path)
    return resumed


def leave(lease: Lease) -> None:
    """End of an attempt, whatever came of it: its folder stays where another attempt can go on from it, and goes otherwise."""
    folder = folder_of(lease)
    if any((folder / "scratch").glob(f"{PREFIX}*")) and Run.objects.filter(pk=lease.pk, state__in=WAITING).exists():
        return
    tidy(folder)


def sweep() -> None:
    """Remove what attempts left whose worker was killed and whose run has ended since (one query, where there is any)."""
    attempts = {path: path.name.partition("-")[0] for path in folders().glob("*-*")}
    pks = {int(pk) for pk in attempts.values() if pk.isdigit()}
    if not pks:
        return
    ended = Run.objects.filter(pk__in=pks, finished_at__lt=timezone.now() - SETTLED).exclude(state__in=WAITING)
    gone = {str(pk) for pk in ended.values_list("pk", flat=True)}
    for path, pk in attempts.items():
        if pk in gone:
            tidy(path)


def tidy(folder: Path) -> None:
    """Remove what a run left, however deep; what cannot be removed must not take the worker along."""
    try:
        remove(folder)
    except FileNotFoundError:
        return  # it never began
    except OSError:
        logger.exception("%s could not be removed", folder)
