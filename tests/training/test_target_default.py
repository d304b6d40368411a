"""The default target: the same seed gives the same run, the budget holds, and the log says what happened."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training_samples import TARGET, Rig, small_corpus, small_target, values_of
from training.corpus import DEFAULT_SOURCES, WINDOW
from training.spec import Budget, Outcome, Point, RunResult
from training.targets import BUDGET_FLOPS

TINY = 1.2e9  # FLOPs


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("target")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.fixture(scope="module")
def tree(rig: Rig) -> Path:
    return small_target(rig.folder / "tree")


@pytest.fixture(scope="module")
def first(rig: Rig, tree: Path) -> tuple[RunResult, list[Point]]:
    return rig.run(tree, seed=1, budget=Budget("train_flops", TINY)), rig.points


def learned(points: list[Point]) -> list[tuple[int, dict[str, float]]]:
    """What a run logged, without what depends on the machine's load."""
    measured = ("seconds", "tokens_per_second", "memory_mb")
    return [
        (point.step, values)
        for point in points
        if (values := {name: value for name, value in point.values.items() if name not in measured}).keys()
        > {"tokens", "flops"}
    ]


def test_a_run_trains_and_is_scored_overall_and_per_source(first: tuple[RunResult, list[Point]]) -> None:
    result, points = first
    assert (result.outcome, result.exit_code) == (Outcome.completed, 0), result.log
    assert result.score is not None
    assert not result.self_reported
    assert 3.0 < result.score < 8.0  # it learned something, and cannot know made-up words
    assert set(result.score_by_source) == {"verse", "prose", "code"}
    assert result.score == pytest.approx(sum(result.score_by_source.values()) / 3)
    losses = values_of(points, "train_loss")
    assert losses[-1] < losses[0]


def test_the_log_has_every_series(first: tuple[RunResult, list[Point]]) -> None:
    result, points = first
    names = {name for point in points for name in point.values}
    assert names >= {
        "train_loss",
        "val_loss",
        "lr",
        "grad_norm",
        "tokens_per_second",
        "memory_mb",
        "tokens",
        "flops",
        "seconds",
    }
    assert len(values_of(points, "val_loss")) >= 20
    assert len(values_of(points, "train_loss")) == result.facts["steps"]
    assert [point.step for point in points] == sorted(point.step for point in points)
    assert values_of(points, "val_loss")[-1] < values_of(points, "val_loss")[0]


def test_the_facts_say_what_was_built_and_used(first: tuple[RunResult, list[Point]], rig: Rig) -> None:
    facts = first[0].facts
    assert facts["data_hash"] == rig.corpus.data_hash
    assert (facts["layers"], facts["width"], facts["heads"]) == (1, 16, 2)
    assert facts["tokens"] == facts["steps"] * 4 * 128
    # token and position embeddings, one block (two norms, attention, perceptron), the final norm; the head is the embedding
    assert facts["parameters"] == 256 * 16 + 128 * 16 + (2 * 32 + 16 * 48 + 48 + 16 * 16 + 16 + 2 * 16 * 64 + 64 + 16) + 32
    # six FLOPs per weight of a matrix and token, and attention: 2 products forward, 4 backward, of 2 * T * width each
    matrices = 16 * 48 + 16 * 16 + 2 * 16 * 64 + 16 * 256
    assert facts["flops_per_token"] == 6 * matrices + 6 * 2 * 128 * 16


def test_the_budget_is_used_up_and_not_exceeded(first: tuple[RunResult, list[Point]]) -> None:
    facts = first[0].facts
    per_step = facts["flops_per_token"] * 4 * 128
    assert TINY - per_step < facts["flops"] <= TINY


def test_the_same_seed_gives_the_same_run_to_the_last_bit(first: tuple[RunResult, list[Point]], rig: Rig, tree: Path) -> None:
    again = rig.run(tree, seed=1, budget=Budget("train_flops", TINY))
    assert again.score == first[0].score
    assert learned(rig.points) == learned(first[1])


def test_another_seed_gives_another_run(first: tuple[RunResult, list[Point]], rig: Rig, tree: Path) -> None:
    other = rig.run(tree, seed=2, budget=Budget("tokens", 20 * 512))
    assert other.outcome is Outcome.completed
    assert learned(rig.points)[0] != learned(first[1])[0]
    assert other.facts["tokens"] == 20 * 512


def test_a_wall_clock_budget_ends_the_run_in_time(rig: Rig, tree: Path) -> None:
    result = rig.run(tree, budget=Budget("wall_seconds", 1.0))
    assert result.outcome is Outcome.completed
    assert 0.9 < result.facts["loop_seconds"] < 10


