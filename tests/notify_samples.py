"""For tests of messages to people: real receivers, people who want to be told, turns, and time that passes."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from research_app.loop import tasks
from research_app.loop.notify.wake import wake_notifications
from research_app.models import Candidate, Delivery, Message, NotificationSettings, Project, Sending, Stage, Verdict
from tests.factories import make_candidate, make_many, make_user
from tests.receivers import Mailbox, Webhook, mailbox, webhook

HYPOTHESIS = "Warm <!channel>\nBcc: all@example.org <https://evil.example|go> & more"  # short enough to be its own title
LATER = timedelta(minutes=1)


@pytest.fixture
def hook(settings: Settings) -> Iterator[Webhook]:
    with webhook() as receiver:
        settings.WEBHOOK_HOSTS = [f"127.0.0.1:{receiver.port}"]
        yield receiver


@pytest.fixture
def mail(settings: Settings) -> Iterator[Mailbox]:
    with mailbox() as receiver:
        use_mail_server(settings, receiver.port)
        yield receiver


def use_mail_server(settings: Settings, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.DEFAULT_FROM_EMAIL = "signoff@example.org"


def wish(name: str = "ada", role: str = "approver", **wishes: Any) -> User:
    """A person who wants to be told."""
    user = make_user(name, role=role, email=f"{name}@example.org")
    want(user, **wishes)
    return user


def want(user: User, *, email: str = "off", webhook: str = "off", webhook_url: str = "", **wishes: Any) -> NotificationSettings:
    """What a person wants of the two channels, and other wishes."""
    made = NotificationSettings.objects.create(user=user, **wishes)
    made.channels.create(channel="email", pace=email)
    made.channels.create(channel="webhook", pace=webhook, address=webhook_url)
    return made


def arrive(project: Project, *, stage: Stage = Stage.READY, **fields: Any) -> Candidate:
    """A candidate comes to a gate, as the loop moves it there."""
    candidate = make_candidate(project, stage=Stage.CONFIRMING, verdict=Verdict.SOLID, hypothesis=HYPOTHESIS, **fields)
    candidate.move(stage, "Confirmed on 5 fresh seeds.")
    return candidate


def arrive_many(project: Project, count: int) -> None:
    """So many candidates come to gate 2."""
    for candidate in make_many(project, count, stage=Stage.CONFIRMING, verdict=Verdict.SOLID):
        candidate.move(Stage.READY, "Confirmed on 5 fresh seeds.")


def work(*names: str) -> None:
    """Run the tasks of every message, or of those with these names, as workers would."""
    wanted = names or ("announce", "deliver")
    while message := Message.objects.filter(task__in=wanted).order_by("pk").first():
        message.delete()
        getattr(tasks, message.task)(message.object_id)


def make_due() -> None:
    """Time passes until everything that waits is due, and no address is paused any more."""
    Delivery.objects.filter(state=Sending.WAITING).update(due_at=timezone.now() - LATER, woken_at=None)


def send_all() -> None:
    """Announce what waits to be announced, let time pass, and send."""
    work()
    make_due()
    wake_notifications()
    work()


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))
