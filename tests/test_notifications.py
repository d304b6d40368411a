"""“Your turn”: who is told, how, once; what is tried again and what is not; and which addresses are never called."""

import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from research_app.loop import notify, outgoing
from research_app.loop.outgoing import BadAddress, Item, MaybeDelivered, NotDelivered, checked, is_public, send_webhook
from research_app.loop.review import Seen, approve, request_changes
from research_app.loop.votes import turns_of
from research_app.models import (
    Candidate,
    Event,
    Message,
    Notification,
    NotificationSettings,
    Pace,
    Project,
    Sending,
    Stage,
    Verdict,
)
from research_app.models.notification import MAX_SENDING
from tests.factories import make_candidate, make_many, make_project, make_user
from tests.receivers import Mailbox, Webhook, mailbox, webhook

pytestmark = pytest.mark.django_db
HYPOTHESIS = "Warm-up <!channel> 5% → 2%\nBcc: all@example.org <https://evil.example|click> & more"


@pytest.fixture
def hook(settings: Settings) -> Iterator[Webhook]:
    with webhook() as receiver:
        settings.WEBHOOK_HOSTS = [f"127.0.0.1:{receiver.port}"]
        yield receiver


@pytest.fixture
def mail(settings: Settings) -> Iterator[Mailbox]:
    with mailbox() as receiver:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", receiver.port
        settings.DEFAULT_FROM_EMAIL = "signoff@example.org"
        yield receiver


@pytest.fixture
def project() -> Project:
    return make_project()


def wish(name: str = "ada", role: str = "approver", **wishes: Any) -> User:
    """A person who wants to be told."""
    user = make_user(name, role=role, email=f"{name}@example.org")
    NotificationSettings.objects.create(user=user, **wishes)
    return user


def arrive(project: Project, *, stage: Stage = Stage.READY, **fields: Any) -> Candidate:
    """A candidate comes to a gate, as the loop moves it there."""
    candidate = make_candidate(project, stage=Stage.CONFIRMING, verdict=Verdict.SOLID, hypothesis=HYPOTHESIS, **fields)
    candidate.move(stage, "Confirmed on 5 fresh seeds.")
    return candidate


def work() -> None:
    """Run the tasks of every message, as workers would."""
    while message := Message.objects.filter(task__in=["announce", "deliver"]).order_by("pk").first():
        message.delete()
        if message.task == "announce":
            notify.announce(message.object_id)
        else:
            notify.deliver(message.object_id, "worker")


def states() -> list[str]:
    return list(Notification.objects.order_by("pk").values_list("state", flat=True))


def make_due() -> None:
    """Time passes until everything that waits is due."""
    Notification.objects.filter(state=Sending.WAITING).update(due_at=timezone.now() - timedelta(minutes=1))


