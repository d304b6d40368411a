"""Reads series and final metric from what a project's own code prints: for code that is trained as it is, unchanged.

Such a score is self-reported: nobody but the code itself says it is true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from training.series import NAME_LIMIT, VALUES_LIMIT, is_number
from training.spec import Point, SelfReported

LINE_LIMIT = 1 << 14  # characters; the rest of a longer line is ignored

_NUMBER = re.compile(r"[-+]?(?:[\d,]+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_STEP_LINE = re.compile(r"^\s*step:?\s+(\d+)(?:/\d+)?\s*(?:\([^)]*\))?\s*\|(.*)$", re.IGNORECASE)
_FIELD = re.compile(r"^\s*([^:|]{1,60}?)\s*:\s*(\S.*?)\s*$")
_FINAL_FIELD = re.compile(r"^([A-Za-z][\w ]{0,60}?):\s+(\S+)$")

# How the printed names of a step line are called in the series.
_SERIES = {
    "loss": "train_loss",
    "lrm": "lr_multiplier",
    "tok/sec": "tokens_per_second",
    "mfu": "mfu_percent",
    "bf16_mfu": "mfu_percent",
    "validation bpb": "val_bpb",
    "core metric": "core_metric",
    "dt": "step_ms",
    "epoch": "epoch",
}
# nanochat prints its final figures as sentences.
_NANOCHAT_FINAL = {
    "Minimum validation bpb": "min_val_bpb",
    "Peak memory usage": "peak_memory_mib",
    "Total training time": "training_minutes",
}


class FormatError(ValueError):
    """The description of a project's output is unusable; the message says why."""


class OutputParser:
    """Feed it output as it arrives; it returns points, and keeps the final figures in `final`.

    Formats: "autoresearch" (`step 00010 (1.0%) | loss: … | …`, then a line `---` and `name: value` lines), "nanochat" (the same
    step lines, `Step 00250 | Validation bpb: …`, and closing sentences), and "pattern": a regular expression searched in
    each line, whose named groups are values; a match with a group `step` is a point, one without it updates the final figures.
    Raises FormatError for an unknown format or a bad pattern.
    """

    def __init__(self, scoring: SelfReported) -> None:
        if scoring.format not in ("autoresearch", "nanochat", "pattern"):
            raise FormatError(f"output format {scoring.format!r} is unknown; use autoresearch, nanochat or pattern")
        self.format = scoring.format
        self.metric = scoring.metric
        self.final: dict[str, float] = {}
        self.not_finite = ""  # the first loss or metric that was not finite, in words
        self.last_step = -1
        self._in_summary = False
        self._partial = ""
        self._pattern = _compile(scoring.pattern) if scoring.format == "pattern" else None

    @property
    def score(self) -> float | None:
        """The final metric, None when it was not printed or was not finite."""
        return self.final.get(self.metric)

    def feed(self, chunk: bytes) -> list[Point]:
        """The points in what was printed since the last call. Progress lines may end in a carriage return."""
        *lines, self._partial = re.split(r"[\r\n]", self._partial + chunk.decode(errors="replace"))
        self._partial = self._partial[:LINE_LIMIT]
        return [point for line in lines for point in self._line(line[:LINE_LIMIT])]

    def finish(self) -> list[Point]:
        """The point in a last line without an end, if there is one."""
        return self.feed(b"\n")

    def _line(self, line: str) -> Iterator[Point]:
        if self._pattern is not None:
            for match in self._pattern.finditer(line):
                yield from self._values(match.groupdict())
        elif line.strip() == "---":
            self._in_summary = True
        elif found := _STEP_LINE.match(line):
            fields = [field for part in found[2].split("|") if (field := _FIELD.match(part))]
            yield from self._values({"step": found[1], **{_SERIES.get(f[1].lower(), ""): f[2] for f in fields}})
        elif found := _FINAL_FIELD.match(line.strip()):
            name = _NANOCHAT_FINAL.get(found[1]) if self.format == "nanochat" else found[1]
            if name and (self._in_summary or self.format == "nanochat"):
                yield from self._values({name: found[2]})

    def _values(self, fields: dict[str, str | None]) -> Iterator[Point]:
        """One line's values: a point when they have a step, otherwise final figures."""
        values: dict[str, float] = {}
        for name, text in list(fields.items())[:VALUES_LIMIT]:
            value = _number(text) if name and len(name) <= NAME_LIMIT else None
            if value is None:
                continue
            if math.isfinite(value):
                values[name] = value
            elif not self.not_finite and ("loss" in name or name == self.metric):
                self.not_finite = f"the run printed {name} = {text}"
        step = values.pop("step", None)
        if step is None:
            self.final.update(values)
        elif step >= 0:
            self.last_step = int(step)
            if self.metric in values:  # the last one printed stands unless a closing line says otherwise
                self.final[self.metric] = values[self.metric]
            if values:
                yield Point(self.last_step, values)


def _number(text: str | None) -> float | None:
    """The number at the start of a text such as `512ms` or `1,050,000`; None when there is none, infinite when too large."""
    found = _NUMBER.match(text) if text else None
    if found is None:
        return None
    try:
        value = float(found[0].replace(",", ""))
    except ValueError:
        return None
    return value if is_number(value) or not math.isfinite(value) else math.copysign(math.inf, value)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FormatError(f"the output pattern {pattern!r} is not a regular expression: {error}") from error
    if not compiled.groupindex:
        raise FormatError(f"the output pattern {pattern!r} has no named group; name the values, as in (?P<val_bpb>[0-9.]+)")
    return compiled