def test_a_diverging_run_stops_itself_as_not_finite(rig: Rig) -> None:
    tree = edited(
        rig, "diverging", "loss.backward()", "loss = loss * (float('nan') if progress > 0.3 else 1)\n        loss.backward()"
    )
    result = rig.run(tree)
    assert (result.outcome, result.score) == (Outcome.not_finite, None)
    assert "train_loss became nan at step" in result.reason
    assert "stopped: train_loss became nan" in result.log


def test_an_unknown_source_in_the_mixture_is_named(rig: Rig) -> None:
    result = rig.run(edited(rig, "mixture", '"verse": 1.0', '"poems": 1.0'))
    assert result.outcome is Outcome.crashed
    assert "the mixture names poems; the corpus has verse, prose, code" in result.reason


def edited(rig: Rig, name: str, old: str, new: str) -> Path:
    tree = small_target(rig.folder / name)
    source = (tree / "train.py").read_text()
    assert source.count(old) == 1
    (tree / "train.py").write_text(source.replace(old, new))
    return tree


BY_HAND = """
import json, os, sys, torch
import prepare, train

seen = {}
train.build_model()
seen["left by build_model"] = os.path.exists(os.environ["SIGNOFF_OUT"])
try:
    train.main()
except SystemExit as stop:
    seen["without data"] = stop.code

os.environ["SIGNOFF_DATA"] = sys.argv[1]
os.environ["SIGNOFF_BUDGET"] = "2e9"
run = prepare.start()
texts = {name: bytes(part) for name, part in run.text.sources.items()}
seen["drawn"] = dict.fromkeys(texts, 0)
for _ in range(10):
    inputs, targets = run.batch(8, {"verse": 3.0, "prose": 1.0, "code": 0.0})
    assert inputs.shape == targets.shape == (8, prepare.CONTEXT)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    for row in inputs:
        seen["drawn"][next(name for name, text in texts.items() if bytes(row.tolist()) in text)] += 1

table = torch.nn.Parameter(torch.zeros(8, 256))
class Model(torch.nn.Module):
    def forward(self, tokens):
        return torch.nn.functional.one_hot(tokens, 256).float() @ table.T @ table
model, charged = Model(), [0]
run = prepare.start()
shapes = [[(4, 128)], [(4, 64)], [(2, 64), (2, 64)], [(4, 64)], [(2, 64), (2, 64)]]
for (step, _), drawn in zip(run.training_steps(model), shapes * 2):
    charged.append(run.tokens)
    for size, length in drawn:
        model(run.batch(size, {"verse": 1.0}, length)[0]).sum().backward()
seen["tokens of steps"] = [later - earlier for earlier, later in zip(charged[1:], charged[2:])]
seen["flops per token"] = run.flops / run.tokens
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def by_hand(rig: Rig, tree: Path) -> dict[str, Any]:
    """What a person sees who uses the target's files in a checkout, without the runner."""
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "SIGNOFF_OUT": str(rig.folder / "by-hand")}
    command = [sys.executable, "-c", BY_HAND, str(rig.corpus.visible)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def test_without_data_a_person_is_told_what_to_set(by_hand: dict[str, Any]) -> None:
    assert by_hand["without data"].startswith("SIGNOFF_DATA is not set: name the `visible` folder")


def test_build_model_has_no_side_effects(by_hand: dict[str, Any]) -> None:
    assert not by_hand["left by build_model"]


def test_batches_follow_the_mixture_weights_exactly(by_hand: dict[str, Any]) -> None:
    assert by_hand["drawn"] == {"verse": 60, "prose": 20, "code": 0}


def test_steps_of_changing_shape_are_charged_what_they_cost(by_hand: dict[str, Any]) -> None:
    assert by_hand["tokens of steps"] == [512, 256, 256, 256, 256, 512, 256, 256, 256]
    # two products of 256 x 8 per token forward; backward, the weight in both and the input of the second
    assert by_hand["flops per token"] == 2 * 256 * 8 * 5


def constants(path: Path) -> dict[str, Any]:
    """The module-level assignments of plain literals."""
    assignments = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in assignments
        if isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant | ast.Dict)
        and all(isinstance(part, ast.Constant) for part in getattr(node.value, "values", ()))
    }  # fmt: skip


def test_constants_are_plain_literals_at_the_top_and_name_every_source() -> None:
    found = constants(TARGET / "train.py")
    assert found.keys() >= {"LAYERS", "WIDTH", "HEADS", "BATCH_SIZE", "LEARNING_RATE", "WEIGHT_DECAY", "BETA2", "WARMUP"}
    assert found["MIXTURE"].keys() == DEFAULT_SOURCES.keys()
    assert found["WIDTH"] % found["HEADS"] == 0


def test_the_target_and_its_surroundings_agree_on_budget_and_context() -> None:
    found = constants(TARGET / "prepare.py")
    assert (found["BUDGET_FLOPS"], found["CONTEXT"]) == (BUDGET_FLOPS, WINDOW)
