"""What a run is for, and which queued runs devices take first. The order as people read it: docs/how-to/operating.md."""

from django.db import models


class Purpose(models.TextChoices):
    """What a run is for."""

    REJUDGE = "rejudge", "judge again before landing"
    REFERENCE = "bank", "reference run of the baseline"
    CONFIRM = "confirm", "confirmation"
    CURVE = "curve", "baseline at another budget"  # once a version; a confirmation waits for it
    SCALE_UP = "scale_up", "scale-up"
    STACK = "stack", "ablation"
    REPLICATE = "replicate", "replication"
    SCREEN = "screen", "screening"
    TARGET = "target", "time to the first baseline"


class Priority(models.IntegerChoices):
    """The order of a queue: first what the decision that a person is nearest to waits for; within one, first come."""

    LANDING = 0, "an approved change is judged again"
    LACKING = 1, "the last runs that a landing or a confirmation lacks"
    CONFIRM = 2, "all that a confirming candidate waits for"
    BASELINE = 3, "reference runs without which nothing can be judged"
    SCALE_UP = 4, "scale-ups that a person approved"
    STACK = 5, "ablations"
    REPLICATE = 6, "more seeds of what may be real"
    LIKELY = 7, "what a confirmation will wait for, if one that is replicated comes to it"
    SCREEN = 8, "first runs of candidates"
    SPARE = 9, "no candidate waits for it"


PRIORITY = {
    Purpose.REJUDGE: Priority.LANDING,
    Purpose.REFERENCE: Priority.BASELINE,
    Purpose.CONFIRM: Priority.CONFIRM,
    Purpose.CURVE: Priority.CONFIRM,
    Purpose.SCALE_UP: Priority.SCALE_UP,
    Purpose.STACK: Priority.STACK,
    Purpose.REPLICATE: Priority.REPLICATE,
    Purpose.SCREEN: Priority.SCREEN,
    Purpose.TARGET: Priority.SPARE,
}
"""Of a run that is asked for without another one."""
