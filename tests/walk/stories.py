"""What the researcher of the walk does, one function for each thing; at its head the project, and the ends that it reaches.

A story runs in a thread of its own beside all the others, and may wait for anything that they or the loop bring about.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.walk import projects as change
from tests.walk.desk import Desk, refusal

Tell = Callable[[Desk], None]


@dataclass(frozen=True)
class Story:
    """One thing that happens. `short`: part of the short walk too."""

    name: str
    project: str
    reaches: tuple[str, ...]
    short: bool
    tell: Tell


STORIES: list[Story] = []


def story(project: str, *reaches: str, short: bool = False) -> Callable[[Tell], Tell]:
    """Enter a function as a story."""

    def enter(tell: Tell) -> Tell:
        STORIES.append(Story(tell.__name__.replace("_", " "), project, reaches, short, tell))
        return tell

    return enter


# What the loop does by itself


@story("failing", "baseline failing", short=True)
def a_baseline_whose_code_crashes(desk: Desk) -> None:
    desk.seen("baseline failing")


@story("nothing", "empty", short=True)
def a_project_in_which_nothing_was_tried(desk: Desk) -> None:
    desk.seen("empty")


@story("plain", "proposed", "checking", "screening", "invalid", short=True)
def a_large_change_is_checked_and_the_same_once_more_is_refused(desk: Desk) -> None:
    with desk.hold("orchestrate", "reconciler"):
        first = desk.submit(change.HUGE, hypothesis="Twelve thousand lines that do nothing")
        second = desk.submit(change.HUGE, hypothesis="The same once more")
        desk.seen("proposed")
    desk.wait("a check to begin", lambda: "checking" in {desk.candidate(n).stage for n in (first, second)})
    desk.until(second, "invalid")
    desk.seen("invalid")


@story("plain", "dropped", "archived", short=True)
def a_worse_change_is_dropped_and_put_away(desk: Desk) -> None:
    number = desk.submit(change.WORSE, hypothesis="A much larger rate")
    other = desk.submit(("WIDTH = 64", "WIDTH = 4"), hypothesis="Much narrower")
    desk.until(number, "dropped")
    desk.until(other, "dropped")
    desk.seen("dropped")
    desk.send("operator", "candidates/", "candidates/bulk/", ("pick", str(other)), action="archive")
    desk.seen("archived")


@story("plain", "crashed", short=True)
def a_change_that_crashes(desk: Desk) -> None:
    number = desk.submit(change.CRASHES, hypothesis="No time between steps")
    desk.until(number, "crashed")
    desk.seen("crashed")


@story("plain", "screening", "replicating", "inconclusive", short=True)
def a_slight_change_cannot_be_told_from_the_noise(desk: Desk) -> None:
    number = desk.submit(change.SLIGHT, hypothesis="A slightly larger rate")
    desk.until(number, "inconclusive")
    desk.seen("inconclusive")


@story("plain", "confirming", short=True)
def a_lucky_change_is_not_confirmed_by_fresh_seeds(desk: Desk) -> None:
    number = desk.submit(change.LUCKY, hypothesis="Better on the first seeds")
    desk.until(number, "inconclusive")


# What people decide


@story("plain", "ready", "rejected", short=True)
def a_reviewer_comments_rejects_takes_it_back_and_rejects_again(desk: Desk) -> None:
    number = desk.submit(change.WIDER, hypothesis="Wider")
    desk.until(number, "ready")
    desk.seen("ready")
    comment_on(desk, number)
    desk.press("reviewer", number, "reject", "Too wide for what it brings.")
    desk.until(number, "rejected")
    desk.press("reviewer", number, "undo")
    desk.until(number, "ready")
    desk.press("reviewer", number, "reject", "Still too wide.")
    desk.seen("rejected")


def comment_on(desk: Desk, number: int) -> None:
    """A thread at a line, an answer to it, and its end."""
    page = f"candidates/{number}/"
    reviewer, approver = desk.as_("reviewer"), desk.as_("approver")
    home = f"/projects/{desk.project}/{page}"
    token = reviewer.form(home, f"{home}reject/").data["csrfmiddlewaretoken"]
    said = {"ps": "1", "path": "train.py", "side": "new", "line": "3", "text": "Does it hold with more text?"}
    answer = reviewer.ask(f"{home}threads/", data={"csrfmiddlewaretoken": token, **said})
    assert answer.status == 302, answer.text[:400]
    thread = answer.headers["Location"].rpartition("-")[2]
    token = approver.form(home, f"{home}reject/").data["csrfmiddlewaretoken"]
    reply = {"csrfmiddlewaretoken": token, "text": "It does.", "then": "resolve"}
    answer = approver.ask(f"{home}threads/{thread}/reply/", data=reply)
    assert answer.status == 302, answer.text[:400]


@story("plain", "changes", short=True)
def changes_are_requested(desk: Desk) -> None:
    number = desk.submit(("WIDTH = 64", "WIDTH = 300"), hypothesis="Wider still")
    desk.until(number, "ready")
    desk.press("reviewer", number, "request-changes", "Say what it costs.")
    desk.until(number, "changes")
    desk.seen("changes")


@story("plain", "quarantined", short=True)
def a_gain_too_good_to_be_true_waits_for_a_reason(desk: Desk) -> None:
    number = desk.submit(change.MUCH_DEEPER, hypothesis="A little deeper")
    desk.until(number, "ready")
    desk.seen("quarantined")


@story("queue", "landing", "landed", short=True)
def a_better_change_is_approved_and_lands(desk: Desk) -> None:
    number = desk.submit(change.BETTER, hypothesis="A larger rate")
    desk.until(number, "ready")
    with desk.hold("orchestrate", "reconciler"):
        desk.press("approver", number, "approve", "As asked.")
        desk.until(number, "landing")
        desk.seen("landing")
    desk.until(number, "landed")
    desk.seen("landed")


@story("idle", "paused", short=True)
def an_operator_pauses_the_proposers(desk: Desk) -> None:
    desk.wait("a proposal", lambda: desk.now().of("idle"))
    desk.send("operator", "", "pause/")
    desk.seen("paused")


@story("nothing", short=True)
def an_operator_steers(desk: Desk) -> None:
    """The program, a note, a view of the list and its columns, notices, keys."""
    desk.send("operator", "program/", "program/", text="# Make nothing better\n\nSlowly.\n", note="slower")
    desk.send("operator", "program/", "notes/", text="Mind the warm-up.")
    desk.send("operator", "candidates/?stage=ready", "candidates/views/", name="What is ready", shared="on")
    desk.send("operator", "candidates/", "candidates/columns/", ("column", "effect"), ("column", "spent"), ("column", "base"))
    page = "/settings/notifications/"
    wishes = {
        "email": "at_once",
        "email_address": "a@example.org",
        "webhook": "at_once",
        "webhook_address": desk.walk.hooks.url,
    }
    answer = desk.as_("approver").send(page, page, **wishes)
    assert answer.status == 302, answer.text[:2000]


# The long walk: what is answered, mended, put together and taken back


@story("plain")
def changes_are_requested_and_answered(desk: Desk) -> None:
    number = desk.submit(("WIDTH = 64", "WIDTH = 400"), hypothesis="As wide as it goes")
    desk.until(number, "ready")
    desk.press("reviewer", number, "request-changes", "A little less, please.")
    desk.press("operator", number, "revise", "Less.", patch=change.patch(("WIDTH = 64", "WIDTH = 340")))
    desk.until(number, "ready")
    page = f"candidates/{number}/?ps=2&against=1"
    assert desk.as_("viewer").ask(f"/projects/plain/{page}").status == 200


@story("plain")
def a_dropped_change_is_brought_back_to_the_gate(desk: Desk) -> None:
    number = desk.submit(("WIDTH = 64", "WIDTH = 8"), hypothesis="Very narrow")
    desk.until(number, "dropped")
    desk.press("operator", number, "reopen", "It is cheaper at inference.")
    desk.until(number, "ready")


@story("plain")
def a_change_that_diverges(desk: Desk) -> None:
    desk.until(desk.submit(change.DIVERGES, hypothesis="It says that it is no number"), "crashed")


@story("plain")
def a_gain_that_is_the_same_for_every_seed_is_no_evidence(desk: Desk) -> None:
    number = desk.submit(change.QUIET, change.WIDER, hypothesis="Wider, without noise")
    desk.until(number, "invalid", "inconclusive", "ready")


@story("plain", "stuck")
def a_change_whose_worker_is_killed_again_and_again(desk: Desk) -> None:
    number, killed = desk.submit(change.SLOW, hypothesis="Slower steps"), 0
    desk.until(number, "screening")
    while not desk.candidate(number).stuck:
        assert desk.candidate(number).stage == "screening", "it trained to its end before its worker was killed"
        if desk.attempt(number) > killed:
            time.sleep(2)  # so that there is something to lose
            attempt = desk.attempt(number)
            if desk.kill_worker_of(number):  # on a busy machine it may be between two attempts
                killed = attempt
        time.sleep(0.2)
    desk.seen("stuck")


@story("ladder", "shortlisted", "scaling up")
def a_change_holds_on_the_next_rung_and_goes_further(desk: Desk) -> None:
    number = desk.submit(change.BETTER, hypothesis="A larger rate")
    scale_up(desk, number)
    desk.until(number, "ready")
    page = f"candidates/{number}/scale-up/"
    desk.send("operator", page, f"{page}further/")
    desk.until(number, "shortlisted")
    desk.send("approver", "shortlist/", "shortlist/approve/", ("pick", str(number)), reason="Further.")
    desk.until(number, "scaling_up")
    desk.send("operator", page, f"{page}stop/", reason="It costs too much now.")


def scale_up(desk: Desk, number: int) -> None:
    """To the shortlist, and approved there for the rung that the page proposes."""
    desk.until(number, "shortlisted")
    desk.seen("shortlisted")
    desk.send("approver", "shortlist/", "shortlist/approve/", ("pick", str(number)), reason="Let us see.")
    desk.until(number, "scaling_up", "ready", "no_transfer")


@story("ladder", "no transfer")
def a_crutch_of_small_models_does_not_transfer(desk: Desk) -> None:
    number = desk.submit(change.CRUTCHED, hypothesis="A crutch")
    scale_up(desk, number)
    desk.until(number, "no_transfer")
    desk.seen("no transfer")


@story("ladder")
def two_on_the_shortlist_become_a_stack_and_one_skips_the_scale_up(desk: Desk) -> None:
    first = desk.submit(change.WIDER, hypothesis="Wider")
    second = desk.submit(("PACE = 0.01", "PACE = 0.008"), change.ALSO_THE_RATE, hypothesis="Faster and a larger rate")
    for number in (first, second):
        desk.until(number, "shortlisted")
    stack_them(desk, first, second)
    stack = desk.wait("the stack", lambda: [c.number for c in desk.now().of("ladder") if c.kind == "stack"])[0]
    desk.until(stack, "shortlisted")
    reason = {f"why-{second}": "It is obvious."}
    desk.send("approver", "shortlist/", f"shortlist/{second}/skip/", **reason)
    desk.until(second, "ready")


def stack_them(desk: Desk, *numbers: int) -> None:
    """Tick candidates of the shortlist, read what they cost, and press the button that comes with the price."""
    page, operator = f"/projects/{desk.project}/shortlist/", desk.as_("operator")
    fields = [*operator.form(page, f"{page}approve/").fields, *(("pick", str(number)) for number in numbers)]
    price = operator.piece(f"{page}price/?{urlencode(fields)}", page)
    assert price.status == 200 and f'formaction="{page}stack/" formnovalidate title' in price.text, price.text
    answer = operator.ask(f"{page}stack/", data=fields)
    assert answer.status == 302, refusal(answer)


@story("traffic", "landing", "conflict")
def three_land_one_after_the_other_and_one_of_them_conflicts(desk: Desk) -> None:
    first = desk.submit(change.BETTER, hypothesis="A larger rate")
    other = desk.submit(change.ALSO_THE_RATE, hypothesis="Nearly as large a rate")
    apart = desk.submit(change.WIDER, hypothesis="Wider")
    for number in (first, other, apart):
        desk.until(number, "ready")
    for number in (first, other, apart):
        desk.press("approver", number, "approve", "Good.")
    desk.until(first, "landed")
    desk.until(other, "conflict")
    desk.until(apart, "landed")
    desk.seen("conflict")
    desk.send("operator", "baseline/", "baseline/1/revert/")
    revert = desk.wait("the revert", lambda: [c.number for c in desk.now().of("traffic") if c.kind == "revert"])[0]
    check_stack(desk, first, apart)
    desk.until(revert, "ready", "conflict", "inconclusive")


def check_stack(desk: Desk, *numbers: int) -> None:
    """Ask for the price of an ablation, begin it, and stop it after its first runs."""
    chosen = [("c", str(number)) for number in numbers]
    page = f"stacks/?{'&'.join(f'c={number}' for number in numbers)}&design=plain"
    answer = desk.send("operator", page, "stacks/start/", *chosen)
    check = answer.headers["Location"].removeprefix("/projects/traffic/")
    assert check.startswith("stacks/") and check != "stacks/", answer.headers["Location"]
    desk.wait("its first run", lambda: any(r.purpose == "stack" and r.state == "finished" for r in desk.now().runs))
    desk.send("operator", check, f"{check}stop/")


@story("same")
def a_baseline_whose_seeds_make_no_difference(desk: Desk) -> None:
    number = desk.submit(change.BETTER, hypothesis="A larger rate")
    desk.wait("the page to say why nothing is judged", lambda: "SIGNOFF_SEED" in desk.as_("viewer").ask("/projects/same/").text)
    assert desk.candidate(number).stage not in ("dropped", "ready")


@story("talks")
def an_agent_talks_proposes_declines_and_is_asked_again(desk: Desk) -> None:
    """Conversations with a model: the walk answers in its place."""
    desk.wait("a candidate of an agent", lambda: desk.now().of("talks"))
    first = desk.now().of("talks")[0].number
    desk.wait("three conversations", lambda: (desk.database.one("SELECT count(*) FROM research_app_conversation") or 0) >= 3)
    desk.send("operator", "", "pause/")
    desk.until(first, "dropped", "inconclusive", "ready", "crashed", "rejected")
    if desk.candidate(first).stage == "ready":
        desk.press("reviewer", first, "request-changes", "Say what it costs.")
