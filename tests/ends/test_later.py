"""What comes after the gates and beside the loop: a scale-up, a batch, a remote, a conversation, a message to a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from research_app.loop.propose import propose
from research_app.loop.propose.conversation import converse
from research_app.loop.scale_up import scale_up as scale_up_step
from research_app.loop.scale_up.scale_up import stop
from research_app.models import (
    Candidate,
    Conversation,
    Evidence,
    Pace,
    Project,
    Run,
    ScaleUp,
    ScaleUpState,
    Stage,
)
from tests.ends.table import end
from tests.ends.world import World
from tests.factories import make_project
from tests.ladder_project import DOES_NOT_HOLD, HOLDS, approve, ladder_project, submit
from tests.landing_samples import approved, knob, knobs_project, training_at_once
from tests.messages_server import KEY, Fail, MessagesServer, Reply, Say, call, text
from tests.notify.test_notify_breaker import fail_often
from tests.notify_samples import hook, want
from tests.receivers import Webhook
from tests.small_project import approver, drain, git

__all__ = ["hook"]  # a fixture


# --- a scale-up


@end(
    "Its gain is gone at the larger scale",
    "a real change that helps small models alone, trained at both scales",
    "no transfer … At M: worse: … on this rung",
    again="by a patch set of its author",
)
def test_a_gain_that_does_not_transfer(world: World) -> str:
    with training_at_once():
        candidate = submit(ladder_project(), DOES_NOT_HOLD)
        approve(candidate, approver())
        drain()
    return world.address(candidate)


@end(
    "It crashes at the larger scale",
    "a real division by zero there",
    "no transfer … ZeroDivisionError",
    again="by a patch set of its author",
)
def test_a_candidate_that_crashes_at_the_larger_scale(world: World) -> str:
    candidate = submit(ladder_project(), HOLDS, ("NOISE = 0.001  # not a knob", "NOISE = 0.001 / (SIZE < 2)"))
    approve(candidate, approver())
    drain()
    return world.address(candidate)


@end(
    "Somebody stops its scale-up",
    "a person, while its runs wait",
    "shortlisted … Scale-up stopped by grace: The electricity is dear today",
    again="by another approval; it takes the same runs",
)
def test_a_scale_up_that_is_stopped(world: World) -> str:
    with training_at_once():
        candidate = submit(ladder_project(), HOLDS)
    lin = approver()
    stop(approve(candidate, lin), lin, "The electricity is dear today")
    return world.address(candidate)


@end(
    "What it saves at the larger scale cannot be told",
    "curve runs of the baseline that score the same at every budget",
    "shortlisted … time saved cannot be told",
    again="by another approval",
)
def test_a_rung_whose_curve_cannot_be_read(world: World) -> str:
    with training_at_once():
        candidate = submit(ladder_project("flat"), HOLDS)
        approve(candidate, approver())
        drain()
    step = ScaleUp.objects.get()
    Run.objects.filter(scale="M", patch_set=None).exclude(budget_share=1.0).update(score=2.0)
    Evidence.objects.filter(scale="M").delete()
    ScaleUp.objects.update(state=ScaleUpState.RUNNING, ended_at=None)
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.SCALING_UP)
    scale_up_step.scale_up(step.patch_set_id, "test")
    return world.address(candidate)


# --- the landing queue and what comes after it


@end(
    "It hurts the batch that it is in",
    "a real change that hurts where another has landed, in a batch of four",
    "ready … On baseline 2 it does harm",
    again="by another approval",
)
def test_an_entry_that_hurts_its_batch(world: World, tmp_path: Path) -> str:
    return world.address(taken_apart(tmp_path)[3])


@end(
    "Another one hurts the batch that it is in",
    "the same batch: it is taken apart, and what does no harm lands",
    "landed …",
    again="by itself, in a smaller batch",
)
def test_an_entry_of_a_batch_that_is_taken_apart(world: World, tmp_path: Path) -> str:
    return world.address(taken_apart(tmp_path)[1])


def taken_apart(folder: Path) -> list[Candidate]:
    """Five approved candidates after all landings: the fourth hurts where the first has landed."""
    project = knobs_project(folder, penalty=0.5, batch=4)
    candidates = [approved(project, knob(number)) for number in (0, 10, 11, 1, 12)]
    with training_at_once():
        drain(limit=2000)
    return candidates


@end(
    "The remote refuses its landing",
    "a real git remote whose hook says no",
    "1 not pushed … baseline 1 … the branch is frozen until Monday",
    inbox="push of baseline 1 … the branch is frozen until Monday",
    again="with growing pauses, or at once by “Push now”; the landing stands",
)
def test_a_push_that_is_refused(world: World, tmp_path: Path) -> str:
    remote = bare(tmp_path / "remote.git")
    (remote / "hooks").mkdir(exist_ok=True)
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'the branch is frozen until Monday' >&2\nexit 1\n")
    hook.chmod(0o755)
    return pushed(tmp_path, remote)


@end(
    "The remote of its landing is away",
    "a real git remote that is moved away",
    "1 not pushed … baseline 1 … waiting",
    inbox="push of baseline 1 …",
    again="with growing pauses, or at once by “Push now”; the landing stands",
)
def test_a_push_to_a_remote_that_is_away(world: World, tmp_path: Path) -> str:
    return pushed(tmp_path, tmp_path / "away.git")


def bare(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "--bare", "-b", "baseline")
    return folder


def pushed(folder: Path, remote: Path) -> str:
    """Land a change of a project with this remote; the page that tells of it."""
    project = knobs_project(folder, remote=str(remote))
    approved(project, knob(2))
    with training_at_once():
        drain(limit=500)
    return f"/projects/{project.slug}/landings/"


# --- a conversation with a model


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    """A local server that speaks the Messages API, as the loop finds it."""
    with MessagesServer([]) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server


def answered(service: MessagesServer, reply: Reply, **agents: object) -> str:
    """One turn of Claude to which the service gives this answer; the conversation's page."""
    service.model = lambda _: reply
    project: Project = make_project("talk", agents=agents) if agents else make_project("talk")
    propose.propose(propose.open_round(project, ["claude"], 1, "ada").pk, "test")
    return Conversation.objects.get().get_absolute_url()


