"""Which facts of a run were measured where its code cannot reach, and which it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAID = "said by the run"

MEASURED_HERE = frozenset(
    (
        *("scored_bytes", "probes", "checkpoint_hash", "code_hash", "score_seconds", "findings", "left_out"),
        *("account", "cpu_seconds", "peak_memory_bytes", "tokens_here", "tokens_said", "text", "text_order", "draws"),
        "cpu_seconds_before",
        *("checkpoint_bytes", "parameters_said", "device_busy_seconds", "device_energy_joules", "device_memory_bytes"),
        *("device_kind", "device_shared", "compile_cache_warm", "compile_cache_bytes", "compile_cache_not_kept"),
    )
)
"""Facts that the runner alone writes: a run that states one of them is not heard."""

MEASURED_WHERE = {
    "tokens": "text",
    "data_hash": "checkpoint_hash",
    "tokens_per_second": "text",
    "parameters": "checkpoint_bytes",
}
"""Facts that are measured where another one says that they could be: the text was handed out, the checkpoint was read."""


def on_accelerator(facts: Mapping[str, Any]) -> bool:
    """Whether a run had a GPU: the runner says so, and of runs from before it did, their own figure that CPUs have not."""
    return any(name in facts for name in ("device_kind", "device_memory_bytes", "device_peak_memory_bytes"))


def said_by_run(facts: Mapping[str, Any], name: str) -> bool:
    """Whether only the run itself knows this fact: it may be anything, and decides nothing alone."""
    if name in MEASURED_HERE or name == "train_seconds":
        return False
    return MEASURED_WHERE.get(name, "") not in facts
