"""The page on which a person says how to be told; trials, secrets and signatures; links that stop e-mails; the browser."""

import re
import time
from email import message_from_string
from email.message import Message as Message_
from email.policy import default
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from research_app.home import CODE
from research_app.loop.notify.channels.webhook_channel import signature
from research_app.models import (
    Candidate,
    Delivery,
    Event,
    Message,
    NotificationSettings,
    Pace,
    Project,
    Stage,
    Verdict,
)
from research_app.web.account.notifications import Wishes
from tests.factories import make_candidate, make_many, make_user
from tests.notify_samples import arrive, arrive_many, hook, mail, send_all, wish, work
from tests.receivers import Mailbox, Webhook

pytestmark = pytest.mark.django_db
__all__ = ["hook", "mail"]  # fixtures


def signed_in(name: str = "ada", **fields: Any) -> Client:
    make_user(name, **fields)
    client = Client()
    client.login(username=name, password="correct horse battery")
    return client


SETTINGS = "/settings/notifications/"
FORM = {"email": "off", "webhook": "off", "email_address": "", "webhook_address": "", "digest_hour": "8", "hourly_limit": "10"}


def test_the_page_keeps_what_a_person_chose_and_never_shows_the_webhook_again(hook: Webhook) -> None:
    client = signed_in()
    chosen = FORM | {"email": "digest", "email_address": "ada@example.org", "webhook": "at_once", "webhook_address": hook.url}
    assert client.post(SETTINGS, chosen).status_code == 302
    wishes = NotificationSettings.objects.select_related("user").get()
    assert (wishes.by("email").pace, wishes.user.email, wishes.by("webhook").address) == ("digest", "ada@example.org", hook.url)
    page = client.get(SETTINGS).content.decode()
    assert "secret-part" not in page and "127.0.0.1, …part" in page
    client.post(SETTINGS, chosen | {"webhook_address": "", "digest_hour": "9"})
    wishes = NotificationSettings.objects.get()
    assert (wishes.by("webhook").address, wishes.digest_hour) == (hook.url, 9)
    client.post(SETTINGS, FORM | {"webhook_forget": "on"})
    row = NotificationSettings.objects.get().by("webhook")
    assert (row.address, row.pace) == ("", "off")


