"""A real Chromium on a real server. Every page is watched: a broken policy or a script error fails the test."""

import os
import re
import shutil
from collections.abc import Callable, Iterator

# Playwright's synchronous interface runs an event loop in this thread, in which Django would refuse to use its database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from research_app.web import live
from tests.factories import make_user

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 375, "height": 800}
SignIn = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that CHROMIUM names."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    if not os.access(path, os.X_OK):
        pytest.fail(f"No Chromium at {path}. Install one (Debian: apt install chromium), or name yours in CHROMIUM.")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def sign_in(browser: Browser, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignIn]:
    """Opens a window in which a person is signed in: `sign_in("ada")`, with a context's options by name."""
    expect.set_options(timeout=8_000)
    monkeypatch.setattr(live, "EVERY", "400ms")  # the pulse of pages: tests need not wait for long
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_window(user: User | str = "ada", **options: object) -> Page:
        person = user if isinstance(user, User) else User.objects.filter(username=user).first() or make_user(user)
        context = browser.new_context(**{"viewport": WIDE, "base_url": live_server.url, **options})  # type: ignore[arg-type]
        contexts.append(context)
        client = Client()
        client.force_login(person)
        cookies = [{"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in client.cookies.items()]
        context.add_cookies(cookies)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        page.on("console", lambda message: faults.extend(complaints(message)))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert faults == []


def complaints(message: ConsoleMessage) -> list[str]:
    """What the browser complains about; answers with 4xx are part of some tests and are looked at there."""
    if message.type not in ("error", "warning") or re.search(r"status of 4|Status Error Code 4", message.text):
        return []
    return [message.text]
