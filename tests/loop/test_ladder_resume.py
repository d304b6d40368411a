"""A run that lost its machine goes on where it saved: in the default target to the last bit, and for any code that saves."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.training_samples import SCORING, Rig, small_corpus, small_target
from training.resume import carry_over
from training.runner import run_training
from training.sandbox import Level, best_level
from training.series import SERIES
from training.spec import Budget, Outcome, Point, RunResult, RunSpec

pytestmark = pytest.mark.one_in(2)  # each is long

BUDGET = Budget("train_flops", 2.4e9)
MEASURED = ("seconds", "tokens_per_second", "memory_mb")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("resume")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.fixture(scope="module")
def tree(rig: Rig) -> Path:
    return small_target(rig.folder / "tree")


def learned(points: list[Point]) -> list[tuple[int, dict[str, float]]]:
    """What a run logged, without what depends on the machine."""
    logged = [(p.step, {name: value for name, value in p.values.items() if name not in MEASURED}) for p in points]
    return [(step, values) for step, values in logged if set(values) > {"tokens", "flops"}]


def interrupted(spec: RunSpec) -> bool:
    """Train until it saved something, then take its machine away; whether it had saved."""
    saved = spec.scratch / "resume.safetensors"
    deadline = time.monotonic() + 60

    def stop() -> str | None:
        return "gone" if saved.exists() or time.monotonic() > deadline else None

    result = run_training(spec, lambda points: None, stop)
    assert result.outcome is Outcome.cancelled
    return saved.exists()


def gone_on(spec: RunSpec, folder: Path) -> tuple[RunResult, list[Point]]:
    """The next attempt, in a folder of its own."""
    points: list[Point] = []
    following = dataclasses.replace(spec, scratch=folder, drawn=folder.with_suffix(".json"))
    folder.mkdir()
    if spec.drawn is not None and spec.drawn.exists():
        shutil.copyfile(spec.drawn, folder.with_suffix(".json"))
    assert carry_over(spec.scratch, folder, 1 << 30) == ["resume.safetensors"]
    return run_training(following, points.extend, lambda: None), points


@pytest.mark.slow
def test_a_resumed_run_ends_as_if_nothing_had_happened(rig: Rig, tree: Path) -> None:
    whole = rig.run(tree, budget=BUDGET)
    spec = rig.spec(tree, budget=BUDGET, checkpoint_seconds=0.05)
    assert interrupted(spec)
    result, points = gone_on(spec, rig.folder / "second")
    assert result.outcome is Outcome.completed, result.log
    assert result.facts["resumed_from_step"] > 0 and "goes on at step" in result.log
    assert result.score == whole.score
    assert {name: result.facts[name] for name in ("steps", "tokens", "flops")} == {
        name: whole.facts[name] for name in ("steps", "tokens", "flops")
    }
    assert learned(points) == learned(rig.points), "and its curves have neither gap nor repetition"


def test_a_run_that_never_saved_begins_anew(rig: Rig, tree: Path, tmp_path: Path) -> None:
    spec = rig.spec(tree, budget=BUDGET)
    run_training(spec, lambda points: None, lambda: "gone")
    assert carry_over(spec.scratch, tmp_path, 1 << 30) == [] and list(tmp_path.iterdir()) == []
    assert carry_over(tmp_path / "never", tmp_path, 1 << 30) == []


@pytest.mark.slow
def test_what_else_changes_while_it_trains_is_kept_when_it_is_named(rig: Rig, tree: Path) -> None:
    text = (tree / "train.py").read_text()
    average = text.replace(
        "    optimiser = build_optimiser(model)\n",
        "    optimiser = build_optimiser(model)\n"
        "    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)\n"
        "    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=averaging)\n"
        "    run.keep(average)\n",
    ).replace("        optimiser.step()\n", "        optimiser.step()\n        average.update_parameters(model)\n")
    average = average.replace("run.finish(model)", "model.load_state_dict(average.module.state_dict())\n    run.finish(model)")
    assert average.count("average.") == 2 and average.count("(average)") == 1
    folder = rig.script(average, "averaged")
    (folder / "prepare.py").write_text((tree / "prepare.py").read_text())
    whole = rig.run(folder, budget=BUDGET)
    assert whole.outcome is Outcome.completed, whole.log
    spec = rig.spec(folder, budget=BUDGET, checkpoint_seconds=0.05)
    assert interrupted(spec)
    result, _ = gone_on(spec, rig.folder / "averaged-second")
    assert result.score == whole.score


def test_links_and_oversized_files_are_left_behind_and_the_run_begins_anew(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("the validation text")
    (before / SERIES).write_text("{}\n")
    (before / "resume.a").write_bytes(b"x" * 100)
    (before / "resume.link").symlink_to(secret)
    assert carry_over(before, after, 1 << 20) == [] and list(after.iterdir()) == []
    (before / "resume.link").unlink()
    assert carry_over(before, after, 50) == [] and list(after.iterdir()) == []
    os.mkfifo(before / "resume.pipe")
    assert carry_over(before, after, 1 << 20) == []
    (before / "resume.pipe").unlink()
    assert carry_over(before, after, 1 << 20) == ["resume.a"]
    assert (after / "resume.series.jsonl").read_text() == "{}\n"
    assert os.stat(after / "resume.a").st_mode & 0o444 == 0o444


def test_any_code_may_save_files_of_its_own_and_finds_them_again(rig: Rig) -> None:
    source = """
import os, time
out = os.environ["SIGNOFF_OUT"]
kept = os.path.join(out, "resume.counter")
begun = int(open(kept).read()) if os.path.exists(kept) else 0
for step in range(begun, 60):
    print(f"step {step} loss 1.0", flush=True)
    with open(kept + ".tmp", "w") as file:
        file.write(str(step))
    os.replace(kept + ".tmp", kept)
    time.sleep(0.02 if begun == 0 else 0)
print(f"score: {begun}.5", flush=True)
"""
    spec = rig.spec(rig.script(source, "counter"), scoring=SCORING, level=best_level(Level.none))
    seen: list[Point] = []
    enough = threading.Event()

    def count(points: object) -> None:
        seen.extend(points)  # type: ignore[arg-type]
        enough.set()

    run_training(spec, count, lambda: "gone" if enough.is_set() else None)
    folder = rig.folder / "counter-second"
    folder.mkdir()
    assert carry_over(spec.scratch, folder, 1 << 20) == ["resume.counter"]
    result = run_training(dataclasses.replace(spec, scratch=folder), lambda points: None, lambda: None)
    assert result.score is not None and result.score > 1, "it did not begin at step 0 again"
