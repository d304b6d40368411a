"""A real run of the default target, small and short, on a machine as busy as it happens to be: nothing above info."""

from __future__ import annotations

from pathlib import Path

import pytest

from research_app.loop.train.points import columns
from tests.training_samples import Rig, small_corpus, small_target
from training.detectors import Circumstances, RunRecord, device_peak_flops, examine, gate_overlap
from training.detectors.edits import examine_changes
from training.detectors.source import FileEdit
from training.spec import Budget, Outcome
from training.targets import DEFAULT

BUDGET = Budget("train_flops", 6e9)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("detectors")
    return Rig(folder, small_corpus(folder / "data"))


def record(rig: Rig, tree: Path, seed: int) -> RunRecord:
    result = rig.run(tree, seed=seed, budget=BUDGET)
    assert result.outcome == Outcome.completed, result.reason
    return RunRecord(columns(rig.points), result.facts, result.score, result.train_seconds)


@pytest.mark.one_in(2)
def test_a_real_run_beside_its_baseline_raises_nothing_above_info(rig: Rig, tmp_path: Path) -> None:
    tree = small_target(tmp_path / "tree")
    read = [path.read_bytes() for path in sorted(tree.glob("*.py"))]
    overlap = gate_overlap(read, rig.corpus.gate.read_bytes(), 129)
    baseline = [record(rig, tree, seed=1)]
    run = record(rig, tree, seed=2)

    findings = examine(run, Circumstances(baseline, BUDGET, device_peak_flops("cpu", cpu_cores=1), 4 << 30, overlap, overlap))

    assert len(run.curve("train_loss")) > 100
    assert [finding.sentence for finding in findings if finding.level != "info"] == []


def test_the_smaller_target_of_the_tests_is_a_harmless_edit_of_the_default_one(tmp_path: Path) -> None:
    after = (small_target(tmp_path / "tree") / "train.py").read_text()

    findings = examine_changes([FileEdit("train.py", (DEFAULT / "train.py").read_text(), after)], ("prepare.py",))

    assert {finding.level for finding in findings} == {"info"}  # the mixture of sources is another one
