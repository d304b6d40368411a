"""The default target on a GPU: bfloat16, compiled, charged for the same FLOPs, and of a size that fits.

There is no GPU here: the compiled pass is tried on a core, where PyTorch compiles and knows bfloat16 too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch

from research_app.loop.project import projects
from research_app.machine import fleet
from research_app.project_file.project_file import ProjectFile
from tests.nvml_samples import some_gpus
from training.targets import DEFAULT


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(DEFAULT))
    monkeypatch.setenv("SIGNOFF_DEVICE", "cuda:0")
    for name in ("prepare", "train"):
        sys.modules.pop(name, None)
    before = torch.autograd._engine_run_backward, torch.autograd.graph._engine_run_backward  # type: ignore[attr-defined]
    yield importlib.import_module("prepare")
    torch.autograd._engine_run_backward, torch.autograd.graph._engine_run_backward = before  # type: ignore[attr-defined]
    for name in ("prepare", "train"):
        sys.modules.pop(name, None)


class Steps:
    """Training steps by hand, charged by the target's own account, with and without compilation."""

    def __init__(self, prepare: Any, compiled: bool) -> None:
        train = importlib.import_module("train")
        torch.manual_seed(1)
        self.model = train.build_model()
        self.cost = prepare.StepCost(1)
        self.passes: list[str] = []
        if compiled:
            made = prepare.Compiled(self.model, self.cost, "cpu")
            made.fast, made.forward = self.noted("compiled", made.fast), self.noted("counted", made.forward)
        self.cost.leave_outside()

    def noted(self, name: str, forward: Any) -> Any:
        def call(tokens: torch.Tensor) -> Any:
            self.passes.append(name)
            return forward(tokens)

        return call

    def step(self) -> tuple[float, int, torch.dtype]:
        self.cost.begin()
        tokens = torch.arange(4 * 128).remainder(256).view(4, 128)
        self.cost.drawn((4, 128))
        logits = self.model(tokens)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
        loss.backward()
        return loss.item(), self.cost.end()[1], logits.dtype


@pytest.mark.one_in(3)
@pytest.mark.slow
def test_steps_are_compiled_and_cost_what_they_cost_uncompiled(prepare: Any) -> None:
    plain, fast = Steps(prepare, compiled=False), Steps(prepare, compiled=True)
    one = [plain.step() for _ in range(3)]
    two = [fast.step() for _ in range(3)]
    assert fast.passes == ["counted", "compiled", "compiled"], "the first step is measured, operation by operation"
    assert [flops for _, flops, _ in one] == [flops for _, flops, _ in two], "compiling is no cheaper on the budget"
    assert all(abs(a - b) < 0.05 for (a, _, _), (b, _, _) in zip(one, two, strict=True)), "bfloat16 is near float32"
    assert {dtype for _, _, dtype in two} == {torch.float32}
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in fast.model.parameters())
    assert fast.model.state_dict().keys() == plain.model.state_dict().keys(), "the checkpoint is the same model's"


def test_where_nothing_can_be_compiled_it_trains_on_and_says_so(
    prepare: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(torch, "compile", lambda forward: broken)
    steps = Steps(prepare, compiled=False)
    made = prepare.Compiled(steps.model, steps.cost, "cpu")
    flops = [steps.step()[1] for _ in range(3)]
    assert len(set(flops)) == 1 and made.trouble.startswith("RuntimeError: Failed to find C compiler. Please")
    assert capsys.readouterr().out.count("not compiled") == 1


def test_the_validation_loss_does_not_compile_once_more(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda forward: None)
    steps = Steps(prepare, compiled=False)
    prepare.Compiled(steps.model, steps.cost, "cpu")
    with torch.no_grad():
        assert steps.model(torch.zeros(2, 128, dtype=torch.long)).dtype == torch.float32


def test_a_batch_is_as_many_times_larger_as_the_rung_says(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepare.BATCH == 1

    class Text:
        def draw(self, size: int, mixture: dict[str, float], length: int) -> Any:
            return numpy.zeros((size, length), "int64")

    run = prepare.Run.__new__(prepare.Run)
    run.device, run.text = torch.device("cpu"), Text()
    monkeypatch.setattr(prepare, "BATCH", 64)
    assert run.batch(4, {})[0].shape == (256, 128)


@pytest.mark.parametrize(
    ("gib", "growth", "flops"), [(141, 16.0, 1e17), (80, 16.0, 1e17), (48, 12.0, 5e16), (24, 8.0, 2e16), (0, 8.0, 2e16)]
)
def test_its_size_fits_the_device(gib: int, growth: float, flops: float) -> None:
    file = ProjectFile.default_target("cuda", gib << 30)
    rung = file.rung("S")
    assert rung.environment == {"SIGNOFF_GROWTH": str(growth), "SIGNOFF_BATCH": "64"}
    assert (file.budget.amount, rung.device, rung.queue) == (flops, "cuda", "train.cuda")
    assert file.processes(rung) == 256, "compilers of kernels start processes"
    assert [r.name for r in file.rungs] == ["S", "M", "L"] and {r.device for r in file.rungs} == {"cuda"}
    assert ProjectFile.model_validate(file.model_dump()) == file


def test_a_machine_whose_cores_do_not_train_gets_the_default_target_for_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fleet, projects):
        monkeypatch.setattr(module, "gpus", lambda: some_gpus(8))
    monkeypatch.delenv("SIGNOFF_DEVICES", raising=False)
    assert projects.default_target_here() == ProjectFile.default_target("cuda", 141 << 30)
    monkeypatch.setenv("SIGNOFF_DEVICES", "cuda:4,cpu:1")
    assert projects.default_target_here() == ProjectFile.default_target()
    monkeypatch.setenv("SIGNOFF_DEVICES", "tpu")
    assert projects.default_target_here() == ProjectFile.default_target()