@end(
    "The model has nothing to propose",
    "its `give_up`, from a local Messages API",
    "nothing worth a run … Everything was tried.",
    again="by another turn",
)
def test_a_model_that_has_nothing_to_propose(world: World, service: MessagesServer) -> str:
    return answered(service, call("give_up", reason="Everything was tried."))


@end("The model refuses", "a refusal, from a local Messages API", "refused", again="by another turn")
def test_a_model_that_refuses(world: World, service: MessagesServer) -> str:
    return answered(service, Say([text("No.")], stop="refusal"))


@end(
    "The service does not take the key",
    "401, from a local Messages API",
    "key",
    inbox="no valid key",
    again="by itself, once it is mended",
)
def test_a_key_that_is_not_taken(world: World, service: MessagesServer) -> str:
    return answered(service, Fail(401, "authentication_error", message="invalid x-api-key"))


@end("The service is overloaded", "529, from a local Messages API", "overloaded", again="by itself, after a pause")
def test_a_service_that_is_overloaded(world: World, service: MessagesServer) -> str:
    return answered(service, Fail(529, "overloaded_error", {"x-should-retry": "false"}))


@end(
    "Its tokens are spent",
    "an answer longer than what is left",
    "budget",
    inbox="budget",
    again="by “Go on”, under a larger budget",
)
def test_a_conversation_whose_tokens_are_spent(world: World, service: MessagesServer) -> str:
    room = {"tokens_per_proposal": 16_000, "answer_tokens": 4000, "dollars_per_day": 0}
    return answered(service, Say([text("word " * 4000)]), **room)


@end("Somebody stops a conversation", "a person, between two answers", "A person stopped it.", again="by “Go on”")
def test_a_conversation_that_is_stopped(world: World, service: MessagesServer) -> str:
    project = make_project("talk")
    row = converse.begin(project, propose.context_of(project, project.tip()))
    converse.stop(row, "grace")
    converse.converse(row.pk, "test")
    return row.get_absolute_url()


# --- a message to a person


@end(
    "The address of a person's messages keeps failing",
    "a real local webhook that answers 404",
    "paused … It failed … times in a row",
    again="by itself after a pause, or at once by “Try now”",
)
def test_an_address_that_is_paused(world: World, hook: Webhook) -> str:
    grace = User.objects.get(username="grace")
    want(grace, webhook=Pace.AT_ONCE, webhook_url=hook.url)
    fail_often(make_project("talk"), hook)
    return "/settings/notifications/"
