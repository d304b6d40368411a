"""How the search learns: from results, from what runs, from what crashed, and across baselines."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.knobs import KnobsProposer, find_knobs
from agent.proposal import JSON, NothingToPropose, Proposal, Tried
from tests.knobs_samples import GPT2, applied, context, pending, tried

SIXTEEN = {"train.py": "".join(f"C{index} = 0.0{index % 9 + 1}\n" for index in range(16))}
STEP = {"train.py": "STEP = 0.5  # knob: 0..1 step 0.125\n"}


def propose(files: dict[str, str], history: list[Tried], attempt: int = 0) -> Proposal:
    return KnobsProposer().propose(context(files, history, attempt))


def moved_to(proposal: Proposal) -> dict[str, float]:
    knobs = proposal.details["knobs"]
    assert isinstance(knobs, dict)
    return knobs


def a_move(name: str, was: float, value: float, effect: float | None, stage: str = "dropped", number: int = 1) -> Tried:
    """An earlier candidate of this proposer, on whatever baseline."""
    details: dict[str, JSON] = {"knobs": {name: value}, "was": {name: was}, "baseline": "another"}
    return Tried(number, "knobs", stage, "evaluated", "Move it.", effect, details)


def test_the_same_context_gives_the_same_proposal_in_another_process() -> None:
    history = [tried(number, propose(SIXTEEN, [], number), 0.1 * (number % 4)) for number in range(14)]
    here = propose(SIXTEEN, history, attempt=99)
    code = (
        "from agent.knobs import KnobsProposer\nfrom agent.proposal import *\n"
        f"history = {history!r}\n"
        f"print(KnobsProposer().propose(Context({SIXTEEN!r}, '', tuple(history), 0.001, 99)))"
    )
    root = Path(__file__).parents[2]
    there = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == repr(here)
    assert there.stderr == ""


def test_another_attempt_gives_another_proposal() -> None:
    assert len({propose(SIXTEEN, [], attempt).hypothesis for attempt in range(8)}) == 8


def test_most_proposals_move_one_constant_and_some_move_two() -> None:
    sizes = Counter(len(moved_to(propose(SIXTEEN, [], attempt))) for attempt in range(40))
    assert sizes[1] > sizes[2] > 0


def test_a_variable_with_many_elements_is_not_chosen_more_often_than_others() -> None:
    mixture = ", ".join(f'"s{index}": 1.0' for index in range(20))
    files = {"train.py": f"A = 0.1\nB = 0.2\nC = 0.3\nMIXTURE = {{{mixture}}}\n"}
    names = [name for attempt in range(80) for name in moved_to(propose(files, [], attempt))]
    assert 10 <= sum("MIXTURE" in name for name in names) <= 40


def synthetic_effect(moved: dict[str, float], good: dict[str, float]) -> float:
    """A hill around `good[name]` (on a log scale from today's value, in factors of four); other moves harm."""
    total = 0.0
    for name, value in moved.items():
        was = find_knobs(SIXTEEN)[name].constant.value
        distance = math.log(value / float(was)) / math.log(4)
        total += 2 * math.exp(-(((distance - good[name]) / 0.3) ** 2)) if name in good else -0.3 * abs(distance)
    return total


def found_in_40_proposals(seed: int, told: bool) -> list[float]:
    """The true effects of 40 proposals with two devices busy; untold, every earlier candidate seems to run still."""
    world = random.Random(seed)
    good = {f"train.py:C{index}": world.choice([-1, 1]) * world.uniform(0.4, 1) for index in world.sample(range(16), 3)}
    history: list[Tried] = []
    effects = []
    for attempt in range(40):
        seen = [earlier if told and earlier.candidate < attempt - 2 else pending(earlier) for earlier in history]
        proposal = propose(SIXTEEN, seen, attempt=1000 * seed + attempt)
        effects.append(synthetic_effect(moved_to(proposal), good))
        history.append(tried(attempt, proposal, effects[-1] + world.gauss(0, 0.2)))
    return effects


def test_told_results_steer_the_search() -> None:
    told = [found_in_40_proposals(seed, told=True) for seed in range(4)]
    untold = [found_in_40_proposals(seed, told=False) for seed in range(4)]
    assert sum(map(max, told)) > 1.25 * sum(map(max, untold))
    assert sum(effect > 0.8 for run in told for effect in run) > 2 * sum(effect > 0.8 for run in untold for effect in run)


def test_the_search_keeps_away_from_what_runs_and_from_what_crashed() -> None:
    """One variable, with tries that did well, run or crashed, is liked in the first case only."""
    base = [tried(number, propose(SIXTEEN, [], number), 0.0) for number in range(12)]

    def times_c3(outcome: str) -> int:
        more = [
            replace(a_move("train.py:C3", 0.04, value, None, number=50), outcome=outcome)
            for value in (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)
        ]
        proposals = [propose(SIXTEEN, base + more, attempt) for attempt in range(40)]
        return sum("train.py:C3" in moved_to(proposal) for proposal in proposals)

    good = [a_move("train.py:C3", 0.04, value, 1.0, number=50) for value in (0.01, 0.02, 0.05, 0.1)]
    liked = sum("train.py:C3" in moved_to(propose(SIXTEEN, base + good, attempt)) for attempt in range(40))
    assert times_c3("pending") < liked / 3
    assert times_c3("crashed") < liked / 3


def test_no_value_is_tried_twice_on_a_baseline_and_the_end_is_said() -> None:
    history: list[Tried] = []
    for attempt, outcome in enumerate(["evaluated", "pending", "crashed", "invalid"] * 2):
        proposal = propose(STEP, history, attempt)
        history.append(tried(attempt, proposal, 0.1 if outcome == "evaluated" else None, outcome))
    values = {moved_to(Proposal(t.hypothesis, "optimiser", proposal.edits, "", t.details))["train.py:STEP"] for t in history}
    assert values == {0.0, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875, 1.0}
    with pytest.raises(NothingToPropose, match=r"Every value of every constant .*constants: 1.* or choose another"):
        propose(STEP, history, 9)


def test_when_single_moves_are_used_up_pairs_follow_until_all_are_used_up() -> None:
    files = {"train.py": "A = True\nB = False\nC = 5  # knob: one of 6, 7\n"}
    history: list[Tried] = []
    for attempt in range(4 + 5):
        history.append(tried(attempt, propose(files, history, attempt), -1.0))
    with pytest.raises(NothingToPropose, match="constants: 3"):
        propose(files, history, 9)
    assert len({repr(sorted(earlier.details["knobs"].items())) for earlier in history}) == 9  # type: ignore[union-attr]


def test_a_value_within_rounding_of_a_tried_one_counts_as_tried() -> None:
    knob = find_knobs({"train.py": "LR = 0.1"})["train.py:LR"]
    history = [
        Tried(number, "person", "dropped", "evaluated", "By hand.", -1.0, {"knobs": {"train.py:LR": value * 1.004}})
        for number, value in enumerate(knob.values)
        if isinstance(value, float) and value not in (0.1, 0.2, 0.4)
    ]
    left = moved_to(propose({"train.py": "LR = 0.1"}, history))
    assert left["train.py:LR"] in (0.2, 0.4)


def test_a_new_baseline_may_try_a_value_again() -> None:
    history: list[Tried] = []
    files = {"train.py": "A = True\n"}
    proposal = propose(files, history)
    history.append(tried(0, proposal, -1.0))
    with pytest.raises(NothingToPropose, match="was tried on this baseline"):
        propose(files, history)
    assert moved_to(propose({"train.py": "A = True\nx = f()\n"}, history)) == {"train.py:A": False}


def test_what_a_landing_gained_is_no_longer_on_offer() -> None:
    """C3 landed at 0.08 and its neighbours did nearly as well then; C7 did a little and has not landed."""
    landed = SIXTEEN["train.py"].replace("C3 = 0.04", "C3 = 0.08")
    zeros = [replace(tried(number, propose(SIXTEEN, [], number), -0.5), candidate=number) for number in range(12)]
    past = [a_move("train.py:C3", 0.04, value, 0.9, number=20) for value in (0.05, 0.06, 0.07, 0.09)]
    past += [a_move("train.py:C7", 0.08, value, 0.3, number=30) for value in (0.1, 0.11, 0.12)]
    landing = a_move("train.py:C3", 0.04, 0.08, 1.0, stage="landed", number=40)
    names = [
        name for attempt in range(40) for name in moved_to(propose({"train.py": landed}, [*zeros, *past, landing], attempt))
    ]
    assert names.count("train.py:C7") > 2 * names.count("train.py:C3")


def test_other_authors_and_malformed_details_are_no_obstacle() -> None:
    odd: list[dict[str, object]] = [
        {}, {"knobs": None}, {"knobs": []}, {"knobs": {}}, {"knobs": {"gone.py:LR": 1.0}}, {"knobs": {"train.py:C1": "x"}},
        {"knobs": {"train.py:C1": None}}, {"knobs": {"train.py:C1": math.nan}}, {"knobs": {"train.py:C1": 10**400}},
        {"knobs": {"train.py:C1": 0.03}, "was": 3, "baseline": []}, {"knobs": {"train.py:C1": True}},
    ]  # fmt: skip
    history = [
        Tried(number, "claude", "landed", "evaluated", "?", effect, details)  # type: ignore[arg-type]
        for number, details in enumerate(odd)
        for effect in (0.5, None, math.nan, math.inf)
    ]
    applied(SIXTEEN, propose(SIXTEEN, history))


def test_a_hypothesis_says_what_moves_where_and_only_what_was_measured() -> None:
    files = {"train.py": "LR = 6e-4  # knob: one of 3e-4, 1e-3\n"}
    first = propose(files, [])
    verb, to = ("Raise", "1e-3") if moved_to(first)["train.py:LR"] == 1e-3 else ("Lower", "3e-4")
    assert first.hypothesis == f"{verb} LR from 6e-4 to {to}: no other value of LR was tried so far."
    assert first.category == "optimiser"
    second = propose(files, [tried(1, first, 0.0021)], 1)
    assert (
        f"the only try with LR alone so far, {to}, measured +0.0021 (positive is better; sigma is 0.0010)." in second.hypothesis
    )


def test_a_hypothesis_names_switches_and_files_where_they_are_needed() -> None:
    files = {"a.py": "USE = True\n", "b.py": "USE = True\n"}
    assert {propose(files, [], attempt).hypothesis.split(":")[0] for attempt in range(20)} >= {
        "Turn USE in a.py off",
        "Turn USE in b.py off",
    }
    words = 'ACT = "gelu"\n\n\ndef f():\n    return ACT == "relu"\n'
    assert propose({"a.py": words}, []).hypothesis.startswith('Switch ACT from "gelu" to "relu": ')


def test_a_training_script_of_another_kind_is_searched_until_forty_different_changes() -> None:
    files = {"nested/model.py": GPT2.replace("\n", "\r\n")}
    history: list[Tried] = []
    for attempt in range(40):
        history.append(tried(attempt, propose(files, history, attempt), 0.1 * (attempt % 3 - 1)))
    assert len({earlier.hypothesis.split(":")[0] for earlier in history}) == 40


def test_the_category_that_is_wanted_is_moved_more_often_than_without_a_wish() -> None:
    def of_schedule(category: str) -> int:
        wanted = [replace(context({"train.py": GPT2}, [], attempt), category=category) for attempt in range(20)]
        return sum(KnobsProposer().propose(each).category == "schedule" for each in wanted)

    assert of_schedule("schedule") > of_schedule("") + 5