def test_who_may_approve_is_told_by_webhook_as_slack_takes_it(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("vera", role="viewer", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    work()
    [post] = hook.posts
    assert list(post) == ["text"]
    assert post["text"].splitlines()[0] == "*C-1 of demo waits at gate 2*"
    assert "<http://127.0.0.1:8000/projects/demo/candidates/1/|C-1 of demo waits at gate 2>" in post["text"]
    assert re.search(
        r"Evidence: solid, gain \+0\.\d+ bits per byte, 95% interval \+0\.\d+ … \+0\.\d+ \(positive is better\)", post["text"]
    )
    assert hook.paths == ["/hooks/T0/secret-part"]
    assert hook.headers[0]["Content-Type"] == "application/json"
    assert states() == [Sending.SENT]


def test_an_agents_words_stay_words(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    work()
    text = hook.posts[0]["text"]
    assert "&lt;!channel&gt;" in text and "<!channel>" not in text
    assert "<https://evil" not in text and "&amp; more" in text
    assert len(text.splitlines()) == 4  # title, candidate, hypothesis, evidence


def test_an_email_says_what_waits_why_and_where_and_an_agents_words_make_no_header(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    arrive(project)
    work()
    assert mail.recipients == ["ada@example.org"]
    message = message_from_string(mail.mails[0], policy=default)
    assert message["Subject"] == "C-1 of demo waits at gate 2"
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
    work()
    [file] = tmp_path.iterdir()
    assert "Subject: C-1 of demo waits at gate 2" in file.read_text()


def test_no_secret_is_in_what_is_sent_or_written_down(project: Project, hook: Webhook, mail: Mailbox) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, email=Pace.AT_ONCE)
    hook.answers = [500, 404]
    arrive(project)
    work()
    make_due()
    for row in Notification.objects.due():
        notify.deliver(row.pk, "worker")
    told = " ".join([*mail.mails, str(hook.posts), *Notification.objects.values_list("last_error", flat=True)])
    told += " ".join(str(event.data) for event in Event.objects.all())
    assert "secret-part" not in told and "/sign-in/" not in told
    assert "answered with status 404" in told


def test_a_turn_is_announced_once_however_often_its_message_comes(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    work()
    for _ in range(2):
        notify.announce(candidate.pk)
        Candidate.objects.update(announced_for=None)
        notify.wake_notifications()
        work()
    notify.deliver(Notification.objects.get().pk, "worker")
    assert len(hook.posts) == 1
    Candidate.objects.update(stage=Stage.CONFIRMING)
    candidate.refresh_from_db()
    candidate.move(Stage.READY, "Again at the gate.")
    work()
    assert len(hook.posts) == 2  # a turn of its own


def test_a_lost_message_is_found_by_the_reconciler(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    Message.objects.all().delete()
    Candidate.objects.update(stage_since=timezone.now() - timedelta(seconds=10))
    notify.wake_notifications()
    assert [message.task for message in Message.objects.all()] == ["announce"]
    work()
    assert len(hook.posts) == 1


def test_an_answer_that_says_no_is_tried_again_with_growing_pauses_and_then_given_up(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    hook.answers = [503] * 10
    arrive(project)
    work()
    row = Notification.objects.get()
    pauses = []
    while row.state == Sending.WAITING:
        pauses.append(round((row.due_at - timezone.now()).total_seconds() / 30))
        notify.deliver(row.pk, "worker")  # not due yet: nothing happens
        make_due()
        notify.deliver(row.pk, "worker")
        row.refresh_from_db()
    assert pauses == [1, 2, 4, 8] and len(hook.posts) == MAX_SENDING
    assert row.state == Sending.GIVEN_UP and "status 503" in row.last_error


def test_a_host_that_is_down_is_tried_again(project: Project, hook: Webhook, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    settings.WEBHOOK_HOSTS = ["127.0.0.1"]
    user = wish(webhook=Pace.AT_ONCE, webhook_url=f"http://127.0.0.1:{port}/x")
    arrive(project)
    work()
    row = Notification.objects.get()
    assert row.state == Sending.WAITING and "cannot be reached" in row.last_error
    NotificationSettings.objects.filter(user=user).update(webhook_url=hook.url)
    make_due()
    notify.wake_notifications()
    work()
    assert states() == [Sending.SENT]


def test_what_may_have_arrived_is_not_sent_again(project: Project, hook: Webhook, mail: Mailbox) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url, email=Pace.AT_ONCE)
    hook.answers, mail.refusals = ["hang up"], {"END": "hang up"}
    arrive(project)
    work()
    assert states() == [Sending.UNKNOWN, Sending.UNKNOWN]
    make_due()
    notify.wake_notifications()
    assert not Message.objects.filter(task="deliver").exists()
    assert len(hook.posts) == len(mail.mails) == 1


def test_a_mail_server_that_refuses_is_tried_again(project: Project, mail: Mailbox) -> None:
    wish(email=Pace.AT_ONCE)
    mail.refusals = {"MAIL": "451 later"}
    arrive(project)
    work()
    assert states() == [Sending.WAITING] and mail.mails == []
    mail.refusals = {}
    make_due()
    notify.wake_notifications()
    work()
    assert states() == [Sending.SENT] and len(mail.mails) == 1


def test_a_worker_that_dies_while_it_sends_leaves_a_row_that_says_so(project: Project, hook: Webhook) -> None:
    wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    notify.announce(Candidate.objects.get().pk)
    row = Notification.objects.get()
    assert notify.claim(row, "a worker that dies now")
    Notification.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    notify.wake_notifications()
    row.refresh_from_db()
    assert row.state == Sending.UNKNOWN and "worker died" in row.last_error
    work()
    assert hook.posts == []


def test_a_turn_that_is_over_is_not_announced_late(project: Project, hook: Webhook) -> None:
    ada = wish(webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    notify.announce(candidate.pk)
    shown = Candidate.objects.with_evidence().get()
    approve(shown, ada, Seen.of(shown))
    work()
    assert hook.posts == [] and states() == [Sending.PASSED]


def test_who_approved_already_is_not_told_again(hook: Webhook) -> None:
    project = make_project(gate={"baseline": {"approvals": 2}})
    ada = wish("ada", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    wish("grace", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    shown = Candidate.objects.with_evidence().get()
    approve(shown, ada, Seen.of(shown))
    work()
    assert [row.user.username for row in Notification.objects.all()] == ["grace"]


def test_a_digest_gathers_what_waits_once_a_day(project: Project, mail: Mailbox) -> None:
    hour = (timezone.now() + timedelta(hours=2)).hour
    wish(email=Pace.DIGEST, digest_hour=hour)
    for edit in ("2e-3", "4e-3"):
        arrive(project, edits=[("train.py", "LEARNING_RATE = 3e-3", f"LEARNING_RATE = {edit}")])
    gone = arrive(project)
    work()
    assert mail.mails == []
    due = set(Notification.objects.values_list("due_at", flat=True))
    assert len(due) == 1 and next(iter(due)).hour == hour and next(iter(due)) > timezone.now()
    gone.move(Stage.REJECTED, "Noise")
    make_due()
    notify.wake_notifications()
    assert Message.objects.filter(task="deliver").count() == 1
    work()
    [text] = mail.mails
    assert "Subject: Signoff: 2 decisions wait for you" in text
    assert "candidates/1/" in text and "candidates/2/" in text and "candidates/3/" not in text
    assert states() == [Sending.SENT, Sending.SENT, Sending.PASSED]


def test_an_author_is_told_that_changes_are_asked_for(project: Project, hook: Webhook) -> None:
    oscar = wish("oscar", role="operator", webhook=Pace.AT_ONCE, webhook_url=hook.url)
    candidate = arrive(project)
    Candidate.objects.update(submitted_by=oscar)
    work()
    assert hook.posts == []
    shown = Candidate.objects.with_evidence().get()
    request_changes(shown, make_user("grace"), Seen.of(shown), "Try 3%")
    work()
    assert "C-1 of demo should be changed" in hook.posts[0]["text"] and "Asked for: Try 3%" in hook.posts[0]["text"]
    assert list(turns_of(oscar)) == [candidate]


def test_who_switched_it_off_meanwhile_or_left_is_not_told(project: Project, hook: Webhook) -> None:
    for name in ("ada", "grace"):
        wish(name, webhook=Pace.AT_ONCE, webhook_url=hook.url)
    arrive(project)
    notify.announce(Candidate.objects.get().pk)
    NotificationSettings.objects.filter(user__username="ada").update(webhook=Pace.OFF)
    User.objects.filter(username="grace").update(is_active=False)
    work()
    assert hook.posts == [] and sorted(states()) == [Sending.GIVEN_UP, Sending.PASSED]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://hooks.example.org/x", "Only https is called"),
        ("https://127.0.0.1/x", "private network"),
        ("https://localhost/x", "private network"),
        ("https://[::1]/x", "private network"),
        ("https://[::ffff:127.0.0.1]/x", "private network"),
        ("https://[64:ff9b::7f00:1]/x", "private network"),
        ("https://169.254.169.254/latest/meta-data/", "private network"),
        ("https://10.1.2.3/x", "private network"),
        ("https://192.168.0.1/x", "private network"),
        ("https://172.16.0.1/x", "private network"),
        ("https://100.64.0.1/x", "private network"),
        ("https://0.0.0.0/x", "private network"),
        ("https://2130706433/x", "private network"),
        ("https://0x7f.1/x", "private network"),
        ("https://user:pass@example.org/x", "without a user name"),
        ("file:///etc/passwd", "looks like https"),
        ("gopher://127.0.0.1/x", "looks like https"),
        ("https:///x", "looks like https"),
        ("https://example.org:99999/x", "no address"),
        ("https://example.org/a b", "no spaces"),
        ("https://example.org/\r\nHost: x", "no spaces"),
        (f"https://example.org/{'x' * 1000}", "at most 1000"),
        ("https://no-such-host.invalid/x", "not known to the name service"),
    ],
)
def test_an_address_that_points_inside_is_never_called(url: str, error: str) -> None:
    with pytest.raises(BadAddress, match=error):
        checked(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("2002:7f00:1::", False),
        ("192.0.2.1", False),
    ],
)
def test_only_public_addresses_count_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_address_that_was_checked_is_the_one_that_is_called(
    hook: Webhook, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name service that answers with something else the second time changes nothing."""
    answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", hook.port))]])
    settings.WEBHOOK_HOSTS = ["rebinding.example"]
    resolve = socket.getaddrinfo

    def lookup(host: str, *arguments: Any, **named: Any) -> Any:
        return next(answers) if host == "rebinding.example" else resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    send_webhook(f"http://rebinding.example:{hook.port}/x", "Trial", [])
    assert hook.headers[0]["Host"] == f"rebinding.example:{hook.port}"


def test_a_redirect_is_not_followed(hook: Webhook) -> None:
    hook.answers = [302]
    with pytest.raises(NotDelivered, match="status 302") as refused:
        send_webhook(hook.url, "Trial", [Item("C-1", [], "https://signoff.example/1")])
    assert refused.value.final and len(hook.posts) == 1


def test_a_host_that_never_answers_holds_no_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.WEBHOOK_HOSTS = ["127.0.0.1"]
        with pytest.raises(MaybeDelivered):
            send_webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/x", "Trial", [])


def signed_in(name: str = "ada", **fields: Any) -> Client:
    make_user(name, **fields)
    client = Client()
    client.login(username=name, password="correct horse battery")
    return client


SETTINGS = "/settings/notifications/"
FORM = {"email": "off", "webhook": "off", "address": "", "new_webhook": "", "digest_hour": "8"}


def test_the_page_keeps_what_a_person_chose_and_never_shows_the_webhook_again(hook: Webhook) -> None:
    client = signed_in()
    chosen = FORM | {"email": "digest", "address": "ada@example.org", "webhook": "at_once", "new_webhook": hook.url}
    assert client.post(SETTINGS, chosen).status_code == 302
    wishes = NotificationSettings.objects.select_related("user").get()
    assert (wishes.email, wishes.user.email, wishes.webhook_url) == ("digest", "ada@example.org", hook.url)
    page = client.get(SETTINGS).content.decode()
    assert "secret-part" not in page and "127.0.0.1, …part" in page
    client.post(SETTINGS, chosen | {"new_webhook": "", "digest_hour": "9"})
    wishes.refresh_from_db()
    assert (wishes.webhook_url, wishes.digest_hour) == (hook.url, 9)
    client.post(SETTINGS, FORM | {"forget": "on"})
    wishes.refresh_from_db()
    assert (wishes.webhook_url, wishes.webhook) == ("", "off")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"new_webhook": "https://169.254.169.254/"}, "private network"),
        ({"webhook": "at_once"}, "Say which address should be called"),
        ({"email": "at_once"}, "Say where e-mails should go"),
        ({"email": "at_once", "address": "nowhere"}, "valid email"),
        ({"digest_hour": "24"}, "less than or equal to 23"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused_with_the_reason(fields: dict[str, str], error: str) -> None:
    response = signed_in().post(SETTINGS, FORM | fields)
    assert response.status_code == 422 and error in response.content.decode()
    assert not NotificationSettings.objects.exists()


def test_a_trial_message_is_sent_from_the_page(hook: Webhook) -> None:
    client = signed_in()
    page = client.post(f"{SETTINGS}try/webhook/", follow=True).content.decode()
    assert "Say first which webhook should be called" in page
    client.post(SETTINGS, FORM | {"webhook": "at_once", "new_webhook": hook.url})
    page = client.post(f"{SETTINGS}try/webhook/", follow=True).content.decode()
    assert "A trial message went out by webhook" in page and "this is a trial" in hook.posts[0]["text"]


def test_the_browser_is_told_of_turns_and_of_nothing_when_none_is_new(project: Project) -> None:
    client = signed_in()
    arrive(project)
    response = client.get("/turns.json")
    [turn] = response.json()["turns"]
    assert turn["title"] == "C-1 of demo waits at gate 2" and turn["address"] == "/projects/demo/candidates/1/"
    again = client.get("/turns.json", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert signed_in("vera", role="viewer").get("/turns.json").json() == {"turns": []}


def test_asking_for_turns_costs_the_same_however_many_wait(
    project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in()
    make_candidate(project, verdict=Verdict.SOLID)
    client.get("/turns.json")
    with django_assert_num_queries(5):
        assert len(client.get("/turns.json").json()["turns"]) == 1
    make_many(project, 40, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], verdict=Verdict.SOLID)
    with django_assert_num_queries(5):
        assert len(client.get("/turns.json").json()["turns"]) == 41
