"""An address that fails is left alone for a while, and said; one person's address holds up nobody else's."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from research_app import health
from research_app.loop.notify.breaker import FAILURES, pause_after
from research_app.loop.notify.deliver import deliver
from research_app.loop.notify.wake import wake_notifications
from research_app.models import Candidate, ChannelSettings, Delivery, Destination, Pace, Project, Sending
from tests.notify_samples import arrive, arrive_many, hook, mail, make_due, send_all, states, use_mail_server, wish, work
from tests.receivers import Mailbox, Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
__all__ = ["hook", "mail"]  # fixtures


def fail_often(project: Project, hook: Webhook, times: int = FAILURES) -> None:
    """So many messages in a row are refused for good."""
    for number in range(times):
        hook.answers = [404]
        arrive(project, edits=[("train.py", "LAYERS = 3", f"LAYERS = {number + 4}")])
        send_all()


def test_after_some_failures_in_a_row_nothing_is_sent_there_for_a_while(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(project, hook)
    assert len(hook.posts) == FAILURES
    arrive(project)
    send_all()
    waiting = Delivery.objects.get(state=Sending.WAITING)
    place = Destination.objects.get(server=False)
    assert len(hook.posts) == FAILURES, "nothing was sent"
    assert place.paused_until and waiting.due_at == place.paused_until
    assert waiting.attempts == 0 and "is paused" in waiting.last_error


def test_when_the_pause_is_over_one_message_tries_and_a_success_ends_it(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(project, hook)
    arrive(project)
    Destination.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    send_all()
    assert len(hook.posts) == FAILURES + 1
    place = Destination.objects.get(server=False)
    assert (place.failures, place.paused_until) == (0, None)


def test_a_trial_that_fails_pauses_for_twice_as_long_and_an_hour_at_most(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, hourly_limit=60)
    fail_often(project, hook)
    for doubled in (2, 4, 8):
        Destination.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
        hook.answers = [503]
        arrive(project)
        send_all()
        until = Destination.objects.get(server=False).paused_until
        assert until is not None
        assert (until - timezone.now()).total_seconds() == pytest.approx(60 * doubled, abs=5)
    assert pause_after(50) == timedelta(hours=1)


def test_only_one_of_several_messages_tries_a_place_whose_pause_is_over(project: Project, hook: Webhook) -> None:
    wish("ada", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("grace", webhook=Pace.AT_ONCE, webhook_url=hook.url)  # the team's channel
    arrive(project)
    work()
    Destination.objects.all().delete()
    hook.answers = [503, 503, 503, 503]
    for _ in range(2):
        make_due()
        wake_notifications()
        work()
    assert len(hook.posts) == FAILURES
    Destination.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    make_due()
    for row in Delivery.objects.all():
        deliver(row.pk, "worker")
    assert len(hook.posts) == FAILURES + 1


def test_one_address_that_never_answers_does_not_hold_up_others_on_the_same_server(
    project: Project, hook: Webhook, settings: Settings
) -> None:
    wish("ada", webhook=Pace.AT_ONCE, webhook_url=f"{hook.url}/hanging")
    wish("grace", webhook=Pace.AT_ONCE, webhook_url=hook.url, hourly_limit=60)
    hook.by_path = {"/hooks/T0/secret-part/hanging": "hang up"}
    for number in range(4):
        arrive(project, edits=[("train.py", "LAYERS = 3", f"LAYERS = {number + 4}")])
        send_all()
    assert hook.paths.count("/hooks/T0/secret-part") == 4
    assert hook.paths.count("/hooks/T0/secret-part/hanging") == FAILURES
    assert Destination.objects.get(server=True).paused_until is None


def test_a_mail_server_that_hangs_for_several_people_is_paused_for_all(project: Project, settings: Settings) -> None:
    use_mail_server(settings, 1)  # nobody listens there
    for name in ("ada", "grace", "lin", "mary", "rosa"):
        wish(name, email=Pace.AT_ONCE)
    arrive(project)
    send_all()
    tried = Delivery.objects.filter(attempts=1).count()
    server = Destination.objects.get(server=True)
    assert tried == FAILURES and server.paused_until is not None
    assert "mail server 127.0.0.1:1" in server.label and "cannot be reached" in server.last_error
    assert set(states()) == {Sending.WAITING}


def test_a_mail_server_that_refuses_one_address_is_not_blamed(project: Project, mail: Mailbox) -> None:
    for name in ("ada", "grace", "lin", "mary"):
        wish(name, email=Pace.AT_ONCE)
    mail.refusals = {"RCPT": "550 no such user"}
    arrive(project)
    send_all()
    assert Destination.objects.get(server=True).paused_until is None
    assert set(states()) == {Sending.FAILED}


def test_a_message_to_a_paused_address_gathers_what_comes_and_fails_after_a_day(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(project, hook)
    Destination.objects.update(paused_until=timezone.now() + timedelta(hours=1))
    arrive_many(project, 3)
    send_all()
    waiting = Delivery.objects.get(state=Sending.WAITING)
    assert waiting.notifications.count() == 3
    Delivery.objects.filter(pk=waiting.pk).update(opened_at=timezone.now() - timedelta(hours=25))
    send_all()
    waiting.refresh_from_db()
    assert waiting.state == Sending.FAILED and "waited for 24 hours" in waiting.last_error


def test_a_new_address_begins_afresh(project: Project, hook: Webhook) -> None:
    ada = wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(project, hook)
    ChannelSettings.objects.filter(wishes__user=ada, channel="webhook").update(address=f"{hook.url}/new")
    arrive(project)
    send_all()
    assert hook.paths[-1].endswith("/new") and len(hook.posts) == FAILURES + 1


def test_the_page_says_that_an_address_is_paused_why_and_until_when_and_a_trial_ends_it(
    project: Project, hook: Webhook
) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(project, hook)
    client = Client()
    client.login(username="ada", password="correct horse battery")
    page = client.get("/settings/notifications/").content.decode()
    assert "paused" in page and "failed 3 times in a row" in page and "status 404" in page
    client.post("/settings/notifications/try/webhook/")
    work()
    page = client.get("/settings/notifications/").content.decode()
    assert (
        "works" in page
        and "> paused<" not in page
        and "This is a test message: nothing is waiting for you." in str(hook.posts[-1])
    )


def finding() -> health.Finding:
    return next(found for found in health.examine(thorough=True) if found.name == "notifications")


def test_the_doctor_names_the_address_that_is_paused_and_no_secret(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    assert finding().ok
    fail_often(project, hook)
    found = finding()
    assert not found.ok and "webhook of ada" in found.detail and "status 404" in found.detail
    assert "secret-part" not in found.detail and "correct the address" in found.fix


def test_the_doctor_says_that_nobody_sends(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    Candidate.objects.update(stage_since=timezone.now() - timedelta(minutes=3))
    found = finding()
    assert not found.ok and "1 is overdue: nobody sends them" in found.detail and "-Q notify,push" in found.fix
    work()
    Delivery.objects.update(due_at=timezone.now() - timedelta(minutes=3))
    assert not finding().ok
    client = Client()
    client.login(username="ada", password="correct horse battery")
    assert "Nobody sends messages at the moment: 1 to you is overdue" in client.get("/settings/notifications/").content.decode()
    send_all()
    assert "Nobody sends" not in client.get("/settings/notifications/").content.decode()
