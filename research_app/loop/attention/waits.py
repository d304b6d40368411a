"""Waits: what a candidate in a machine's stage waits for, in a sentence. A stage never waits without a reason on the page."""

from collections.abc import Iterable

from django.utils import timezone

from research_app.models import Candidate, Device, Run, Stage, State
from research_app.project_file.ladder import SMALLEST


def waits_for(candidate: Candidate) -> str:
    """The sentence; empty for a candidate that rests. At most four queries."""
    if candidate.idle:
        return ""
    now = timezone.now()
    if candidate.lease_until and candidate.lease_until > now:
        return "A worker is at it now."
    if candidate.retry_at and candidate.retry_at > now:
        return f"Its last attempt failed: {candidate.last_error}. It is tried again within a minute or so."
    if candidate.patch_set is None:
        return "It waits to be checked."
    own = list(Run.objects.filter(patch_set=candidate.patch_set_id).exclude(state=State.FINISHED).only("state", "queue"))
    if own:
        return _of_runs(own, "its runs", "run")
    base = candidate.patch_set.base_id
    scaled_up = candidate.scale_ups.running().values("rung") if candidate.stage == Stage.SCALING_UP else [SMALLEST]
    theirs = Run.objects.filter(patch_set=None, cell=None, baseline=base, scale__in=scaled_up).exclude(state=State.FINISHED)
    if runs := list(theirs.only("state", "queue")):
        return _of_runs(runs, "the baseline's runs that it is compared with", "baseline run")
    if candidate.stage == Stage.LANDING:
        return _of_landing(candidate)
    return "Its next step is due."


def _of_landing(candidate: Candidate) -> str:
    landing = candidate.landings.active().first()
    return f"Its landing is held up: {landing.trouble}" if landing and landing.trouble else "It waits in the landing queue."


def _of_runs(runs: Iterable[Run], whose: str, word: str) -> str:
    """Which of some unfinished runs train, and why the others do not."""
    listed = list(runs)
    training = sum(run.state == State.RUNNING for run in listed)
    if training:
        return f"{training} of {whose} train{'s'[: training == 1]} now, {len(listed) - training} wait."
    if all(run.state == State.STUCK for run in listed):
        return f"{len(listed)} of {whose} cannot be trained and wait{'s'[: len(listed) == 1]} for a person."
    queues = {run.queue for run in listed if run.state == State.QUEUED}
    online = list(Device.objects.online())
    for queue in sorted(queues):
        serving = [device for device in online if device.serves(queue)]
        if not serving:
            return f"It waits for a device: no worker serves the queue {queue}."
        if all(device.refusal for device in serving):
            return f"It waits for a device: the worker of the queue {queue} takes no work. {serving[0].refusal}"
    count = f"{len(listed)} {word}{'s'[: len(listed) != 1]}"
    return f"{count} wait{'s'[: len(listed) == 1]} for a device; what brings a decision to a person goes first."
