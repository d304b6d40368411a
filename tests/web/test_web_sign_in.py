"""Signing in: with a password, and with a one-time link."""

import pytest
from django.test import Client

from research_app.models import SignInLink
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_a_password_signs_in_and_leads_to_where_one_wanted_to_go() -> None:
    make_user("ada")
    response = Client().post("/sign-in/", {"username": "ada", "password": "correct horse battery", "next": "/fleet/"})
    assert response.status_code == 302
    assert response.headers["Location"] == "/fleet/"


def test_one_is_never_led_to_another_host() -> None:
    make_user("ada")
    credentials = {"username": "ada", "password": "correct horse battery", "next": "https://example.org/"}
    assert Client().post("/sign-in/", credentials).headers["Location"] == "/"


def test_a_wrong_password_is_told_without_saying_which_part_was_wrong() -> None:
    make_user("ada")
    for name in ("ada", "nobody"):
        page = Client().post("/sign-in/", {"username": name, "password": "wrong"}).content.decode()
        assert "User name and password do not match" in page
        assert f'value="{name}"' in page


def test_looking_at_a_link_does_not_use_it_up() -> None:
    token = SignInLink.make(make_user("ada"))
    for _ in range(3):
        page = Client().get(f"/sign-in/{token}/")
        assert page.status_code == 200
        assert token not in page.content.decode()
    client = Client()
    assert client.post(f"/sign-in/{token}/").headers["Location"] == "/"
    assert client.get("/").status_code == 200


def test_a_link_works_once() -> None:
    token = SignInLink.make(make_user("ada"))
    Client().post(f"/sign-in/{token}/")
    second = Client()
    response = second.post(f"/sign-in/{token}/")
    assert response.status_code == 410
    assert "already used" in response.content.decode()
    assert second.get("/").status_code == 302


def test_signing_out_ends_the_session() -> None:
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    assert client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert client.get("/").status_code == 302
