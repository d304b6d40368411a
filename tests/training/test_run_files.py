"""Curves and metric from files that a run writes: JSON lines, tables, TensorBoard's and W&B's; nothing in them is trusted."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from torch.utils.tensorboard import SummaryWriter

from research_app.loop.judge.arms import Arms
from research_app.loop.judge.guard_check import guards_of
from research_app.loop.judge.same_minutes import of_same_minutes
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.factories import make_candidate, make_project
from tests.training_samples import Rig, small_corpus, values_of
from training.event_files import EventFile
from training.launch import COPY, Launch
from training.left_out import LeftOut
from training.reported_by_run import SAID
from training.run_files import FILE_LIMIT, FileReadings, matcher
from training.series import Damaged, Outputs, UnsafeOutput
from training.spec import Outcome, Point, RunResult, SelfReported
from training.wandb_files import WandbFile

SAMPLES = Path(__file__).parents[1] / "samples"
OFFLINE = (SAMPLES / "run-offline.wandb").read_bytes()
"""Written by wandb 0.31.0: five steps of train/loss and tok/sec, then val.loss and a NaN; peak_vram_mb in the summary."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("files")
    folder.chmod(0o755)
    for above in folder.parents[:2]:
        above.chmod(0o755)
    return Rig(folder, small_corpus(folder))


def trained(rig: Rig, source: str, scoring: SelfReported, **more: object) -> RunResult:
    return rig.run_script(source, scoring=scoring, served=False, **more)


def read(tmp_path: Path, scoring: SelfReported, write: Callable[[Path], object]) -> tuple[FileReadings, list[Point]]:
    """What is read of a folder that was filled after the run began."""
    with Outputs(tmp_path) as outputs:
        readings = FileReadings(scoring, outputs)
        time.sleep(0.01)
        write(tmp_path)
        points = readings.read() + readings.finish()
        readings.close()
        return readings, points


def text(name: str, content: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return write


JSONL = SelfReported("jsonl", "val_loss")
CSV = SelfReported("csv", "val/loss")


# Real runs, in the sandbox.


@pytest.mark.slow
def test_curves_and_metric_come_from_json_lines_of_a_run(rig: Rig) -> None:
    source = """
import json, os
os.makedirs(os.environ["SIGNOFF_OUT"] + "/logs")
with open(os.environ["SIGNOFF_OUT"] + "/logs/metrics.jsonl", "w") as log:
    for step in range(3):
        log.write(json.dumps({"step": step, "train": {"loss": 3 - step}, "tok/sec": 1000 + step}) + "\\n")
    log.write(json.dumps({"step": 3, "val_loss": 1.25, "peak_vram_mb": 45060.2}) + "\\n")
"""
    facts = {"speed": "tok/sec", "device_memory": "peak_vram_mb MiB"}
    result = trained(rig, source, SelfReported("jsonl", "val_loss", file="logs/*.jsonl", facts=facts))
    assert (result.outcome, result.score) == (Outcome.completed, 1.25), result.reason
    assert values_of(rig.points, "train_loss") == [3, 2, 1]
    assert result.facts["tokens_per_second"] == 1001
    assert result.facts["device_memory_said"] == 45060.2 * 2**20
    assert result.facts["steps"] == 4


@pytest.mark.slow
def test_a_copy_of_the_tree_is_looked_into_too_and_what_the_tree_brings_is_not_the_runs(rig: Rig) -> None:
    tree = rig.script("import csv\nopen('out/metrics.csv', 'w').write('step,val/loss\\n0,2.5\\n1,1.5\\n')\n", "own-tree")
    (tree / "out").mkdir()
    (tree / "out" / "older.csv").write_text("step,val/loss\n0,0.1\n")
    result = rig.run(tree, scoring=CSV, launch=Launch(writable_tree=True))
    assert (result.outcome, result.score) == (Outcome.completed, 1.5), result.reason
    assert values_of(rig.points, "val/loss") == [2.5, 1.5]


@pytest.mark.slow
def test_a_run_that_writes_no_file_or_not_its_metric_says_what_there_was(rig: Rig) -> None:
    source = "import os\nopen(os.environ['SIGNOFF_OUT'] + '/notes.txt', 'w').write('x')\n"
    result = trained(rig, source, JSONL)
    assert result.outcome == Outcome.no_score
    assert "no file below its output folder is **/*.jsonl" in result.reason and "Files there: notes.txt." in result.reason
    source = "import os\nopen(os.environ['SIGNOFF_OUT'] + '/m.jsonl', 'w').write('{\"step\": 1, \"acc\": 2}')\n"
    result = trained(rig, source, JSONL)
    assert "ended without writing its metric 'val_loss' into m.jsonl (values there: acc)" in result.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("os.symlink('/etc/passwd', out + '/m.jsonl')", "m.jsonl cannot be opened as a plain file"),
        ("os.symlink('/etc', out + '/logs')", "no file below its output folder"),
        ("os.mkfifo(out + '/m.jsonl')", "m.jsonl is not a plain file"),
        ("open(out + '/m.jsonl', 'w').truncate(1 << 31)", "bytes, more than the"),
        ("open(out + '/a.jsonl', 'w'); open(out + '/b.jsonl', 'w')", "1 of its files match **/*.jsonl (a.jsonl, b.jsonl)"),
        ("open(out + '/m.jsonl', 'w').write('{\"val_loss\": NaN}')", "the run wrote val_loss = nan"),
        ("open(out + '/m.jsonl', 'w').write('{\"val_loss\": \"low\"}')", "wrote val_loss = low, which is no number"),
        ("open(out + '/m.jsonl', 'w').write('{\"val_loss\": 1')", "ended without writing its metric"),
        ("[open(f'{out}/{n}', 'w').close() for n in range(20001)]", "more than 20,000 files"),
    ],
)  # fmt: skip
def test_what_a_hostile_run_writes_is_named_and_harms_nobody(rig: Rig, does: str, said: str) -> None:
    result = trained(rig, f"import os\nout = os.environ['SIGNOFF_OUT']\n{does}\n", JSONL)
    assert result.score is None and result.failure is None
    assert result.outcome in (Outcome.no_score, Outcome.not_finite)
    assert said in result.reason, result.reason


