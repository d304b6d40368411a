"""Measures what attacks on the door do to the web process: its memory, and how long a page takes, beside the same process idle.

    python -m benchmarks.door [--seconds 10]

A web server of its own, in a home of its own, is attacked one way after the other: pushes of 0.4 MB that hold 400 MB of zeros,
bodies of 100 MB in chunks, 60 wrong passwords, 1,000 connections that ask half a question. All the while another client opens
the inbox, again and again. Memory is that of the process with its children (git among them), sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import psutil

MIB = 1 << 20
PAGE = "/sign-in/"
FILES = {"train.py": "WIDTH = 96\n", "prepare.py": "", "program.md": "# Better\n"}


@dataclass
class Site:
    """The server under attack, and what an attacker holds: an address, and a token that may submit."""

    port: int
    token: str
    cookie: str
    process: psutil.Process

    def ask(self, method: str, path: str, body: bytes | Iterator[bytes] = b"", **headers: str) -> int:
        """The status of one request; 0 where the connection was closed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it was answered before all was sent
                connection.request(method, path, body, sent, encode_chunked=not isinstance(body, bytes))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


@dataclass
class Watch:
    """What was seen while something went on."""

    pages: list[float] = field(default_factory=list)  # seconds
    failed: int = 0
    memory: int = 0  # bytes, the most


