"""What the doctor and /healthz find: each problem with its fix."""

import json
import os
import shutil
import sqlite3
from collections import namedtuple
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from research_app import checks, health
from research_app.audit.checkpoints import export
from research_app.health import Finding, checkpoints, examine
from research_app.loop import reconcile
from research_app.machine.fleet import LocalDevice
from research_app.models import Device, Message, TaskLease

Usage = namedtuple("Usage", "total used free")
pytestmark = pytest.mark.django_db


def finding(name: str, thorough: bool = True) -> Finding:
    return next(finding for finding in examine(thorough) if finding.name == name)


def reconciler_runs() -> None:
    row = TaskLease.objects.create(name=reconcile.NAME)
    assert TaskLease.claim(row.pk, "a host/1")


@pytest.mark.both_databases
def test_a_running_installation_is_well(running_broker: None) -> None:
    reconciler_runs()
    Device.objects.create(name="a host/cpu.0", kind="cpu")
    assert [wrong for wrong in examine(thorough=True) if not wrong.ok] == []


@pytest.mark.both_databases
def test_what_healthz_asks_costs_five_queries(running_broker: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(5):
        examine()


def test_a_broker_that_is_down_is_wrong() -> None:
    found = finding("broker", thorough=False)
    assert not found.ok
    assert found.fix == "Start it: make up"


def test_a_broker_that_forgets_is_named_with_the_settings_to_change(running_broker: None) -> None:
    from research_app.machine import broker

    with broker.client() as connection:
        connection.config_set("maxmemory-policy", "allkeys-lru")
        connection.config_set("appendonly", "no")
        try:
            found = finding("broker")
        finally:
            connection.config_set("maxmemory-policy", "noeviction")
            connection.config_set("appendonly", "yes")
    assert found.ok
    assert "appendonly yes" in found.fix
    assert "noeviction" in found.fix


def test_a_reconciler_that_is_not_seen_is_wrong() -> None:
    assert not finding("reconciler").ok
    reconciler_runs()
    assert finding("reconciler").ok


def test_a_reconciler_whose_lease_ran_out_is_wrong() -> None:
    reconciler_runs()
    TaskLease.objects.update(lease_until=timezone.now())
    assert not finding("reconciler").ok


def test_messages_that_pile_up_are_wrong() -> None:
    Message.objects.bulk_create(
        Message(task="judge", object_id=number, queue="orchestrate") for number in range(health.MANY_UNSENT)
    )
    assert not finding("outbox").ok


@pytest.mark.parametrize(("free", "ok", "advice"), [(10**12, True, False), (10**9, True, True), (10**8, False, True)])
def test_little_space_is_advice_and_no_space_is_wrong(
    free: int, ok: bool, advice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**13, 0, free))
    assert (finding("disk").ok, bool(finding("disk").fix)) == (ok, advice)


@pytest.mark.parametrize(
    ("version", "ok", "advice"),
    [
        ((3, 34, 1), False, True),
        ((3, 40, 1), True, True),
        ((3, 44, 6), True, False),
        ((3, 50, 6), True, True),
        ((3, 50, 7), True, False),
        ((3, 51, 2), True, True),
        ((3, 51, 3), True, False),
        ((3, 53, 0), True, False),
    ],
)
def test_sqlite_without_the_mended_corruption_is_advised_against(
    version: tuple[int, int, int], ok: bool, advice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, version)))
    found = health.sqlite()
    assert (found.ok, bool(found.fix)) == (ok, advice)


def test_git_that_cannot_merge_without_a_work_tree_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert health.git() == Finding(
        "git", False, "2.30.2", "Install git 2.38 or newer (Debian 12 and later: apt-get install git)"
    )


def test_no_git_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not health.git().ok


def test_the_check_advises_postgresql_where_many_devices_would_write_to_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [LocalDevice("cpu", str(index), "a core") for index in range(9)]
    monkeypatch.setattr(checks, "local_devices", lambda: many)
    assert [message.id for message in checks.sqlite_with_many_devices(None)] == ["signoff.I001"]
    monkeypatch.setattr(checks, "local_devices", lambda: many[:8])
    assert checks.sqlite_with_many_devices(None) == []


def test_the_doctor_prints_the_fix_and_ends_with_one() -> None:
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=output, no_color=True)
    assert ended.value.code == 1
    assert "wrong   broker" in output.getvalue()
    assert "→ Start it: make up" in output.getvalue()


def test_the_doctor_speaks_json_to_machines() -> None:
    output = StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", "--json", stdout=output)
    report = json.loads(output.getvalue())
    assert report["ok"] is False
    assert {"name", "ok", "detail", "fix"} == set(report["findings"][0])


def test_checkpoints_that_stopped_are_a_fault_and_their_place_beside_the_database_could_be_better(
    settings: Settings, tmp_path: Path
) -> None:
    settings.HOME, settings.CHECKPOINTS = tmp_path, str(tmp_path / "checkpoints.jsonl")
    settings.CHECKPOINT_KEY = str(tmp_path / "checkpoint_key.pem")
    export()
    found = checkpoints()
    assert (found.ok, "event 1" in found.detail, "another host" in found.fix) == (True, True, True)
    os.utime(tmp_path / "checkpoints.jsonl", (0, 0))
    assert not checkpoints().ok
    settings.CHECKPOINTS = "off"
    assert checkpoints().ok and "cut" in checkpoints().fix