# JSON lines and tables.


def test_damaged_lines_are_counted_and_the_rest_counts(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "val_loss": 2}',
        "{broken",
        "[1, 2]",
        '{"step": "x"}',
        '{"_step": 2, "val_loss": 1.5, "when": "2026-11-30"}',
    ]
    deep = "[" * 100_000
    readings, points = read(tmp_path, JSONL, text("m.jsonl", "\n".join([*lines, deep, '{"val_loss": 1.25}'])))
    assert readings.score == 1.25
    assert [(point.step, dict(point.values)) for point in points] == [(1, {"val_loss": 2.0}), (2, {"val_loss": 1.5})]
    assert sum(readings.left_out.counts.values()) == 3


def test_a_table_has_its_names_in_its_head_and_empty_cells_are_no_values(tmp_path: Path) -> None:
    content = "epoch,step,train_loss,val/loss\n0,0,4.5,\n0,1,,3.5\n1,2,bad\n1,3,nonsense,3.25\n"
    readings, points = read(tmp_path, CSV, text("version_0/metrics.csv", content))
    assert readings.score == 3.25
    assert [point.step for point in points] == [0, 1, 3]
    assert list(readings.left_out.counts.values()) == [1]


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_tables_of_other_marks_are_read_too(tmp_path: Path, mark: str) -> None:
    readings, _ = read(tmp_path, CSV, text("m.csv", "\ufeffiteration,val/loss\r\n1,2.5\r\n".replace(",", mark)))
    assert (readings.score, readings.last_step) == (2.5, 1)


def test_a_file_that_is_written_anew_each_time_is_read_as_it_stands_at_the_end(tmp_path: Path) -> None:
    with Outputs(tmp_path) as outputs:
        readings = FileReadings(CSV, outputs)
        time.sleep(0.01)
        (tmp_path / "m.csv").write_text("step,val/loss\n0,5\n1,4\n")
        points = readings.read()
        (tmp_path / "new").write_text("step,val/loss\n0,5\n1,4\n2,3\n")
        os.replace(tmp_path / "new", tmp_path / "m.csv")
        points += readings.finish()
        readings.close()
    assert readings.score == 3 and [point.step for point in points] == [0, 1, 2]


