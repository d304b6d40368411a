"""What `manage.py up` says when it cannot start: what is wrong, what to do, and no traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from research_app.home import CODE
from tests.installation import Installation

pytestmark = pytest.mark.slow


def refusal(installation: Installation, **environment: str) -> str:
    """What a refused start says."""
    refused = installation.command("up", **environment)
    assert refused.returncode == 1, refused.stdout
    assert "Traceback" not in refused.stderr
    return refused.stderr


def test_a_port_that_is_no_number_is_named(tmp_path: Path) -> None:
    assert "PORT is 'http': give a whole number from 1 to 65,535" in refusal(Installation(tmp_path), PORT="http")


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(Installation(tmp_path / "file" / "home"))
    assert f"{tmp_path}/file/home cannot be made: Not a directory. Set SIGNOFF_HOME" in said


def test_a_broker_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = refusal(Installation(tmp_path), REDIS_URL=f"redis://me:secret@127.0.0.1:{port}/0")
    assert f"No broker answers at redis://127.0.0.1:{port}/0, which REDIS_URL names" in said
    assert "unset REDIS_URL" in said
    assert "secret" not in said


def test_a_database_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = refusal(Installation(tmp_path), DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{port}/signoff")
    assert "PostgreSQL at 127.0.0.1: " in said
    assert "DATABASE_URL" in said
    assert "secret" not in said


def test_a_device_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "SIGNOFF_DEVICES holds 'tpu:1'" in refusal(Installation(tmp_path), SIGNOFF_DEVICES="tpu:1")


def test_a_full_disk_is_named_with_the_room_that_is_needed(tmp_path: Path) -> None:
    small_disk = f"bwrap --dev-bind / / --size {4 * 1024**2} --tmpfs {tmp_path}".split()
    try:
        subprocess.run([*small_disk, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("bubblewrap, which makes a small disk for this test, is missing or may not run here")
    command = [*small_disk, sys.executable, str(CODE / "manage.py"), "up"]
    environment = {**Installation(tmp_path).environment, "PATH": os.environ["PATH"]}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert f"The disk under {tmp_path} is full: 3 MB free, at least 200 MB are needed." in refused.stderr
    assert "Traceback" not in refused.stderr
