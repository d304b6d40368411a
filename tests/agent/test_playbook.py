"""The playbook proposes ideas that were not tried, as they are wanted, and ends with the reason of each that is left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.ideas import BY_NAME, IDEAS
from agent.playbook import PlaybookProposer, open_choices
from agent.proposal import Context, NothingToPropose, Proposal, Tried
from agent.tree import edits_between
from tests.knobs_samples import applied
from tests.training_samples import TARGET, Rig, small_corpus, small_target
from training.spec import Budget, Outcome

FILES = {"train.py": (TARGET / "train.py").read_text()}
TINY = 4e8  # FLOPs


def context(history: Sequence[Tried] = (), attempt: int = 1, **wanted: Any) -> Context:
    return Context(files=FILES, program="", history=tuple(history), sigma=0.016, attempt=attempt, **wanted)


def tried(number: int, proposal: Proposal, effect: float | None = -0.01, stage: str = "dropped", **more: str) -> Tried:
    outcome = more.get("outcome", "evaluated")
    return Tried(number, "playbook", stage, outcome, proposal.hypothesis, effect, proposal.details, proposal.category)


def all_proposals(history: list[Tried]) -> list[Proposal]:
    """Everything that the playbook proposes on one baseline, each dropped."""
    found: list[Proposal] = []
    while True:
        try:
            found.append(PlaybookProposer().propose(context(history, len(history) + 1)))
        except NothingToPropose:
            return found
        history.append(tried(len(history) + 1, found[-1]))


def test_every_idea_is_proposed_once_for_each_dial_and_then_it_says_what_is_left() -> None:
    history: list[Tried] = []
    found = all_proposals(history)
    named = [(proposal.details["idea"], proposal.details["dial"]) for proposal in found]
    wanted = {(idea.name, dial) for idea in IDEAS for dial in idea.dials if idea.name != "tied head"}
    assert len(named) == len(set(named))
    assert set(named) == wanted
    with pytest.raises(NothingToPropose, match="tied head: The head uses the weights of the embedding already"):
        PlaybookProposer().propose(context(history, 99))
    firsts = named[: len(IDEAS) - 1]
    assert len({idea for idea, _ in firsts}) == len(firsts), "no idea gets its second dial before all had their first"


def test_a_proposal_is_exact_and_names_its_source_and_does_not_pretend_to_know() -> None:
    proposal = PlaybookProposer().propose(context())
    idea = BY_NAME[str(proposal.details["idea"])]
    assert applied(FILES, proposal)["train.py"] == idea.applied(FILES["train.py"], float(str(proposal.details["dial"])))
    assert idea.source in proposal.hypothesis
    assert proposal.category == idea.category
    assert "Not predicted" in proposal.expected_effect


def test_the_same_context_gives_the_same_proposal_and_attempts_differ() -> None:
    assert PlaybookProposer().propose(context(attempt=3)) == PlaybookProposer().propose(context(attempt=3))
    assert len({PlaybookProposer().propose(context(attempt=n)).hypothesis for n in range(20)}) > 5


@pytest.mark.parametrize("category", ["optimiser", "schedule", "regularisation", "data", "initialisation"])
def test_the_category_that_is_wanted_is_taken_where_there_is_an_idea(category: str) -> None:
    for attempt in range(5):
        assert PlaybookProposer().propose(context(attempt=attempt, category=category, mode="explore")).category == category


def test_simplification_is_proposed_when_it_is_wanted() -> None:
    assert PlaybookProposer().propose(context(mode="simplify")).category == "simplification"


def test_exploiting_turns_the_dial_of_the_best_idea_so_far() -> None:
    def with_idea(number: int, name: str, effect: float) -> Tried:
        idea = BY_NAME[name]
        edits = edits_between("train.py", FILES["train.py"], idea.applied(FILES["train.py"], idea.dials[0]))
        details = PlaybookProposer().propose(context()).details | {"idea": name, "dial": idea.dials[0]}
        return tried(number, Proposal(idea.claim, idea.category, edits, "", details), effect)

    history = [with_idea(1, "z-loss", 0.01), with_idea(2, "Muon", 0.03), with_idea(3, "label smoothing", -0.2)]
    proposal = PlaybookProposer().propose(context(history, 4, mode="exploit"))
    assert (proposal.details["idea"], proposal.details["dial"]) == ("Muon", BY_NAME["Muon"].dials[1])


@pytest.mark.parametrize("stage", ["ready", "landing", "landed", "rejected", "screening"])
def test_what_landed_waits_or_runs_is_not_proposed_again_on_a_newer_baseline(stage: str) -> None:
    proposal = PlaybookProposer().propose(context())
    outcome = "pending" if stage == "screening" else "evaluated"
    history = [replace(tried(1, proposal, 0.1, stage, outcome=outcome), details={**proposal.details, "baseline": "older"})]
    assert proposal.details["idea"] not in {idea.name for idea, _ in open_choices(history, "newer")}


def test_what_was_dropped_may_be_tried_again_on_a_newer_baseline_after_what_is_new() -> None:
    history: list[Tried] = []
    all_proposals(history)
    older = [replace(row, details={**row.details, "baseline": "older"}) for row in history]
    best = replace(older[3], effect=0.05)
    again = PlaybookProposer().propose(context([*older[:3], best, *older[4:]], 200))
    assert again.details["idea"] == best.details["idea"]


def test_an_idea_that_landed_is_not_taken_back_by_its_opposite() -> None:
    untied = Tried(1, "playbook", "landed", "evaluated", "Untied.", 0.1, {"idea": "untied head", "dial": 0.0})
    assert "tied head" not in {idea.name for idea, _ in open_choices([untied], "b")}


def test_without_python_files_it_says_that_no_idea_has_a_place() -> None:
    empty = Context({"notes.txt": "x"}, "", (), None, 1)
    with pytest.raises(NothingToPropose, match="no place"):
        PlaybookProposer().propose(empty)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("playbook")
    return Rig(folder, small_corpus(folder / "data"))


TRAINED = sorted(BY_NAME) if "EVERY_IDEA" in os.environ else sorted(BY_NAME)[::5]  # a few in every test run


@pytest.mark.parametrize("name", TRAINED)
def test_every_idea_trains_a_short_real_run_and_keeps_the_probes(rig: Rig, name: str) -> None:
    idea = BY_NAME[name]
    tree = small_target(rig.folder / name.replace(" ", "-").replace(",", ""))
    start = (tree / "train.py").read_text()
    if name == "tied head":
        start = BY_NAME["untied head"].applied(start, 0.0)
    (tree / "train.py").write_text(idea.applied(start, idea.dials[0]))
    result = rig.run(tree, budget=Budget("train_flops", TINY))
    assert result.outcome is Outcome.completed, result.log
    assert result.score is not None and result.score < 8.5
    assert result.facts["flops"] <= TINY
    assert all(probe["ok"] for probe in result.facts["probes"].values()), result.facts["probes"]
