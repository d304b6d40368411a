"""Lines that the project file describes itself, in [metric] pattern."""

from training.line_patterns import compiled, reader_of
from training.metric_source import MetricSource

SOURCE = MetricSource(
    "pattern",
    "lines that `pattern` finds: its named groups are series, and one of them the metric",
    lines=lambda scoring: reader_of(compiled(scoring.pattern)),
    own_pattern=True,
    order=5,
)
