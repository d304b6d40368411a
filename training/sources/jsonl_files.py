"""JSON lines that a run writes."""

from training.metric_source import FileFormat, MetricSource
from training.tables import JsonLines

FILES = FileFormat("**/*.jsonl", lambda scoring, name, left_out: JsonLines(left_out, scoring.step))
SOURCE = MetricSource("jsonl", "a JSON object a line", files=FILES, order=6)
