"""What the verdicts of a project rest on: device time per step, sigma, and changes that do nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone

from research_app.evidence.noise import LeftOut, Noise, Rate, false_accept_rate
from research_app.loop.attention.baseline_trouble import troubles_of_newest
from research_app.loop.judge.noise_record import changed_much, last_recorded
from research_app.models import Event, Project, Purpose, Stage, State, Verdict
from research_app.models.candidate import IDLE
from research_app.models.device_time import total_device_seconds
from research_app.models.documents.noise_event import NoiseEvent
from research_app.web.shared.stats_cache import noise_of

LATELY = timedelta(days=1)  # of device time per step
NAMED = 3  # groups that sigma leaves out
DECIDED = (*IDLE, Stage.LANDING)


@dataclass(frozen=True)
class Spent:
    """Device time of one step."""

    purpose: Purpose
    seconds: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """One project's. `false_accepts` is None before an A/A candidate was decided; `recorded`: the log's last word on sigma."""

    spent: Sequence[Spent]
    screening_share: float
    noise: Noise | None
    false_accepts: Rate | None
    aa_rate: float
    recorded: Event | None = None
    no_noise: str = ""  # why there is no sigma; empty where there is one

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.spent)

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """The groups that scatter least like the baseline."""
        return self.noise.left_out[:NAMED] if self.noise else ()

    @property
    def more_left_out(self) -> int:
        return len(self.noise.left_out) - len(self.left_out) if self.noise else 0

    @property
    def before(self) -> float | None:
        """What sigma was before it changed by much the last time; None where it never did."""
        noise = NoiseEvent.read(self.recorded.data if self.recorded else None)
        return noise.before if noise.before and noise.sigma and changed_much(noise.before, noise.sigma) else None

    @classmethod
    def of(cls, project: Project) -> "Calibration":
        """Four queries; one more, which reads every score, when a run has ended since; three more while there is no sigma."""
        policy, noise = project.file.policy, noise_of(project)
        recorded, missing = last_recorded(project), "" if noise else why_no_noise(project)
        share, rate = policy.screening_share, policy.aa_rate
        return cls(device_time(project), share, noise, false_accepts(project), rate, recorded, missing)


def why_no_noise(project: Project) -> str:
    """Why sigma is not measured, in a sentence (three queries)."""
    trouble = troubles_of_newest([project]).get(project.pk)
    if trouble is not None:
        return f"cannot be measured: {trouble.cause[0].lower()}{trouble.cause[1:]}"
    return "not measured yet: it takes two runs of the baseline that have a score"


def device_time(project: Project) -> list[Spent]:
    """Device time of the runs that ended in the last day, by what they were for, in the order of their worth. One query."""
    ended = project.runs.filter(state=State.FINISHED, finished_at__gt=timezone.now() - LATELY)
    rows = ended.values_list("purpose").annotate(taken=total_device_seconds()).order_by()
    by_purpose = dict(rows)
    total = sum(by_purpose.values())
    return [Spent(p, by_purpose[p], by_purpose[p] / total if total else 0.0) for p in Purpose if p in by_purpose]


def false_accepts(project: Project) -> Rate | None:
    """How many changes that do nothing were called solid, of those that were decided. One query."""
    decided = project.candidates.filter(aa=True, stage__in=DECIDED, evidence__isnull=False)
    counted = decided.aggregate(tried=Count("pk"), accepted=Count("pk", filter=Q(evidence__verdict=Verdict.SOLID)))
    return false_accept_rate(counted["accepted"], counted["tried"]) if counted["tried"] else None
