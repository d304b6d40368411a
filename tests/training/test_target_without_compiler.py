"""Training on the default target imports no compiler of torch, which takes a tenth of a run; who asks for it gets it."""

import subprocess
import sys

import pytest

from research_app.home import CODE

pytestmark = pytest.mark.one_in(4)  # each is long

TARGET = CODE / "training" / "targets" / "default"
BEGIN = """
import sys
import prepare, torch
torch._dynamo = sys.modules["torch._dynamo"] = stand_in = prepare.NoCompilerYet("torch._dynamo")
weight = torch.nn.Parameter(torch.zeros(2))
def step():
    optimiser = torch.optim.AdamW([weight], fused=True)
    weight.grad = torch.ones(2)
    optimiser.step()
    optimiser.zero_grad()
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-B", "-c", BEGIN + code], cwd=TARGET, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_an_optimiser_steps_without_it() -> None:
    assert "True" in run("step()\nprint(sys.modules['torch._dynamo'] is stand_in)")


@pytest.mark.parametrize(
    "asking",
    [
        "assert torch._dynamo.config is not None",
        "import torch._dynamo.config",
        "from torch._dynamo import explain",
        "compiled = torch.compile(lambda x: x + 1, backend='eager')\nassert compiled(torch.ones(1)).item() == 2.0",
    ],
)
def test_who_asks_for_it_gets_the_real_one_and_optimisers_go_on(asking: str) -> None:
    told = run(f"step()\n{asking}\nstep()\nprint(sys.modules['torch._dynamo'] is stand_in, weight.tolist()[0] < 0)")
    assert told.split() == ["False", "True"]
