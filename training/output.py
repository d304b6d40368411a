"""Reads series and final metric from what a project's own code prints: for code that is trained as it is, unchanged.

Such a score is self-reported: nobody but the code itself says it is true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from training.left_out import LONG_LINES
from training.readings import Readings, number_in
from training.spec import Point, SelfReported

LINE_LIMIT = 1 << 14  # characters; the rest of a longer line is left out
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


class OutputParser(Readings):
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
        super().__init__(scoring)
        self._in_summary = False
        self._partial = ""
        own = scoring.pattern if scoring.format == "pattern" else _PATTERNS.get(scoring.format)
        self._pattern = compiled(own) if own is not None else None

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
                yield from self.values(_joined(match.groupdict()))
        elif line.strip() == "---":
            self._in_summary = True
        elif found := _STEP_LINE.match(line):
            fields = [field for part in found[2].split("|") if (field := _FIELD.fullmatch(part.strip()))]
            printed = {field[1].rstrip(): field[2].lstrip() for field in fields}
            self._name(printed)
            yield from self.values({"step": found[1], **_in_series(printed)})
        elif found := _FINAL_FIELD.match(line.strip()):
            name = _NANOCHAT_FINAL.get(found[1]) if self.format == "nanochat" else found[1]
            if name and (self._in_summary or self.format == "nanochat"):
                self._name({found[1]: found[2]} if name != found[1] else {})
                yield from self.values({name: found[2]})

    def _name(self, printed: dict[str, str]) -> None:
        """Let figures be named as they are printed, too, where that is not what their series are called."""
        self.named.take(
            {
                name: value
                for name, text in printed.items()
                if name in self.named.wanted and _SERIES.get(name.lower()) != name and (value := number_in(text)) is not None
            }
        )


def _in_series(printed: dict[str, str]) -> dict[str, str]:
    """The fields of a step line that are kept, under the names of their series."""
    return {_SERIES[name.lower()]: text for name, text in printed.items() if name.lower() in _SERIES}


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
