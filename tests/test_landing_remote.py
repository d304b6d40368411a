"""What leaves the machine: landings that are signed, and pushed behind a lease; a remote that is down or says no."""

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from research_app.loop import land
from research_app.loop.push import push_now, wake_pushes
from research_app.models import Event, Message, Project, Push, PushState, Stage
from research_app.project_file import ProjectFile
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


def test_signing_without_a_key_is_refused_in_the_project_file() -> None:
    with pytest.raises(ValueError, match="needs signing_key"):
        ProjectFile.model_validate({"landing": {"sign": "ssh"}})
