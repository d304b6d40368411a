"""What is known of a run besides its score: what it says of itself, and over it what was measured where it cannot reach."""

from __future__ import annotations

import os
from typing import Any

from training.checkpoint import read_header
from training.devices import kind_of
from training.left_out import is_number
from training.progress import Progress
from training.reported_by_run import MEASURED_HERE
from training.scorer import CHECKPOINT_LIMIT
from training.series import CHECKPOINT, Outputs, UnsafeOutput
from training.spec import RunSpec
from training.text import Drawn


def add_facts(facts: dict[str, Any], spec: RunSpec, progress: Progress, train_seconds: float) -> None:
    """What the run says of itself, and over it what we measured."""
    if progress.parser is not None:
        facts.update(progress.parser.final)
        if progress.parser.last_step >= 0:
            facts["steps"] = progress.parser.last_step + 1
        facts.update(progress.parser.named.facts())
    else:
        facts.update(progress.reader.facts)
        loop_seconds = facts.get("loop_seconds")
        if isinstance(loop_seconds, float | int) and loop_seconds > 0:
            facts["startup_seconds"] = round(train_seconds - loop_seconds, 3)
            if isinstance(tokens := facts.get("tokens"), float | int):
                facts["tokens_per_second"] = round(tokens / loop_seconds, 1)
    for name, value in list(facts.items()):
        if name in MEASURED_HERE or not (isinstance(value, str) or is_number(value)):
            del facts[name]
    if (kind := kind_of(spec.device)) == "cpu":
        facts.pop("device_peak_memory_bytes", None)  # there is no such device
    else:
        facts["device_kind"] = kind
    data_hash = spec.data / "data_hash"
    if data_hash.is_file():
        facts["data_hash"] = data_hash.read_text().strip()


def add_drawn(facts: dict[str, Any], drawn: Drawn) -> None:
    """What was drawn of the training text, as counted here; FLOPs follow at the run's own price for a token."""
    tokens = facts.get("tokens")
    facts |= {"tokens": drawn.tokens, "tokens_here": drawn.tokens_here, "draws": drawn.draws, "text_order": drawn.order}
    facts["text"] = "served"
    if drawn.cpu_before is not None:
        facts["cpu_seconds_before"] = drawn.cpu_before
    facts.pop("tokens_per_second", None)
    if drawn.seconds > 0:
        facts["tokens_per_second"] = round(drawn.tokens_here / drawn.seconds, 1)
    if is_number(tokens):
        facts["tokens_said"] = tokens
        if is_number(flops := facts.get("flops")) and 0 < tokens < drawn.tokens:
            facts["flops"] = flops * drawn.tokens / tokens


def add_stored(facts: dict[str, Any], outputs: Outputs) -> None:
    """How many numbers the checkpoint holds, parameters and buffers alike, and their size, by its header."""
    try:
        fd = outputs.open(CHECKPOINT, CHECKPOINT_LIMIT)
        if fd is None:
            return
        with os.fdopen(fd, "rb") as file:
            stored = read_header(file.fileno())
    except (UnsafeOutput, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return  # it is no checkpoint: the scorer says why
    if is_number(parameters := facts.get("parameters")):
        facts["parameters_said"] = parameters
    facts |= {"parameters": stored.values, "checkpoint_bytes": stored.bytes}
