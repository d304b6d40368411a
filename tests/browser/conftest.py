"""A real Chromium on a real server. Every page is watched: a broken policy or a script error fails the test."""

import os
from collections.abc import Callable, Iterator
from typing import Any

# Playwright's synchronous interface runs an event loop in this thread, in which Django would refuse to use its database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from research_app.web.shared import live, unchanged
from tests.factories import make_user
from tests.watching import arguments, chromium, watch

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 375, "height": 800}
SignIn = Callable[..., Page]
FAULTS: list[str] = []
"""What went wrong in any window since the test began."""


@pytest.fixture(autouse=True)
def every_pulse_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests change rows without the events of life, by which a page knows that something happened; tests/web has those."""
    monkeypatch.setattr(unchanged, "sent_at", lambda request, etag: None)


@pytest.fixture(scope="module")  # while Playwright runs, nothing else in this process can run an event loop
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that CHROMIUM names."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments())
        make_context = browser.new_context

        def watched_context(**options: Any) -> BrowserContext:
            context = make_context(**options)
            watch(context, FAULTS.extend)
            return context

        browser.new_context = watched_context  # type: ignore[method-assign]
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def nothing_goes_wrong_in_a_window() -> Iterator[None]:
    """Fails a test on a violation of the content-security policy, a script error, a complaint or a broken answer."""
    FAULTS.clear()
    yield
    assert FAULTS == []


@pytest.fixture
def sign_in(browser: Browser, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignIn]:
    """Opens a window in which a person is signed in: `sign_in("ada")`, with a context's options by name."""
    expect.set_options(timeout=8_000)
    monkeypatch.setattr(live, "EVERY", "400ms")  # the pulse of pages: tests need not wait for long
    contexts: list[BrowserContext] = []

    def open_window(user: User | str = "ada", **options: object) -> Page:
        person = user if isinstance(user, User) else User.objects.filter(username=user).first() or make_user(user)
        context = browser.new_context(**{"viewport": WIDE, "base_url": live_server.url, **options})  # type: ignore[arg-type]
        contexts.append(context)
        client = Client()
        client.force_login(person)
        cookies = [{"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in client.cookies.items()]
        context.add_cookies(cookies)  # type: ignore[arg-type]
        return context.new_page()

    yield open_window
    for context in contexts:
        context.close()
