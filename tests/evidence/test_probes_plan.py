"""The plan of a scoring: what the two processes are asked, and what their answers say."""

from __future__ import annotations

import numpy as np
import pytest

from training.probes import CUTS, ROW_TOLERANCE, TOLERANCE, Kind, Plan, furthest, log_softmax, normalisation, plan, verdicts

SHAPES = [(506, 128, 32), (20, 128, 32), (512, 16, 32), (1, 8, 32), (64, 1, 16), (7, 300, 2)]  # windows, length, rows


def made(windows: int, length: int, rows: int, seed: int = 0, vocabulary: int = 256) -> tuple[np.ndarray, Plan]:
    random = np.random.default_rng(seed)
    tokens = random.integers(0, 90, (windows, length)).astype(np.uint8)
    return tokens, plan(tokens, rows, vocabulary, random)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_process_is_asked_every_window_once_in_another_order_and_nothing_else(shape: tuple[int, int, int]) -> None:
    _, drawn = made(*shape)
    assert sorted(drawn.first[drawn.scored]) == list(range(shape[0]))
    assert set(drawn.first.ravel()) == set(range(shape[0]))
    assert drawn.scored[:-1].all()
    if shape[0] > 10:
        assert list(drawn.first[drawn.scored]) != list(range(shape[0]))
        assert list(drawn.first[drawn.scored]) != list(made(*shape, seed=1)[1].first[drawn.scored])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_question_starts_like_a_window_of_the_first_process_and_is_compared_only_there(
    shape: tuple[int, int, int],
) -> None:
    tokens, drawn = made(*shape)
    second = drawn.second(tokens)
    for place in np.ndindex(drawn.kind.shape):
        asked_before = tokens[drawn.first[drawn.base_batch[place], drawn.base_row[place]]]
        np.testing.assert_array_equal(second[place][: drawn.cut[place]], asked_before[: drawn.cut[place]])
        assert 0 <= drawn.positions[place].min() <= drawn.positions[place].max() == drawn.cut[place] - 1
        assert drawn.base_row[place] == place[1] or drawn.kind[place] == Kind.row
        if drawn.kind[place] == Kind.ending and shape[0] > 2 and shape[1] > 1:
            assert second[place][drawn.cut[place]] != asked_before[drawn.cut[place]]


def test_a_probe_is_made_of_held_out_text_alone() -> None:
    tokens, drawn = made(506, 128, 32)
    windows = {row.tobytes() for row in tokens}
    for question, cut in zip(drawn.second(tokens).reshape(-1, 128), drawn.cut.ravel(), strict=True):
        head, tail = question[:cut].tobytes(), question[cut:].tobytes()
        assert any(window.startswith(head) for window in windows)
        assert any(window.endswith(tail) for window in windows)


def test_every_position_of_the_default_window_is_a_cut_in_every_scoring() -> None:
    _, drawn = made(506, 128, 32)
    endings = drawn.kind == Kind.ending
    assert endings.sum() == CUTS
    assert set(drawn.cut[endings]) == set(range(1, 128))
    assert (drawn.cut[~endings] == 128).all()


def test_the_first_batch_opens_and_closes_the_second_process() -> None:
    _, drawn = made(506, 128, 32)
    for batch, kind in ((0, Kind.again), (-1, Kind.last)):
        assert (drawn.kind[batch] == kind).all()
        np.testing.assert_array_equal(drawn.window[batch], drawn.first[0])


def test_windows_asked_late_come_from_the_second_half_of_the_first_process() -> None:
    _, drawn = made(506, 128, 32)
    assert (drawn.base_batch[drawn.kind == Kind.late] >= len(drawn.first) // 2).all()


def test_a_large_vocabulary_has_few_rows_compared_the_one_before_the_cut_always() -> None:
    _, drawn = made(100, 64, 8, vocabulary=50_000)
    assert drawn.positions.shape[-1] == 2
    assert (drawn.positions[..., 0] == drawn.cut - 1).all()


def test_log_softmax_and_the_furthest_difference_are_in_nats() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=-1), 1, rtol=1e-6)
    assert furthest(logits, logits + 7) == pytest.approx(0, abs=1e-6)  # the same distribution
    changed = logits.copy()
    changed[1] = np.log([0.5, 0.25, 0.25])
    assert furthest(logits, changed) == pytest.approx(np.log(1.5), rel=1e-5)


def verdicts_with(**worst: float) -> dict[str, bool]:
    kind = np.repeat(np.array(list(Kind)), 4)
    difference = np.array([worst.get(Kind(which).name, 0.0) if index == 0 else 0.0 for which in Kind for index in range(4)])
    return {name: probe.ok for name, probe in verdicts(kind, difference).items()}


@pytest.mark.parametrize(
    ("worst", "failed"),
    [
        ({}, set()),
        ({"again": TOLERANCE, "late": TOLERANCE, "ending": TOLERANCE, "row": ROW_TOLERANCE}, set()),
        ({"ending": 0.1}, {"causality"}),
        ({"again": 0.1}, {"determinism", "state", "causality"}),
        ({"last": 0.1}, {"state", "causality"}),
        ({"late": 0.1}, {"state", "causality"}),
        ({"neighbours": 0.1}, {"determinism", "causality"}),
        ({"neighbours": 0.1, "late": 0.1}, {"determinism", "state", "causality"}),
        ({"row": 0.1}, {"determinism"}),
    ],
    ids=lambda words: ", ".join(sorted(words)),  # in one order, so that two test processes call them the same
)
def test_a_probe_fails_by_what_differs_and_one_that_cannot_be_judged_does_not_pass(
    worst: dict[str, float], failed: set[str]
) -> None:
    assert {name for name, ok in verdicts_with(**worst).items() if not ok} == failed


def test_stated_probabilities_that_are_not_those_of_the_logits_fail_and_leave_nothing_to_judge() -> None:
    assert normalisation(0.0).ok
    assert not normalisation(0.1).ok
    rest = verdicts(np.array(list(Kind)), np.zeros(len(Kind)), comparable=False)
    assert not any(probe.ok for probe in rest.values())
    assert rest["causality"].told() == {
        "ok": False,
        "reason": "Not judged: the model's answers are not its logits.",
        "tolerance": TOLERANCE,
    }
