"""The history: every experiment as a table and as a tree, and the landings with gains that were measured, not summed."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from research_app.evidence.noise import Noise
from research_app.models import LandingState, Project, Run, Stage, Verdict
from research_app.web.shared.measured import difference
from tests.factories import make_candidate, make_landing, make_user

pytestmark = pytest.mark.django_db
HISTORY = "/projects/demo/history/"
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]
PAYLOAD = "<img src=x onerror=alert(1)>"


def page(query: str = "", **fields: Any) -> str:
    client = Client()
    client.force_login(make_user(**fields))
    response = client.get(f"{HISTORY}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_the_table_holds_every_experiment_archived_ones_too(project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED, archived_at=timezone.now())
    make_candidate(project, edits=LAYERS)
    shown = page()
    assert "2 experiments" in shown
    assert shown.index("C-2<") < shown.index("C-1<")
    assert "archived</span>" in shown


def test_the_table_can_begin_with_the_oldest(project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED)
    make_candidate(project, edits=LAYERS)
    shown = page("order=oldest")
    assert shown.index("C-1<") < shown.index("C-2<")


def test_the_tree_hangs_candidates_on_the_version_that_they_were_tried_on(project: Project) -> None:
    landed = make_candidate(project, edits=LAYERS, stage=Stage.LANDED, effect=0.03, verdict=Verdict.SOLID)
    make_candidate(project, stage=Stage.DROPPED, effect=-0.01)
    make_landing(landed, LandingState.LANDED)
    make_candidate(project, edits=[("train.py", "WIDTH = 96", "WIDTH = 128")], stage=Stage.READY)
    shown = page("show=tree")
    newest, oldest = shown.split('id="v0"')
    assert "C-3<" in newest and "C-1<" in oldest and "C-2<" in oldest
    assert "made by" in newest
    assert "2 tried on it: 1 landed, 1 discarded" in oldest
    assert oldest.index("C-1<") < oldest.index("C-2<")  # what landed comes first


def test_a_long_branch_of_the_tree_is_cut_and_led_on(project: Project) -> None:
    for number in range(15):
        make_candidate(
            project, edits=[("train.py", "WARMUP = 0.05", f"WARMUP = 0.{number + 10}")], stage=Stage.DROPPED, effect=None
        )
    shown = page("show=tree")
    assert shown.count("data-row") == 12
    assert "?base=0&amp;archived=too&amp;sort=best" in shown
    assert "all 15 tried on baseline 0" in shown


def test_a_stack_names_its_members_in_the_tree(project: Project) -> None:
    one, two = make_candidate(project, stage=Stage.READY), make_candidate(project, edits=LAYERS, stage=Stage.READY)
    stack = make_candidate(project, edits=[("train.py", "WIDTH = 96", "WIDTH = 128")], kind="stack")
    stack.members.set([one, two])
    assert "together: <a" in page("show=tree")


def test_gains_are_differences_of_measured_means_not_sums_of_effects(project: Project) -> None:
    for number, edits in enumerate((LAYERS, [("train.py", "WIDTH = 96", "WIDTH = 128")])):
        landed = make_candidate(project, edits=edits, stage=Stage.LANDED, effect=0.5, verdict=Verdict.SOLID)
        version = make_landing(landed, LandingState.LANDED).version
        assert version
        Run.objects.filter(baseline=version).update(score=2.0 - number / 10)
    Run.objects.filter(baseline__number=0).update(score=2.187)
    shown = page("show=landings")
    assert "+0.287" in shown  # 1.9 against 2.187
    assert "+0.187" in shown  # 2.0 against 2.187
    assert "+0.100" in shown  # the step from 2.0 to 1.9
    assert shown.count(">Revert</button>") == 2
    assert f'action="{HISTORY.replace("history", "baseline")}2/revert/"' in shown


def test_who_may_only_look_gets_no_button_to_revert(project: Project) -> None:
    landed = make_candidate(project, edits=LAYERS, stage=Stage.LANDED, effect=0.05, verdict=Verdict.SOLID)
    make_landing(landed, LandingState.LANDED)
    assert ">Revert</button>" not in page("show=landings", name="eve", role="viewer")


def test_a_difference_of_means_has_the_interval_of_its_runs() -> None:
    found = difference([2.0, 2.2], [1.9, 1.9], Noise.known(0.1), 1.0)
    assert found
    assert found.value == pytest.approx(0.2)
    assert [found.low, found.high] == pytest.approx([0.004, 0.396], rel=1e-3)
    assert found.better is True
    wide = difference([2.0], [1.9], Noise.known(0.1), 1.0)
    assert wide and wide.better is None
    assert difference([], [1.9], Noise.known(0.1), 1.0) is None


def test_a_view_that_there_is_not_shows_the_table(project: Project) -> None:
    assert "0 experiments" in page("show=%3Cscript%3E")


def test_script_in_hypotheses_and_contradictions_stays_text(project: Project) -> None:
    landed = make_candidate(
        project, edits=LAYERS, stage=Stage.LANDED, hypothesis=PAYLOAD, author=PAYLOAD, verdict=Verdict.SOLID
    )
    landing = make_landing(landed, LandingState.LANDED)
    landing.contradictions = PAYLOAD
    landing.save()
    client = Client()
    client.force_login(make_user())
    for view in ("table", "tree", "landings"):
        shown = client.get(f"{HISTORY}?show={view}").content.decode()
        assert "<img" not in shown
        assert "&lt;img" in shown
