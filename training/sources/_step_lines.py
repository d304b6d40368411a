"""Lines `step 00010 (1.0%) | loss: … | …`, and closing figures `name: value`: what autoresearch and nanochat print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from training.metric_source import LineReader, LineValues

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


def step_lines(closing: Mapping[str, str] | None = None) -> LineReader:
    """Reads step lines. Closing figures are those after a line `---`, or with `closing` these sentences, by their series."""
    after_rule = False

    def read(line: str) -> Iterator[LineValues]:
        nonlocal after_rule
        if line.strip() == "---":
            after_rule = True
        elif match := _STEP_LINE.match(line):
            fields = [part for text in match[2].split("|") if (part := _FIELD.fullmatch(text.strip()))]
            printed = {part[1].rstrip(): part[2].lstrip() for part in fields}
            yield LineValues({"step": match[1], **_in_series(printed)}, _renamed(printed))
        elif match := _FINAL_FIELD.match(line.strip()):
            name = closing.get(match[1]) if closing is not None else match[1] if after_rule else None
            if name:
                yield LineValues({name: match[2]}, {match[1]: match[2]} if name != match[1] else {})

    return read


def _in_series(printed: Mapping[str, str]) -> dict[str, str | None]:
    """The fields of a step line that are kept, under the names of their series."""
    return {_SERIES[name.lower()]: text for name, text in printed.items() if name.lower() in _SERIES}


def _renamed(printed: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in printed.items() if _SERIES.get(name.lower()) != name}
