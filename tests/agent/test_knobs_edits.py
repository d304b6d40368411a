"""A proposal is an exact replacement that changes one or two constants and nothing else."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.constants import Value, edits_for, find_constants, written
from agent.knobs import KnobsProposer
from agent.proposal import NothingToPropose, Proposal, Tried
from tests.knobs_samples import GPT2, applied, changed, context, tried


def set_to(source: str, **new: Value) -> tuple[str, Proposal]:
    """The source with constants set to new values (by label, "." written as "__"), and the edits that did it."""
    by_label = {constant.label: constant for constant in find_constants("train.py", source)}
    changes = [(by_label[label.replace("__", ".")], value) for label, value in new.items()]
    proposal = Proposal("Test.", "optimiser", edits_for({"train.py": source}, changes), "")
    return applied({"train.py": source}, proposal)["train.py"], proposal


@pytest.mark.parametrize(
    ("literal", "value", "expected"),
    [
        ("3e-4", 0.001, "1e-3"), ("3E-4", 0.00045, "4.5E-4"), ("1e-08", 2e-7, "2e-7"), ("-1e-3", -0.002, "-2e-3"),
        ("1e9", 2.2e9, "2.2e9"), ("6e-4", 0.0, "0.0"), ("0.0006", 0.00001, "0.00001"), ("1.", 2.0, "2.0"),
        ("10_000.0", 4500.0, "4_500.0"), ("0.95", 0.9865, "0.9865"), ("12", 24, "24"), ("1_000", 2000, "2_000"),
        ("1000", 2000, "2000"), ("2**19", 2**20, "2**20"), ("2 ** 3", 4, "2 ** 2"), ("2**3", 12, "12"),
        ("-4", -8, "-8"), ("True", False, "False"), ("'gelu'", "relu", "'relu'"), ('"gelu"', 'a"b', '"a\\"b"'),
    ],
)  # fmt: skip
def test_a_new_value_is_written_in_the_style_of_the_old_one(literal: str, value: Value, expected: str) -> None:
    assert written(value, literal) == expected
    assert eval(expected) == value


def test_only_the_line_of_the_constant_is_replaced_and_its_comment_stays() -> None:
    after, proposal = set_to("LR = 6e-4  # peak\nWD = 0.1\n", LR=1e-3)
    assert after == "LR = 1e-3  # peak\nWD = 0.1\n"
    assert [edit.old for edit in proposal.edits] == ["LR = 6e-4  # peak"]


def test_lines_that_occur_twice_are_told_apart_by_the_lines_around_them() -> None:
    source = "class A:\n    rate: float = 0.1\n\n\nclass B:\n    rate: float = 0.1\n"
    after, proposal = set_to(source, B__rate=0.2)
    assert after == "class A:\n    rate: float = 0.1\n\n\nclass B:\n    rate: float = 0.2\n"
    assert len(proposal.edits) == 1


def test_a_line_that_is_part_of_another_line_is_told_apart() -> None:
    after, _ = set_to("MIN_LR = 0.1\nLR = 0.1\n", LR=0.2)
    assert after == "MIN_LR = 0.1\nLR = 0.2\n"


def test_two_changes_that_make_lines_alike_stay_exact() -> None:
    source = "class A:\n    rate: float = 0.1\n    x = y\n\nclass B:\n    rate: float = 0.2\n    x = y\n"
    after, _ = set_to(source, A__rate=0.2, B__rate=0.1)
    assert after == source.replace("0.1", "?").replace("0.2", "0.1").replace("?", "0.2")


def test_two_elements_on_one_line_are_one_edit() -> None:
    source = "BETAS = (0.9, 0.95)"
    constants = find_constants("train.py", source)
    edits = edits_for({"train.py": source}, [(constants[0], 0.8), (constants[1], 0.99)])
    assert [(edit.old, edit.new) for edit in edits] == [(source, "BETAS = (0.8, 0.99)")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_are_kept(newline: str) -> None:
    source = newline.join(["x = y", "LR = 0.1", "x = y", "", "def f():", "    return 'LR = 0.1'"])
    assert set_to(source, LR=0.2)[0] == source.replace("LR = 0.1", "LR = 0.2", 1)


def test_text_outside_ascii_does_not_shift_the_edit() -> None:
    source = '\ufeffσ = "мир"; LR = 0.1  # η ×4\u2028 still a comment\nΔ = {"é": 0.5, "日本": 0.25}\n'
    after, _ = set_to(source, LR=0.2)
    assert after == source.replace("LR = 0.1", "LR = 0.2")
    constants = {constant.label: constant.literal for constant in find_constants("train.py", source)}
    assert constants['Δ["日本"]'] == "0.25"


def test_a_number_inside_an_f_string_or_an_expression_is_left_alone() -> None:
    source = 'LR = 0.1\nTEXT = f"{LR * 2:.3f} LR = 0.1"\nHALF = LR / 2\n'
    assert [constant.label for constant in find_constants("train.py", source)] == ["LR"]
    assert set_to(source, LR=0.2)[0] == source.replace("LR = 0.1", "LR = 0.2", 1)


def test_proposals_for_a_training_script_apply_parse_and_differ() -> None:
    files = {"train.py": GPT2, "README.md": "LEARNING_RATE = 6e-4"}
    history: list[Tried] = []
    results = set()
    for attempt in range(60):
        proposal = KnobsProposer().propose(context(files, history, attempt))
        after = applied(files, proposal)
        assert changed(files, after) == proposal.details["knobs"]
        assert after["README.md"] == files["README.md"]
        results.add(after["train.py"])
        history.append(tried(attempt, proposal, effect=0.001 * (attempt % 5 - 3)))
    assert len(results) == 60
    assert GPT2 not in results


LITERALS = st.sampled_from(
    ["6e-4", "0.1", "0.0", "0.95", "1.0", "-0.5", "3", "768", "1_000", "0", "-2", "2**6", "True", "False",
     "(0.9, 0.95)", "[1, 2]", '{"a": 0.5, "é": 1.0}', '"gelu"']
)  # fmt: skip
NAMES = st.sampled_from(["LR", "MIN_LR", "dropout", "BETAS", "width", "ACT", "σ", "USE_BIAS"])
LINES = st.tuples(NAMES, LITERALS, st.sampled_from(["", "  # note", "  # η\u2028×", "; other = f'{1}'"]))


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Modules with constants at module level and in classes that may repeat each other's lines."""
    lines = ["LR_0 = 1e-3"]
    lines += [f"{name} = {literal}{end}" for name, literal, end in draw(st.lists(LINES, max_size=6))]
    for index, fields in enumerate(draw(st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=2))):
        lines += [f"class C{index}:", *(f"    {name}: object = {literal}" for name, literal, _ in fields)]
    lines += ["def f():", "    return ACT == 'relu' or LR == 0.1"]
    return draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(source=sources(), seed=st.integers(0, 10**12), effects=st.lists(st.sampled_from([None, -1.0, 0.0, 2.0]), min_size=8))
def test_every_proposal_is_exact_and_changes_one_or_two_constants_to_untried_values(
    source: str, seed: int, effects: list[float | None]
) -> None:
    files = {"train.py": source}
    history: list[Tried] = []
    seen: list[Any] = []
    for index, effect in enumerate(effects[:8]):
        try:
            proposal = KnobsProposer().propose(context(files, history, seed + index))
        except NothingToPropose:
            assert index > 0
            return
        after = applied(files, proposal)
        moved = changed(files, after)
        assert 1 <= len(moved) <= 2
        assert moved == proposal.details["knobs"]
        assert moved not in seen
        seen.append(moved)
        history.append(tried(index, proposal, effect, "evaluated" if effect is not None else "crashed"))
        assert skeleton(after["train.py"]) == skeleton(source)


def skeleton(source: str) -> str:
    """The syntax tree without the values of its literals."""
    tree = ast.parse(source.removeprefix("\ufeff"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = None
    return ast.dump(tree).replace("UnaryOp(op=USub(), operand=Constant(value=None))", "Constant(value=None)")
