"""`manage.py up` as a person meets it: one real start, shared by the tests of this file; each leaves it usable for the next."""

import json
import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from research_app.home import CODE
from tests.installation import Installation, alive, carrying, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.one_in(2)]
MARK = "SIGNOFF_TEST_MARK"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("home")
    installation = Installation(home, SIGNOFF_DEVICES="cpu:1", **{MARK: str(home)})
    try:
        installation.start()
        yield installation
    finally:
        installation.end()


@pytest.fixture
def signoff(shared: Installation) -> Installation:
    shared.start()
    return shared


def number(installation: Installation, query: str) -> int:
    with sqlite3.connect(installation.home / "signoff.sqlite3") as database:
        return int(database.execute(query).fetchone()[0])


def test_it_prints_a_line_for_each_service_and_then_how_to_get_in(signoff: Installation) -> None:
    assert list(signoff.services) == ["broker", "web", "reconciler", "orchestrate", "agent", "notify", "train.cpu.0"]
    assert f"Signoff is at {signoff.url}\n" in signoff.output
    assert re.search(rf"Sign in once, within 12 hours: {signoff.url}/sign-in/\S{{30,}}/\n", signoff.output)


def test_the_first_start_makes_an_administrator_with_a_random_password(signoff: Installation) -> None:
    assert re.search(r"First start: user admin, password \S{16} ", signoff.first_output)
    assert number(signoff, "SELECT count(*) FROM auth_user WHERE is_superuser") == 1
    assert number(signoff, "SELECT count(*) FROM auth_user_groups JOIN auth_group g ON g.id = group_id AND g.name = 'approver'")


def test_the_first_start_makes_the_demo_project(signoff: Installation) -> None:
    assert number(signoff, "SELECT count(*) FROM research_app_project WHERE slug = 'demo'") == 1


def test_healthz_tells_machines_that_all_is_well(signoff: Installation) -> None:
    wait_until(lambda: signoff.get("/healthz")[0] == 200, 15)
    assert json.loads(signoff.get("/healthz")[1])["ok"] is True


def test_the_doctor_finds_nothing_wrong(signoff: Installation) -> None:
    wait_until(lambda: signoff.get("/healthz")[0] == 200, 15)
    done = signoff.command("doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True), done.stdout


def test_a_sign_in_link_from_another_shell_names_the_port_that_runs(signoff: Installation) -> None:
    for port in ("", "8000", str(signoff.port + 1)):
        made = signoff.command("person", "link", "admin", PORT=port)
        assert f"Sign in once, within 12 hours: {signoff.url}/sign-in/" in made.stdout, made.stderr
        assert "does not run" not in made.stderr
    assert signoff.get(re.search(r"http://[^/]+(/sign-in/\S+)", made.stdout)[1])[0] == 200
    named = signoff.command("person", "link", "admin", PORT="", SITE_URL="https://signoff.example.org/")
    assert "https://signoff.example.org/sign-in/" in named.stdout


def test_a_second_start_in_one_home_is_refused_with_the_pid_and_the_address(signoff: Installation) -> None:
    refused = signoff.command("up", PORT=str(signoff.port + 1))
    assert refused.returncode == 1
    assert f"pid {signoff.pid}, at {signoff.url}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_refused_before_anything_starts(signoff: Installation, tmp_path: Path) -> None:
    refused = signoff.command("up", SIGNOFF_HOME=str(tmp_path / "other"))
    assert refused.returncode == 1
    assert f"PORT={signoff.port + 1} make up" in refused.stderr
    assert not (tmp_path / "other" / "logs").exists()


def test_no_request_is_refused_while_the_killed_web_server_comes_back(signoff: Installation) -> None:
    before = signoff.services["web"]
    os.kill(before, signal.SIGKILL)
    assert signoff.get("/healthz")[0] in (200, 503)
    assert signoff.services["web"] != before
    assert signoff.said("web was ended by SIGKILL; it starts again in 0.5 s")


def test_a_killed_broker_comes_back_with_its_messages(signoff: Installation) -> None:
    before = signoff.services["broker"]
    socket_path = signoff.home / "broker" / "valkey.sock"
    with redis.Redis(unix_socket_path=str(socket_path)) as client:
        client.rpush("a queue", "a message")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: signoff.services["broker"] != before and socket_path.exists(), 10)
    with redis.Redis(unix_socket_path=str(socket_path), retry=Retry(ConstantBackoff(0.1), 50)) as client:
        assert client.lrange("a queue", 0, -1) == [b"a message"]
        client.delete("a queue")
        wait_until(lambda: sum(worker["cmd"] == "brpop" for worker in client.client_list()) >= 2, 20)  # workers are back


def test_a_killed_training_worker_comes_back_and_leaves_no_training_behind(signoff: Installation) -> None:
    before = signoff.services["train.cpu.0"]
    left = [psutil.Process(before), *psutil.Process(before).children(recursive=True)]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: signoff.services["train.cpu.0"] != before, 10)
    assert alive(left) == []


def test_ctrl_c_leaves_no_process_and_gives_training_back(signoff: Installation) -> None:
    since = psutil.Process(signoff.services["train.cpu.0"]).create_time()  # not what a killed worker left
    begun = "CAST(strftime('%s', started_at) AS INTEGER)"
    just_now = f"{begun} >= CAST(strftime('%s', 'now') AS INTEGER) - 1"  # an older one may end before the signal comes
    trains = f"research_app_run WHERE state = 'running' AND {begun} >= {int(since)} AND {just_now}"
    wait_until(lambda: number(signoff, f"SELECT count(*) FROM {trains}") > 0, 60)
    run = number(signoff, "SELECT id FROM research_app_run WHERE state = 'running' ORDER BY started_at DESC LIMIT 1")
    everything = signoff.processes()
    assert signoff.interrupt() == 0
    assert alive(everything, within=0.2) == []
    assert carrying(MARK, str(signoff.home)) == []
    assert number(signoff, f"SELECT count(*) FROM research_app_run WHERE id = {run} AND state = 'queued' AND attempts = 0")
    assert signoff.output.endswith("Stopped.\n")


def test_a_later_start_continues_without_a_new_password_or_project(shared: Installation) -> None:
    shared.end()
    signoff = shared
    signoff.start()
    assert not signoff.said("First start")
    assert number(signoff, "SELECT count(*) FROM auth_user") == 1
    assert number(signoff, "SELECT count(*) FROM research_app_project") == 1


def test_a_killed_supervisor_leaves_no_process(signoff: Installation) -> None:
    everything = signoff.processes()
    assert len(everything) > 6
    signoff.signal(signal.SIGKILL)
    assert alive(everything) == []
    assert carrying(MARK, str(signoff.home)) == []


def test_make_up_serves_with_standard_input_closed_and_dies_with_make(shared: Installation) -> None:
    shared.end()
    signoff = shared
    with subprocess.Popen(
        ["bash", "-c", "exec make up <&-"],
        cwd=CODE,
        env=signoff.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as make:
        assert make.stdout
        printed = next(line for line in make.stdout if "Signoff is at" in line)
        assert signoff.url in printed
        everything = carrying(MARK, str(signoff.home))
        make.kill()
        make.wait()
        assert alive(everything, within=15) == []
