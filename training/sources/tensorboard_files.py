"""TensorBoard's event files, of which a run writes several."""

from training.left_out import LeftOut
from training.metric_source import FileFormat, MetricSource, Reader
from training.spec import SelfReported


def reader(scoring: SelfReported, name: str, left_out: LeftOut) -> Reader:
    from training.event_files import EventFile  # TensorBoard is imported where somebody uses it

    return EventFile(name, left_out)


FILES = FileFormat("**/*tfevents*", reader, several=True)
SOURCE = MetricSource("tensorboard", "event files", files=FILES, order=8)
