"""What karpathy/autoresearch prints: step lines, then a line `---` and the final figures."""

from training.metric_source import MetricSource, Recognised
from training.sources._step_lines import step_lines

FACTS = {"device_memory": "peak_vram_mb MiB", "speed": "tok/sec", "training_time": "training_seconds"}

SOURCE = MetricSource(
    "autoresearch",
    "`step 00010 (1.0%) | loss: … | …`, then `---` and `val_bpb: …`",
    lines=lambda scoring: step_lines(),
    recognised=Recognised("val_bpb", r"^val_bpb:\s*\0", r"\| loss: \0", FACTS),
    order=1,
)
