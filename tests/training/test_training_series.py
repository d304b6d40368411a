"""What a run writes is untrusted: only plain files, only finite numbers, only so much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training_samples import Rig, small_corpus
from training import series
from training.left_out import NO_POINT
from training.series import SERIES, Outputs, SeriesReader, UnsafeOutput
from training.spec import Budget, Outcome, Point


@pytest.fixture
def outputs(tmp_path: Path) -> Iterator[Outputs]:
    with Outputs(tmp_path) as opened:
        yield opened


@pytest.fixture
def reader(outputs: Outputs) -> Iterator[SeriesReader]:
    opened = SeriesReader(outputs)
    yield opened
    opened.close()


def test_points_are_read_as_they_are_written(tmp_path: Path, reader: SeriesReader) -> None:
    assert reader.read() == []
    with (tmp_path / SERIES).open("w") as file:
        file.write('{"step": 0, "train_loss": 5.5, "lr": 0.001}\n{"step": 1, "tra')
        file.flush()
        assert reader.read() == [Point(0, {"train_loss": 5.5, "lr": 0.001})]
        assert reader.read() == []
        file.write('in_loss": 5}\n{"facts": {"steps": 2, "torch": "2.13"}}\n')
        file.flush()
        assert reader.read() == [Point(1, {"train_loss": 5.0})]
    assert reader.facts == {"steps": 2, "torch": "2.13"}
    assert not reader.left_out.counts


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1, 2]",
        b'{"train_loss": 1}',
        b'{"step": -1}',
        b'{"step": "1"}',
        b'{"step": 1e400}',
        b"\xff\xfe",
        b"[" * 9000,
    ],
)
def test_lines_that_are_no_points_are_counted_and_left_out(tmp_path: Path, reader: SeriesReader, line: bytes) -> None:
    (tmp_path / SERIES).write_bytes(line + b'\n{"step": 3, "x": 1}\n')
    assert reader.read() == [Point(3, {"x": 1.0})]
    assert reader.left_out.counts == {NO_POINT: 1}


def test_values_that_are_no_finite_numbers_are_left_out(tmp_path: Path, reader: SeriesReader) -> None:
    values = '"nan": NaN, "inf": -Infinity, "text": "1", "flag": true, "list": [1], "huge": 1' + "0" * 400 + ', "good": -0.5'
    (tmp_path / SERIES).write_text('{"step": 3, "\\u0007": 1, "' + "n" * 65 + '": 1, ' + values + "}\n")
    assert reader.read() == [Point(3, {"good": -0.5})]


def test_facts_are_short_and_printable(tmp_path: Path, reader: SeriesReader) -> None:
    (tmp_path / SERIES).write_text(
        '{"facts": {"a": "fine", "b": "\\u001b[31m", "c": "' + "x" * 201 + '", "d": NaN, "e": {"f": 1}, "g": 7}}\n'
    )
    reader.read()
    assert reader.facts == {"a": "fine", "g": 7}


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere")


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [make_link, make_dangling_link, os.mkfifo, make_folder])
def test_a_series_that_is_no_plain_file_is_refused(tmp_path: Path, reader: SeriesReader, make: object) -> None:
    assert callable(make)
    make(tmp_path / SERIES)
    with pytest.raises(UnsafeOutput, match=r"series\.jsonl"):
        reader.read()


def test_a_series_that_grows_without_end_is_refused(
    tmp_path: Path, reader: SeriesReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "SERIES_LIMIT", 10_000)
    (tmp_path / SERIES).write_text('{"step": 1, "x": 1}\n' * 400)
    assert len(reader.read()) == 400
    with (tmp_path / SERIES).open("a") as file:
        file.write('{"step": 1, "x": 1}\n' * 400)
    with pytest.raises(UnsafeOutput, match="grew beyond the 10000 bytes"):
        reader.read()


def test_the_folder_of_a_run_cannot_be_swapped_for_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / SERIES).write_text('{"step": 1, "x": 1}\n')
    with Outputs(tmp_path / "scratch") as outputs:
        (tmp_path / "scratch").rename(tmp_path / "moved")
        (tmp_path / "scratch").symlink_to("elsewhere")
        assert outputs.open(SERIES, 1000) is None


def test_a_run_whose_series_is_a_pipe_is_ended_and_has_no_score(tmp_path: Path) -> None:
    rig = Rig(tmp_path, small_corpus(tmp_path / "data"))
    script = "import os, time; os.mkfifo(os.environ['SIGNOFF_OUT'] + '/series.jsonl'); time.sleep(600)"
    result = rig.run(rig.script(script))
    assert result.outcome is Outcome.no_score
    assert result.reason == "The run's output was refused: series.jsonl is not a plain file."


def test_outputs_of_an_earlier_attempt_do_not_count(tmp_path: Path) -> None:
    rig = Rig(tmp_path, small_corpus(tmp_path / "data"))
    spec = rig.spec(rig.script("pass"))
    (spec.scratch / SERIES).write_text('{"step": 1, "x": 1}\n')
    from training.runner import run_training

    result = run_training(spec, rig.points.extend, lambda: None)
    assert (result.outcome, rig.points) == (Outcome.no_score, [])


@pytest.mark.parametrize(("kind", "amount"), [("epochs", 1), ("tokens", 0), ("tokens", float("inf")), ("tokens", float("nan"))])
def test_a_budget_that_makes_no_sense_is_named(kind: object, amount: float) -> None:
    with pytest.raises(ValueError, match=r"budget kind 'epochs' is unknown|must be a positive, finite number"):
        Budget(kind, amount)  # type: ignore[arg-type]
