"""Reads series and final metric from what a project's own code prints: for code that is trained as it is, unchanged.

Such a score is self-reported: nobody but the code itself says it is true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from training.left_out import LONG_LINES, NO_POINT, LeftOut, is_number, printable
from training.spec import Point, SelfReported

LINE_LIMIT = 1 << 14  # characters; the rest of a longer line is left out
LAST_STEP = 2**53

# A number, perhaps with its unit; thousands may stand apart. What goes on otherwise (`1,05`, `1_0.3`, `0x1f`) is none.
_NUMBER = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:[,_]\d{3})++|\d++)(?:\.\d*+)?|\.\d++)(?:e[-+]?\d++)?(?![\d_]|[.,]\d|x[\da-f])|[-+]?(?:nan|inf(?:inity)?)\b",
    re.IGNORECASE,
)
_SHOWN = 40  # characters of a printed value in a sentence
_STEP_LINE = re.compile(r"^\s*step:?\s+(\d+)(?:/\d+)?\s*+(?:\([^)]*\))?\s*+\|(.*)$", re.IGNORECASE)
_FIELD = re.compile(r"([^:|]{1,60}):(.*)", re.DOTALL)  # of a part without spaces at its ends
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


# What other well-known trainers print, as patterns: the name of a group is that of a series.
_PATTERNS = {
    "nanogpt": (
        r"^step (?P<step>\d+): train loss (?P<train_loss>[^\s,]+), val loss (?P<val_loss>\S+)"
        r"|^iter (?P<step>\d+): loss (?P<batch_loss>[^\s,]+), time (?P<step_ms>[\d.]+)ms(?:, mfu (?P<mfu_percent>-?[\d.]+)%)?"
    ),
    "modded-nanogpt": (
        r"^step:(?P<step>\d+)/\d+ (?:train_loss:(?P<train_loss>\S+) )?(?:val_loss:(?P<val_loss>\S+) )?"
        r"train_time:(?P<train_ms>\d+)ms(?: step_avg:(?P<step_ms>[\d.]+)ms)?"
    ),
}
FORMATS = ("autoresearch", "nanochat", *_PATTERNS, "pattern")
METRICS = {"nanogpt": ("val_loss", "train_loss"), "modded-nanogpt": ("val_loss", "train_loss")}
"""What a format can print as the metric, where that is known."""


class FormatError(ValueError):
    """The description of a project's output is unusable; the message says why."""