def test_a_file_that_grows_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    line = '{"step": 1, "val_loss": 1.0, "pad": "' + "x" * 1000 + '"}\n'
    with pytest.raises(UnsafeOutput, match="bytes, more than the"):
        read(tmp_path, JSONL, text("m.jsonl", line * (FILE_LIMIT // len(line) + 2)))


def test_the_step_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    _, points = read(tmp_path, SelfReported("jsonl", "bpb", step="seen"), text("m.jsonl", '{"seen": 7, "step": 1, "bpb": 2}'))
    assert points[0].step == 7


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("**/*.jsonl", "a.jsonl", True),
        ("**/*.jsonl", "x/y/a.jsonl", True),
        ("*.jsonl", "x/a.jsonl", False),
        ("logs/*/m.csv", "logs/1/m.csv", True),
        ("logs/*/m.csv", "logs/1/2/m.csv", False),
        ("a.csv", "axcsv", False),
    ],
)
def test_a_star_stands_for_one_name_and_two_for_any_folders(pattern: str, path: str, meant: bool) -> None:
    assert matcher(pattern)(path) is meant


# TensorBoard.

EVENTS = SelfReported("tensorboard", "val/loss", facts={"speed": "tok/sec"})


def write_events(folder: Path) -> None:
    with SummaryWriter(str(folder / "runs" / "now")) as writer:
        for step in range(3):
            writer.add_scalar("train/loss", 3.0 - step, step)
            writer.add_scalar("tok/sec", 500.0, step)
        writer.add_scalar("val/loss", 1.5, 2, new_style=True)
        writer.add_histogram("weights", np.zeros(4), 2)
        writer.add_text("note", "hello", 2)


def test_scalars_of_event_files_are_points(tmp_path: Path) -> None:
    readings, points = read(tmp_path, EVENTS, write_events)
    assert readings.score == 1.5
    assert values_of(points, "train_loss") == [3, 2, 1]
    assert readings.named.facts() == {"tokens_per_second": 500.0}
    assert not readings.left_out.counts


def test_folders_of_event_files_give_their_series_a_name(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        for name, value in (("train", 2.0), ("val", 1.0)):
            with SummaryWriter(str(folder / "logs" / name)) as writer:
                writer.add_scalar("loss", value, 1)

    readings, points = read(tmp_path, EVENTS, write)
    assert readings.score == 1.0 and values_of(points, "train_loss") == [2.0]


def events_in(folder: Path) -> Path:
    return next(folder.rglob("*tfevents*"))


@pytest.mark.parametrize("place", [3, 30, -3])
def test_a_damaged_event_file_is_named_with_its_place(tmp_path: Path, place: int) -> None:
    def write(folder: Path) -> None:
        write_events(folder)
        content = bytearray(events_in(folder).read_bytes())
        content[place] ^= 0xFF
        events_in(folder).write_bytes(content)

    with pytest.raises(UnsafeOutput, match=r"events\.out.* is damaged at byte \d+: wrong checksum|…? ?is damaged"):
        read(tmp_path, EVENTS, write)


def test_an_event_file_that_was_cut_off_says_how_much_is_missing(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        write_events(folder)
        events_in(folder).write_bytes(events_in(folder).read_bytes()[:-5])

    readings, _ = read(tmp_path, EVENTS, write)
    assert list(readings.left_out.counts) == ["bytes of a record that was cut off at the end of its file"]


@pytest.mark.parametrize("length", [1 << 40, (1 << 64) - 1])
def test_a_record_that_claims_any_length_takes_no_memory(length: int) -> None:
    head = struct.pack("<Q", length)
    with pytest.raises(Damaged, match=f"a record of {length} bytes"):
        EventFile("e", LeftOut()).feed(head + struct.pack("<I", masked_crc32c(head)) + b"xxxx")


def test_a_record_that_is_no_event_is_named() -> None:
    data = b"\xff\xff\xff\xff"
    head = struct.pack("<Q", len(data))
    record = head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))
    with pytest.raises(Damaged, match="no event of TensorBoard"):
        EventFile("e", LeftOut()).feed(record)


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_event_files_are_read_as_they_grow(tmp_path: Path, piece: int) -> None:
    write_events(tmp_path)
    content = events_in(tmp_path).read_bytes()
    reader = EventFile("e", LeftOut())
    found = [record for at in range(0, len(content), piece) for record in reader.feed(content[at : at + piece])]
    assert [record.get("train/loss") for record in found if "train/loss" in record] == [3, 2, 1]


# Weights & Biases.

WANDB = SelfReported("wandb", "val/loss", facts={"device_memory": "peak_vram_mb MiB", "speed": "tok/sec"})


def test_the_history_of_an_offline_run_is_points_and_its_summary_final_figures(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        place = folder / "wandb" / "offline-run-20261130_065631-9nblj02y"
        place.mkdir(parents=True)
        (place / "run-9nblj02y.wandb").write_bytes(OFFLINE)
        (folder / "wandb" / "latest-run").symlink_to(place.name)

    readings, points = read(tmp_path, WANDB, write)
    assert readings.score == 2.5
    assert values_of(points, "train_loss") == pytest.approx([3.0, 2.9, 2.8, 2.7, 2.6])
    assert readings.named.facts() == {"tokens_per_second": 1002.0, "device_memory_said": 123.5 * 2**20}
    assert readings.last_step == 5


@pytest.mark.parametrize("piece", [1, 13, 100_000])
def test_offline_runs_are_read_as_they_grow(piece: int) -> None:
    reader = WandbFile("w", LeftOut())
    found = [record for at in range(0, len(OFFLINE), piece) for record in reader.feed(OFFLINE[at : at + piece])]
    assert [record["step"] for record in found] == [0, 1, 2, 3, 4, 5]
    assert reader.finish()[0]["peak_vram_mb"] == 123.5


def log_of(*records: bytes) -> bytes:
    """LevelDB's log with these records, across its blocks."""
    out = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        rest, first = record, True
        while True:
            left = (1 << 15) - len(out) % (1 << 15)
            if left < 7:
                out += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = 1 if first and not rest else 2 if first else 3 if rest else 4
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
            if not rest:
                break
    return bytes(out)


def history(value: str) -> bytes:
    item = b"\x12\x01x\x82\x01" + _length(len(value)) + value.encode()
    inner = b"\x0a" + _length(len(item)) + item
    return b"\x12" + _length(len(inner)) + inner


def _length(size: int) -> bytes:
    out = bytearray()
    while size > 127:
        out.append(size % 128 + 128)
        size //= 128
    return bytes([*out, size])


def test_records_across_blocks_are_put_together() -> None:
    padded = "1.5" + " " * 70_000
    reader = WandbFile("w", LeftOut())
    found = reader.feed(log_of(history("2.5"), history(padded), history("0.5")))
    assert [record["x"] for record in found] == [2.5, 1.5, 0.5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"something else altogether", "does not begin as an offline run"),
        (OFFLINE[:100] + b"\xff" + OFFLINE[101:], "is damaged at byte 91: wrong checksum|is damaged at byte"),
        (log_of(b"\xff\xff\xff"), "none of W&B's"),
        (log_of(b"")[:7] + struct.pack("<IHB", zlib.crc32(b"\x04"), 0, 4), "parts of a record in the wrong order"),
    ],
)
def test_what_is_no_offline_run_is_named(content: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        WandbFile("w", LeftOut()).feed(content)


# The project file.


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('source = "jsonl"\nfile = "/tmp/x.jsonl"', "line 3: metric.file: write a path below the output folder"),
        ('source = "jsonl"\nfile = "../x.jsonl"', "line 3: metric.file"),
        ('source = "nanogpt"\nkey = "val_loss"\nfile = "x.jsonl"', "file belongs to source = jsonl, csv, tensorboard, wandb"),
        ('source = "csv"\nfacts = { vram = "x MiB" }', "line 3: metric.facts: 'vram' is no fact that anything reads"),
        ('source = "csv"\nfacts = { device_memory = "x s" }', "'s' is no unit of device_memory; its units are B, kB"),
        ('facts = { speed = "tok/sec" }', 'source = "scored" has them'),
        ('source = "jsnl"', "line 2: metric.source"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_with_its_line(lines: str, said: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(f"[metric]\n{lines}\n", "project.toml")
    assert said in str(caught.value)


def test_a_project_file_names_file_step_and_facts() -> None:
    file = read_project_file(
        '[metric]\nsource = "tensorboard"\nkey = "val/loss"\nfile = "runs/**/*tfevents*"\n'
        'facts = { device_memory = "Peak use GiB" }\n'
        '[train]\ndirectory = "experiments"\n[data]\ncorpus = "none"\n'
    )
    scoring = file.scoring(Path())
    assert isinstance(scoring, SelfReported)
    assert (scoring.file, scoring.directory, scoring.facts) == (
        "runs/**/*tfevents*",
        "experiments",
        {"device_memory": "Peak use GiB"},
    )
    assert COPY == "tree"


def test_figures_that_are_printed_may_be_named_as_they_are_printed(rig: Rig) -> None:
    lines = ("step 00001 (1%) | loss: 2.0 | tok/sec: 1,588,751", "---", "val_bpb: 0.9", "peak_vram_mb: 10.5")
    source = "\n".join(f"print({line!r})" for line in lines)
    facts = {"speed": "tok/sec", "device_memory": "peak_vram_mb MiB"}
    result = trained(rig, source, SelfReported("autoresearch", "val_bpb", facts=facts))
    assert result.facts["tokens_per_second"] == 1588751 and result.facts["device_memory_said"] == 10.5 * 2**20


@pytest.mark.django_db
def test_memory_that_only_the_run_knows_is_a_guard_that_says_so() -> None:
    project = make_project()
    candidate = make_candidate(project)
    mine = list(candidate.revision.runs.all())
    theirs = list(project.tip().runs.of_baseline())[:2]
    for runs, size in ((mine, 30), (theirs, 20)):
        for run in runs:
            run.facts["device_memory_said"] = size * 2.0**30
    arms = Arms(theirs, mine)
    rows = {row.metric: row for row in guards_of(project, arms, of_same_minutes(theirs, mine))}
    row = rows["device_memory"]
    assert row.status == "exceeded" and SAID in row.note
