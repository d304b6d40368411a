"""A password or a link is tried only so often, nothing is hashed after that, and every attempt is in the audit log."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from research_app.door import throttle
from research_app.door.throttle import COOL_OFF, OF_ACCOUNT, OF_ACCOUNT_AT_ADDRESS, OF_ADDRESS, address_of
from research_app.models import Event, SignInLink
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
RIGHT = "correct horse battery"


class Door:
    """Somebody at an address, and how many passwords were hashed for whom."""

    def __init__(self) -> None:
        self.hashed = 0

    def try_password(self, name: str, password: str = "wrong", address: str = "192.0.2.1") -> int:
        return Client(REMOTE_ADDR=address).post("/sign-in/", {"username": name, "password": password}).status_code

    def try_link(self, token: str, address: str = "192.0.2.1") -> int:
        return Client(REMOTE_ADDR=address).post(f"/sign-in/{token}/").status_code


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door()
    real = MD5PasswordHasher.encode

    def encode(self: MD5PasswordHasher, password: str, salt: str) -> str:
        made.hashed += 1
        return real(self, password, salt)

    make_user("ada")
    make_user("grace")
    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    return made


def later(minutes: int) -> None:
    """So much time passes."""
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=minutes))


def test_sixty_wrong_passwords_hash_a_few_and_the_rest_are_refused(door: Door) -> None:
    answers = [door.try_password("ada") for _ in range(60)]
    assert answers.count(200) == OF_ACCOUNT_AT_ADDRESS - 1
    assert answers.count(429) == 60 - OF_ACCOUNT_AT_ADDRESS + 1
    assert door.hashed == OF_ACCOUNT_AT_ADDRESS


@pytest.mark.parametrize("name", ["ada", "nobody-of-that-name"])
def test_an_account_that_does_not_exist_is_refused_alike(door: Door, name: str) -> None:
    assert [door.try_password(name) for _ in range(10)][-3:] == [429] * 3


def test_the_right_password_is_refused_too_until_the_time_is_over(door: Door) -> None:
    for _ in range(OF_ACCOUNT_AT_ADDRESS):
        door.try_password("ada")
    assert door.try_password("ada", RIGHT) == 429
    later(int(COOL_OFF.total_seconds() // 60) + 1)
    assert door.try_password("ada", RIGHT) == 302


def test_who_is_refused_is_told_how_long_and_keeps_a_link(door: Door) -> None:
    for _ in range(OF_ACCOUNT_AT_ADDRESS):
        door.try_password("ada")
    page = Client(REMOTE_ADDR="192.0.2.1").post("/sign-in/", {"username": "ada", "password": "x"})
    assert page.headers["Retry-After"] == "900"
    assert "Too many wrong passwords. Try again in 15 minutes" in page.content.decode()
    assert door.try_link(SignInLink.make(make_user("eve"))) == 302


def test_others_at_the_same_address_and_the_account_elsewhere_still_get_in(door: Door) -> None:
    for _ in range(OF_ACCOUNT_AT_ADDRESS):
        door.try_password("ada")
    assert door.try_password("grace", RIGHT) == 302
    assert door.try_password("ada", RIGHT, "192.0.2.2") == 302


def test_an_address_that_goes_through_names_is_refused(door: Door) -> None:
    assert [door.try_password(f"n{number}") for number in range(OF_ADDRESS + 5)][-6:] == [429] * 6
    assert door.try_password("grace", RIGHT) == 429
    assert door.try_password("grace", RIGHT, "192.0.2.7") == 302


def test_an_account_that_is_tried_from_many_addresses_is_refused(door: Door) -> None:
    answers = [door.try_password("ada", address=f"198.51.100.{number}") for number in range(OF_ACCOUNT + 5)]
    assert answers[-5:] == [429] * 5
    assert door.hashed == OF_ACCOUNT


def test_a_success_forgives_the_account_at_its_address_and_not_the_address(door: Door) -> None:
    for number in range(OF_ADDRESS - 2):
        door.try_password(f"n{number}")
    door.try_password("ada")
    assert door.try_password("ada", RIGHT) == 302, "one's own account does not wipe out what one tried on others"
    door.try_password("m1")
    assert door.try_password("m2") == 429
    assert not AccessAttempt.objects.filter(username=throttle.key_of_account(HttpRequest(), {"username": "ada"})).exists()


def test_capital_letters_and_another_browser_are_no_way_around(door: Door) -> None:
    for number in range(OF_ACCOUNT_AT_ADDRESS):
        client = Client(REMOTE_ADDR="192.0.2.1", headers={"user-agent": f"browser {number}"})
        client.post("/sign-in/", {"username": "aDa" if number % 2 else "ada", "password": "wrong"})
    assert door.try_password("ADA") == 429


@pytest.mark.parametrize(
    ("stated", "counted"),
    [
        ("192.0.2.9", "192.0.2.9"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("::ffff:192.0.2.9", "::ffff:c000:209"), ("fe80::1%eth0", "fe80::"), ("", None), ("unix:", None),
    ],
)  # fmt: skip
def test_an_ipv6_subscriber_is_one_address(stated: str, counted: str | None) -> None:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = stated
    assert address_of(request) == counted


def test_a_forwarded_address_of_anybody_is_not_believed(door: Door) -> None:
    for number in range(OF_ACCOUNT_AT_ADDRESS + 1):
        headers = {"x-forwarded-for": f"203.0.113.{number}"}
        client = Client(REMOTE_ADDR="192.0.2.1", headers=headers)
        last = client.post("/sign-in/", {"username": "ada", "password": "wrong"}).status_code
    assert last == 429


def test_links_that_open_nothing_are_refused_like_passwords_and_hold_up_nobody_else(door: Door) -> None:
    assert [door.try_link(f"guess-{number}") for number in range(OF_ADDRESS + 2)] == [410] * OF_ADDRESS + [429] * 2
    assert door.try_link(SignInLink.make(make_user("eve")), "192.0.2.2") == 302


def test_failures_successes_and_blocks_are_events(door: Door) -> None:
    door.try_password("ada")
    door.try_password("ada", RIGHT)
    door.try_link(SignInLink.make(make_user("eve")))
    door.try_link("guess")
    for _ in range(OF_ACCOUNT_AT_ADDRESS + 3):
        door.try_password("grace")
    told = [(event.kind, event.actor, event.data["how"]) for event in Event.objects.order_by("sequence")]
    assert told == [
        ("sign-in failed", "somebody unknown", "password"),
        ("signed in", "ada", "password"),
        ("signed in", "eve", "link"),
        ("sign-in failed", "somebody unknown", "link"),
        *[("sign-in failed", "somebody unknown", "password")] * OF_ACCOUNT_AT_ADDRESS,
        ("sign-in blocked", "somebody unknown", "password"),
    ]
    assert {event.data["address"] for event in Event.objects.all()} == {"192.0.2.1"}
    about = dict(User.objects.values_list("pk", "username")) | {0: "nobody"}
    assert [about[event.subject_id] for event in Event.objects.order_by("sequence")][:5] == [
        "ada",
        "ada",
        "eve",
        "nobody",
        "grace",
    ]


def test_what_was_typed_as_a_name_is_kept_nowhere(door: Door) -> None:
    door.try_password("my-secret-pass-phrase", "my-secret-word")
    rows = str(list(AccessAttempt.objects.values())) + str(list(Event.objects.values()))
    assert "my-secret" not in rows
    assert Event.objects.get().actor == "somebody unknown"


def test_the_audit_page_says_who_and_that_a_name_is_unknown(door: Door) -> None:
    door.try_password("ada")
    door.try_password("nobody")
    client = Client()
    client.force_login(make_user("eve"))
    page = client.get("/audit/").content.decode()
    assert "unknown name" in page and "somebody unknown" in page and "sign-in failed" in page
