"""The gain of a candidate as pages show it: in the metric's unit, positive where it is better, with its interval."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from django.utils.html import format_html
from django.utils.safestring import SafeString

from research_app.evidence.digits import Gain
from research_app.loop.runs import NOTHING, Cost
from research_app.models import Candidate, Evidence, Verdict

WIDTH, HEIGHT = 160, 18  # of an interval bar, in pixels


@dataclass(frozen=True)
class Effect:
    """What the evidence says in numbers, and what a row, a card and a chart show of it."""

    gain: Gain
    sigmas: float | None = None
    candidate_n: int = 0
    baseline_n: int = 0

    @property
    def value(self) -> float:
        return self.gain.value

    @property
    def low(self) -> float | None:
        return self.gain.low

    @property
    def high(self) -> float | None:
        return self.gain.high

    @property
    def text(self) -> str:
        """`+0.0144`"""
        return self.gain.text

    @property
    def interval(self) -> str:
        """`+0.0091 … +0.0197`; empty without one."""
        return self.gain.interval

    @property
    def better(self) -> bool | None:
        """None where the interval includes 0, or where there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return self.low > 0

    @property
    def tone(self) -> str:
        return {True: "good", False: "bad", None: "mute"}[self.better]

    @property
    def words(self) -> str:
        """For those who do not see the bar."""
        if not self.interval:
            return f"gain {self.text}, no interval"
        side = {True: "better", False: "worse", None: "interval includes 0"}[self.better]
        return f"gain {self.gain.sentence}: {side}"


def effect_of(evidence: Evidence | None) -> Effect | None:
    """The effect, or None where there is none to show: no evidence yet, or health hides it."""
    if evidence is None or (gain := evidence.gain) is None:
        return None
    sigmas = gain.value / evidence.sigma if evidence.sigma else None
    return Effect(gain, sigmas, evidence.candidate_n, evidence.baseline_n)


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
    """Rows on one common scale per project."""
    listed = list(candidates)
    effects = {c.pk: effect_of(c.evidence) for c in listed}
    scales = {pk: Scale.of(effects[c.pk] for c in listed if c.project_id == pk) for pk in {c.project_id for c in listed}}
    return [Row(c, effects[c.pk], scales[c.project_id], (costs or {}).get(c.pk, NOTHING)) for c in listed]
