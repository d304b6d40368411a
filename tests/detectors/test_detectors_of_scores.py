"""A score that the run itself contradicts, and gate text among what a run could read."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detectors_samples import beside, changed, honest
from training.detectors import Circumstances, Finding, Overlap, RunRecord, examine, gate_overlap
from training.detectors.overlap import NGRAM, PIECE
from training.detectors.scores import COPIED, USUAL_OVERLAP

WINDOW = 129


def found(run: RunRecord, detector: str, circumstances: Circumstances | None = None) -> list[Finding]:
    return [finding for finding in examine(run, circumstances or beside()) if finding.detector == detector]


def scored(run: RunRecord, factor: float) -> RunRecord:
    return RunRecord(run.series, run.facts, (run.score or 0) * factor, run.train_seconds)


@pytest.mark.parametrize(("factor", "word"), [(1.08, "better than the trusted"), (0.92, "worse than the trusted")])
def test_a_run_that_tells_another_score_than_was_measured_is_a_warning(factor: float, word: str) -> None:
    (finding,) = found(scored(honest(), factor), "told and measured")

    assert (finding.level, finding.series, finding.step_to) == ("warning", "val_loss", 1999)
    assert word in finding.sentence


def test_the_baselines_own_difference_is_expected() -> None:
    shifted = [scored(honest(seed), 1.3) for seed in range(4)]

    assert found(shifted[0], "told and measured", beside(*shifted[1:])) == []
    assert len(found(shifted[0], "told and measured", Circumstances())) == 1


def test_a_printed_figure_counts_before_the_curve() -> None:
    run = honest()
    lying = RunRecord(run.series, {**run.facts, "val_bpb": 1.0}, run.score)

    (finding,) = found(lying, "told and measured")

    assert finding.sentence.startswith("The run's own val_bpb says 1.0000 bits per byte, the scorer measured")


@pytest.mark.parametrize("score", [None, 0.0, float("nan"), float("inf")])
def test_without_a_usable_score_nothing_is_compared(score: float | None) -> None:
    assert found(RunRecord(honest().series, score=score), "told and measured") == []


def test_a_made_up_validation_curve_is_noticed() -> None:
    assert len(found(changed(honest(), "val_loss", lambda values: 0.5 * values), "told and measured")) == 1


@pytest.mark.parametrize(
    ("windows", "level"), [(15, None), (int(1000 * COPIED), "warning"), (11 + int(1000 * COPIED), "invalid")]
)
def test_gate_text_beyond_the_baselines_is_judged_by_how_much_it_is(windows: int, level: str | None) -> None:
    circumstances = Circumstances(overlap=Overlap(1000, windows, NGRAM, "abc"), baseline_overlap=Overlap(1000, 10, NGRAM))

    assert [f.level for f in found(honest(), "gate text read", circumstances)] == [level] * (level is not None)


def test_without_a_baseline_what_is_usual_for_code_is_no_finding() -> None:
    usual = int(1000 * USUAL_OVERLAP)

    assert found(honest(), "gate text read", Circumstances(overlap=Overlap(1000, usual, NGRAM))) == []
    assert len(found(honest(), "gate text read", Circumstances(overlap=Overlap(1000, usual + 20, NGRAM)))) == 1


def text(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, WINDOW * 19),
    length=st.integers(1, 200),
    before=st.integers(0, 300),
    ngram=st.integers(2, WINDOW),
)
def test_exactly_the_windows_that_share_an_ngram_are_counted(start: int, length: int, before: int, ngram: int) -> None:
    gate = bytes(letter % 7 for letter in text(1, WINDOW * 20))  # few letters, so that short n-grams occur by chance
    read = [bytes(letter % 7 for letter in text(2, before)) + gate[start : start + length], b"", b"short"]
    windows = [gate[at : at + WINDOW] for at in range(0, len(gate), WINDOW)]
    grams = {piece[at : at + ngram] for piece in read for at in range(len(piece) - ngram + 1)}
    expected = sum(any(window[at : at + ngram] in grams for at in range(WINDOW - ngram + 1)) for window in windows)

    assert gate_overlap(read, gate, WINDOW, ngram).shared == expected


def test_a_copy_across_two_pieces_of_a_long_text_is_found() -> None:
    gate = text(1, WINDOW * 10)

    def read() -> Iterator[bytes]:
        yield text(2, PIECE - 50) + gate[:WINDOW] + text(3, 1000)

    assert gate_overlap(read(), gate, WINDOW).shared == 1
    assert gate_overlap([text(2, PIECE + 5000)], gate, WINDOW).shared == 0


def test_a_gate_that_is_not_made_of_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="130 bytes of gate text are no whole windows of 129 bytes"):
        gate_overlap([b"x"], bytes(130), WINDOW)
