"""Risky edits are found on the syntax tree, on their line of the new file; honest research passes without a warning."""

from __future__ import annotations

import re

import pytest

from training.detectors import FileEdit, Finding, examine_changes
from training.detectors.edits import MOST
from training.targets import DEFAULT

TRAIN = (DEFAULT / "train.py").read_text()
PROTECTED = ("prepare.py", "program.md")

HONEST = {
    "a knob": ("LEARNING_RATE = 8e-3", "LEARNING_RATE = 6e-3"),
    "the batch": ("BATCH_SIZE = 4 ", "BATCH_SIZE = 8 "),
    "the mixture of sources": ('"science": 1.0', '"science": 2.0'),
    "another activation": ("F.gelu(self.mlp_in(self.norm2(x)))", "F.relu(self.mlp_in(self.norm2(x))).square()"),
    "shorter sequences early on": (
        "run.batch(BATCH_SIZE, MIXTURE)",
        "run.batch(BATCH_SIZE, MIXTURE, 64 if progress < 0.5 else prepare.CONTEXT)",
    ),
    "another initialisation": (
        "nn.init.normal_(module.weight, std=INIT_STD)",
        "nn.init.trunc_normal_(module.weight, std=INIT_STD)",
    ),
    "dropout elsewhere": ("x = self.token(tokens) +", "x = F.dropout(self.token(tokens), DROPOUT, self.training) +"),
    "noise in the forward pass": (
        "return self.head(self.norm(x))",
        "return self.head(self.norm(x + 0.01 * torch.randn_like(x)))",
    ),
    "averaged weights": (
        "        optimiser.step()\n",
        "        optimiser.step()\n        torch._foreach_lerp_(average, list(model.parameters()), 0.01)\n",
    ),
    "a renamed model": (r"\bmodel\b", "network"),
    "a renamed run": (r"\brun\b", "training"),
    "renamed batches": (r"\b(inputs|targets)\b", r"\1_of_step"),
    "another name of an import": (r"\bprepare\b(?=\.)", "harness"),
    "a comment about seeds and budgets": (
        "    run = prepare.start()",
        "    # seed, budget, evaluation: open('x')\n    run = prepare.start()",
    ),
    "a fast matrix product": (
        "    run = prepare.start()",
        '    torch.backends.cuda.matmul.fp32_precision = "tf32"\n    run = prepare.start()',
    ),
}

# A line put before the model is built, and the detector that must see it.
RISKY_LINES = {
    "a seed of its own": ("torch.manual_seed(1337)", "random-number edit"),
    "a seed by another name": ("from torch import manual_seed as once; once(7)", "random-number edit"),
    "a generator of its own": ("generator = torch.Generator()", "random-number edit"),
    "the seed of the run": ("run.seed += 1", "random-number edit"),
    "a larger budget": ("run.budget *= 2", "edit near the budget"),
    "a count set back": ("run.flops = 0", "edit near the budget"),
    "the watch text": ("text = run.watch_text[:, :-1]", "edit near the evaluation"),
    "another evaluation": ("run.watch_loss = lambda model: 0.1", "edit near the evaluation"),
    "another data set": ("dataset = run.text", "edit near the data"),
    "a file of weights": ("weights = torch.load('w.pt')", "outside access"),
    "a file of numbers": ("import numpy as n; n.memmap('x')", "outside access"),
    "the environment": ("import os; home = os.environ['HOME']", "outside access"),
    "a process": ("import subprocess", "outside access"),
    "a thread": ("from concurrent.futures import ThreadPoolExecutor", "outside access"),
    "evaluated text": ("eval('1')", "outside access"),
    "the interpreter": ("run.__dict__.clear()", "outside access"),
    "another cross-entropy": ("F.cross_entropy = min", "replaced code"),
    "another counter": ("prepare.StepCost.end = lambda self: (0, 1)", "replaced code"),
    "a module replaced": ("import sys; sys.modules['prepare'] = run", "replaced code"),
}


def edited(old: str, new: str) -> str:
    """The default train.py with a replacement, or with a regular expression replaced everywhere."""
    if old in TRAIN:
        return TRAIN.replace(old, new)
    text = re.sub(old, new, TRAIN)
    assert text != TRAIN
    return text.replace("import prepare\n", "import prepare as harness\n") if new == "harness" else text


def found_in(after: str, before: str = TRAIN, path: str = "train.py") -> tuple[Finding, ...]:
    return examine_changes([FileEdit(path, before, after)], PROTECTED)


@pytest.mark.parametrize("name", HONEST)
def test_honest_research_raises_nothing_above_info(name: str) -> None:
    findings = found_in(edited(*HONEST[name]))

    assert [finding.sentence for finding in findings if finding.level != "info"] == []


@pytest.mark.parametrize("name", RISKY_LINES)
def test_a_risky_line_is_a_warning_on_that_line_of_the_new_file(name: str) -> None:
    line, detector = RISKY_LINES[name]
    place = "    model = build_model()"
    number = TRAIN[: TRAIN.index(place)].count("\n") + 1

    findings = found_in(TRAIN.replace(place, f"    {line}\n{place}"))

    assert (detector, "warning", number) in [(finding.detector, finding.level, finding.line) for finding in findings]
    assert {finding.line for finding in findings} == {number}


