"""What KellerJordan/modded-nanogpt prints."""

from training.line_patterns import lines_with
from training.metric_source import MetricSource, Recognised

PATTERN = (
    r"^step:(?P<step>\d+)/\d+ (?:train_loss:(?P<train_loss>\S+) )?(?:val_loss:(?P<val_loss>\S+) )?"
    r"train_time:(?P<train_ms>\d+)ms(?: step_avg:(?P<step_ms>[\d.]+)ms)?"
)

SOURCE = MetricSource(
    "modded-nanogpt",
    "`step:250/1750 val_loss:… train_time:…ms`",
    lines=lines_with(PATTERN),
    metrics=("val_loss", "train_loss"),
    recognised=Recognised("val_loss", r"^step:\0/(\0|\d+) val_loss:\0", r"train_time:\0"),
    order=4,
)
