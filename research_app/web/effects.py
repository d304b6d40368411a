"""The effect of a candidate as pages show it: candidate − baseline in the metric's unit, with its interval."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from django.utils.html import format_html
from django.utils.safestring import SafeString

from research_app.loop.runs import NOTHING, Cost
from research_app.models import Candidate, Evidence, Verdict
from research_app.web import figures

WIDTH, HEIGHT = 160, 18  # of an interval bar, in pixels


@dataclass(frozen=True)
class Effect:
    """What the evidence says in numbers. `value`, `low`, `high`: candidate − baseline; `better`: None where 0 is inside."""

    value: float
    low: float | None
    high: float | None
    better: bool | None
    sigmas: float | None
    candidate_n: int
    baseline_n: int

    @property
    def tone(self) -> str:
        return {True: "good", False: "bad", None: "mute"}[self.better]

    @property
    def words(self) -> str:
        """For those who do not see the bar."""
        side = {True: "better", False: "worse", None: "not told apart from 0"}[self.better]
        return f"{figures.change(self.value)}, 95% interval {figures.change(self.low)} to {figures.change(self.high)}: {side}"


def effect_of(evidence: Evidence | None, sign: float) -> Effect | None:
    """The effect, or None where there is none to show: no evidence yet, or health hides it. `sign` is Project.sign."""
    if evidence is None or evidence.effect is None or evidence.verdict == Verdict.INVALID:
        return None
    interval = evidence.interval
    low = high = better = None
    if interval:
        low, high = sorted(-sign * bound for bound in interval)
        better = True if interval[0] > 0 else False if interval[1] < 0 else None
    sigmas = abs(evidence.effect) / evidence.sigma if evidence.sigma else None
    return Effect(-sign * evidence.effect, low, high, better, sigmas, evidence.candidate_n, evidence.baseline_n)


@dataclass(frozen=True)
class Scale:
    """The common scale of the interval bars of one page: symmetric around 0, wide enough for all but the outliers."""

    limit: float

    @classmethod
    def of(cls, effects: Iterable[Effect | None]) -> "Scale":
        bounds = [max(abs(e.low or e.value), abs(e.high or e.value)) for e in effects if e is not None]
        return cls(min(max(bounds), 4 * median(bounds)) if bounds else 1.0)

    def x(self, value: float) -> float:
        """Position in pixels; what lies outside is drawn at the edge."""
        share = max(-1.0, min(1.0, value / self.limit)) if self.limit else 0.0
        return round(WIDTH / 2 + share * (WIDTH / 2 - 6), 1)

    def bar(self, effect: Effect) -> SafeString:
        """The interval as a small drawing, with its text for screen readers. An arrow marks a bound outside the scale."""
        middle = HEIGHT / 2
        line = ends = SafeString("")
        if effect.low is not None and effect.high is not None:
            line = format_html(
                '<line class="interval" x1="{}" x2="{}" y1="{}" y2="{}"/>',
                self.x(effect.low),
                self.x(effect.high),
                middle,
                middle,
            )
            if max(abs(effect.low), abs(effect.high)) > self.limit:
                edge, inner = (3, 8) if effect.low < -self.limit else (WIDTH - 3, WIDTH - 8)
                ends = format_html(
                    '<path class="outside" d="M{},{} L{},{} L{},{}"/>', inner, middle - 4, edge, middle, inner, middle + 4
                )
        return format_html(
            '<svg class="bar-interval {}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
            '<line class="zero" x1="{}" x2="{}" y1="1" y2="{}"/>{}{}<circle cx="{}" cy="{}" r="3.5"/></svg>',
            effect.tone, WIDTH, HEIGHT, WIDTH, HEIGHT, effect.words,
            WIDTH / 2, WIDTH / 2, HEIGHT - 1, line, ends, self.x(effect.value), middle,
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One candidate in a list. Costs no query when the candidate came from `with_evidence`."""

    candidate: Candidate
    effect: Effect | None
    scale: Scale
    cost: Cost = NOTHING

    @property
    def spent(self) -> float:
        """Device time of its runs, in seconds."""
        return self.cost.seconds

    @property
    def bar(self) -> SafeString | None:
        return self.scale.bar(self.effect) if self.effect else None

    @property
    def hidden(self) -> bool:
        """True where health hides the effect."""
        evidence = self.candidate.evidence
        return evidence is not None and evidence.verdict == Verdict.INVALID

    @property
    def saved(self) -> float | None:
        """Share of the baseline's time saved at equal loss, where the query annotated it (web/columns.py)."""
        return getattr(self.candidate, "saved", None)

    @property
    def constants(self) -> list[str]:
        """What the diff touches."""
        return self.candidate.patch_set.touched.split() if self.candidate.patch_set else []


def rows(candidates: Iterable[Candidate], costs: Mapping[int, Cost] | None = None) -> list[Row]:
    """Rows on one common scale per project. Signs are read once per project: they cost a validation each."""
    listed = list(candidates)
    projects = {c.project_id: c.project for c in listed}
    sign = {pk: project.sign for pk, project in projects.items()}
    effects = {c.pk: effect_of(c.evidence, sign[c.project_id]) for c in listed}
    scales = {pk: Scale.of(effects[c.pk] for c in listed if c.project_id == pk) for pk in projects}
    return [Row(c, effects[c.pk], scales[c.project_id], (costs or {}).get(c.pk, NOTHING)) for c in listed]
