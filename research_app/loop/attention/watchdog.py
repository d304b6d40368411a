"""Watchdog: no candidate rests in a machine's stage without a reason that a person can read.

What will go on by itself (a run that trains, waits for a device or for its next attempt) is a sentence on its page. What will
not asks for a person: a baseline that cannot be measured, a run that a worker failed on, or nothing at all that is known.
"""

import logging
from datetime import timedelta
from functools import cached_property

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from research_app.loop.attention.attention import ask
from research_app.loop.attention.baseline_trouble import trouble_of
from research_app.loop.land.rejudge import landing_waiting_for, not_judged
from research_app.machine import broker
from research_app.models import BaselineVersion, Candidate, Event, Message, Run, Stage, State
from research_app.models.candidate import Cause
from research_app.models.event_kinds import EventKind
from research_app.models.lease import due, unclaimed
from research_app.project_file.ladder import SMALLEST

logger = logging.getLogger(__name__)

SETTLED = timedelta(seconds=15)
"""How long a candidate may rest before it is looked at: its step is about to be woken."""
SILENT = timedelta(minutes=2)
"""After so long without anything that it waits for, nobody knows why it rests."""
ORCHESTRATE = "orchestrate"
WAITS = (State.QUEUED, State.RUNNING)


Reason = tuple[str, Cause]


def watch() -> None:
    """Look at every candidate that rests in a machine's stage while none of its runs waits or trains."""
    look, now = Look(), timezone.now()
    unblock(look)
    busy = Run.objects.filter(state__in=WAITS, patch_set__isnull=False).values("patch_set")
    idle = Candidate.objects.under_way().filter(unclaimed(), due(), stage_since__lt=now - SETTLED)
    idle = idle.exclude(Q(patch_set__isnull=False) & Q(patch_set__in=busy)).order_by("pk")
    for candidate in idle.select_related("project", "base__project", "patch_set__base__project").defer("proposed"):
        if candidate.stage == Stage.LANDING:
            watch_landing(candidate, look)
        elif (reason := look.standstill(candidate)) is not None:
            ask(candidate, *reason)


class Look:
    """One look around: what several candidates wait for is asked for once."""

    def __init__(self) -> None:
        self.baselines: dict[tuple[int, str], Reason | bool] = {}

    def standstill(self, candidate: Candidate) -> Reason | None:
        """Why a candidate will not go on by itself, and what it waits for; None while it will, or may."""
        patch_set = candidate.patch_set
        if patch_set is not None:
            reason = self.baseline(patch_set.base, rung_of(candidate))
            if reason is True:
                return None
            if reason:
                return reason
        return self.silent(candidate)

    def baseline(self, version: BaselineVersion, scale: str) -> Reason | bool:
        """Why a version's runs on a rung bring nothing; True while some wait or train, False where all have ended well."""
        key = version.pk, scale
        if key not in self.baselines:
            self.baselines[key] = self._baseline(version, scale)
        return self.baselines[key]

    def _baseline(self, version: BaselineVersion, scale: str) -> Reason | bool:
        theirs = version.runs.of_baseline(scale)
        if stuck := theirs.filter(state=State.STUCK).select_related("baseline").order_by("pk").first():
            return f"It waits for {stuck.name} at {scale}, which cannot be trained. {stuck.reason}", Cause.BASELINE
        if theirs.filter(state__in=WAITS).exists():
            return True
        if scale == SMALLEST and (trouble := trouble_of(version)) and trouble.blocking:
            return f"{trouble.sentence} {trouble.mend}", Cause.BASELINE
        if why := version.project.why_no_noise(scale):
            return f"The run-to-run noise at {scale} cannot be measured: {why}.", Cause.BASELINE
        return False

    def silent(self, candidate: Candidate) -> Reason | None:
        """Nothing that it waits for is known, and no message that could bring it on is on its way."""
        base = candidate.patch_set.base_id if candidate.patch_set else candidate.base_id
        theirs = Q(patch_set=None, cell=None, baseline=base) | Q(patch_set=candidate.patch_set_id, patch_set__isnull=False)
        ended = Run.objects.filter(theirs, finished_at__isnull=False).order_by("-finished_at")
        newest = ended.values_list("finished_at", flat=True).first() or candidate.stage_since
        since = max(candidate.stage_since, newest)
        if since > timezone.now() - SILENT or self.messages_wait:
            return None
        last = f" Its last step failed: {candidate.last_error}." if candidate.last_error else ""
        why = f"Nothing is queued, running or due for it since {since:%Y-%m-%d %H:%M} UTC, and why is not known.{last} "
        why += "See `manage.py doctor` and the log of the worker of the queue orchestrate, then choose “Try again”."
        return why, Cause.NOTHING

    @cached_property
    def messages_wait(self) -> bool:
        """Whether wake-ups are still to be taken by a worker; True where the broker does not say."""
        try:
            return Message.objects.exists() or broker.waiting(ORCHESTRATE) > 0
        except broker.BrokerDown:
            return True


def rung_of(candidate: Candidate) -> str:
    """The rung whose runs it waits for."""
    if candidate.stage != Stage.SCALING_UP:
        return SMALLEST
    return candidate.scale_ups.running().values_list("rung", flat=True).first() or SMALLEST


def watch_landing(candidate: Candidate, look: Look) -> None:
    """A landing that is judged again on a baseline that cannot be measured leaves the queue, with the reason."""
    patch_set = candidate.patch_set
    landing = landing_waiting_for(patch_set) if patch_set else None
    reason = look.standstill(candidate) if landing else None
    if landing is None or reason is None or reason[1] != Cause.BASELINE:
        return
    lease = Candidate.claim(candidate.pk, "watchdog", Q(stage=Stage.LANDING))
    if lease:
        with transaction.atomic():
            not_judged(landing, candidate, lease, reason[0])


def unblock(look: Look) -> None:
    """What waited for a baseline that can be measured now goes on."""
    blocked = Candidate.objects.filter(attention_cause=Cause.BASELINE).exclude(needs_attention="").order_by("pk")
    for candidate in blocked.select_related("project", "base__project", "patch_set__base__project").defer("proposed"):
        reason = look.standstill(candidate)
        if reason is None or reason[1] != Cause.BASELINE:
            go_on(candidate)


def go_on(candidate: Candidate) -> None:
    """Take back that a candidate needs attention, and wake its step."""
    fresh = {"needs_attention": "", "attention_cause": "", "attempts": 0, "last_error": "", "retry_at": None}
    with transaction.atomic():
        if Candidate.objects.filter(pk=candidate.pk, needs_attention=candidate.needs_attention).update(**fresh):
            Event.objects.record(
                EventKind.GOES_ON, candidate, "signoff", candidate.project, waited_for=candidate.needs_attention
            )
            if candidate.patch_set_id:
                task = "scale_up" if candidate.stage == Stage.SCALING_UP else "judge"
                Message.objects.enqueue(task, candidate.patch_set_id)
