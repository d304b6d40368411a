"""What karpathy/nanoGPT prints."""

from training.line_patterns import lines_with
from training.metric_source import MetricSource, Recognised

PATTERN = (
    r"^step (?P<step>\d+): train loss (?P<train_loss>[^\s,]+), val loss (?P<val_loss>\S+)"
    r"|^iter (?P<step>\d+): loss (?P<batch_loss>[^\s,]+), time (?P<step_ms>[\d.]+)ms(?:, mfu (?P<mfu_percent>-?[\d.]+)%)?"
)

SOURCE = MetricSource(
    "nanogpt",
    "`step 250: train loss …, val loss …` and `iter 250: loss …, time …ms, mfu …%`",
    lines=lines_with(PATTERN),
    metrics=("val_loss", "train_loss"),
    recognised=Recognised("val_loss", r"^step \0: train loss \0, val loss \0", r"^iter \0: loss \0"),
    order=3,
)
