"""“Your turn”: who is told, how, once; what is tried again and what is not."""

import re
import socket
from datetime import timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from research_app.loop.notify.announce import announce
from research_app.loop.notify.deliver import deliver
from research_app.loop.notify.pace import MAX_ATTEMPTS
from research_app.loop.notify.wake import wake_notifications
from research_app.loop.review.review import Seen, approve, request_changes
from research_app.loop.review.votes import turns_of
from research_app.models import (
    Candidate,
    ChannelSettings,
    Delivery,
    Destination,
    Event,
    Message,
    Notification,
    Pace,
    Project,
    Sending,
    Stage,
)
from tests.factories import make_project, make_user
from tests.notify_samples import arrive, hook, mail, make_due, send_all, states, wish, work
from tests.receivers import Mailbox, Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
__all__ = ["hook", "mail"]  # fixtures


def test_who_may_approve_is_told_by_webhook_as_slack_takes_it(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("vera", role="viewer", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    send_all()
    [post] = hook.posts
    assert list(post) == ["text"]
    assert post["text"].splitlines()[0] == "*C-1 of demo awaits landing approval*"
    assert "<http://127.0.0.1:8000/projects/demo/candidates/1/|C-1 of demo awaits landing approval>" in post["text"]
    assert re.search(
        r"Evidence: solid, gain \+0\.\d+ bits per byte, 95% interval \+0\.\d+ … \+0\.\d+ \(positive is better\)", post["text"]
    )
    assert hook.paths == ["/hooks/T0/secret-part"]
    assert hook.headers[0]["Content-Type"] == "application/json"
    assert states() == [Sending.SENT]


def test_an_agents_words_stay_words(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    send_all()
    text = hook.posts[0]["text"]
    assert "&lt;!channel&gt;" in text and "<!channel>" not in text
    assert "<https://evil" not in text and "&amp; more" in text
    assert len(text.splitlines()) == 4  # title, candidate, hypothesis, evidence


def test_an_email_says_what_waits_why_and_where_and_an_agents_words_make_no_header(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    arrive(project)
    send_all()
    assert mail.recipients == ["ada@example.org"]
    message = message_from_string(mail.mails[0], policy=default)
    assert message["Subject"] == "C-1 of demo awaits landing approval"
    assert message["Bcc"] is None and message["From"] == "signoff@example.org"
    body = message.get_content()
    assert "Bcc: all@example.org" in body and "/projects/demo/candidates/1/" in body
    assert "/settings/notifications/" in body
    assert states() == [Sending.SENT]


def test_without_a_mail_server_mails_become_files(project: Project, settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path
    wish(email=Pace.AT_ONCE)
    arrive(project)
    send_all()
    [file] = tmp_path.iterdir()
    assert "Subject: C-1 of demo awaits landing approval" in file.read_text()


def test_no_secret_is_in_what_is_sent_or_written_down(project: Project, hook: Webhook, mail: Mailbox) -> None:
    ada = wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, email=Pace.AT_ONCE)
    hook.answers = [500, 404]
    arrive(project)
    send_all()
    send_all()
    told = " ".join([*mail.mails, str(hook.posts), *Delivery.objects.values_list("last_error", flat=True)])
    told += " ".join(str(event.data) for event in Event.objects.all())
    told += str(list(Destination.objects.values()))
    assert "secret-part" not in told and "/sign-in/" not in told
    assert ada.notification_settings.by("webhook").secret not in told
    assert "answered with status 404" in told


def test_a_turn_is_announced_once_however_often_its_message_comes(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    send_all()
    for _ in range(2):
        announce(candidate.pk)
        Candidate.objects.update(announced_for=None)
        send_all()
    deliver(Delivery.objects.get().pk, "worker")
    assert len(hook.posts) == 1
    Candidate.objects.update(stage=Stage.CONFIRMING)
    candidate.refresh_from_db()
    candidate.move(Stage.READY, "Again at the gate.")
    send_all()
    assert len(hook.posts) == 2  # a turn of its own


def test_a_lost_message_is_found_by_the_reconciler(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    Message.objects.all().delete()
    Candidate.objects.update(stage_since=timezone.now() - timedelta(seconds=10))
    wake_notifications()
    assert [(message.task, message.queue) for message in Message.objects.all()] == [("announce", "notify")]
    send_all()
    assert len(hook.posts) == 1


def test_a_worker_is_told_again_of_what_it_did_not_begin_and_not_at_every_look(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    work()
    make_due()
    for _ in range(3):
        wake_notifications()
        Message.objects.filter(task="deliver").delete()  # the broker took it, and no worker began
    assert Message.objects.count() == 0
    first = Delivery.objects.get().woken_at
    assert first is not None
    Delivery.objects.update(woken_at=first - timedelta(minutes=1))
    wake_notifications()
    assert Message.objects.filter(task="deliver").count() == 1


def test_an_answer_that_says_no_is_tried_again_with_growing_pauses_and_then_fails(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers = [503] * 10
    arrive(project)
    send_all()
    row = Delivery.objects.get()
    pauses = []
    while row.state == Sending.WAITING:
        pauses.append((row.due_at - timezone.now()).total_seconds() / 30)
        deliver(row.pk, "worker")  # not due yet: nothing happens
        Destination.objects.update(paused_until=None)
        make_due()
        deliver(row.pk, "worker")
        row.refresh_from_db()
    assert [0.74 <= pause / 2**n <= 1.26 for n, pause in enumerate(pauses)] == [True] * (MAX_ATTEMPTS - 1), pauses
    assert len(hook.posts) == MAX_ATTEMPTS
    assert row.state == Sending.FAILED and "status 503" in row.last_error


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413, 422])
def test_an_answer_that_will_not_change_is_final(project: Project, hook: Webhook, status: int) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers = [status] * 3
    arrive(project)
    send_all()
    send_all()
    assert states() == [Sending.FAILED] and len(hook.posts) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 504])
def test_an_answer_that_may_change_is_tried_again(project: Project, hook: Webhook, status: int) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers = [status]
    arrive(project)
    send_all()
    assert states() == [Sending.WAITING]
    send_all()
    assert states() == [Sending.SENT] and len(hook.posts) == 2


def test_a_host_that_asks_to_be_left_alone_for_a_while_is(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers, hook.retry_after = [429], "900"
    arrive(project)
    send_all()
    wait = (Delivery.objects.get().due_at - timezone.now()).total_seconds()
    assert 890 < wait <= 900


def test_a_host_that_is_down_is_tried_again(project: Project, hook: Webhook, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    settings.WEBHOOK_HOSTS = ["127.0.0.1"]
    user = wish(webhook=Pace.AT_ONCE, webhook_url=f"http://127.0.0.1:{port}/x")
    arrive(project)
    send_all()
    row = Delivery.objects.get()
    assert row.state == Sending.WAITING and "cannot be reached" in row.last_error
    ChannelSettings.objects.filter(wishes__user=user, channel="webhook").update(address=hook.url)
    send_all()
    assert states() == [Sending.SENT]


def test_what_may_have_arrived_is_not_sent_again(project: Project, hook: Webhook, mail: Mailbox) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, email=Pace.AT_ONCE)
    hook.answers, mail.refusals = ["hang up"], {"END": "hang up"}
    arrive(project)
    send_all()
    assert states() == [Sending.UNKNOWN, Sending.UNKNOWN]
    make_due()
    wake_notifications()
    assert not Message.objects.filter(task="deliver").exists()
    assert len(hook.posts) == len(mail.mails) == 1


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_mail_server_that_cannot_now_is_tried_again(project: Project, mail: Mailbox, verb: str) -> None:
    wish(email=Pace.AT_ONCE)
    mail.refusals = {verb: "451 later"}
    arrive(project)
    send_all()
    assert states() == [Sending.WAITING] and mail.mails == []
    mail.refusals = {}
    send_all()
    assert states() == [Sending.SENT] and len(mail.mails) == 1


@pytest.mark.parametrize(
    ("verb", "answer"),
    [("RCPT", "550 no such user"), ("MAIL", "553 not allowed"), ("DATA", "554 spam"), ("END", "552 too large")],
)
def test_a_mail_server_that_refuses_for_good_is_asked_once(project: Project, mail: Mailbox, verb: str, answer: str) -> None:
    wish(email=Pace.AT_ONCE)
    mail.refusals = {verb: answer}
    arrive(project)
    for _ in range(3):
        send_all()
    assert states() == [Sending.FAILED] and answer in Delivery.objects.get().last_error
    assert mail.asked.count(verb if verb != "END" else "DATA") == 1
    assert Delivery.objects.get().attempts == 1


def test_a_mail_server_that_breaks_off_before_it_had_the_message_is_tried_again(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    mail.refusals = {"RCPT": "hang up"}
    arrive(project)
    send_all()
    assert states() == [Sending.WAITING]


def test_a_worker_that_dies_while_it_sends_leaves_a_message_that_says_so(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    work()
    row = Delivery.objects.get()
    lease = Delivery.claim(row.pk, "a worker that dies now", state=Sending.SENDING)
    assert lease is not None
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    wake_notifications()
    row.refresh_from_db()
    assert row.state == Sending.UNKNOWN and "worker died" in row.last_error
    assert Event.objects.filter(kind="notified, perhaps").count() == 1
    assert not lease.row.update(state=Sending.SENT), "it may no longer write"
    send_all()
    assert hook.posts == []


def test_a_turn_that_is_over_is_not_announced_late(project: Project, hook: Webhook) -> None:
    ada = wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    announce(candidate.pk)
    shown = Candidate.objects.with_evidence().get()
    approve(shown, ada, Seen.of(shown))
    send_all()
    assert hook.posts == [] and states() == [Sending.PASSED]
    assert Notification.objects.get().passed


def test_who_approved_already_is_not_told_again(hook: Webhook) -> None:
    project = make_project(gate={"baseline": {"approvals": 2}})
    ada = wish("ada", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("grace", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    shown = Candidate.objects.with_evidence().get()
    approve(shown, ada, Seen.of(shown))
    work()
    assert [row.user.username for row in Notification.objects.all()] == ["grace"]


def test_an_author_is_told_that_changes_are_asked_for(project: Project, hook: Webhook) -> None:
    oscar = wish("oscar", role="operator", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    Candidate.objects.update(submitted_by=oscar)
    send_all()
    assert hook.posts == []
    shown = Candidate.objects.with_evidence().get()
    request_changes(shown, make_user("grace"), Seen.of(shown), "Try 3%")
    send_all()
    assert "C-1 of demo needs changes" in hook.posts[0]["text"] and "Requested changes: Try 3%" in hook.posts[0]["text"]
    assert list(turns_of(oscar)) == [candidate]


def test_who_switched_it_off_meanwhile_or_left_is_not_told(project: Project, hook: Webhook) -> None:
    for name in ("ada", "grace"):
        wish(name, webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    announce(Candidate.objects.get().pk)
    ChannelSettings.objects.filter(wishes__user__username="ada").update(pace=Pace.OFF)
    User.objects.filter(username="grace").update(is_active=False)
    send_all()
    assert hook.posts == [] and sorted(states()) == [Sending.FAILED, Sending.PASSED]


def test_the_audit_log_tells_of_every_notification_who_was_told_and_how_it_ended(
    project: Project, hook: Webhook, mail: Mailbox
) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, email=Pace.AT_ONCE)
    mail.refusals = {"RCPT": "550 no such user"}
    one, two = arrive(project), arrive(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    send_all()
    for candidate in (one, two):
        told = {event.data["channel"]: event for event in Event.objects.about(candidate).filter(kind__startswith="noti")}
        assert told["webhook"].kind == "notified" and told["email"].kind == "notification failed"
        assert told["email"].data["person"] == "ada" and "550 no such user" in told["email"].data["why"]
        assert told["webhook"].data["candidates"] == 2
    assert list(Event.objects.faults()) == []