@contextmanager
def watching(site: Site) -> Iterator[Watch]:
    """Open a page again and again, and look at the memory, until the block ends."""
    seen, over = Watch(), threading.Event()

    def open_pages() -> None:
        while not over.is_set():
            began = time.perf_counter()
            if site.ask("GET", "/", Cookie=site.cookie) == 200:
                seen.pages.append(time.perf_counter() - began)
            else:
                seen.failed += 1
            over.wait(0.05)

    def measure_traffic() -> None:
        while not over.is_set():
            seen.memory = max(seen.memory, memory_of(site.process))
            over.wait(0.02)

    threads = [threading.Thread(target=each) for each in (open_pages, measure_traffic)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process and its children hold now."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += each.memory_info().rss
    return total


def idle(site: Site, seconds: float) -> Counter[int]:
    """Nothing but the page."""
    time.sleep(seconds)
    return Counter()


def push_bomb(site: Site, seconds: float) -> Counter[int]:
    """Packs of 0.4 MB with 400 MB of zeros, four at once."""
    packed = zlib.compress(bytes(400 * MIB), 9)
    size, head = 400 * MIB >> 4, bytearray([0x30 | (400 * MIB & 15) | 0x80])
    while size:
        head.append((size & 0x7F) | (0x80 if size >> 7 else 0))
        size >>= 7
    pack = b"PACK" + struct.pack(">II", 2, 1) + bytes(head) + packed
    line = f"{'0' * 40} {'1' * 40} refs/for/baseline\0 report-status\n".encode()
    body = f"{len(line) + 4:04x}".encode() + line + b"0000" + pack + hashlib.sha1(pack).digest()
    login = base64.b64encode(f"agent:{site.token}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content_Type": "application/x-git-receive-pack-request"}
    return at_once(4, seconds, lambda: site.ask("POST", "/git/demo.git/git-receive-pack", body, **headers))


def body_bomb(site: Site, seconds: float) -> Counter[int]:
    """100 MB in chunks, eight at once, from somebody who is known."""
    headers = {"Authorization": f"Bearer {site.token}", "Content_Type": "application/json"}
    pieces = [bytes(MIB)] * 100
    return at_once(8, seconds, lambda: site.ask("POST", "/api/v1/projects/demo/candidates", iter(pieces), **headers))


def wrong_passwords(site: Site, seconds: float) -> Counter[int]:
    """60 of them for one account, ten at once."""
    _, token = csrf(site)
    headers = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": token[0]}
    body = urlencode({"username": "ada", "password": "wrong", "csrfmiddlewaretoken": token[1]}).encode()
    with ThreadPoolExecutor(10) as pool:
        return Counter(pool.map(lambda _: site.ask("POST", PAGE, body, **headers), range(60)))


def half_open(site: Site, seconds: float) -> Counter[int]:
    """1,000 connections that send half a request and wait."""
    held = []
    for _ in range(1000):
        with suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", site.port), timeout=5))
            held[-1].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ")
    time.sleep(seconds)
    for each in held:
        each.close()
    return Counter({0: len(held)})


def at_once(many: int, seconds: float, attack: Callable[[], int]) -> Counter[int]:
    """So many attackers, again and again; how often each status was answered."""
    until = time.monotonic() + seconds

    def go_on(_: int) -> list[int]:
        found = []
        while time.monotonic() < until:
            found.append(attack())
        return found

    with ThreadPoolExecutor(many) as pool:
        return Counter(status for found in pool.map(go_on, range(many)) for status in found)


def csrf(site: Site) -> tuple[int, tuple[str, str]]:
    """A form's cookie and token, as a browser gets them."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", PAGE)
    answer = connection.getresponse()
    page = answer.read().decode()
    cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
    return answer.status, (cookie, page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0])


@contextmanager
def server() -> Iterator[Site]:
    """The web server on a home of its own, with a project and two people."""
    with tempfile.TemporaryDirectory(prefix="signoff-door-") as home, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        os.environ |= {
            "SIGNOFF_HOME": home,
            "PORT": str(port),
            "DJANGO_SETTINGS_MODULE": "research_app.settings",
            "LOG_LEVEL": "ERROR",
        }
        os.environ.pop("DATABASE_URL", None)
        token, cookie = prepare()
        command = [sys.executable, "-m", "research_app.door.serve", "--fd", str(listener.fileno())]
        with open(os.devnull, "w") as nowhere:
            process = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=nowhere, stdout=nowhere)
        try:
            site = Site(port, token, cookie, psutil.Process(process.pid))
            while site.ask("GET", "/", Cookie=cookie) != 200:
                time.sleep(0.1)
            yield site
        finally:
            process.terminate()
            process.wait(20)


def prepare() -> tuple[str, str]:
    """Make the tables, a project and two people: a token of one, and the session cookie of the other."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    from research_app.access import Role, set_role
    from research_app.models import BaselineVersion, Project, Token
    from research_app.project_file.project_file import ProjectFile
    from research_app.repository import Repository

    people = [User.objects.create_user(name, password="correct horse battery staple") for name in ("ada", "grace")]
    for person in people:
        set_role(person, Role.APPROVER)
    project = Project.objects.create(slug="demo", config=ProjectFile().model_dump(mode="json"))
    project.folder.mkdir(parents=True)
    contents = {path: text.encode() for path, text in FILES.items()}
    tip = Repository.create(project.folder / "repository.git", "baseline", contents, "Begin").tip()
    BaselineVersion.objects.create(project=project, number=0, commit=tip, tree=project.repository.tree_of(tip))
    session = SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(people[1].pk), settings.AUTHENTICATION_BACKENDS[1]
    session[HASH_SESSION_KEY] = people[1].get_session_auth_hash()
    session.save()
    token = Token.make(people[0], "benchmark", ["read", "submit"], 1, [])[1]
    return token, f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


ATTACKS = {
    "idle": idle, "push bombs": push_bomb, "body bombs": body_bomb, "60 wrong passwords": wrong_passwords,
    "1,000 half-open connections": half_open, "idle again": idle,
}  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=10.0, help="of each attack")
    seconds = options.parse_args().seconds
    print(f"{'':28} {'memory':>8} {'page: median':>13} {'95%':>8} {'most':>8} {'not served':>11}  answers")
    with server() as site:
        for name, attack in ATTACKS.items():
            with watching(site) as seen:
                answers = attack(site, seconds)
            pages = sorted(seen.pages) or [float("nan")]
            middle, late, most = statistics.median(pages), pages[int(0.95 * (len(pages) - 1))], pages[-1]
            said = ", ".join(f"{count:,} × {status or 'held'}" for status, count in sorted(answers.items()))
            times = f"{1000 * middle:10.0f} ms {1000 * late:5.0f} ms {1000 * most:5.0f} ms"
            print(f"{name:28} {seen.memory / MIB:5.0f} MB {times} {seen.failed:11}  {said}", flush=True)


if __name__ == "__main__":
    main()
