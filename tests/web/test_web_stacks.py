"""The page of an ablation: what each brings and beside what, which clash, and a removal where nothing is lost."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.models import Ablation, Candidate, Kind, Project
from tests.factories import make_project, make_user
from tests.landing_samples import approved, knob, training_at_once
from tests.small_project import drain
from tests.stack_samples import Planted, Truth, planted, same_seeds

pytestmark = pytest.mark.django_db(transaction=True)

A, B = 0, 1
CANCEL = Truth({A: 0.01, B: 0.01}, {(A, B): -0.035})
USELESS = Truth({A: 0.01, B: 0.0})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    same_seeds(monkeypatch)
    with training_at_once():
        yield


@pytest.fixture
def client() -> Client:
    signed_in = Client()
    signed_in.force_login(make_user("olga", role="operator"))
    return signed_in


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def checked(folder: Path, truth: Truth, landed: Sequence[int], waiting: Sequence[int]) -> tuple[Planted, Ablation]:
    stack = planted(folder, truth, landed, waiting)
    return stack, stack.check()


def test_of_two_that_clash_the_one_that_landed_stays_and_both_contexts_are_told(client: Client, tmp_path: Path) -> None:
    stack, check = checked(tmp_path, CANCEL, (A,), (B,))
    a, b = stack.candidates[A], stack.candidates[B]
    shown = page(client, check.get_absolute_url())
    assert f"{a} and {b} together bring 0.03" in shown and "less than the sum of their effects" in shown
    assert f"{a} ✓ keep {a} helps: it brings +0.0" in shown
    assert f"{b} ! does harm {b} would do harm: it would bring −0.02" in shown
    assert "Alone +0.0" in shown and "beside all others −0.02" in shown
    for words in ("On the baseline", "Alone", "Beside all others", "Approved on", "less than the sum"):
        assert words in shown
    assert "Propose to remove" not in shown and "can be taken out" not in shown


def test_what_was_approved_beside_another_is_shown_with_it_and_not_as_alone(client: Client, tmp_path: Path) -> None:
    stack, check = checked(tmp_path, USELESS, (A, B), ())
    shown = page(client, check.get_absolute_url())
    assert f"+0.01000 on baseline 1, with {stack.candidates[A]}" in shown
    assert "+0.01000 on baseline 0, with none of the others" in shown


@pytest.mark.one_in(3)
def test_a_useless_one_is_taken_out_by_one_click_and_the_others_wait_until_it_is_out(client: Client, tmp_path: Path) -> None:
    stack, check = checked(tmp_path, Truth({A: 0.01, B: 0.0, 2: 0.0}), (A, B, 2), ())
    shown = page(client, check.get_absolute_url())
    useless = [stack.candidates[number] for number in (B, 2) if f"Propose to remove {stack.candidates[number]}" in shown]
    assert len(useless) == 2 and f"Propose to remove {stack.candidates[A]}" not in shown
    assert "can be taken out: it brings" in shown and "would not be missed" in shown
    response = client.post(f"{check.get_absolute_url()}remove/{useless[0].number}/")
    removal = Candidate.objects.get(kind=Kind.REMOVAL)
    assert response["Location"] == removal.get_absolute_url()
    assert f"Remove {useless[0]}" in removal.hypothesis and "can be taken out" in removal.hypothesis
    shown = page(client, check.get_absolute_url())
    assert f"{removal} proposes to remove it" in shown and "Propose to remove" not in shown, (
        "both were measured with the other on"
    )
    refused = client.post(f"{check.get_absolute_url()}remove/{useless[1].number}/", follow=True)
    assert "taking both out was not" in refused.content.decode()


def test_a_good_one_cannot_be_proposed_for_removal_by_an_address_either(client: Client, tmp_path: Path) -> None:
    stack, check = checked(tmp_path, CANCEL, (A,), (B,))
    response = client.post(f"{check.get_absolute_url()}remove/{stack.candidates[A].number}/", follow=True)
    assert "not shown that" in response.content.decode() and not Candidate.objects.filter(kind=Kind.REMOVAL).exists()


@pytest.mark.one_in(2)
def test_when_the_baseline_has_moved_the_page_says_so_and_offers_nothing(client: Client, tmp_path: Path) -> None:
    stack, check = checked(tmp_path, USELESS, (A, B), ())
    approved(stack.project, knob(7))
    drain(limit=500)
    shown = page(client, check.get_absolute_url())
    assert "The baseline is 3 now, and this is of baseline 2: check again" in shown and "Propose to remove" not in shown


def test_a_check_of_an_earlier_kind_is_shown_without_any_advice(client: Client) -> None:
    project = make_project("demo")
    check = Ablation.objects.create(project=project, version=project.tip(), asked_by="ada", state="finished", reason="Done.")
    row = {"standard_error": 0.002, "unhelpful": True, "change": "1", "effect": -0.001, "interval": [-0.005, 0.003]}
    check.result = {"effects": [row], "bundle": {"sentence": "no sum"}, "sigma": 0.01}
    check.save()
    shown = page(client, check.get_absolute_url())
    assert "of an earlier kind" in shown and "Propose to remove" not in shown and "Advice" not in shown


@pytest.mark.one_in(2)
def test_what_was_taken_back_is_not_on_offer(client: Client, tmp_path: Path) -> None:
    stack, _ = checked(tmp_path, USELESS, (A, B), ())
    Candidate.objects.filter(pk=stack.candidates[B].pk).update(undone_by=stack.project.tip())
    html = client.get(f"/projects/{stack.project.slug}/stacks/").content.decode()
    assert f'value="{stack.candidates[A].number}"' in html and f'value="{stack.candidates[B].number}"' not in html


def test_the_page_costs_as_many_queries_for_many_changes_as_for_two(client: Client, tmp_path: Path) -> None:
    def queries(check: Ablation) -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get(check.get_absolute_url())
        return len(seen)

    _, small = checked(tmp_path, USELESS, (A,), (B,))
    project: Project = small.project
    large = Ablation.objects.create(
        project=project, version=project.tip(), asked_by="ada", state="finished", result=small.result
    )
    large.candidates.set(small.candidates.all())
    for number in range(2, 8):
        large.candidates.add(approved(project, knob(number)))
        drain(limit=500)
    large.result["effects"] += [{**large.result["effects"][0], "change": str(n)} for n in range(3, 9)]
    large.save()
    queries(small)
    assert queries(large) <= queries(small)
