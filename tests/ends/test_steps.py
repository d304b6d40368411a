"""A step of Signoff's own that fails on a run: before it, around it, after it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError

from research_app.loop.train import record
from research_app.models import Project, State
from research_app.models.lease import MAX_ATTEMPTS
from tests.ends.table import end
from tests.ends.world import World
from tests.small_project import BETTER
from training.corpus import WINDOW
from training.spec import Outcome

MEND = "by “Try again”"


@end(
    "The repository is gone",
    "its folder is moved away",
    "Signoff failed while exporting its code (C-1/1 seed 1): … It would fail again, so it is not tried "
    "again. Mend that, then choose “Try again”",
    inbox="C-1: screening Signoff failed while exporting its code",
    again=MEND,
)
def test_a_repository_that_is_gone(world: World) -> str:
    run = world.queue(BETTER)
    path = world.project.repository.path
    path.rename(path.with_suffix(".away"))
    run = world.train(run)
    path.with_suffix(".away").rename(path)
    assert (run.state, run.attempts) == (State.STUCK, 1)
    return world.address(run)


@end(
    "The text that it is scored on is gone",
    "a corpus that is not on this machine",
    "Signoff failed while finding its text (C-1/1 seed 1): FileNotFoundError: the project's text is not on this machine: …",
    inbox="Signoff failed while finding its text",
    again=MEND,
)
def test_a_text_that_is_gone(world: World) -> str:
    run = world.queue(BETTER)
    Project.objects.filter(pk=world.project.pk).update(data_hash="0" * 64)
    return world.address(world.train(run))


@end(
    "The project's pattern finds nothing",
    "a pattern without a group, as earlier versions took it",
    "Signoff failed while starting it (C-1/1 seed 1): FormatError: the output pattern … has no named group",
    inbox="has no named group",
    again=MEND,
)
def test_a_pattern_without_a_group(world: World) -> str:
    run = world.queue(BETTER)
    config = world.project.config
    config["metric"]["pattern"] = "score=.*"
    Project.objects.filter(pk=world.project.pk).update(config=config)
    run = world.train(run)
    assert run.attempts == 1
    return world.address(run)


@pytest.fixture
def small_disk(world: World) -> Iterator[Path]:
    """The folder of attempts on a real file system of 300 kB."""
    folder = Path(settings.HOME) / "runs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no room on it."""
    with (folder / "full").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@end(
    "The disk is full, and stays so",
    "a real file system of 300 kB, filled",
    "OSError: [Errno 28] No space left on device … It was tried 3 times. Mend that, then choose “Try again”",
    inbox="No space left on device",
    again="3 times, with pauses; then " + MEND,
)
def test_a_disk_that_stays_full(world: World, small_disk: Path) -> str:
    run = world.queue(BETTER)
    fill(small_disk)
    for _ in range(MAX_ATTEMPTS):
        run = world.train(run)
        world.at_once()
    return world.address(run)


@end(
    "The disk is full for a moment",
    "the same, with room again before the second attempt",
    "completed … attempts 2",
    again="yes, after a pause",
)
def test_a_disk_that_has_room_again(world: World, small_disk: Path) -> str:
    run = world.queue(BETTER)
    fill(small_disk)
    run = world.train(run)
    assert run.state == State.QUEUED and "No space left" in run.last_error
    (small_disk / "full").unlink()
    world.at_once()
    return world.address(world.train(run))


@end(
    "A parser fails on what it printed",
    "an exception in the parser (injected)",
    "Signoff failed while reading what it printed (C-1/1 seed 1): ValueError: the flux is off (…). The "
    "training itself … log, curves and times are kept.",
    inbox="Signoff failed while reading what it printed",
    again=MEND,
)
def test_a_parser_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("training.output.OutputParser.feed", refuse)
    run = world.train(world.queue(BETTER))
    assert run.train_seconds is not None and run.log.text
    return world.address(run)


def refuse(*_: object, **__: object) -> None:
    raise ValueError("the flux is off")


MODEL = """
import torch

class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(2 * torch.linspace(-9e3, 9e3, 65536).reshape(256, 256).sin())

    def forward(self, tokens):
        return self.table[tokens]

build_model = Bigram
if __name__ == "__main__":
    from safetensors.torch import save_file
    save_file({"table": Bigram().table.data}, os.environ["SIGNOFF_OUT"] + "/checkpoint.safetensors")
    raise SystemExit
"""


@end(
    "The scorer cannot read the held-out text",
    "a damaged index beside the gate shard; PyTorch trains and is scored for real",
    "Signoff failed while scoring it (C-1/1 seed 1): JSONDecodeError: … The training itself ended with "
    "exit code 0 after … log, curves and times are kept.",
    inbox="Signoff failed while scoring it (C-1/1 seed 1): JSONDecodeError",
    again=MEND,
)
def test_a_scorer_that_fails(world: World) -> str:
    run = world.queue(("LEARNING_RATE = 0.01\n", MODEL + "LEARNING_RATE = 0.01\n"))
    corpus = corpus_of(world.project, bytes(129 * 4))
    (corpus / "held_out" / "gate.json").write_text("{")
    world.configure(metric={"source": "scored", "pattern": ""})
    run = world.train(run)
    assert run.exit_code == 0 and run.train_seconds
    return world.address(run)


def corpus_of(project: Project, gate: bytes) -> Path:
    """Give a project a corpus with this gate shard."""
    Project.objects.filter(pk=project.pk).update(data_hash="e" * 64)
    project.refresh_from_db()
    assert project.corpus is not None
    for name in ("visible", "held_out"):
        (project.corpus / name).mkdir(parents=True, exist_ok=True)
    (project.corpus / "held_out" / "gate.bin").write_bytes(gate)
    return project.corpus


@end(
    "A detector cannot look at it",
    "a gate shard of a length that is no whole number of windows",
    "every detector failed : It could not look: ValueError: 130 bytes of gate text are no whole windows of 129 bytes",
    inbox="1 run of the last day Signoff failed while looking for what is odd about it: the newest says how. A "
    "gain that rests on it is in quarantine.",
)
def test_a_detector_that_fails(world: World) -> str:
    run = world.queue(BETTER)
    corpus_of(world.project, bytes(WINDOW + 2))
    run = world.train(run)
    assert run.outcome == Outcome.completed and run.score is not None, "the run itself is as good as any"
    return world.address(run)


@end(
    "Its record cannot be written",
    "an exception while its curves are packed (injected)",
    "Signoff failed while writing its record (C-1/1 seed 1): ValueError: the flux is off (…). The "
    "training itself ended with exit code 0 … are kept, and its score.",
    inbox="Signoff failed while writing its record",
    again=MEND,
)
def test_a_record_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("research_app.models.SeriesChunk.compact", refuse)
    return world.address(world.train(world.queue(BETTER)))


@end(
    "The database is away for a moment when it ends",
    "two refused writes (injected)",
    "completed … exit code 0",
    again="the write is, for ten minutes; the run is not",
)
def test_a_database_that_is_away_for_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    write, tries = record._write, []

    def away(*arguments: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("the database is away")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(record, "_write", away)
    return world.address(world.train(world.queue(BETTER)))
