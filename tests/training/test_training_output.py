"""What self-reported projects print: autoresearch's and nanochat's formats, and patterns of one's own."""

from __future__ import annotations

import pytest

from training.line_patterns import FormatError
from training.output import OutputParser
from training.spec import Point, SelfReported

AUTORESEARCH = (
    b"Model config: depth 8\nCompiling...\n"
    b"\rstep 00000 (0.0%) | loss: 9.011000 | lrm: 1.00 | dt: 12034ms | tok/sec: 43,567 | mfu: 1.2% | epoch: 1 "
    b"| remaining: 300s    "
    b"\rstep 00001 (0.2%) | loss: 8.540000 | lrm: 0.99 | dt: 330ms | tok/sec: 1,588,751 | mfu: 41.0% | epoch: 1 "
    b"| remaining: 299s    "
    b"\nTraining completed\n---\nval_bpb:          0.997900\ntraining_seconds: 300.1\npeak_vram_mb:     45060.2\n"
    b"total_tokens_M:   499.6\nnum_steps:        953\ndepth:            8\n"
)
NANOCHAT = b"""
Step 00000 | Validation bpb: 3.234500
step 00000/21400 (0.00%) | loss: 11.090355 | lrm: 0.10 | dt: 9000.00ms | tok/sec: 58,254 | bf16_mfu: 5.10 | total time: 0.00m
step 00001/21400 (0.00%) | loss: 10.7 | lrm: 0.2 | dt: 500.00ms | tok/sec: 1,048,576 | bf16_mfu: 47.50 | eta: 178.0m
Step 00002 | Validation bpb: 1.102300
Step 00002 | CORE metric: 0.1234
Step 00004 | Validation bpb: 1.150000
Peak memory usage: 12345.67MiB
Total training time: 99.20m
Minimum validation bpb: 1.102300
"""


def parse(scoring: SelfReported, text: bytes, piece: int) -> tuple[list[Point], OutputParser]:
    parser = OutputParser(scoring)
    points = [point for start in range(0, len(text), piece) for point in parser.feed(text[start : start + piece])]
    return points + parser.finish(), parser


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_autoresearch_output_is_read_however_it_arrives(piece: int) -> None:
    points, parser = parse(SelfReported("autoresearch", "val_bpb"), AUTORESEARCH, piece)
    assert [point.step for point in points] == [0, 1]
    assert points[1].values == {
        "train_loss": 8.54, "lr_multiplier": 0.99, "step_ms": 330.0, "tokens_per_second": 1588751.0, "mfu_percent": 41.0,
        "epoch": 1.0,
    }  # fmt: skip
    assert parser.score == 0.9979
    assert parser.final["num_steps"] == 953
    assert parser.final["peak_vram_mb"] == 45060.2


def test_lines_before_the_summary_are_not_final_figures() -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), b"val_bpb: 0.1\nstep 3 (1%) | loss: 2.0\n", 4)
    assert parser.score is None


def test_nanochat_output_scores_the_last_validation_not_the_luckiest() -> None:
    points, parser = parse(SelfReported("nanochat", "val_bpb"), NANOCHAT, 64)
    assert parser.score == 1.15
    assert parser.final["min_val_bpb"] == 1.1023
    assert parser.final["peak_memory_mib"] == 12345.67
    assert [(p.step, p.values["val_bpb"]) for p in points if "val_bpb" in p.values] == [(0, 3.2345), (2, 1.1023), (4, 1.15)]
    assert [p.values["train_loss"] for p in points if "train_loss" in p.values] == [11.090355, 10.7]
    assert [p.values["core_metric"] for p in points if "core_metric" in p.values] == [0.1234]


def test_a_pattern_names_points_and_final_figures() -> None:
    scoring = SelfReported("pattern", "accuracy", r"it=(?P<step>\d+) L=(?P<train_loss>\S+)|accuracy (?P<accuracy>[\d.]+)%")
    points, parser = parse(scoring, b"it=10 L=2.5e-1\nnoise\nit=20 L=.125 it=30 L=0.1\naccuracy 91.5%\n", 5)
    assert [(point.step, dict(point.values)) for point in points] == [
        (10, {"train_loss": 0.25}),
        (20, {"train_loss": 0.125}),
        (30, {"train_loss": 0.1}),
    ]
    assert parser.score == 91.5


def test_a_last_line_without_an_end_counts() -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), b"---\nval_bpb: 0.75", 3)
    assert parser.score == 0.75


