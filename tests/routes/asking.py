"""Asks one address and says what is wrong with the answer: an error of the server, JSON that is none, more than 2 s."""

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse, QueryDict
from django.test import Client

from tests.html import is_whole, relative_addresses
from tests.routes.known import By

SLOW = 2.0  # seconds of this process's own time
LARGE = 1_000_000  # bytes that a person waits for
WHOLE = re.compile(r"/file/\?|format=csv")  # what somebody asked to see whole
SCRIPT = re.compile(rb'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.DOTALL)
PULSE = {"HX-Request": "true", "HX-Trigger": "pulse", "HX-Current-URL": "http://testserver/"}
FRAGMENT = {"HX-Request": "true"}
DIFF = {"HX-Request": "true", "HX-Target": "diff"}
AS = (None, PULSE, FRAGMENT, DIFF)  # a browser's address bar, a page's pulse, a script for a part, one for the diff
Askers = dict[By, tuple[Client, dict[str, str]]]


@dataclass(frozen=True)
class Question:
    """One request."""

    method: str
    address: str
    data: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None

    def __str__(self) -> str:
        told = f" with {self.data if self.json is None else self.json!r}" if self.data or self.json is not None else ""
        pulse = f" as {self.headers.get('HX-Trigger') or 'a script'}" if self.headers and "HX-Request" in self.headers else ""
        return f"{self.method} {self.address[:300]}{str(told)[:300]}{pulse}"


def ask(client: Client, question: Question) -> tuple[HttpResponse, list[str]]:
    """The answer, and what is wrong with it in sentences."""
    client.raise_request_exception = False
    with exceptions_logged() as raised:
        began = time.thread_time()
        response = send(client, question)
        taken = time.thread_time() - began
    troubles = []
    if response.status_code >= 500 and not said_on_purpose(response):
        troubles.append(f"{response.status_code}: {place_of(raised)}")
    troubles += strictly(response)
    troubles += misleading(client, question, response)
    if not response.streaming and len(response.content) > LARGE and not WHOLE.search(question.address):
        troubles.append(f"{len(response.content) / 1e6:.1f} MB")
    if taken > SLOW and not WHOLE.search(question.address):
        troubles.append(f"took {taken:.1f} s")
    return response, [f"{question} => {trouble}" for trouble in troubles]


@contextmanager
def exceptions_logged() -> Iterator[list[BaseException]]:
    """The exceptions that are logged while this is open: Django and the API log what they answer with 500."""
    found: list[BaseException] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                found.append(record.exc_info[1])

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(handler)


def require_none(troubles: Sequence[str]) -> None:
    """Fail with each kind of trouble once, how often it came, and the first request that had it."""
    kinds: dict[str, list[str]] = {}
    for trouble in troubles:
        question, _, what = trouble.rpartition(" => ")
        kinds.setdefault(re.sub(r"(took )?[\d.]+ (s|MB)$", "too many \\2", what), []).append(question)
    lines = [f"{len(asked):4} × {what}\n       {asked[0]}" for what, asked in kinds.items()]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def send(client: Client, question: Question) -> Any:
    headers = dict(question.headers or {})
    if question.method == "GET":
        return client.get(question.address, question.data, headers=headers)
    if question.json is not None:
        return client.post(question.address, json.dumps(question.json), content_type="application/json", headers=headers)
    form = urlencode(question.data or {}, errors="surrogatepass")
    return client.post(question.address, form, content_type="application/x-www-form-urlencoded", headers=headers)


def said_on_purpose(response: HttpResponse) -> bool:
    """A 503 that says what is not there and when to come again."""
    return response.status_code == 503


def place_of(raised: list[BaseException]) -> str:
    """What was raised, and the last line of ours on the way."""
    if not raised:
        return "no exception was raised"
    error, trace, place = raised[-1], raised[-1].__traceback__, ""
    while trace:
        name = trace.tb_frame.f_code.co_filename
        if "site-packages" not in name and "/lib/python" not in name and "/tests/" not in name:
            place = f"{name.rpartition('/research_app/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:200]} at {place or 'a library'}"


def strictly(response: HttpResponse) -> list[str]:
    """What is wrong with the JSON of an answer, or inside a page: NaN and Infinity are none."""
    kind = response.headers.get("Content-Type", "")
    if "json" in kind:
        return not_json(response.content)
    if "html" in kind and not response.streaming:
        return [problem for found in SCRIPT.findall(response.content) for problem in not_json(found)]
    return []


def misleading(client: Client, question: Question, response: HttpResponse) -> list[str]:
    """Relative addresses in a piece of page that is fetched from elsewhere: a browser takes them to be about the page's own."""
    if "html" not in response.headers.get("Content-Type", "") or response.streaming or response.status_code != 200:
        return []
    text = response.content.decode()
    if is_whole(text) or not (found := relative_addresses(text)):
        return []
    whole = send(client, Question("GET", question.address)).content.decode()
    return [] if is_whole(whole) else [f"a piece of page with relative addresses: {', '.join(found[:3])}"]


def not_json(content: bytes) -> list[str]:
    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}")

    try:
        json.loads(content, parse_constant=refuse)
    except ValueError as error:
        return [f"no strict JSON: {error}"]
    return []


@contextmanager
def parameters_read() -> Iterator[set[str]]:
    """The keys of the address or form that views ask for while this is open."""
    found: set[str] = set()
    wrapped = {name: getattr(QueryDict, name) for name in ("__getitem__", "get", "getlist", "__contains__")}

    def noting(name: str) -> Any:
        def read(self: QueryDict, key: str, *rest: Any, **named: Any) -> Any:
            found.add(str(key))
            return wrapped[name](self, key, *rest, **named)

        return read

    with patch.multiple(QueryDict, **{name: noting(name) for name in wrapped}):
        yield found
