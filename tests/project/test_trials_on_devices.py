"""A trial takes a device: whoever asked, what it took and where it runs is written down, and no run begins there meanwhile."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from research_app.loop.project import bring
from research_app.loop.project.try_report import TryReport
from research_app.loop.train import idle_gpus
from research_app.loop.train.idle_gpus import GpusAtWork, idle_device
from research_app.models import Device, Event, Project, Trial, TrialState
from research_app.models.lease import LEASE
from tests.factories import make_user
from tests.machine.test_device_pool import ask, begun, pool_of
from tests.machine.test_device_pool import project as one_project  # noqa: F401
from tests.nvml_samples import some_gpus
from tests.project.test_new_project import CODE, send
from tests.small_project import drain, git

pytestmark = pytest.mark.django_db
SECONDS = 12.5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(CODE)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    return tmp_path


def signed_in(name: str, role: str) -> Client:
    client = Client()
    client.force_login(make_user(name, role=role))
    return client


@pytest.mark.slow
def test_what_a_person_asked_for_is_two_events_and_its_cost_is_on_the_page(source: Path) -> None:
    client = signed_in("ada", "operator")
    client.post(reverse("new-project"), {"source": str(source)})
    drain()
    trial = Trial.objects.get()
    assert not Event.objects.filter(kind="trial asked for").exists() and trial.device_seconds == 0
    for _ in range(2):
        send(client, trial, "try")
        drain()
    asked, tried, *more = Event.objects.filter(kind__in=("trial asked for", "tried")).order_by("sequence")
    assert (asked.kind, asked.actor, asked.data["device"], asked.data["devices"]) == ("trial asked for", "ada", "cpu", 1)
    assert asked.data["file"] == tried.data["file"] and tried.data["runs"] == ["completed"] * 3 and tried.data["good"]
    assert len(more) == 2, "each time that it was tried"
    trial.refresh_from_db()
    assert trial.device_seconds == pytest.approx(tried.data["device_seconds"] + more[1].data["device_seconds"], abs=0.01)
    page = client.get(reverse("new-project")).content.decode()
    assert "trying repositories took" in page and "of device time" in page
    assert "of device time" in client.get(reverse("trial", args=[trial.pk])).content.decode()


@pytest.mark.slow
def test_what_a_command_tried_is_written_down_too(source: Path, tmp_path: Path) -> None:
    config = tmp_path.parent / "asked.toml"
    call_command("project", "inspect", str(source), "--out", str(config))
    call_command("project", "try", str(config), "--repo", str(source))
    trial = Trial.objects.get()
    assert (trial.state, trial.actor, trial.lease_until) == (TrialState.DRAFT, "command line", None)
    assert trial.report["checks"] and trial.device_seconds > 0 and not trial.devices.exists()
    assert [each.actor for each in Event.objects.filter(kind__in=("trial asked for", "tried"))] == ["command line"] * 2
    client = signed_in("ada", "operator")
    for address in (reverse("new-project"), reverse("trial", args=[trial.pk])):
        assert "command line" in client.get(address).content.decode()


def leased_trial() -> Trial:
    return Trial.objects.create(source="/srv/x", slug="x", lease_until=timezone.now() + LEASE)


def test_no_run_begins_on_a_gpu_that_a_trial_has_and_the_fleet_shows_it(
    one_project: Project,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_gpus, "gpus", lambda: some_gpus(2))
    pool, trial = pool_of(2), leased_trial()
    ask(one_project, count=2)
    with idle_device("cuda", 1, trial) as device:
        taken = trial.devices.get()
        assert device == f"cuda:{taken.mask}" and set(Device.objects.busy()) == {taken}
        assert begun(pool).device != taken
        assert pool.claim() is None, "the other one is tried on"
        with pytest.raises(GpusAtWork, match="0 of 2 GPUs"), idle_device("cuda"):
            pass
        assert "a trial of x" in signed_in("eve", "viewer").get(reverse("fleet")).content.decode()
    assert not trial.devices.exists()
    assert begun(pool).device == taken


def test_a_trial_whose_worker_was_lost_holds_nothing(
    one_project: Project,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_gpus, "gpus", lambda: some_gpus(1))
    pool, trial = pool_of(1), leased_trial()
    trial.devices.set(pool.devices)
    ask(one_project)
    assert pool.claim() is None
    Trial.objects.filter(pk=trial.pk).update(lease_until=timezone.now())
    assert pool.claim() is not None


def test_of_eight_devices_the_time_is_counted_eight_times() -> None:
    file = '[train]\ndevice = "cuda"\ndevices = 8\n'
    trial = Trial.objects.create(source="/srv/x", file=file, tried_file=file)
    run = {"words": "seed 1", "seed": 1, "outcome": "completed", "reason": "", "score": 1.0, "seconds": SECONDS, "steps": 1,
           "spent": 1.0, "curves": (), "lines": (), "missed": (), "level": "strong"}  # fmt: skip
    bring.record_tried(trial, bring.read(trial), TryReport.model_validate({"runs": [run, run]}))
    trial.refresh_from_db()
    assert trial.device_seconds == 2 * 8 * SECONDS and Event.objects.get(kind="tried").data["device_seconds"] == 200.0
