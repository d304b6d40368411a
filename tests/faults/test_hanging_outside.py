"""What hangs outside holds up nobody's landing: real workers, real sockets that accept and never answer."""

import json
import os
import subprocess
import sys

import pytest

from research_app.home import CODE
from tests.faults.hanging_outside import APPROVALS, BEGUN, IN_PEACE, PEOPLE

pytestmark = [pytest.mark.slow, pytest.mark.one_in(3)]


def test_landings_take_as_long_as_ever_while_webhooks_mail_server_and_remote_hang() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNOFF_", "DJANGO_"))}
    command = [sys.executable, "-m", "tests.faults.hanging_outside"]
    done = subprocess.run(command, cwd=CODE, env=kept, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["in_peace"]) == IN_PEACE and len(told["hanging"]) == APPROVALS, told
    per_landing = (told["in_peace"][-1] - told["in_peace"][0]) / (IN_PEACE - 1)  # the first waits for the workers to start
    assert told["hanging"][-1] <= 2 * per_landing * APPROVALS + 5, told
    assert told["due"] == PEOPLE and told["begun"] >= BEGUN, told
    assert told["not_pushed"] >= 1, "the remote hung as well"
