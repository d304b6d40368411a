"""The pages of gate 1 and of scale-ups: who may do what, what they show, and how they refuse."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.access import Role, set_role
from research_app.loop.review.review import Seen
from research_app.models import Candidate, LandingState, Project, Run, ScaleUp, Stage, State, Verdict
from tests.factories import make_candidate, make_landing, make_project, make_run
from tests.ladder_project import CONFIG, finish, fresh
from tests.loop.test_shortlist import listed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    return make_project("gates", ladder=CONFIG["ladder"], scale_up={"budget_hours": 30, "currency": "EUR"})


def signed_in(role: Role = Role.APPROVER, name: str = "grace") -> Client:
    person = User.objects.create_user(name)
    set_role(person, role)
    client = Client()
    client.force_login(person)
    return client


def page(client: Client, address: str, status: int = 200) -> str:
    """The text of a page, without its markup."""
    answer = client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return text_of(answer.content.decode())


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def form(*candidates: Candidate, seeds: int = 4, rung: str = "M", **more: Any) -> dict[str, Any]:
    """What a browser sends for these picks."""
    sent: dict[str, Any] = {"pick": [str(c.number) for c in candidates], **more}
    for candidate in candidates:
        sent[f"seen-{candidate.number}"] = " ".join(map(str, vars(Seen.of(fresh(candidate))).values()))
        sent[f"rungs-{candidate.number}"] = [rung]
        sent[f"seeds-{candidate.number}-{rung}"] = str(seeds)
    return sent


def test_the_shortlist_shows_evidence_price_prediction_conflicts_and_what_is_left(project: Project) -> None:
    one, two = listed(project), listed(project, to="0.1")
    shown = page(signed_in(), "/projects/gates/shortlist/")
    for words in (str(one), str(two), "conflicts with", "WARMUP", "left of the budget 30.00 of 30 h", "64 times the median of"):
        assert words in shown, words
    assert "8 times the median of" in shown and "at M" in shown
    assert "0.05 → 0.02" in shown


def test_a_project_without_a_ladder_says_that_gate_one_is_skipped() -> None:
    make_project("flat")
    assert "gate 1 is skipped" in page(signed_in(), "/projects/flat/shortlist/")


def test_an_empty_shortlist_says_when_something_comes(project: Project) -> None:
    assert "Nothing is on the shortlist. A candidate comes here when" in page(signed_in(), "/projects/gates/shortlist/")


def test_the_price_follows_what_is_picked_and_says_when_it_is_over_the_budget(project: Project) -> None:
    one, client = listed(project), signed_in()
    asked = form(one)
    shown = text_of(client.get("/projects/gates/shortlist/price/", asked).content.decode())
    assert "12 runs , 8 of them of the baseline and shared" in shown and "0.41 device-hours" in shown
    many = client.get("/projects/gates/shortlist/price/", form(one, seeds=64, rung="L")).content.decode()
    assert "Pick fewer candidates" in text_of(many) and "disabled" in many
    nothing = text_of(client.get("/projects/gates/shortlist/price/").content.decode())
    assert "Pick candidates to see what their scale-up costs" in nothing


def test_approving_begins_the_scale_up_and_leads_back_to_the_list(project: Project) -> None:
    candidate, client = listed(project), signed_in()
    answer = client.post("/projects/gates/shortlist/approve/", form(candidate), follow=True)
    assert answer.redirect_chain == [("/projects/gates/shortlist/", 302)]
    assert f"{candidate}: scale-up approved." in text_of(answer.content.decode())
    assert ScaleUp.objects.get().candidate == candidate and fresh(candidate).stage == Stage.SCALING_UP


def test_a_reviewer_may_look_but_not_spend(project: Project) -> None:
    candidate, client = listed(project), signed_in(Role.REVIEWER)
    shown = client.get("/projects/gates/shortlist/").content.decode()
    assert "Approve the spend" not in shown
    assert client.post("/projects/gates/shortlist/approve/", form(candidate)).status_code == 403
    assert not ScaleUp.objects.exists()


def test_nobody_signed_in_sees_or_spends_anything(project: Project) -> None:
    candidate = listed(project)
    assert Client().get("/projects/gates/shortlist/").status_code == 302
    assert Client().post("/projects/gates/shortlist/approve/", form(candidate)).status_code == 302
    assert Client().get(f"{candidate.get_absolute_url()}scale-up/").status_code == 302
    assert not ScaleUp.objects.exists()


def test_a_stale_pick_is_refused_with_what_changed(project: Project) -> None:
    candidate, client = listed(project), signed_in()
    sent = form(candidate)
    assert candidate.evidence
    candidate.evidence.content_hash = "0" * 64
    candidate.evidence.save()
    answer = client.post("/projects/gates/shortlist/approve/", sent)
    assert answer.status_code == 409 and "its evidence changed" in text_of(answer.content.decode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pick": ["999"]}, "There is no C-999"),
        ({"pick": []}, "Pick at least one"),
        ({"seeds": "many"}, "as a number, 2 to 64"),
        ({"seeds": "-3"}, "as a number, 2 to 64"),
        ({"rung": "XXL"}, "no rung XXL"),
        ({"seen": "nonsense"}, "changed"),
    ],
)
def test_nonsense_in_the_form_is_refused_in_words(project: Project, change: dict[str, Any], said: str) -> None:
    candidate, client = listed(project), signed_in()
    n = candidate.number
    sent = form(candidate, rung=change.pop("rung", "M"))
    renamed = {"seeds": f"seeds-{n}-M", "seen": f"seen-{n}"}
    sent |= {renamed.get(key, key): value for key, value in change.items()}
    answer = client.post("/projects/gates/shortlist/approve/", sent)
    assert answer.status_code in (409, 422) and said in text_of(answer.content.decode())
    assert not ScaleUp.objects.exists()


def test_sending_one_to_gate_two_needs_its_reason(project: Project) -> None:
    candidate, client = listed(project), signed_in()
    address = f"/projects/gates/shortlist/{candidate.number}/skip/"
    answer = client.post(address, form(candidate))
    assert answer.status_code == 422 and "Say why it needs no scale-up" in text_of(answer.content.decode())
    client.post(address, form(candidate) | {f"why-{candidate.number}": "It only deletes code"})
    assert fresh(candidate).stage == Stage.READY


def test_a_stack_of_one_is_refused(project: Project) -> None:
    candidate, client = listed(project), signed_in()
    answer = client.post("/projects/gates/shortlist/stack/", form(candidate))
    assert answer.status_code == 422 and "at least two" in text_of(answer.content.decode())


def test_a_stack_of_two_is_judged_at_the_smallest_scale_first(project: Project) -> None:
    one, two = listed(project), listed(project, "WIDTH", "128")
    answer = signed_in().post("/projects/gates/shortlist/stack/", form(one, two), follow=True)
    made = Candidate.objects.latest("pk")
    assert made.kind == "stack" and made.stage == Stage.SCREENING
    assert f"{made} is the stack of {one}, {two}" in text_of(answer.content.decode())


def test_what_an_agent_wrote_stays_text(project: Project) -> None:
    bad = "<script>alert(1)</script>"
    candidate = listed(project, hypothesis=f"{bad} warm-up")
    client = signed_in()
    for address in ("/projects/gates/shortlist/", f"{candidate.get_absolute_url()}scale-up/"):
        html = client.get(address).content.decode()
        assert bad not in html and "&lt;script&gt;" in html


def test_the_scale_up_page_of_a_candidate_that_was_not_scaled_up_says_where_to_approve_it(project: Project) -> None:
    candidate = listed(project)
    shown = page(signed_in(), f"{candidate.get_absolute_url()}scale-up/")
    assert "It was not scaled up." in shown and "the shortlist" in shown


def test_a_running_scale_up_shows_progress_and_can_be_stopped_by_an_operator(project: Project) -> None:
    candidate, approver = listed(project), signed_in()
    approver.post("/projects/gates/shortlist/approve/", form(candidate))
    address = f"{candidate.get_absolute_url()}scale-up/"
    run = Run.objects.filter(scale="M", patch_set=candidate.patch_set).first()
    assert run is not None
    Run.objects.filter(pk=run.pk).update(state=State.RUNNING, progress=0.5, started_at=run.created_at)
    shown = page(approver, address)
    assert "scaling up" in shown and "0 of 12 ended at M" in shown and "50%" in shown and "left" in shown
    assert "Stop the scale-up" in shown
    viewer = signed_in(Role.VIEWER, "vera")
    assert "Stop the scale-up" not in page(viewer, address)
    assert viewer.post(f"{address}stop/").status_code == 403
    operator = signed_in(Role.OPERATOR, "olga")
    answer = operator.post(f"{address}stop/", {"reason": "Too dear"}, follow=True)
    assert "stopped by olga: Too dear" in text_of(answer.content.decode())
    assert operator.post(f"{address}stop/").status_code == 409
    assert fresh(candidate).stage == Stage.SHORTLISTED


def test_the_number_of_queries_does_not_grow_with_the_list(project: Project) -> None:
    client = signed_in()
    listed(project)
    with CaptureQueriesContext(connection) as few:
        client.get("/projects/gates/shortlist/")
    for value in range(3, 13):
        listed(project, to=f"0.{value:02}9")
    with CaptureQueriesContext(connection) as many:
        client.get("/projects/gates/shortlist/")
    assert len(many) <= len(few), [query["sql"] for query in many]


def test_the_number_of_queries_does_not_grow_with_the_scale_ups_that_run(project: Project) -> None:
    client = signed_in()
    counted = []
    for values in (("0.031",), ("0.041", "0.059", "0.079", "0.109")):
        chosen = [listed(project, to=value) for value in values]
        assert client.post("/projects/gates/shortlist/approve/", form(*chosen)).status_code == 302
        with CaptureQueriesContext(connection) as made:
            shown = client.get("/projects/gates/shortlist/").content.decode()
        assert all(f">{one}<" in shown for one in chosen)
        counted.append(len(made))
    assert counted[1] <= counted[0]


def test_the_page_tells_what_transfers_from_what_does_not(project: Project) -> None:
    holds, does_not = listed(project), listed(project, "WIDTH", "128")
    client = signed_in()
    client.post("/projects/gates/shortlist/approve/", form(holds, does_not))
    for candidate, gain in ((holds, 0.02), (does_not, 0.0005)):
        finish(ScaleUp.objects.get(candidate=candidate), gain)
    good = page(client, f"{holds.get_absolute_url()}scale-up/")
    bad = page(client, f"{does_not.get_absolute_url()}scale-up/")
    assert fresh(holds).stage == Stage.READY and "the gain holds at larger scale" in good and "✓ passes" in good
    assert fresh(does_not).stage == Stage.NO_TRANSFER and "the gain does not hold at larger scale" in bad
    assert "! does not pass" in bad and "within the noise of this rung" in bad
    assert "0.10 h 0.20 EUR" in good and "+ 0.20 h shared" in good, "its own runs at M with their price, and the baseline's"
    assert client.get(f"{holds.get_absolute_url()}curves.json?scale=M").json()["scale"] == "M"


def test_costs_come_from_real_runs_and_are_missing_where_there_are_none(project: Project) -> None:
    candidate, client = listed(project), signed_in()
    address = f"{candidate.get_absolute_url()}scale-up/"
    assert "not tried" in page(client, address) and "device-hours" not in page(client, address)
    make_run(project.tip(), seed=1, scale="M", train_seconds=3600.0)
    shown = page(client, "/projects/gates/shortlist/")
    assert "measured on 1 run at M" in shown and "1.00 h" in shown and "2.00 EUR" in shown


def test_it_says_how_many_of_the_gains_that_landed_replicated(project: Project) -> None:
    client = signed_in()
    assert "replicated" not in page(client, "/projects/gates/shortlist/")
    for constant, gain in (("LAYERS = 3", 0.2), ("WIDTH = 96", 0.0)):
        edits = [("train.py", constant, constant.replace("3", "4").replace("96", "97"))]
        landed = make_candidate(project, edits=edits, effect=gain, stage=Stage.LANDED, verdict=Verdict.SOLID)
        make_landing(landed, LandingState.LANDED)
    assert "1 of 2 gains that landed so far replicated" in page(client, "/projects/gates/shortlist/")
