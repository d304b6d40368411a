"""One person's browser, without the browser: opens addresses with a session's cookies, and sends the forms of pages."""

import http.cookiejar
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.html import Form, Page, read

PULSE = {"HX-Request": "true", "HX-Trigger": "pulse"}
PART = {"HX-Request": "true"}
LONGEST = 900.0  # seconds of the clock: the machine may be busy; what a page costs is measured inside the server


class _Stay(urllib.request.HTTPRedirectHandler):
    """An answer that leads elsewhere is an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    """What came back, with what the probe inside the server says of it."""

    role: str
    address: str  # path and query
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    shown_on: str  # the page that a piece of page was fetched into; of a page itself its address

    @cached_property
    def probe(self) -> Mapping[str, str]:
        """route, took, cpu, idle and queries; empty where nothing of ours answered."""
        return dict(part.split("=", 1) for part in self.headers.get("X-Walk", "").split() if "=" in part)

    @property
    def route(self) -> str:
        return self.probe.get("route", "")

    @property
    def seconds(self) -> float:
        """Of the processor, for this request alone."""
        return float(self.probe.get("cpu", 0))

    @property
    def stood_still(self) -> float:
        """Seconds that it took though the machine had nothing else to do, for example for a lock; 0 on a busy machine."""
        took, idle = float(self.probe.get("took", 0)), float(self.probe.get("idle", 0))
        return took if idle > took / 2 else 0.0

    @property
    def queries(self) -> int:
        return int(self.probe.get("queries", 0))

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").split(";")[0]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @cached_property
    def page(self) -> Page:
        """What it offers, where it is HTML."""
        return read(self.shown_on, self.text if self.kind == "text/html" else "")


class NoForm(LookupError):
    """The page has no such form for this person."""


class Visitor:
    """Somebody with a role, or nobody in particular."""

    def __init__(self, site: str, role: str) -> None:
        self.site, self.role = site, role
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies), _Stay)
        self.etags: dict[str, str] = {}

    def ask(
        self,
        address: str,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | list[tuple[str, str]] | None = None,
        shown_on: str = "",
    ) -> Answer:
        """One request, whatever comes of it. Raises OSError where nothing answers."""
        body = urlencode(data).encode() if data is not None else None
        request = urllib.request.Request(urljoin(self.site, address), body, dict(headers or {}))
        with self.opened(request) as response:
            path = urlsplit(request.full_url)._replace(scheme="", netloc="").geturl()
            return Answer(self.role, path, response.status, dict(response.headers), response.read(), shown_on or path)

    def opened(self, request: urllib.request.Request) -> Any:
        """The answer; where the server says that it has too much to do now, and when to come again, that of a later try."""
        deadline = time.monotonic() + LONGEST
        while True:
            try:
                response: Any = self.opener.open(request, timeout=LONGEST)
            except urllib.error.HTTPError as error:
                response = error
            if response.status != 503 or "Retry-After" not in response.headers or time.monotonic() > deadline:
                return response
            response.close()
            time.sleep(float(response.headers["Retry-After"]))

    def piece(self, address: str, page: str) -> Answer:
        """As a script asks for a piece of a page."""
        return self.ask(address, {**PART, "HX-Current-URL": urljoin(self.site, page)}, shown_on=page)

    def pulse(self, address: str) -> Answer:
        """As a page's own pulse asks, with the version that this visitor has."""
        headers = {**PULSE, "HX-Current-URL": urljoin(self.site, address)}
        if etag := self.etags.get(address):
            headers["If-None-Match"] = etag
        answer = self.ask(address, headers)
        if answer.status == 200 and (fresh := answer.headers.get("ETag")):
            self.etags[address] = fresh
        return answer

    def call(self, method: str, address: str, headers: Mapping[str, str], body: Any = None) -> tuple[int, Any]:
        """A call of the API: status and JSON."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(urljoin(self.site, address), data, dict(headers), method=method)
        with self.opened(request) as response:
            return response.status, json.loads(response.read())

    def sign_in(self, link: str) -> None:
        """Press the button behind a sign-in link."""
        path = urlsplit(link).path
        form = self.form(path, path)
        answer = self.ask(path, data=form.data)
        assert answer.status == 302, f"{self.role} cannot sign in: {answer.status}"

    def form(self, page: str, action: str) -> Form:
        """A form on a page, by where it is sent. Raises NoForm."""
        answer = self.ask(page)
        if found := answer.page.form_for(action):
            return found
        raise NoForm(f"{page} ({answer.status}) has no form for {action} that {self.role} could send")

    def send(self, page: str, action: str, /, *more: tuple[str, str], **filled: str) -> Answer:
        """Fill in a form of a page and send it to `action`; `more` are further fields, such as ticks."""
        form = self.form(page, action)
        button = form.button(action)
        pressed = [(button.name, button.value)] if button and button.name else []
        named = {*filled, *dict(more), *dict(pressed)}
        kept = [(name, value) for name, value in form.fields if name not in named]
        return self.ask(action, data=[*kept, *filled.items(), *more, *pressed])