def test_a_double_click_on_the_first_save_keeps_the_choice_once() -> None:
    user = make_user()
    chosen = FORM | {"email": "digest", "email_address": "ada@example.org"}
    forms = [Wishes(chosen, NotificationSettings(user=user)) for _ in "12"]
    for form in forms:  # both were made before either was saved
        assert form.is_valid()
    for form in forms:
        form.save()
    assert NotificationSettings.objects.get().by("email").pace == "digest"
    assert NotificationSettings.objects.get().channels.filter(channel="email").count() == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"webhook_address": "https://169.254.169.254/"}, "private network"),
        ({"webhook": "at_once"}, "Say which webhook should be called"),
        ({"email": "at_once"}, "Say where e-mails should go"),
        ({"email": "at_once", "email_address": "nowhere"}, "valid email"),
        ({"digest_hour": "24"}, "less than or equal to 23"),
        ({"hourly_limit": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused_with_the_reason(fields: dict[str, str], error: str) -> None:
    response = signed_in().post(SETTINGS, FORM | fields)
    assert response.status_code == 422 and error in response.content.decode()
    assert not NotificationSettings.objects.exists()


def test_a_trial_message_leaves_at_once_and_the_page_says_the_outcome(hook: Webhook) -> None:
    client = signed_in()
    page = client.post(f"{SETTINGS}try/webhook/", follow=True).content.decode()
    assert "Say first which webhook should be called" in page
    client.post(SETTINGS, FORM | {"webhook": "at_once", "webhook_address": hook.url})
    page = client.post(f"{SETTINGS}try/webhook/", follow=True).content.decode()
    assert "A test message is on its way by webhook" in page and hook.posts == [], "the web server calls nobody"
    [message] = Message.objects.all()
    assert (message.task, message.queue) == ("deliver", "notify")
    work()
    assert "This is a test message" in hook.posts[0]["text"]
    page = client.get(SETTINGS).content.decode()
    assert "Signoff: test message" in page and ">sent" in page and "works" in page


def test_what_a_person_was_sent_can_be_opened_and_only_by_them(project: Project, hook: Webhook) -> None:
    client = signed_in()
    client.post(SETTINGS, FORM | {"webhook": "at_once", "webhook_address": hook.url})
    arrive_many(project, 3)
    work()
    Candidate.objects.get(number=2).move(Stage.REJECTED, "Noise")
    send_all()
    row = Delivery.objects.get()
    page = client.get(f"{SETTINGS}sent/{row.pk}/").content.decode()
    assert "Signoff: 2 decisions are waiting for you" in page and page.count("omitted: no longer waiting for you") == 1
    assert signed_in("grace").get(f"{SETTINGS}sent/{row.pk}/").status_code == 404


def test_a_new_secret_is_shown_once_and_signs_from_then_on(project: Project, hook: Webhook) -> None:
    client = signed_in()
    client.post(SETTINGS, FORM | {"webhook": "at_once", "webhook_address": hook.url})
    before = NotificationSettings.objects.get().by("webhook").secret
    page = client.post(f"{SETTINGS}secret/webhook/").content.decode()
    secret = NotificationSettings.objects.get().by("webhook").secret
    assert secret != before and secret in page and secret not in client.get(SETTINGS).content.decode()
    arrive(project)
    send_all()
    snippet: dict[str, Any] = {}
    exec(documented("def is_from_signoff"), snippet)
    is_ours, headers, body = snippet["is_from_signoff"], hook.headers[0], hook.bodies[0]
    assert is_ours(secret, headers, body)
    assert not is_ours(before, headers, body) and not is_ours(secret, headers, body + b" ")
    old = signature(secret, "signoff-1", body, at=int(time.time()) - 600)
    assert not is_ours(secret, old, body)


def documented(words: str) -> str:
    """The example of docs/how-to/notifications.md that contains these words."""
    text = (CODE / "docs" / "how-to" / "notifications.md").read_text()
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if words in block)


def test_a_message_that_is_sent_again_carries_the_same_id(project: Project, hook: Webhook, mail: Mailbox) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers = [503]
    arrive(project)
    send_all()
    send_all()
    assert len({headers["webhook-id"] for headers in hook.headers}) == 1 and len(hook.headers) == 2


def mail_to_ada(project: Project, mail: Mailbox) -> Message_:
    wish(email=Pace.AT_ONCE)
    arrive(project)
    send_all()
    return message_from_string(mail.mails[0], policy=default)


def link_of(message: Message_) -> str:
    return urlsplit(str(message["List-Unsubscribe"]).strip(" <>")).path


def test_a_mail_program_can_unsubscribe_with_one_click(project: Project, mail: Mailbox) -> None:
    message = mail_to_ada(project, mail)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated" and message["References"] == "<signoff-demo-1@example.org>"
    path = link_of(message)
    assert path in message.get_content().replace("\n", "")  # type: ignore[attr-defined]
    client = Client(enforce_csrf_checks=True)
    page = client.get(path)
    assert page.status_code == 200 and "Stop all e-mails from Signoff to ada@example.org?" in page.content.decode()
    assert NotificationSettings.objects.get().by("email").pace == Pace.AT_ONCE, "a scanner that follows links changes nothing"
    done = client.post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert done.status_code == 200 and "You will receive no more e-mails at ada@example.org" in done.content.decode()
    assert NotificationSettings.objects.get().by("email").pace == Pace.OFF
    assert Event.objects.get(kind="unsubscribed").actor == "ada"
    arrive(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    send_all()
    assert len(mail.mails) == 1


@pytest.mark.parametrize("change", ["another letter", "another address", "nonsense"])
def test_only_a_link_of_ours_to_the_address_in_use_unsubscribes(project: Project, mail: Mailbox, change: str) -> None:
    path = link_of(mail_to_ada(project, mail))
    if change == "another address":
        User.objects.update(email="ada@elsewhere.example")
    elif change == "another letter":
        path = path[:-3] + ("A" if path[-3] != "A" else "B") + path[-2:]
    else:
        path = "/unsubscribe/nonsense:of:it/"
    answer = Client().post(path)
    assert answer.status_code == 410
    assert NotificationSettings.objects.get().by("email").pace == Pace.AT_ONCE


def test_the_browser_is_told_of_turns_and_of_nothing_when_none_is_new(project: Project) -> None:
    client = signed_in()
    arrive(project)
    response = client.get("/turns.json")
    [turn] = response.json()["turns"]
    assert turn["title"] == "C-1 of demo awaits landing approval" and turn["address"] == "/projects/demo/candidates/1/"
    again = client.get("/turns.json", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert signed_in("vera", role="viewer").get("/turns.json").json() == {"turns": []}


def test_asking_for_turns_costs_the_same_however_many_wait(
    project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in()
    make_candidate(project, verdict=Verdict.SOLID)
    client.get("/turns.json")
    with django_assert_num_queries(6):
        assert len(client.get("/turns.json").json()["turns"]) == 1
    make_many(project, 40, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], verdict=Verdict.SOLID)
    with django_assert_num_queries(6):
        assert len(client.get("/turns.json").json()["turns"]) == 41
