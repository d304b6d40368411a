"""The embedded Valkey: private, persistent, and honest when it is down."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from research_app import home
from research_app.celery import app
from research_app.machine import broker
from research_app.models import Message


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    return tmp_path


def run_server() -> "subprocess.Popen[bytes]":
    server = subprocess.Popen(broker.server_command(), stdout=subprocess.DEVNULL)
    broker.wait_until_ready(lambda: server.poll() is None)
    return server


def test_a_killed_broker_keeps_what_it_had(own_home: Path) -> None:
    with run_server() as server, broker.client() as connection:
        connection.rpush("a queue", "a message")
        server.kill()
    with run_server() as server, broker.client() as connection:
        assert connection.lrange("a queue", 0, -1) == [b"a message"]
        assert broker.state() == broker.BrokerState(version=broker.state().version, append_only=True, policy="noeviction")
        server.kill()
    assert not list(own_home.rglob("dump.rdb"))


def test_only_its_owner_reaches_it_and_it_has_no_port(own_home: Path) -> None:
    with run_server() as server, broker.client() as connection:
        assert stat.S_IMODE(home.broker_socket().parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.broker_socket().stat().st_mode) == 0o600
        assert connection.config_get("port") == {"port": "0"} or connection.config_get("port") == {b"port": b"0"}
        server.kill()


def test_a_home_too_deep_for_a_socket_gets_a_short_private_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / ("deep" * 25)))
    monkeypatch.delenv("REDIS_URL", raising=False)
    with run_server() as server:
        assert len(os.fsencode(home.broker_socket())) <= 107
        server.kill()


def test_a_socket_folder_that_somebody_else_made_is_refused(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "elsewhere").mkdir()
    (own_home / "broker").symlink_to(own_home / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        broker.server_command()


def test_a_broker_that_is_down_says_how_it_is_started(own_home: Path) -> None:
    with pytest.raises(broker.BrokerDown, match="started by `make up`"):
        broker.state()


def test_an_address_is_shown_without_its_password() -> None:
    assert broker.address("rediss://user:secret@example.org:6380/1") == "rediss://example.org:6380/1"


def test_celery_reaches_the_broker_of_the_tests(running_broker: None) -> None:
    app.send_task("research_app.judge", args=[1], queue="orchestrate", retry=False)
    with broker.client() as connection:
        assert connection.llen("orchestrate") == 1


@pytest.mark.django_db
def test_messages_reach_the_next_broker_over_the_old_connections(running_broker: None) -> None:
    message = Message.objects.create(task="judge", object_id=1, queue="orchestrate")
    assert message.send()
    assert Message.objects.count() == 0


@pytest.mark.django_db
def test_a_message_that_no_broker_takes_stays_in_the_outbox() -> None:
    message = Message.objects.create(task="judge", object_id=1, queue="orchestrate")
    assert not message.send()
    assert Message.objects.count() == 1
