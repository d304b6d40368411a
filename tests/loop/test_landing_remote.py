"""What leaves the machine: landings that are signed, and pushed behind a lease; a remote that is down or says no."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from research_app import health
from research_app.loop import reconcile, tasks
from research_app.loop.land import land, landing_queue
from research_app.loop.land.push import push_now, wake_pushes
from research_app.models import Event, Evidence, Landing, Message, Project, Push, PushState, Stage
from research_app.project_file.project_file import ProjectFile
from research_app.repository import writing
from tests.landing_samples import approved, check_agreement, fresh, knob, knobs_project, landed, training_at_once
from tests.small_project import drain, git

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote.git"
    folder.mkdir()
    git(folder, "init", "-q", "--bare", "-b", "baseline")
    return folder


def at(remote: Path, branch: str = "baseline") -> str:
    return git(remote, "rev-parse", branch)


def due(project: Project) -> None:
    """As if the pause after a failure had passed."""
    Push.objects.filter(project=project).exclude(state=PushState.PUSHED).update(next_at=timezone.now() - timedelta(seconds=1))
    wake_pushes()
    drain(limit=500)


def test_a_landing_is_pushed_and_the_next_one_after_it(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote), remote_branch="main")
    approved(project, knob(2))
    approved(project, knob(3))
    drain(limit=500)
    assert at(remote, "main") == project.repository.tip() == project.tip().commit
    assert set(Push.objects.values_list("state", flat=True)) == {PushState.PUSHED}
    assert len(git(remote, "log", "--format=%(trailers:key=Candidate,valueonly)", "main").split()) == 2


def test_a_remote_that_is_down_is_said_and_tried_again_and_the_landing_stands(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote))
    away = remote.rename(tmp_path / "away")
    candidate = approved(project, knob(2))
    drain(limit=500)
    assert fresh(candidate).stage == Stage.LANDED
    push = Push.objects.get()
    assert push.state == PushState.WAITING and push.failures == 1 and push.next_at > timezone.now()
    due(project)
    push.refresh_from_db()
    assert push.failures == 2 and push.next_at > timezone.now() + timedelta(seconds=20), "the pauses grow"
    away.rename(remote)
    due(project)
    assert at(remote) == project.repository.tip()
    check_agreement(project)


def test_a_remote_that_says_no_is_quoted_and_a_person_can_try_again(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote))
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'the branch is frozen until Monday' >&2\nexit 1\n")
    hook.chmod(0o755)
    candidate = approved(project, knob(2))
    drain(limit=500)
    push = Push.objects.get()
    assert push.state == PushState.REJECTED and "frozen until Monday" in push.reason
    assert fresh(candidate).stage == Stage.LANDED and landed(project) == ["knobs/1"]
    assert Event.objects.filter(kind="push failed").count() == 1
    due(project)
    assert Event.objects.filter(kind="push failed").count() == 1, "the same answer is no news"
    hook.unlink()
    push_now(project, "grace")
    drain(limit=500)
    assert at(remote) == project.repository.tip()


def test_what_somebody_else_pushed_is_never_overwritten(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    git(theirs, "init", "-q", "-b", "baseline")
    (theirs / "other.txt").write_text("mine\n")
    git(theirs, "add", ".")
    git(theirs, "commit", "-q", "-m", "Something else")
    git(theirs, "push", "-q", str(remote), "baseline")
    before = at(remote)
    approved(project, knob(2))
    drain(limit=500)
    push = Push.objects.get()
    assert push.state == PushState.REJECTED and "somebody else moved it" in push.reason
    assert at(remote) == before


def test_a_push_that_was_lost_with_its_message_is_found_again(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote))
    approved(project, knob(2))
    while message := Message.objects.order_by("pk").first():
        Message.objects.filter(pk=message.pk).delete()
        if message.task == "land":
            land.land(message.object_id, "worker")
        if Push.objects.exists():
            Message.objects.all().delete()
    wake_pushes()
    drain(limit=500)
    assert at(remote) == project.repository.tip()


def test_a_landing_is_signed_with_an_ssh_key_and_verifies(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "signoff", "-f", key], check=True)
    project = knobs_project(tmp_path, sign="ssh", signing_key=str(key))
    approved(project, knob(2))
    drain(limit=500)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"signoff@localhost {key.with_suffix('.pub').read_text()}")
    told = subprocess.run(
        ["git", "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", "-v", project.repository.tip()],
        cwd=project.repository.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'Good "git" signature for signoff@localhost' in told.stderr
    check_agreement(project)


def test_a_key_that_cannot_sign_holds_the_queue_and_says_so(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, sign="ssh", signing_key=str(tmp_path / "missing"))
    candidate = approved(project, knob(2))
    drain(limit=500)
    entry = candidate.landings.get()
    assert entry.state == "queued" and "could not be signed with the ssh key" in entry.trouble
    assert landed(project) == []


def test_a_signer_that_hangs_is_left_alone_for_a_while_so_that_others_land(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh-keygen").write_text("#!/bin/sh\nsleep 30\n")
    (programs / "ssh-keygen").chmod(0o755)
    (tmp_path / "key").write_text("a key in a card that nobody put in")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(writing, "SIGNING_SECONDS", 1.0)
    monkeypatch.setattr(landing_queue, "HANGS", 0.5)
    project = knobs_project(tmp_path, sign="ssh", signing_key=str(tmp_path / "key"))
    other = knobs_project(tmp_path, "other")
    candidate, quick = approved(project, knob(2)), approved(other, knob(2))
    began = time.monotonic()
    drain(limit=500)
    for _ in range(20):  # the reconciler, and whoever approves another one, ask again and again
        reconcile.wake_landings()
        Message.objects.enqueue("land", project.pk)
        drain()
    assert time.monotonic() - began < 10, "it hung once"
    entry = candidate.landings.get()
    assert "could not be signed" in entry.trouble and "longer than 1 s" in entry.trouble
    assert entry.not_before is not None and entry.not_before > timezone.now()
    assert landed(other) == ["other/1"] and quick.landings.get().state == "landed"
    Landing.objects.update(not_before=timezone.now())
    (programs / "ssh-keygen").unlink()
    (tmp_path / "key").unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    Message.objects.enqueue("land", project.pk)
    drain(limit=500)
    assert landed(project) == ["knobs/1"]


def test_signing_without_a_key_is_refused_in_the_project_file() -> None:
    with pytest.raises(ValueError, match="needs signing_key"):
        ProjectFile.model_validate({"landing": {"sign": "ssh"}})


def test_pushes_wait_on_a_queue_of_their_own_and_few_at_once(tmp_path: Path, remote: Path) -> None:
    project = knobs_project(tmp_path, remote=str(remote))
    approved(project, knob(2))
    while not Push.objects.exists():
        drain_one()
    assert set(Message.objects.filter(task="push").values_list("queue", flat=True)) == {"push"}
    slots = [tasks.pushing.acquire(blocking=False) for _ in range(tasks.MOST_PUSHES)]
    try:
        tasks.push(project.pk)  # as many hang as may
        assert Push.objects.get().state == PushState.WAITING and Push.objects.get().failures == 0
    finally:
        for _ in slots:
            tasks.pushing.release()
    drain(limit=500)
    assert Push.objects.get().state == PushState.PUSHED


def drain_one() -> None:
    """Run the task of the oldest message, but no push."""
    message = Message.objects.exclude(task="push").order_by("pk").first()
    assert message is not None
    message.delete()
    getattr(tasks, message.task)(message.object_id)


def test_the_doctor_says_what_keeps_a_landing_from_its_remote(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, remote=str(tmp_path / "nowhere.git"))
    approved(project, knob(2))
    drain(limit=500)
    found = health.remotes()
    assert not found.ok and "knobs baseline 1 did not arrive" in found.detail and "Push now" in found.fix
    Push.objects.update(failures=0, next_at=timezone.now() - timedelta(minutes=3))
    found = health.remotes()
    assert not found.ok and "nobody does" in found.detail
    Push.objects.update(state=PushState.PUSHED)
    assert health.remotes().ok


def test_the_doctor_says_what_stands_in_the_way_of_a_landing_or_that_nobody_lands(tmp_path: Path) -> None:
    project = knobs_project(tmp_path)
    approved(project, knob(2))
    assert health.landing_queues().ok
    Landing.objects.update(queued_at=timezone.now() - timedelta(minutes=3))
    Evidence.objects.update(frozen_at=timezone.now() - timedelta(minutes=3))
    found = health.landing_queues()
    assert not found.ok and "C-1 of knobs has waited since" in found.detail and "orchestrate" in found.fix
    Landing.objects.update(trouble="No space left on device. Make room.")
    found = health.landing_queues()
    assert not found.ok and "held up" in found.detail and found.fix == "No space left on device. Make room."
