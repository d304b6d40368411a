"""A whole Signoff in a temporary home, started as a person does it, for tests of the running thing."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from research_app.home import CODE
from tests import kept_tables

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")


class Installation:
    """One home and port, with `manage.py up` running in it or not; `code` is the checkout that it runs."""

    code = CODE
    slowness = 1.0  # how many times longer than on a quiet machine its start, end and commands may take

    def __init__(self, home: Path, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        self.environment |= {"SIGNOFF_HOME": str(home), "PORT": str(self.port), **environment}
        self.lines: list[str] = []
        self.first_output = ""
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one management command in this home."""
        command = [sys.executable, str(self.code / "manage.py"), *arguments]
        environment = self.environment | environment
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60 * self.slowness, stdin=subprocess.DEVNULL
        )

    def migrate(self) -> None:
        """Make its tables, or begin with those that tests keep."""
        self.home.mkdir(parents=True, exist_ok=True)
        if not kept_tables.lay_out(self.home / "signoff.sqlite3"):
            made = self.command("migrate", "--verbosity", "0")
            assert made.returncode == 0, made.stderr

    def start(self) -> None:
        """Start it where it does not run, and wait for the sign-in link."""
        if self.process and self.process.poll() is None:
            return
        self.lines = []
        command = [sys.executable, str(self.code / "manage.py"), "up"]
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=[self.process], daemon=True).start()
        process = self.process
        wait_until(lambda: self.said("Ctrl-C stops it") or process.poll() is not None, 90 * self.slowness)
        assert self.said("Ctrl-C stops it"), self.output
        self.first_output = self.first_output or self.output

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.lines.extend(iter(process.stdout.readline, ""))

    @property
    def output(self) -> str:
        """All that it printed."""
        return "".join(self.lines)

    def said(self, text: str) -> bool:
        """Whether it printed this."""
        return text in self.output

    @property
    def services(self) -> dict[str, int]:
        """Newest pid of each service, as it printed them."""
        started = re.findall(r"^  (\S+) +.*\(pid (\d+)\)$", self.output, re.MULTILINE)
        again = re.findall(r"^(\S+) runs again \(pid (\d+)\)$", self.output, re.MULTILINE)
        return {name: int(pid) for name, pid in [*started, *again]}

    def processes(self) -> list[psutil.Process]:
        """The supervisor with all that it started, and what they started."""
        supervisor = psutil.Process(self.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        assert self.process
        return self.process.pid

    def interrupt(self) -> int:
        """Ctrl-C, and its exit status."""
        return self.signal(signal.SIGINT)

    def signal(self, number: signal.Signals) -> int:
        """Signal the supervisor and wait for its exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(timeout=20 * self.slowness)

    def end(self) -> None:
        """Stop it, whatever the test left."""
        if self.process and self.process.poll() is None:
            self.interrupt()


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    """Return once something is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not become true")
        time.sleep(0.05)


def alive(processes: list[psutil.Process], within: float = 3.0) -> list[psutil.Process]:
    """Those that still run after a moment. A process that ended and was not yet reaped by its parent does not run."""
    deadline = time.monotonic() + within
    while left := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return []


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def carrying(variable: str, value: str) -> list[psutil.Process]:
    """All processes of this machine whose environment holds this."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(variable) == value:
                found.append(process)
    return found
