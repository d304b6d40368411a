"""Landing times while everything outside hangs: webhooks and a mail server that accept and never answer, and a remote likewise.

Run as a program it starts real workers in a home of its own, lands some changes in peace, then lets everything hang with two
hundred messages due and lands six more. It prints one line of JSON: seconds from each approval to its landing.
"""

import json
import os
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PEOPLE, IN_PEACE, APPROVALS = 200, 3, 6
BEGUN = 4  # messages under way or tried when the approvals come; an address that fails is soon left alone
LONGEST = 240.0  # seconds for everything


def hanging() -> int:
    """A server that accepts every connection and never says a word; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                held.append(listener.accept()[0])

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def prepare(home: str) -> dict[str, int]:
    """The environment of everything that is started from here."""
    ports = {"web": hanging(), "mail": hanging(), "git": hanging()}
    os.environ |= {
        "SIGNOFF_HOME": home,
        "DJANGO_SETTINGS_MODULE": "research_app.settings",
        "SIGNOFF_DEVICES": "cpu:2",
        "SIGNOFF_WEBHOOK_HOSTS": f"127.0.0.1:{ports['web']}",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(ports["mail"]),
    }
    for name in ("DATABASE_URL", "REDIS_URL", "SIGNOFF_DEVICE"):
        os.environ.pop(name, None)
    return ports


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="signoff-hanging-") as folder:
        ports = prepare(str(Path(folder, "home")))
        Path(folder, "home").mkdir()
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        told = Scenario(Path(folder), ports).run()
        print(json.dumps(told))
    return 0


class Scenario:
    """The changes, the people, and what the clock says."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        from tests.landing_samples import knob, knobs_project, ready

        self.ports = ports
        self.project = knobs_project(folder, remote=f"git://127.0.0.1:{ports['git']}/model.git")
        self.candidates = [ready(self.project, knob(2 * number)) for number in range(IN_PEACE + APPROVALS)]
        self.approved: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self.began = time.monotonic()
        self.attempts = self.begun = 0

    def run(self) -> dict[str, Any]:
        """Keep the workers running until everything has landed."""
        from research_app.machine.services import run_workers

        run_workers(self.step)
        first, rest = self.candidates[:IN_PEACE], self.candidates[IN_PEACE:]
        return {
            "in_peace": [round(self.took[each.pk], 1) for each in first if each.pk in self.took],
            "hanging": [round(self.took[each.pk], 1) for each in rest if each.pk in self.took],
            **self.messages(),
        }

    def step(self) -> bool:
        """One look at the world, a few times a second; True when it is over."""
        from django.db import connection

        self.note_landings()
        peace = len(self.took) >= IN_PEACE
        if not self.approved:
            self.approve(self.candidates[:IN_PEACE])
        elif peace and not self.attempts:
            self.let_hang()
        elif peace and len(self.approved) == IN_PEACE and self.note_begun() >= BEGUN:
            self.approve(self.candidates[IN_PEACE:])
        connection.close()
        return len(self.took) == len(self.candidates) or time.monotonic() - self.began > LONGEST

    def approve(self, candidates: list[Any]) -> None:
        from research_app.loop.review.review import Seen, approve
        from tests.landing_samples import fresh
        from tests.small_project import approver

        for each in candidates:
            shown = fresh(each)
            approve(shown, approver(), Seen.of(shown))
            self.approved[each.pk] = time.monotonic()

    def note_landings(self) -> None:
        from research_app.models import Candidate, Stage

        for pk in Candidate.objects.filter(pk__in=self.approved, stage=Stage.LANDED).values_list("pk", flat=True):
            self.took.setdefault(pk, time.monotonic() - self.approved[pk])

    def note_begun(self) -> int:
        """The most messages that were under way or tried: what an address that is left alone did not take waits as before."""
        from django.db.models import Q

        from research_app.models import Delivery, Sending

        self.begun = max(self.begun, Delivery.objects.filter(~Q(state=Sending.WAITING) | Q(attempts__gt=0)).count())
        return self.begun

    def let_hang(self) -> None:
        """Two hundred people want to be told, half of them by webhook; what waits for them is due at once."""
        from django.contrib.auth.models import User
        from django.db.models import F

        from research_app.access import Role, set_role
        from research_app.models import Candidate, Delivery, Notification, NotificationSettings, Occasion

        self.attempts = 1
        waiting = Candidate.objects.get(pk=self.candidates[-1].pk)
        for number in range(PEOPLE):
            user = User.objects.create_user(f"person-{number}", email=f"person-{number}@example.org")
            set_role(user, Role.APPROVER)
            by_web = number % 2 == 0
            channel = "webhook" if by_web else "email"
            address = f"http://127.0.0.1:{self.ports['web']}/{number}" if by_web else ""
            NotificationSettings.objects.create(user=user).channels.create(channel=channel, pace="at_once", address=address)
            delivery = Delivery.objects.create(user=user, channel=channel, occasion=Occasion.AT_ONCE)
            turn = {"candidate": waiting, "turn": waiting.stage_since, "stage": waiting.stage}
            Notification.objects.create(user=user, channel=channel, delivery=delivery, **turn)
        Candidate.objects.update(announced_for=F("stage_since"))

    def messages(self) -> dict[str, Any]:
        """The outcome of the messages so far, and what the doctor says."""
        from research_app import health
        from research_app.models import Delivery, Destination, Push

        return {
            "due": Delivery.objects.count(),
            "begun": self.begun,
            "paused": list(Destination.objects.paused().values_list("label", flat=True))[:3],
            "doctor": health.messages().detail,
            "not_pushed": Push.objects.exclude(state="pushed").count(),
        }


if __name__ == "__main__":
    sys.exit(main())