class OutputParser:
    """Feed it output as it arrives; it returns points, and keeps the final figures in `final`.

    Formats: "autoresearch" (`step 00010 (1.0%) | loss: … | …`, then a line `---` and `name: value` lines), "nanochat" (the same
    step lines, `Step 00250 | Validation bpb: …`, and closing sentences), "nanogpt" (`step 250: train loss …, val loss …` and
    `iter 250: loss …, time …ms, mfu …%`), "modded-nanogpt" (`step:250/1750 val_loss:… train_time:…ms`), and "pattern": a
    regular expression searched in each line, whose named groups are values; a match with a group `step` is a point, one
    without it updates the final figures.
    Raises FormatError for an unknown format or a bad pattern.
    """

    def __init__(self, scoring: SelfReported) -> None:
        if scoring.format not in FORMATS:
            raise FormatError(f"output format {scoring.format!r} is unknown; use one of: {', '.join(FORMATS)}")
        self.format = scoring.format
        self.metric = scoring.metric
        self.final: dict[str, float] = {}
        self.not_finite = ""  # the first loss or metric that was not finite, in words
        self.ran_away = False  # that one was a number, but too large for any
        self.no_number = ""  # what stood for the metric, last, where that was no number
        self.last_step = -1
        self.left_out = LeftOut(scoring.metric)
        self._in_summary = False
        self._partial = ""
        own = scoring.pattern if scoring.format == "pattern" else _PATTERNS.get(scoring.format)
        self._pattern = compiled(own) if own is not None else None

    @property
    def score(self) -> float | None:
        """The final metric, None when it was not printed or was not finite."""
        return self.final.get(self.metric)

    def feed(self, chunk: bytes) -> list[Point]:
        """The points in what was printed since the last call. Progress lines may end in a carriage return."""
        *lines, self._partial = re.split(r"[\r\n]", self._partial + chunk.decode(errors="replace"))
        excess = sum(max(0, len(line) - LINE_LIMIT) for line in (*lines, self._partial))
        if excess:
            self.left_out.count(LONG_LINES, excess)
        self._partial = self._partial[:LINE_LIMIT]
        return [point for line in lines for point in self._line(line[:LINE_LIMIT])]

    def finish(self) -> list[Point]:
        """The point in a last line without an end, if there is one."""
        return self.feed(b"\n")

    def _line(self, line: str) -> Iterator[Point]:
        if self._pattern is not None:
            for match in self._pattern.finditer(line):
                yield from self._values(_joined(match.groupdict()))
        elif line.strip() == "---":
            self._in_summary = True
        elif found := _STEP_LINE.match(line):
            fields = [field for part in found[2].split("|") if (field := _FIELD.fullmatch(part.strip()))]
            named = {_SERIES.get(field[1].rstrip().lower(), ""): field[2].lstrip() for field in fields}
            yield from self._values({"step": found[1], **named})
        elif found := _FINAL_FIELD.match(line.strip()):
            name = _NANOCHAT_FINAL.get(found[1]) if self.format == "nanochat" else found[1]
            if name and (self._in_summary or self.format == "nanochat"):
                yield from self._values({name: found[2]})

    def _values(self, fields: dict[str, str | None]) -> Iterator[Point]:
        """One line's values: a point when they have a step, otherwise final figures."""
        values: dict[str, float] = {}
        for name, text in fields.items():
            value = _number(text) if name else None
            if name == self.metric:
                self.no_number = _shown(text) if value is None else ""
            if value is None:
                continue
            values[name] = value
            if not is_number(value) and not self.not_finite and ("loss" in name or name == self.metric):
                self.not_finite = f"the run printed {name} = {_shown(text)}"
                self.ran_away = bool(re.search(r"\d", str(text)))
        step = values.pop("step", None)
        values = self.left_out.values(values)
        if step is None:
            self.final.update(values)
        elif not step < LAST_STEP:
            self.left_out.count(NO_POINT)
        elif step >= 0:
            self.last_step = int(step)
            if self.metric in values:  # the last one printed stands unless a closing line says otherwise
                self.final[self.metric] = values[self.metric]
            if values:
                yield Point(self.last_step, values)


def _number(text: str | None) -> float | None:
    """The number at the start of a text such as `512ms` or `1,050,000`, infinite where no float holds it; None for none."""
    found = _NUMBER.match(text) if text else None
    return float(found[0].replace(",", "").replace("_", "")) if found else None


def _shown(text: str | None) -> str:
    """A printed value for a sentence: its beginning, on one line."""
    shown = printable(str(text)[:_SHOWN])
    return f"{shown}…" if len(str(text)) > _SHOWN else shown


_GROUP = re.compile(r"(?<!\\)((?:\\\\)*)\(\?P<([A-Za-z_]\w*)>")
_AGAIN = "__again"


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of format "pattern"; alternatives may name one group each in their own way.

    Raises FormatError for what is no regular expression or names no value.
    """
    seen: Counter[str] = Counter()

    def apart(group: re.Match[str]) -> str:
        seen[group[2]] += 1
        return group[0] if seen[group[2]] == 1 else f"{group[1]}(?P<{group[2]}{_AGAIN}{seen[group[2]]}>"

    try:
        found = re.compile(_GROUP.sub(apart, pattern))
    except re.error as error:
        raise FormatError(f"the output pattern {pattern!r} is not a regular expression: {error}") from error
    if not found.groupindex:
        raise FormatError(f"the output pattern {pattern!r} has no named group; name the values, as in (?P<val_bpb>[0-9.]+)")
    return found


def groups_of(pattern: re.Pattern[str]) -> set[str]:
    """The names of the values that a compiled pattern can find."""
    return {name.partition(_AGAIN)[0] for name in pattern.groupindex}


def _joined(groups: dict[str, str | None]) -> dict[str, str | None]:
    """The groups that matched, under the name that alternatives share."""
    return {name.partition(_AGAIN)[0]: text for name, text in groups.items() if text is not None}