@pytest.mark.parametrize(
    ("old", "new", "detector"),
    [
        ("in run.training_steps(model):", "in enumerate([0.1] * 5000):", "edit near the budget"),
        ("run.log(train_loss=loss,", "run.log(train_loss=loss, val_loss=1.0,", "edit near the evaluation"),
    ],
    ids=["a loop of its own", "a made-up validation"],
)
def test_a_risky_change_of_a_line_is_a_warning_on_that_line(old: str, new: str, detector: str) -> None:
    number = TRAIN[: TRAIN.index(old)].count("\n") + 1

    findings = found_in(TRAIN.replace(old, new))

    assert (detector, "warning", number) in [(finding.detector, finding.level, finding.line) for finding in findings]


def test_a_sentence_quotes_the_line() -> None:
    (finding,) = found_in("import torch\n\ntorch.manual_seed(43)\n", "import torch\n\ntorch.manual_seed(42)\n")[:1]

    assert finding == Finding(
        "random-number edit",
        "warning",
        "train.py, line 3: `torch.manual_seed(43)` is new or changed; it concerns the seed or the random numbers.",
        path="train.py",
        line=3,
    )


def test_a_removed_safeguard_is_found_where_it_was() -> None:
    before = "import torch\nx = 1\ntorch.manual_seed(42)\ny = 2\n"

    (finding,) = found_in(before.replace("torch.manual_seed(42)\n", ""), before)

    assert (finding.level, finding.line) == ("warning", 3)
    assert "was removed or changed" in finding.sentence


def test_leaving_the_outside_world_alone_is_no_risk() -> None:
    assert found_in("x = 1\n", "import subprocess\nx = 1\nsubprocess.run(['ls'])\n") == ()


def test_code_that_moves_within_a_file_or_to_another_is_no_edit() -> None:
    seeding = "def set_up(run):\n    torch.manual_seed(run.seed)\n"
    moved = [
        FileEdit("a.py", f"import torch\n{seeding}", "import torch\n"),
        FileEdit("b.py", None, f"import torch\nX = 1\n\n{seeding}"),
    ]

    assert examine_changes(moved) == ()


def test_a_change_beside_what_stayed_is_information() -> None:
    (finding,) = found_in("score = 2 * evaluate_bpb(model)\n", "score = evaluate_bpb(model)\n")

    assert finding.level == "info"
    assert "changed around it" in finding.sentence


def test_of_two_equal_calls_the_new_one_is_found() -> None:
    seeding = "    torch.manual_seed(run.seed)\n"
    before = f"import torch\n\ndef late(run):\n{seeding}"
    after = before.replace("def late", f"def early(run):\n{seeding}\ndef late")

    assert [finding.line for finding in found_in(after, before)] == [4]


def test_what_is_newly_used_of_a_protected_module_is_information() -> None:
    (finding,) = found_in(
        "import prepare\nx = prepare.CONTEXT\ny = prepare.TrainText\n", "import prepare\nx = prepare.CONTEXT\n"
    )

    assert (finding.detector, finding.level, finding.line) == ("edit near the evaluation", "info", 3)


def test_other_behaviour_in_evaluation_than_in_training_is_information() -> None:
    before = "class M:\n    def forward(self, x):\n        return x\n"

    (finding,) = found_in(before.replace("return x", "if not self.training:\n            x = x + 1\n        return x"), before)

    assert (finding.detector, finding.level, finding.line) == ("edit near the evaluation", "info", 3)


def test_a_settings_file_is_read_by_its_changed_lines() -> None:
    findings = found_in("width: 64\nseed: 7\nlr: 0.1\n", "width: 32\nseed: 1\nlr: 0.1\n", "train.yaml")

    assert [(finding.detector, finding.line) for finding in findings] == [("random-number edit", 2)]


def test_prose_is_not_code() -> None:
    assert found_in("The seed and the budget.\n", "", "notes.md") == ()


@pytest.mark.parametrize(
    "text",
    [
        "def f(:\n  seed = 1\n",
        "x = '\0'\nseed = 1\n",
        f"x = {'(' * 500}1{')' * 500}\nseed = 1\n",
        "\ufeffseed = 1\n",
        "a = 1\x0c\nseed = 1\r\n",
    ],
    ids=["no Python", "a NUL", "deeply nested", "a byte-order mark", "odd line ends"],
)
def test_hostile_text_is_still_read(text: str) -> None:
    assert "random-number edit" in [finding.detector for finding in found_in(text, "x = 1\n")]


def test_deleted_and_added_files_are_read_too() -> None:
    gone, came = FileEdit("a.py", "SEED = 1\n", None), FileEdit("b.py", None, "TIME_BUDGET = 300\n")

    assert [finding.path for finding in examine_changes([gone, came])] == ["a.py", "b.py"]


def test_a_flood_of_findings_is_cut() -> None:
    findings = found_in("".join(f"seed_{n} = {n}\n" for n in range(MOST + 25)), "")

    assert len(findings) == MOST + 1
    assert findings[-1].sentence.startswith("25 more places")
