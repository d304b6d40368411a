"""Where a link leads when nothing runs, and when something does: the port of `up --port`, the address it listens on."""

import errno
import fcntl
import json
import socket
from pathlib import Path

import pytest

from research_app import home as homes
from research_app.environment import BadEnvironment
from research_app.set_up import SetUpRefused, listen
from tests.installation import Installation


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    for name in ("PORT", "SIGNOFF_LISTEN", "SITE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("listen", "port", "address"),
    [
        ("", "", "http://127.0.0.1:8000"),
        ("", "8123", "http://127.0.0.1:8123"),
        ("0.0.0.0", "8123", "http://127.0.0.1:8123"),
        ("::", "8123", "http://[::1]:8123"),
        ("::1", "", "http://[::1]:8000"),
        ("192.0.2.7", "80", "http://192.0.2.7:80"),
        ("signoff.example.org", "", "http://signoff.example.org:8000"),
    ],
)
def test_where_nothing_runs_it_is_where_it_would_be_started(
    home: Path, monkeypatch: pytest.MonkeyPatch, listen: str, port: str, address: str
) -> None:
    monkeypatch.setenv("SIGNOFF_LISTEN", listen)
    monkeypatch.setenv("PORT", port)
    assert homes.default_address() == address


def test_what_runs_in_the_home_says_where_whatever_this_shell_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    with (home / "up.lock").open("w") as lock:
        json.dump({"pid": 1, "address": "http://127.0.0.1:8123"}, lock)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert homes.default_address() == "http://127.0.0.1:8123"
    assert homes.default_address() == "http://127.0.0.1:9000", "a lock that nobody holds is of a Signoff that ended"


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 7}', "null", "3"])
def test_a_lock_that_is_being_written_says_nothing(home: Path, left: str) -> None:
    with (home / "up.lock").open("w") as lock:
        lock.write(left)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert homes.default_address() == "http://127.0.0.1:8000"


def test_a_port_that_is_none_is_refused_before_anything_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(BadEnvironment, match="PORT is 'http'"):
        homes.default_address()


@pytest.mark.slow
def test_a_port_on_the_command_line_is_checked_as_in_the_environment(tmp_path: Path) -> None:
    refused = Installation(tmp_path).command("up", "--port", "http")
    assert refused.returncode == 1 and "PORT is 'http': give a whole number" in refused.stderr


@pytest.mark.slow
def test_an_address_that_is_not_of_this_machine_is_named(tmp_path: Path) -> None:
    refused = Installation(tmp_path).command("up", "--listen", "192.0.2.7")
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "The web server cannot listen on 192.0.2.7 port" in refused.stderr


@pytest.mark.slow
def test_a_name_that_nobody_knows_is_named(tmp_path: Path) -> None:
    refused = Installation(tmp_path).command("up", SIGNOFF_LISTEN="no-such-host.invalid")
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "The web server cannot listen on no-such-host.invalid port" in refused.stderr
    assert "Set SIGNOFF_LISTEN to an address of this machine" in refused.stderr


@pytest.mark.slow
def test_a_port_that_is_in_use_is_named_with_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Installation(tmp_path).command("up", "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use. Start it on another port" in refused.stderr


def test_a_port_of_the_system_is_answered_with_one_that_everybody_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(SetUpRefused, match=r"port 80: Permission denied\. Start it on another port, for example: PORT=8000"):
        listen("127.0.0.1", 80)
