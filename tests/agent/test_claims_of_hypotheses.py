"""What a hypothesis says of numbers and directions is held against the facts; what is not plainly said is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.claims import contradictions

BASE = {
    "parameters": 49_984,
    "layers": 2,
    "width": 512,
    "heads": 4,
    "tokens": 1_000_000,
    "steps": 2000,
    "flops_per_token": 300_000.0,
    "peak_memory_bytes": 380 << 20,
    "tokens_per_second": 40_000.0,
}
# Deeper and wider: more of everything but of steps and tokens, and slower.
GROWN = {
    "parameters": 99_968,
    "layers": 3,
    "width": 640,
    "heads": 8,
    "tokens": 500_000,
    "steps": 1000,
    "flops_per_token": 600_000.0,
    "peak_memory_bytes": 500 << 20,
    "tokens_per_second": 20_000.0,
}
CONSTANTS = {
    "train.py:LEARNING_RATE": (8e-3, 6e-3),
    "train.py:GPTConfig.dropout": (0.0, 0.1),
    "train.py:BATCH_SIZE": (262_144, 524_288),
    "train.py:WARMUP": (0.05, 0.05),
}

CONTRADICTED = [
    ("depth 9 aspect_ratio 57 (extra layer dim ~512)", ["the number of layers is 3", "the width is 640"]),
    ("Use a dim of about 512.", ["the width is 640"]),
    ("width 512 to 576", ["the width is 640"]),
    ("Widen the model: d_model = 768", ["the width is 640"]),
    ("Set n_embd to 1,024: more capacity", ["the width is 640"]),
    ("A 4-layer model learns more per byte.", ["the number of layers is 3"]),
    ("Increase the depth from 2 to 4", ["the number of layers is 3"]),
    ("Go from 2 to 4 layers, the rest unchanged", ["the number of layers is 3"]),
    ("use two layers", ["the number of layers is 3"]),
    ("n_head 4 → 16", ["the number of heads is 8"]),
    ("a transformer with 16 heads", ["the number of heads is 8"]),
    ("a 2M-parameter model", ["the number of parameters is 99,968"]),
    ("Fewer parameters, so more of them are trained well.", ["the number of parameters is 99,968"]),
    ("reduces the number of parameters by 10%", ["the number of parameters is 99,968"]),
    ("fewer parameters than the baseline", ["the number of parameters is 99,968"]),
    ("A smaller model takes more steps", ["the number of parameters is 99,968", "the number of steps is 1,000"]),
    ("a shallower network", ["the number of layers is 3"]),
    ("no extra memory", ["peak memory is 500 MiB"]),
    ("Adds depth without increasing memory use", ["peak memory is 500 MiB"]),
    ("at no additional parameters", ["the number of parameters is 99,968"]),
    ("memory stays the same", ["peak memory is 500 MiB"]),
    ("memory usage drops", ["peak memory is 500 MiB"]),
    ("more steps in 5 min", ["the number of steps is 1,000"]),
    ("higher throughput", ["tokens per second are 20,000"]),
    ("the same number of steps", ["the number of steps is 1,000"]),
    ("identical parameter count", ["the number of parameters is 99,968"]),
    ("It sees more training tokens.", ["the number of tokens trained on is 500,000"]),
    ("lower FLOPs per token", ["FLOPs per token are 600,000"]),
    ("halves the parameters", ["the number of parameters is 99,968"]),
    ("same dim 640", ["the width is 640"]),
    ("learning rate 8e-3 to 4e-3", ["LEARNING_RATE is 0.006"]),
    ("LR 0.008 -> 0.004", ["LEARNING_RATE is 0.006"]),
    ("Raise the learning rate", ["LEARNING_RATE is 0.006"]),
    ("dropout 20%", ["GPTConfig.dropout is 0.1"]),
    ("Set BATCH_SIZE to 1M", ["BATCH_SIZE is 524288"]),
    ("warmup = 0.1", ["WARMUP is 0.05, as before"]),
]

CONSISTENT = [
    "",
    "depth 3 (extra layer, dim ~640)",
    "dim about 600",
    "width 512 to 640",
    "d_model=640, n_head=8, n_layer=3",
    "2 to 3 layers",
    "a three-layer model with 8 heads",
    "100K parameters",
    "about 0.1M parameters",
    "doubles the parameters",
    "more parameters, more memory, fewer steps, lower throughput",
    "a deeper, wider network",
    "adds 1 layer",
    "learning rate 8e-3 to 6e-3",
    "Lower the learning rate and raise dropout",
    "dropout 10%",
    "batch size 262K to 524K",
    "batch size 256K -> 512K",
    "warmup stays at 0.05",
]

NOT_CLAIMED = [
    "head dim 64",
    "one head with dim 24 and one with dim 8",
    "tie the embeddings to save parameters",
    "move parameters from the MLP to the embedding",
    "layer 1 0.01, layer 2 0.005",
    "MLP width 2048, hidden dim 4x to 3.5x",
    "a two-layer MLP on the last 3 layers",
    "value embeddings in 2 of the 6 layers",
    "apply QK norm in the first 2 layers",
    "add weight decay 0.01 to 4 layers",
    "VE gate channels 32 to 48",
    "short window 1/8 context (256 tokens)",
    "muon momentum warmup 300 to 200 steps",
    "short window 1/6 context (slower)",
    "embedding LR 0.6 to 0.8",
    "embedding dropout 0.5",
    "learning rate 0.01 for the embeddings",
    "rotary precompute 10x to 2x",
    "multi-query attention n_kv_head=1",
    "width 512 is too narrow",
    "from width 512",
    "this needs fewer parameters",
    "With a smaller model this would take more steps",
    "If memory drops, the batch can grow",
    "fewer parameters in the head",
    "fewer parameters per layer",
    "less memory for activations",
    "wider MLP, narrower window",
    "not fewer parameters",
    "12 layers instead of 2 layers would be better",
    "GPT-2 uses 12 layers and 12 heads",
    "unlike the 12-layer baseline",
    "Was the model smaller? Fewer parameters?",
    "the parameter budget is smaller",
    "an extra layer norm, a lower layer scale",
    "almost no extra memory",
    "previously 2 layers",
    "the paper reports 24 layers",
    "more steps are needed to converge",
    "train for longer, 3 times as many heads per group",
    "depth-dependent init scale 1/sqrt(layer+1)",
    "faster convergence, smaller loss, larger gradients",
]


@pytest.mark.parametrize(("text", "measured"), CONTRADICTED, ids=[text for text, _ in CONTRADICTED])
def test_a_plain_statement_that_the_facts_contradict_is_found(text: str, measured: list[str]) -> None:
    found = [contradiction.measured for contradiction in contradictions(text, BASE, GROWN, CONSTANTS)]

    assert len(found) == len(measured), found
    assert all(fact.startswith(start) for fact, start in zip(found, measured, strict=True)), found


@pytest.mark.parametrize("text", CONSISTENT)
def test_what_the_facts_confirm_is_no_contradiction(text: str) -> None:
    assert contradictions(text, BASE, GROWN, CONSTANTS) == ()


@pytest.mark.parametrize("text", NOT_CLAIMED)
def test_what_is_hedged_partial_or_unclear_is_left_alone(text: str) -> None:
    assert contradictions(text, BASE, GROWN, CONSTANTS) == ()


def test_a_contradiction_quotes_and_measures() -> None:
    (found,) = contradictions("An extra layer, with dim ~512.", BASE, GROWN)

    assert found.quote == "dim ~512"
    assert found.measured == "the width is 640 (512 before)"
    assert found.sentence == "The hypothesis says “dim ~512”, but the width is 640 (512 before)."


def test_a_direction_is_contradicted_where_nothing_moved() -> None:
    (found,) = contradictions("fewer parameters", BASE, BASE)

    assert found.measured == "the number of parameters is 49,984, as before"


def test_measurements_with_noise_must_move_the_other_way() -> None:
    about = {**BASE, "peak_memory_bytes": 390 << 20, "tokens_per_second": 37_000.0}

    assert contradictions("less memory and higher throughput, no extra memory", BASE, about) == ()


def test_unknown_facts_are_not_judged() -> None:
    assert contradictions("width 640, fewer parameters, no extra memory", {}, GROWN) == ()
    assert contradictions("width 640, fewer parameters", BASE, {"width": "640?", "parameters": 0}) == ()


def test_of_two_constants_with_one_ending_neither_is_meant() -> None:
    constants = {"train.py:EMBEDDING_LR": (0.6, 0.8), "train.py:LR": (0.04, 0.05)}

    assert contradictions("LR 0.04 to 0.06", BASE, BASE, constants) == ()
    assert len(contradictions("embedding LR 0.6 to 0.9", BASE, BASE, constants)) == 1


def test_texts_and_switches_among_the_constants_are_not_numbers() -> None:
    assert contradictions("activation 2 to 3, bias 1", BASE, BASE, {"ACTIVATION": ("a", "b"), "BIAS": (True, False)}) == ()


def test_a_statement_is_told_once() -> None:
    assert len(contradictions("Width 512. Again: width 512.", BASE, GROWN)) == 1


def test_a_statement_after_a_hedged_sentence_counts() -> None:
    assert len(contradictions("Earlier runs had 2 layers. Now use 4 layers.", BASE, GROWN)) == 1


PIECES = (
    "width",
    "layers",
    "4",
    "->",
    "to",
    "from",
    "dim",
    "~",
    "512",
    "fewer",
    "no",
    "extra",
    "memory",
    "1e999",
    "%",
    "(",
    "LR",
    "=",
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from(PIECES)).map(" ".join),
    )
)
def test_any_text_is_read(text: str) -> None:
    for found in contradictions(text, BASE, GROWN, CONSTANTS):
        assert found.quote
        assert found.measured in found.sentence


def test_a_text_without_end_is_read_up_to_a_point() -> None:
    assert contradictions("a, " * 200_000 + "width 5", BASE, GROWN) == ()
