"""Ideas of the playbook find their place by structure, change it exactly, compose, and say why where they do not apply."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from agent.ideas import BY_NAME, IDEAS
from agent.ideas.idea import Idea
from agent.proposal import CATEGORIES
from agent.tree import DoesNotApply, Source, edits_between
from tests.knobs_samples import applied as applied_edits
from tests.training_samples import TARGET

TRAIN = (TARGET / "train.py").read_text()
OPPOSITES = {"tied head": "untied head"}  # what must be applied first
NAMES = sorted(BY_NAME)


@pytest.fixture(scope="module", autouse=True)
def prepare_is_importable() -> Iterator[None]:
    sys.path.insert(0, str(TARGET))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    sys.path.remove(str(TARGET))
    sys.modules.pop("prepare", None)


def start_for(idea: Idea) -> str:
    """The default target, prepared so that the idea has a place in it."""
    first = OPPOSITES.get(idea.name)
    return BY_NAME[first].applied(TRAIN, 0.0) if first else TRAIN


def trained(text: str) -> Any:
    """The module of a train.py after two real steps of its optimiser on its model."""
    module = types.ModuleType("edited")
    exec(compile(text, "train.py", "exec"), module.__dict__)
    torch.manual_seed(0)
    model = module.build_model()
    optimiser = module.build_optimiser(model)
    tokens = torch.randint(0, 256, (2, 64))
    for _ in range(2):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.isfinite(loss)
    assert module.learning_rate(0.01) < module.learning_rate(0.1)
    assert module.learning_rate(1.0) < module.learning_rate(0.5)
    return module


def test_there_are_at_least_sixteen_ideas_each_with_a_claim_a_category_and_a_dated_source() -> None:
    assert len(IDEAS) == len(BY_NAME) >= 16
    for idea in IDEAS:
        assert idea.category in CATEGORIES, idea.name
        assert any(str(year) in idea.source for year in range(1990, 2027)), idea.name
        assert idea.claim.endswith("."), idea.name


@pytest.mark.parametrize("name", NAMES)
def test_an_idea_applies_to_the_default_target_by_exact_edits_and_not_twice(name: str) -> None:
    idea = BY_NAME[name]
    start = start_for(idea)
    for dial in idea.dials:
        after = idea.applied(start, dial)
        edits = edits_between("train.py", start, after)
        replaced = applied_edits({"train.py": start}, types.SimpleNamespace(edits=edits))  # type: ignore[arg-type]
        assert replaced["train.py"] == after
        assert max(len(line) for line in after.splitlines()) <= 128
        assert len({idea.applied(start, dial) for dial in idea.dials}) == len(idea.dials)
        with pytest.raises(DoesNotApply) as refused:
            idea.applied(after, dial)
        assert str(refused.value).endswith("."), "the reason is a sentence"


@pytest.mark.parametrize("name", NAMES)
def test_an_edited_target_builds_trains_and_stays_causal(name: str) -> None:
    module = trained(BY_NAME[name].applied(start_for(BY_NAME[name]), BY_NAME[name].dials[0]))
    model = module.build_model().eval()
    tokens = torch.randint(0, 256, (3, 128), generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[:, 70:] = torch.randint(0, 256, (3, 58), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(model(tokens)[:, :70], model(other)[:, :70])


@pytest.mark.one_in(3)
def test_every_pair_of_ideas_composes_in_both_orders_or_says_why_not() -> None:
    ideas = [idea for idea in IDEAS if idea.name not in OPPOSITES]
    texts = {idea.name: idea.applied(TRAIN, idea.dials[0]) for idea in ideas}
    refused = set()
    for first, second in itertools.permutations(ideas, 2):
        try:
            Source(second.applied(texts[first.name], second.dials[0]))
        except DoesNotApply:
            refused.add((first.name, second.name))
    assert refused == {
        ("gated perceptron", "squared ReLU"),
        ("linear decay to zero", "warm-up, stable, decay"),
        ("warm-up, stable, decay", "linear decay to zero"),
        ("rotary positions", "no positions"),
    }


@pytest.mark.parametrize("seed", range(4))
def test_all_ideas_one_after_the_other_in_any_order_make_a_model_that_trains(seed: int) -> None:
    order = torch.randperm(len(IDEAS), generator=torch.Generator().manual_seed(seed)).tolist()
    text, used = TRAIN, 0
    for index in order:
        try:
            text = IDEAS[index].applied(text, IDEAS[index].dials[0])
            used += 1
        except DoesNotApply:
            continue
    assert used >= len(IDEAS) - 4
    trained(text)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("RMSNorm", "nn.LayerNorm(WIDTH)", "nn.BatchNorm1d(WIDTH)"),
        ("squared ReLU", "F.gelu(self.mlp_in(self.norm2(x)))", "self.mlp_in(self.norm2(x))"),
        ("query-key normalisation", "F.scaled_dot_product_attention(q, k, v", "other_attention(q, k, v"),
        ("Muon", "torch.optim.AdamW(groups", "torch.optim.SGD(groups"),
        ("warm-up, stable, decay", "math.cos(math.pi", "math.sin(math.pi"),
        ("batch-size ramp", "run.batch(BATCH_SIZE, MIXTURE)", "batch_of_another_loader()"),
        ("embedding shortcut", "for block in self.blocks:\n            x = block(x)", "x = run_all(self.blocks, x)"),
        ("zero initialisation of projections", "nn.init.normal_(block.", "start(block."),
    ],
)
def test_an_idea_without_its_place_says_what_it_did_not_find(name: str, old: str, new: str) -> None:
    assert old in TRAIN
    with pytest.raises(DoesNotApply, match=r"[Nn]o |not "):
        BY_NAME[name].applied(TRAIN.replace(old, new), BY_NAME[name].dials[0])


def test_what_is_no_python_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(DoesNotApply, match="cannot be parsed"):
        BY_NAME["RMSNorm"].applied("def f(:\n", 0.0)


def test_text_outside_ascii_and_other_line_ends_are_kept() -> None:
    text = TRAIN.replace("# Model\n", "# Mödel → σ\n").replace("\n", "\r\n")
    after = BY_NAME["gated perceptron"].applied(text, 0.0)
    assert "# Mödel → σ\r\n" in after
    assert after.count("\n") == after.count("\r\n")


def test_a_changed_width_or_renamed_variables_do_not_matter() -> None:
    renamed = TRAIN
    for old, new in (("hidden", "inside"), ("progress", "share"), ("optimiser", "opt"), ("qkv", "mixed_in")):
        renamed = renamed.replace(old, new)
    renamed = renamed.replace("WIDTH = 32", "WIDTH = 24").replace("HEADS = 2", "HEADS = 4")
    for idea in IDEAS:
        if idea.name not in OPPOSITES:
            text = idea.applied(renamed, idea.dials[0]).replace("build_opt(", "build_optimiser(")
            module = types.ModuleType("renamed")
            exec(compile(text, "train.py", "exec"), module.__dict__)
            assert module.build_model()(torch.zeros(1, 16, dtype=torch.long)).shape == (1, 16, 256)
