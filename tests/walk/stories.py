"""What the researcher of the walk does, one function for each thing; at its head the project, and the ends that it reaches.

A story runs in a thread of its own beside all the others, and may wait for anything that they or the loop bring about.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.walk import projects as change
from tests.walk.desk import Desk

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


@story("resting", "paused", short=True)
def an_operator_pauses_the_proposers(desk: Desk) -> None:
    desk.wait("a proposal", lambda: desk.now().of("resting"))
    desk.send("operator", "", "pause/")
    desk.seen("paused")


@story("nothing", short=True)
def an_operator_steers(desk: Desk) -> None:
    """The program, a note, a view of the list and its columns, notices, keys."""
    desk.send("operator", "program/", "program/", text="# Make nothing better\n\nSlowly.\n", note="slower")
    desk.send("operator", "program/", "notes/", text="Mind the warm-up.")
    desk.send("operator", "candidates/?stage=ready", "candidates/views/", name="What is ready", shared="on")
    desk.send("operator", "candidates/", "candidates/columns/", ("column", "effect"), ("column", "spent"), ("column", "base"))
    someone = desk.as_("viewer")
    assert (
        someone.send("/settings/notifications/", "/settings/notifications/", email="at_once", address="v@example.org").status
        == 302
    )
