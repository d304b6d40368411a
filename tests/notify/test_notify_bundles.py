"""Storms are bundled: what happens within a window, or on top of an hourly limit, is one message with the right number."""

import re
from datetime import timedelta
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.loop.notify import deliver as deliver_step
from research_app.loop.notify import pace
from research_app.loop.notify.announce import announce
from research_app.loop.notify.compose import MAX_LISTED
from research_app.loop.notify.deliver import deliver
from research_app.loop.notify.wake import wake_notifications
from research_app.models import (
    Candidate,
    Delivery,
    Event,
    Message,
    Notification,
    NotificationSettings,
    Pace,
    Project,
    Sending,
    Stage,
)
from tests.notify_samples import arrive, arrive_many, hook, mail, make_due, send_all, states, wish, work
from tests.receivers import Mailbox, Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
__all__ = ["hook", "mail"]  # fixtures


def subjects(mail: Mailbox) -> list[str]:
    return [str(message_from_string(text, policy=default)["Subject"]) for text in mail.mails]


def body(mail: Mailbox) -> str:
    return str(message_from_string(mail.mails[-1], policy=default).get_content())


def test_what_happens_within_a_window_is_one_message(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    arrive_many(project, 5)
    work()
    assert Delivery.objects.count() == 1 and Notification.objects.count() == 5
    deliver(Delivery.objects.get().pk, "worker")
    assert mail.mails == [], "it waits for what else comes"
    send_all()
    assert subjects(mail) == ["Signoff: 5 decisions are waiting for you"]
    assert len(re.findall(r"/projects/demo/candidates/\d+/", body(mail))) == 5


def test_a_message_soon_leaves(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    arrive(project)
    work()
    due = Delivery.objects.get().due_at - timezone.now()
    assert timedelta(0) < due <= pace.FIRST_WINDOW


def test_two_hundred_at_once_are_one_mail_with_the_number_and_a_list_that_ends(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    arrive_many(project, 200)
    send_all()
    assert subjects(mail) == ["Signoff: 200 decisions are waiting for you"]
    assert len(re.findall(r"/projects/demo/candidates/\d+/", body(mail))) == MAX_LISTED
    assert "And 150 more: http://127.0.0.1:8000/" in body(mail)
    assert Event.objects.filter(kind="notified").count() == 200
    assert list(Event.objects.faults()) == []


@pytest.mark.one_in(3)
def test_two_hundred_and_seven_in_a_digest_are_one_mail_with_the_right_number(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.DIGEST, digest_hour=(timezone.now() + timedelta(hours=2)).hour)
    arrive_many(project, 207)
    work()
    for gone in Candidate.objects.filter(number__in=[3, 50, 200]):
        gone.move(Stage.REJECTED, "Noise")
    make_due()
    for _ in range(5):  # the reconciler looks every five seconds
        wake_notifications()
    assert Message.objects.filter(task="deliver").count() == 1
    work()
    send_all()
    assert subjects(mail) == ["Signoff: 204 decisions are waiting for you"]
    assert "And 154 more" in body(mail)
    assert states() == [Sending.SENT] and Delivery.objects.get().candidate_count == 204
    assert Notification.objects.filter(passed=True).count() == 3


def test_a_digest_says_how_many_wait_and_how_many_of_them_are_new(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.DIGEST)
    arrive_many(project, 4)
    send_all()
    for number in ("2e-3", "4e-3"):
        arrive(project, edits=[("train.py", "LEARNING_RATE = 3e-3", f"LEARNING_RATE = {number}")])
    send_all()
    assert subjects(mail) == [
        "Signoff: 4 decisions are waiting for you",
        "Signoff: 6 decisions are waiting for you, 2 of them new",
    ]


def test_a_digest_leaves_at_its_hour(project: Project) -> None:
    hour = (timezone.now() + timedelta(hours=2)).hour
    wish(email=Pace.DIGEST, digest_hour=hour)
    arrive(project)
    work()
    due = Delivery.objects.get().due_at
    assert due.hour == hour and due > timezone.now()


def test_each_further_message_of_an_hour_gathers_longer(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    windows = []
    for number in range(4):
        arrive(project, edits=[("train.py", "LAYERS = 3", f"LAYERS = {number + 4}")])
        work()
        due = Delivery.objects.get(state=Sending.WAITING).due_at
        windows.append(round((due - timezone.now()) / pace.FIRST_WINDOW))
        send_all()
    assert windows == [1, 2, 4, 8] and len(mail.mails) == 4


def test_a_person_gets_no_more_messages_an_hour_than_they_want(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE, hourly_limit=2)
    for number in range(5):
        arrive(project, edits=[("train.py", "LAYERS = 3", f"LAYERS = {number + 4}")])
        send_all()
    assert len(mail.mails) == 2
    waiting = Delivery.objects.get(state=Sending.WAITING)
    first = Delivery.objects.filter(state=Sending.SENT).order_by("left_at")[0]
    assert first.left_at is not None and waiting.due_at == first.left_at + timedelta(hours=1)
    assert waiting.notifications.count() == 3 and waiting.attempts == 0 and "as many as you want" in waiting.last_error
    Delivery.objects.filter(state=Sending.SENT).update(left_at=timezone.now() - timedelta(minutes=61))
    send_all()
    assert subjects(mail)[-1] == "Signoff: 5 decisions are waiting for you, 3 of them new"


@pytest.mark.one_in(3)
def test_a_storm_of_a_thousand_sends_few_mails(project: Project, mail: Mailbox) -> None:
    """A thousand turns spread over an hour, the clock of the deliveries moved along."""
    wish(email=Pace.AT_ONCE)
    arrive_many(project, 1000)
    turns = list(Message.objects.filter(task="announce").order_by("pk").values_list("object_id", flat=True))
    step = timedelta(minutes=3)
    for start in range(0, 1000, 50):
        for pk in turns[start : start + 50]:
            announce(pk)
        for name in ("due_at", "left_at", "opened_at"):
            for row in Delivery.objects.filter(**{f"{name}__isnull": False}):
                Delivery.objects.filter(pk=row.pk).update(**{name: getattr(row, name) - step})
        wake_notifications()
        work("deliver")
    send_all()
    assert 1 <= len(mail.mails) <= 10, len(mail.mails)
    assert sum(Delivery.objects.filter(state=Sending.SENT).values_list("candidate_count", flat=True)) == 1000
    assert subjects(mail)[-1].startswith("Signoff: 1000 decisions are waiting for you")


def test_what_comes_while_a_message_is_being_sent_joins_it_when_that_fails(
    project: Project, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    work()
    make_due()
    send = deliver_step.send

    def meanwhile(*arguments: Any) -> deliver_step.Outcome:
        arrive(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
        work("announce")
        assert states() == [Sending.SENDING, Sending.WAITING]
        return send(*arguments)

    monkeypatch.setattr(deliver_step, "send", meanwhile)
    hook.answers = [503]
    wake_notifications()
    work("deliver")
    assert states() == [Sending.WAITING] and Notification.objects.filter(delivery=Delivery.objects.get()).count() == 2
    monkeypatch.undo()
    send_all()
    assert hook.posts[-1]["text"].startswith("*Signoff: 2 decisions are waiting for you*")


def test_each_person_and_channel_has_a_message_of_its_own(project: Project, mail: Mailbox, hook: Webhook) -> None:
    wish("ada", email=Pace.AT_ONCE, webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("grace", email=Pace.DIGEST)
    arrive_many(project, 3)
    work()
    found = Delivery.objects.order_by("pk").values_list("user__username", "channel", "occasion")
    assert set(found) == {("ada", "email", "at_once"), ("ada", "webhook", "at_once"), ("grace", "email", "digest")}


def test_a_message_costs_the_same_queries_however_many_it_is_about(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    counts = []
    for count in (10, 100):
        arrive_many(project, count)
        work("announce")
        make_due()
        with CaptureQueriesContext(connection) as queries:
            deliver(Delivery.objects.get(state=Sending.WAITING).pk, "worker")
        counts.append(len(queries))
        NotificationSettings.objects.update(hourly_limit=60)
    assert counts[1] <= counts[0], counts
