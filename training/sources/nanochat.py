"""What karpathy/nanochat prints: step lines, and its final figures as sentences."""

from training.metric_source import MetricSource, Recognised
from training.sources._step_lines import step_lines

CLOSING = {
    "Minimum validation bpb": "min_val_bpb",
    "Peak memory usage": "peak_memory_mib",
    "Total training time": "training_minutes",
}
FACTS = {"device_memory": "Peak memory usage MiB", "speed": "tok/sec"}

SOURCE = MetricSource(
    "nanochat",
    "the same step lines, `Step 00250 | Validation bpb: …`, and closing sentences",
    lines=lambda scoring: step_lines(CLOSING),
    recognised=Recognised("val_bpb", r"Validation bpb: \0", r"\| loss: \0", FACTS),
    order=2,
)
