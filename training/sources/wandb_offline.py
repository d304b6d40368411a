"""The file of an offline run of Weights & Biases."""

from training.left_out import LeftOut
from training.metric_source import FileFormat, MetricSource, Reader
from training.spec import SelfReported


def reader(scoring: SelfReported, name: str, left_out: LeftOut) -> Reader:
    from training.wandb_files import WandbFile

    return WandbFile(name, left_out)


FILES = FileFormat("**/run-*.wandb", reader)
SOURCE = MetricSource("wandb", 'offline runs: `env = { WANDB_MODE = "offline" }`', files=FILES, order=9)
