"""The supervisor with small services: what it does when they die, hang or leave processes behind, and when it dies itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from research_app.machine import supervisor
from research_app.machine.supervisor import Service, Supervisor
from tests.installation import alive, wait_until

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
FAIL = [sys.executable, "-c", "import sys; sys.exit('no such thing as luck')"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)",
]
PARENT = [sys.executable, "-c", "import subprocess; print('here', flush=True); subprocess.run(['sleep', '600'])"]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def keeper(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    keeper = Supervisor(tmp_path / "logs", said.append)
    yield keeper
    keeper.stop()
    supervisor.prctl(supervisor.PR_SET_CHILD_SUBREAPER, 0)


def log_of(keeper: Supervisor, name: str) -> str:
    return (keeper.logs / f"{name}.log").read_text()


def started(keeper: Supervisor, name: str, command: list[str]) -> supervisor.Child:
    child = keeper.start(Service(name, "a test", command))
    wait_until(lambda: "here" in log_of(keeper, name), 10)
    return child


def test_a_service_has_a_session_a_log_and_a_line_of_its_own(keeper: Supervisor, said: list[str]) -> None:
    child = started(keeper, "sleeper", SLEEP)
    assert child.process
    assert os.getsid(child.process.pid) == child.process.pid
    assert said == [f"  sleeper        a test (pid {child.process.pid})"]


def test_a_killed_service_comes_back_after_half_a_second(keeper: Supervisor, said: list[str]) -> None:
    child = started(keeper, "sleeper", SLEEP)
    assert child.process
    before = child.process.pid
    child.process.kill()
    keeper.run(until=lambda: child.running and child.process is not None and child.process.pid != before)
    assert said[1].startswith("sleeper was ended by SIGKILL; it starts again in 0.5 s. Log: ")
    assert said[2].startswith("sleeper runs again (pid ")


def test_a_service_that_keeps_dying_is_tried_ever_more_slowly_and_reported_with_its_log(
    keeper: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    keeper.start(Service("unlucky", "a test", FAIL))
    keeper.run(until=lambda: any("died 5 times within a minute" in line for line in said))
    assert said[-1].endswith("    no such thing as luck")
    delays = [line.split(" in ")[1].split(" s.")[0] for line in said if "starts again" in line]
    assert delays == ["0.01", "0.02", "0.04", "0.08", "0.16"]


def test_what_a_killed_service_leaves_behind_is_ended(keeper: Supervisor) -> None:
    child = started(keeper, "parent", PARENT)
    assert child.process
    parent = psutil.Process(child.process.pid)
    wait_until(lambda: bool(parent.children()), 10)
    grandchildren = parent.children()
    child.process.kill()
    keeper.run(until=lambda: child.process is None)
    keeper.run(until=lambda: child.running)
    assert alive(grandchildren) == []


def test_a_service_that_ignores_the_request_to_stop_is_killed(
    keeper: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    child = started(keeper, "stubborn", STUBBORN)
    keeper.stop()
    assert child.process
    assert child.process.returncode == -signal.SIGKILL
    assert said[-1] == "Killed, because 0.2 s were not enough for: stubborn"


def test_the_broker_stops_after_those_who_need_it(keeper: Supervisor) -> None:
    last_words = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(str(time.monotonic())));"
    command = [sys.executable, "-c", f"{last_words} print('here', flush=True); time.sleep(600)"]
    keeper.start(Service("broker", "a test", command, last=True))
    started(keeper, "worker", command)
    wait_until(lambda: "here" in log_of(keeper, "broker"), 10)
    keeper.stop()
    assert float(log_of(keeper, "worker").split()[-1]) < float(log_of(keeper, "broker").split()[-1])


def test_a_large_log_is_set_aside_while_its_service_goes_on_writing(
    keeper: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT", 1000)
    chatter = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.002)"
    keeper.start(Service("chatter", "a test", [sys.executable, "-c", chatter]))
    log = keeper.logs / "chatter.log"
    wait_until(lambda: log.stat().st_size > 2000, 10)
    supervisor.rotate(log)
    assert (keeper.logs / "chatter.log.1").stat().st_size >= 2000
    wait_until(lambda: log.stat().st_size > 0, 10)
    assert b"\0" not in log.read_bytes()


def test_a_supervisor_that_is_killed_takes_its_services_along(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from research_app.machine.supervisor import Service, Supervisor
keeper = Supervisor(Path({str(tmp_path)!r}) / "logs", lambda line: print(line, flush=True))
for name in ("one", "two"):
    keeper.start(Service(name, "a test", {SLEEP!r}))
keeper.run()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline(), process.stdout.readline()
        services = psutil.Process(process.pid).children()
        assert len(services) == 2
        process.kill()
        process.wait()
        assert alive(services) == []
