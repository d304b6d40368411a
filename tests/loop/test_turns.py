"""Proposers take turns, several at once; a round goes on with those that have something left; near misses are joined."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agent.proposal import MODES
from research_app.loop.project.projects import configure
from research_app.loop.propose import propose
from research_app.loop.propose.combine import CombinationRefused, combine
from research_app.loop.propose.near_misses import effect_in_sigma, near_misses, next_combination
from research_app.models import Candidate, Device, Event, Message, Project, Round, Stage, Turn, TurnState
from research_app.models.lease import MAX_ATTEMPTS
from research_app.project_file.project_file import ProjectFile
from tests.factories import SIGMA, make_candidate, make_project, make_user
from tests.small_project import drain, small_project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


def asked_for(project: Project, wanted: int | None, *proposers: str) -> Round:
    asked = propose.open_round(project, proposers, wanted, "test")
    Message.objects.all().delete()
    return asked


def set_agents(project: Project, **agents: float) -> Project:
    configure(project, ProjectFile.model_validate(project.config | {"agents": agents}), "test")
    project.refresh_from_db()
    return project


def opened(asked: Round) -> Turn:
    turn = propose.open_turn(asked)
    assert turn is not None
    return turn


def test_several_turns_are_open_at_once_up_to_the_limit_and_no_more_than_devices_will_want(project: Project) -> None:
    asked = asked_for(project, None, "knobs")
    assert [opened(asked).number for _ in range(2)] == [1, 2]
    assert propose.open_turn(asked) is None, "one device: two candidates ahead of it are enough"
    for index in range(3):
        Device.report(f"here/cpu.{index}", "cpu", index)
    assert [opened(asked).number for _ in range(2)] == [3, 4]
    assert propose.open_turn(asked) is None, "four proposers may be at work at once"
    set_agents(project, at_once=5)
    assert opened(Round.objects.get(pk=asked.pk)).number == 5


def test_a_bounded_round_counts_proposers_at_work_as_candidates_to_come(project: Project) -> None:
    asked = asked_for(project, 1, "knobs")
    opened(asked)
    assert propose.open_turn(asked) is None


def test_opening_a_turn_wakes_another_worker_for_the_next(project: Project) -> None:
    opened(asked_for(project, None, "knobs"))
    assert Message.objects.filter(task="propose", queue="agent").count() == 1


def test_proposers_are_told_what_others_work_on_what_is_wanted_and_an_attempt_of_their_own(project: Project) -> None:
    asked = asked_for(project, None, "knobs", "playbook")
    first, second = opened(asked), opened(asked)
    assert (first.proposer, second.proposer) == ("knobs", "playbook")
    one, two = (propose.context_of(project, turn.base, turn) for turn in (first, second))
    assert (one.attempt, two.attempt) == (1, 2)
    assert one.mode in MODES and one.category == first.category
    assert any("playbook" in said for said in one.others)
    assert any("knobs" in said for said in two.others)
    assert not any("knobs" in said for said in one.others), "it is not told of itself"


def test_a_proposer_with_nothing_left_ends_its_turn_and_the_round_goes_on_with_the_others(project: Project) -> None:
    asked = propose.open_round(project, ["playbook", "knobs"], 3, "test")
    drain()
    asked.refresh_from_db()
    assert asked.candidates.count() == 3
    assert set(asked.candidates.values_list("author", flat=True)) == {"knobs"}
    empty = asked.turns.get(state=TurnState.EMPTY)
    assert empty.proposer == "playbook" and "no place" in empty.note
    assert Event.objects.filter(kind="nothing to propose").count() == 1


def test_a_round_is_closed_when_no_proposer_has_anything_left(project: Project) -> None:
    asked = propose.open_round(project, ["playbook"], 3, "test")
    drain()
    asked.refresh_from_db()
    assert asked.closed_at is not None and "no place" in asked.note
    assert asked.candidates.count() == 0


def test_a_turn_whose_worker_died_is_taken_again_as_it_was_drawn(project: Project) -> None:
    asked = asked_for(project, 1, "knobs")
    turn = opened(asked)
    assert Turn.claim(turn.pk, "worker that dies")
    assert propose.lost_turn(asked) is None, "somebody holds it"
    Turn.objects.filter(pk=turn.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    propose.propose(asked.pk, "another worker")
    turn.refresh_from_db()
    assert (turn.state, turn.number) == (TurnState.PROPOSED, 1)
    assert turn.candidate == asked.candidates.get()


def test_a_turn_that_fails_again_and_again_fails_with_what_was_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_for(project, 1, "knobs")
    monkeypatch.setattr(propose, "context_of", lambda *_: 1 / 0)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            propose.propose(asked.pk, "worker")
    propose.propose(asked.pk, "worker")
    turn = asked.turns.get(number=1)
    assert turn.state == TurnState.FAILED and "division by zero" in turn.note


def near(project: Project, old: str, new: str, sigmas: float, **more: object) -> Candidate:
    edits = (("train.py", old, new),)
    return make_candidate(project, edits=edits, effect=sigmas * SIGMA, stage=Stage.DROPPED, hypothesis=f"{new}", **more)  # type: ignore[arg-type]


@pytest.fixture
def desk() -> Project:
    """A project with three near misses, of which two change one line, and a change that did harm."""
    project = make_project()
    near(project, "LAYERS = 3", "LAYERS = 4", 0.9)
    near(project, "WARMUP = 0.05", "WARMUP = 0.02", 0.7)
    near(project, "LAYERS = 3", "LAYERS = 5", 1.1)
    near(project, "WIDTH = 96", "WIDTH = 64", -3.0)
    return project


def test_near_misses_are_undecided_changes_with_the_best_effects_first(desk: Project) -> None:
    found = list(near_misses(desk, desk.tip()))
    assert [str(candidate) for candidate in found] == ["C-3", "C-1", "C-2"]
    assert effect_in_sigma(found[0]) == pytest.approx(1.1, abs=0.2)


def test_the_pair_with_the_largest_sum_that_goes_together_is_joined_once(desk: Project) -> None:
    pair = next_combination(desk, desk.tip())
    assert pair is not None
    assert sorted(candidate.number for candidate in pair) == [2, 3], "1 and 3 change the same line"
    made = combine(desk, [2, 3], User.objects.create_user("grace"))
    assert made.details == {"combines": [2, 3]}
    assert "LAYERS = 5" in str(made.proposed) and "WARMUP = 0.02" in str(made.proposed)
    assert made.submitted_by is not None and made.author == "combine"
    again = next_combination(desk, desk.tip())
    assert again is not None and sorted(candidate.number for candidate in again) == [1, 2]


@pytest.mark.parametrize(
    ("numbers", "why"), [([1], "Choose two"), ([1, 3], "same lines"), ([1, 99], "C-99"), ([1, 1], "Choose two")]
)
def test_what_cannot_be_tried_together_is_refused_with_the_reason(desk: Project, numbers: list[int], why: str) -> None:
    with pytest.raises(CombinationRefused, match=why):
        combine(desk, numbers, make_user())
    assert desk.candidates.count() == 4


def test_a_turn_for_a_combination_joins_near_misses_whoever_it_belongs_to(desk: Project) -> None:
    set_agents(desk, exploration=0, exploitation=0, combination=1, simplification=0)
    asked = asked_for(desk, 1, "knobs")
    propose.propose(asked.pk, "worker")
    made = asked.candidates.get()
    assert (made.author, made.details) == ("combine", {"combines": [2, 3]})


def test_a_turn_for_a_combination_without_near_misses_is_the_proposers_own(project: Project) -> None:
    set_agents(project, exploration=0, exploitation=0, combination=1, simplification=0)
    asked = asked_for(project, 1, "knobs")
    propose.propose(asked.pk, "worker")
    assert asked.candidates.get().author == "knobs"


def test_the_agents_page_shows_the_bandit_the_turns_and_the_near_misses_and_joins_from_there(desk: Project) -> None:
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    asked = asked_for(desk, 1, "knobs")
    opened(asked)
    page = client.get("/projects/demo/agents/").content.decode()
    for words in ("drawn next", "Thompson", "architecture", "Near misses", "exploration", "at work"):
        assert words in page, words
    response = client.post("/projects/demo/agents/join/", {"number": "2 C-3"})
    made = desk.candidates.get(author="combine")
    assert response["Location"] == made.get_absolute_url()
    response = client.post("/projects/demo/agents/join/", {"number": "1 3"}, follow=True)
    assert "same lines" in response.content.decode()


def test_a_file_without_any_share_is_refused() -> None:
    nothing = dict.fromkeys(("exploration", "exploitation", "combination", "simplification"), 0)
    with pytest.raises(ValueError, match="at least one"):
        ProjectFile.model_validate({"agents": nothing})
