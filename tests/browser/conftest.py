"""A real Chromium on a real server. Every page is watched: a broken policy or a script error fails the test."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

# Playwright's synchronous interface runs an event loop in this thread, in which Django would refuse to use its database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from research_app.web import live
from tests.factories import make_user

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 375, "height": 800}
SignIn = Callable[..., Page]
FAULTS: list[str] = []
"""What went wrong in any window since the test began."""
VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) => console.error(
    `content-security policy: ${event.effectiveDirective} forbids ${event.blockedURI}, line ${event.lineNumber}`))"""


@pytest.fixture(scope="module")  # while Playwright runs, nothing else in this process can run an event loop
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that CHROMIUM names."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    if not os.access(path, os.X_OK):
        pytest.fail(f"No Chromium at {path}. Install one (Debian: apt install chromium), or name yours in CHROMIUM.")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        make_context = browser.new_context

        def watched_context(**options: Any) -> BrowserContext:
            context = make_context(**options)
            watch(context)
            return context

        browser.new_context = watched_context  # type: ignore[method-assign]
        yield browser
        browser.close()


def watch(context: BrowserContext) -> None:
    """Note everything that goes wrong in the windows of this context, whoever opens them."""
    context.add_init_script(VIOLATIONS)
    context.on("weberror", lambda error: FAULTS.append(f"{error.error}"))
    context.on("console", lambda message: FAULTS.extend(complaints(message)))
    context.on("response", lambda response: FAULTS.extend(refusals(response)))


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


def complaints(message: ConsoleMessage) -> list[str]:
    """What the browser complains about; answers with 4xx and requests that were cut off are looked at where they belong."""
    answered = r"status of 4|Status Error Code 4"
    cut_off = r"net::ERR_(FAILED|ABORTED|CONNECTION_)|Send Error|htmx:(afterRequest|sendError|sendAbort),"
    if message.type not in ("error", "warning") or re.search(f"{answered}|{cut_off}", message.text):
        return []
    if not message.location.get("url") and re.search(r"forbids eval|Evaluating a string", message.text):
        return []  # Playwright's own wait_for_function; a script of ours would be named
    return [f"{message.location.get('url', '')}: {message.text}"]


def refusals(response: Response) -> list[str]:
    """An answer that broke, or a script or style sheet that is not there."""
    missing = response.status >= 400 and "/static/" in response.url
    return [f"{response.status} from {response.url}"] if response.status >= 500 or missing else []