@pytest.mark.parametrize(
    "text", [b"step 7 (1%) | loss: nan | dt: 3ms\n", b"step 7 (1%) | loss: -inf\n", b"---\nval_bpb: inf\n"]
)
def test_a_loss_or_metric_that_is_not_finite_is_remembered_and_not_passed_on(text: bytes) -> None:
    points, parser = parse(SelfReported("autoresearch", "val_bpb"), text, 3)
    assert parser.not_finite
    assert parser.score is None
    assert all("train_loss" not in point.values for point in points)


@pytest.mark.parametrize(
    "text", [b"step 1 (0%) | loss: 2 | mfu: inf\n", b"step 1 | \n", b"step x | loss: 1\n", b"\xff\xfe\x00\n"]
)
def test_odd_lines_are_no_error(text: bytes) -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), text, 2)
    assert parser.not_finite == ""


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    parser = OutputParser(SelfReported("autoresearch", "val_bpb"))
    for _ in range(100):
        parser.feed(b"x" * 10_000)
    assert parser.feed(b"\nstep 1 (0%) | loss: 2.0\n") == [Point(1, {"train_loss": 2.0})]


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (
            SelfReported("csv", "loss"),
            "output format 'csv' is unknown; use one of: autoresearch, nanochat, nanogpt, modded-nanogpt, pattern",
        ),
        (SelfReported("pattern", "loss", r"(?P<loss>"), "is not a regular expression"),
        (SelfReported("pattern", "loss", r"loss \d+"), "has no named group"),
    ],
)
def test_a_bad_format_says_what_is_wrong(scoring: SelfReported, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        OutputParser(scoring)


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("1,050.25", 1050.25),
        ("1_050.25", 1050.25),
        ("-1,050,000", -1_050_000),
        ("50.3%", 50.3),
        ("512ms", 512),
        ("1.05,", 1.05),
        ("1.", 1),
        (".5e-3", 0.0005),
        ("5e-324", 5e-324),
        ("-0.0", 0),
    ],
)
def test_a_number_is_read_whole(printed: str, value: float) -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), f"---\nval_bpb: {printed}\n".encode(), 3)
    assert parser.score == value and not parser.no_number


@pytest.mark.parametrize(
    "printed", ["1,05", "1_0.3", "1.2.3", "1050,000", "0x1f", "1,0500", "12_34", "hello", "tensor(1.05)", "-"]
)
def test_what_is_no_number_is_never_read_as_its_beginning(printed: str) -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), f"---\nval_bpb: {printed}\n".encode(), 3)
    assert parser.score is None and parser.no_number == printed and not parser.not_finite


def test_a_number_of_400_digits_is_told_by_its_beginning() -> None:
    _, parser = parse(SelfReported("autoresearch", "val_bpb"), b"---\nval_bpb: 1" + b"0" * 400 + b"\n", 7)
    assert parser.ran_away and parser.not_finite == f"the run printed val_bpb = 1{'0' * 39}…"


NANOGPT = b"""step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.2659, time 32000.11ms, mfu -100.00%
iter 10: loss 3.1459, time 12.50ms, mfu 1.20%
step 250: train loss 1.9621, val loss 2.0667
saving checkpoint to out-shakespeare-char
"""
MODDED = b"""step:0/1750 val_loss:10.8258 train_time:0ms step_avg:nanms
step:1/1750 train_time:142ms step_avg:142.43ms
step:1750/1750 val_loss:3.2791 train_time:180012ms step_avg:102.86ms
peak memory allocated: 30000 MiB reserved: 31000 MiB
"""


@pytest.mark.parametrize("piece", [1, 13, 100_000])
def test_nanogpts_steps_and_iterations_are_points_and_the_last_validation_is_the_score(piece: int) -> None:
    points, parser = parse(SelfReported("nanogpt", "val_loss"), NANOGPT, piece)
    assert [point.step for point in points] == [0, 0, 10, 250]
    assert points[3].values == {"train_loss": 1.9621, "val_loss": 2.0667}
    assert points[2].values == {"batch_loss": 3.1459, "step_ms": 12.5, "mfu_percent": 1.2}
    assert parser.score == 2.0667


@pytest.mark.parametrize("piece", [1, 13, 100_000])
def test_modded_nanogpts_steps_are_points_whether_they_validate_or_not(piece: int) -> None:
    points, parser = parse(SelfReported("modded-nanogpt", "val_loss"), MODDED, piece)
    assert [point.step for point in points] == [0, 1, 1750]
    assert points[1].values == {"train_ms": 142.0, "step_ms": 142.43}
    assert parser.score == 3.2791 and not parser.not_finite
