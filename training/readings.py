"""What a run says of itself, number by number, from its printed lines or from its files: points, and the final figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from training.left_out import NO_POINT, LeftOut, is_number, printable
from training.named_facts import NamedFacts
from training.spec import Point, SelfReported

LAST_STEP = 2**53
NONE: Mapping[str, str] = {}
SHOWN = 40  # characters of a value in a sentence

# A number, perhaps with its unit; thousands may stand apart. What goes on otherwise (`1,05`, `1_0.3`, `0x1f`) is none.
_NUMBER = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:[,_]\d{3})++|\d++)(?:\.\d*+)?|\.\d++)(?:e[-+]?\d++)?(?![\d_]|[.,]\d|x[\da-f])|[-+]?(?:nan|inf(?:inity)?)\b",
    re.IGNORECASE,
)


def number_in(text: str | None) -> float | None:
    """The number at the start of a text such as `512ms` or `1,050,000`, infinite where no float holds it; None for none."""
    match = _NUMBER.match(text) if text else None
    return float(match[0].replace(",", "").replace("_", "")) if match else None


def shown(text: object) -> str:
    """An untrusted value for a sentence: its beginning, on one line."""
    text = str(text)
    beginning = printable(text[:SHOWN])
    return f"{beginning}…" if len(text) > SHOWN else beginning


class Readings:
    """Takes values in the order in which the run says them. `final` keeps the figures that stand at the end."""

    verb = "printed"  # how the run said them, for sentences

    def __init__(self, scoring: SelfReported) -> None:
        self.format = scoring.format
        self.metric = scoring.metric
        self.wanted = scoring.facts
        self.begin()

    def begin(self) -> None:
        """Forget what was said so far."""
        self.final: dict[str, float] = {}
        self.not_finite = ""  # the first loss or metric that was not finite, in words
        self.ran_away = False  # that one was a number, but too large for any
        self.no_number = ""  # what stood for the metric, last, where that was no number
        self.last_step = -1
        self.left_out = LeftOut(self.metric)
        self.named = NamedFacts(self.wanted)

    @property
    def score(self) -> float | None:
        """The final metric, None when it was not said or was not finite."""
        return self.final.get(self.metric)

    def close(self) -> None:
        """Let go of the files that it reads."""

    def feed(self, chunk: bytes) -> list[Point]:
        """The points in what the run printed since the last call."""
        return []

    def read(self) -> list[Point]:
        """The points in what the run wrote since the last call. Raises UnsafeOutput."""
        return []

    def finish(self) -> list[Point]:
        """The points that are left at the end. Raises UnsafeOutput."""
        return []

    def why_no_score(self) -> str:
        """A sentence for a run that ended without its metric."""
        if self.no_number:
            return f"The run {self.verb} {self.metric} = {self.no_number}, which is no number."
        series = ", ".join(shown(name) for name in list(self.final)[:20]) or "none"
        return (
            f"The run ended without printing its metric {self.metric!r} (format {self.format}; final values found: {series})."
        )

    def values(self, fields: Mapping[str, object], aliases: Mapping[str, str] = NONE) -> Iterator[Point]:
        """What was said together, numbers or their texts: a point when it has a step, otherwise final figures.

        `aliases`: what series are called here by what the run calls them, in small letters; the metric keeps its name.
        """
        values: dict[str, float] = {}
        for name, text in fields.items():
            value = self.number(text)
            if name == self.metric:
                self.no_number = shown(text) if value is None else ""
            if value is None:
                continue
            values[name] = value
            if not is_number(value) and not self.not_finite and ("loss" in name or name == self.metric):
                self.not_finite = f"the run {self.verb} {shown(name)} = {shown(text)}"
                self.ran_away = bool(re.search(r"\d", str(text)))
        step = values.pop("step", None)
        self.named.take(values)
        values = self.left_out.values({self._series(name, aliases): value for name, value in values.items()})
        if step is None:
            self.final.update(values)
        elif not step < LAST_STEP:
            self.left_out.count(NO_POINT)
        elif step >= 0:
            self.last_step = int(step)
            if self.metric in values:  # the last one said stands unless a closing line says otherwise
                self.final[self.metric] = values[self.metric]
            if values:
                yield Point(self.last_step, values)

    def number(self, text: object) -> float | None:
        """The number that was said, or that its text begins with; None for what is none."""
        if isinstance(text, str):
            return number_in(text)
        return text if isinstance(text, int | float) and not isinstance(text, bool) else None

    def _series(self, name: str, aliases: Mapping[str, str]) -> str:
        return name if name == self.metric else aliases.get(name.lower(), name)
