"""Tables of comma-separated values that a run writes."""

from training.metric_source import FileFormat, MetricSource
from training.tables import CsvTable

FILES = FileFormat("**/*.csv", lambda scoring, name, left_out: CsvTable(left_out, scoring.step))
SOURCE = MetricSource("csv", "a table with a head of names", files=FILES, order=7)
