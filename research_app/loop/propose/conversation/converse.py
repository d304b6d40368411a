"""Converse: hold a conversation with a model until it hands in a change, or ends with a named failure.

A conversation is a row. A worker claims it, goes on from what was said so far, and writes every message as it is said, so
that a dead worker, a spent budget or a person's stop lose nothing. It belongs to a turn of a round, or somebody asked for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from agent.briefing import briefing, system
from agent.failure import ConversationFailed, Failure
from agent.proposal import Context, Edit, Proposal
from agent.tools import Workbench
from research_app import environment
from research_app.loop.propose import propose
from research_app.loop.propose.conversation.answer import answer_changes
from research_app.loop.propose.conversation.ends import NAME, QUEUE, end, follow, key, redactor
from research_app.loop.propose.conversation.facts import facts_of
from research_app.loop.propose.conversation.token_budget import ConversationBudget, midnight, nothing_left
from research_app.loop.propose.conversation.transcript import Transcript, messages_so_far
from research_app.loop.propose.conversation.workspace import ProjectWorkspace
from research_app.loop.train.train import stopping
from research_app.models import (
    Author,
    Candidate,
    Conversation,
    ConversationMessage,
    ConversationPurpose,
    ConversationState,
    Event,
    Lease,
    LeaseLost,
    Message,
    Project,
    Round,
    Turn,
    TurnState,
)
from research_app.models.event_kinds import EventKind
from research_app.models.lease import MAX_ATTEMPTS

logger = logging.getLogger(__name__)
STALE = timedelta(seconds=15)
"""An open conversation outside a turn that nobody took for so long was forgotten."""
LOOK_EVERY = 2.0  # seconds between two looks at whether somebody asked to stop
MOST_TALKING = 6
"""Conversations at once in one worker (it has eight threads, research_app/machine/services.py): a model that never answers
holds them until their deadlines, and must not keep the searches from proposing."""


class Slots:
    """How many conversations this process holds at once. The rest of its threads is for proposers that wait for nobody."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    @property
    def free(self) -> bool:
        """Whether one more may begin."""
        return self._left > 0

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Take a slot for the block; False where there is none."""
        with self._lock:
            taken = self._left > 0
            self._left -= taken
        try:
            yield taken
        finally:
            with self._lock:
                self._left += taken


talking = Slots(MOST_TALKING)


class WorkerStops(Exception):
    """This worker was asked to stop: the conversation stays open, and another one goes on with it."""


def has_key() -> bool:
    """Whether the agents' workers have a key: other services are only told that there is one
    (research_app/machine/supervisor.py)."""
    return bool(key() or environment.read().SIGNOFF_AGENTS_HAVE_KEY)


def unavailable(project: Project) -> str:
    """Why no conversation can begin here now; empty when one can."""
    if not has_key():
        return "There is no key: set ANTHROPIC_API_KEY in the environment that make up is called in, and start it again."
    return nothing_left(project)


def join_rounds() -> int:
    """With a key, every open-ended round asks Claude too; how many rounds that changed."""
    joined = 0
    if has_key():
        for each in Round.objects.filter(closed_at=None, wanted=None).select_related("project"):
            if NAME not in each.proposers:
                with transaction.atomic():
                    Round.objects.filter(pk=each.pk).update(proposers=[*each.proposers, NAME])
                    Event.objects.record(EventKind.PROPOSER_JOINED, each, "signoff", each.project, proposer=NAME)
                joined += 1
    return joined


class ClaudeProposer:
    """The proposer `claude` of the loop: for each turn one conversation, which goes on where a lost worker left it."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.name = turn.project.file.agents.uses_model  # A/A candidates carry the model's name as well

    def propose(self, context: Context) -> Proposal:
        """Raises ConversationFailed, WorkerStops, LeaseLost."""
        row = Conversation.objects.filter(turn=self.turn).first() or begin(
            self.turn.project, context, turn=self.turn, category=self.turn.category, mode=self.turn.mode
        )
        self.name = row.model
        lease = Conversation.claim(row.pk, f"turn {self.turn.number}", Q(state=ConversationState.OPEN))
        if lease is None:
            row.refresh_from_db()
            ended = row.state != ConversationState.OPEN and row.failure
            raise (
                ConversationFailed(Failure(row.failure), row.reason) if ended else LeaseLost(f"{row} is held by another worker")
            )
        with talking.one():
            return hold(Conversation.objects.select_related("project", "base").get(pk=row.pk), lease)


def begin(
    project: Project,
    context: Context,
    *,
    turn: Turn | None = None,
    purpose: ConversationPurpose = ConversationPurpose.PROPOSE,
    about: Sequence[Candidate] = (),
    task: str = "",
    category: str = "",
    mode: str = "",
    asked_by: Any = None,
) -> Conversation:
    """Open a conversation: its system prompt and its first message are fixed here. Nothing is sent yet."""
    base = turn.base if turn else project.tip()
    facts, model = facts_of(project, base), project.file.agents.uses_model
    clean = redactor()
    first = clean(briefing(context, facts, task))
    with transaction.atomic():
        row = Conversation.objects.create(
            project=project,
            turn=turn,
            base=base,
            program=propose.program_of(project, base)[1],
            purpose=purpose,
            asked_by=asked_by,
            category=category,
            mode=mode,
            model=model,
            priced=project.file.agents.price_of(model) is not None,
            system=clean.deep(system(facts, context.program)),
        )
        row.about.set(about)
        ConversationMessage.objects.create(conversation=row, number=1, role="user", content=[{"type": "text", "text": first}])
        event_data = {"purpose": purpose, "model": model, "about": [str(each) for each in about]}
        Event.objects.record(
            EventKind.CONVERSATION_BEGUN, row, asked_by.get_username() if asked_by else NAME, project, **event_data
        )
    return row


def converse(conversation_id: int, worker: str) -> None:
    """Go on with a conversation outside a turn: somebody asked for it, or for changes. A repeated call does nothing."""
    with talking.one() as free:
        if free:  # otherwise the reconciler asks again
            go_on_with(conversation_id, worker)


def go_on_with(conversation_id: int, worker: str) -> None:
    """Claim a conversation and take it as far as it goes."""
    lease = Conversation.claim(conversation_id, worker, Q(state=ConversationState.OPEN), Q(project__paused=False))
    if lease is None:
        return
    row = Conversation.objects.select_related("project", "base", "candidate__project", "turn").get(pk=conversation_id)
    with lease.attempt():
        try:
            if row.attempts > MAX_ATTEMPTS:
                why = f"Its worker was lost {MAX_ATTEMPTS} times; the last time: {row.last_error or 'killed'}"
                end(row, lease, ConversationFailed(Failure.STOPPED, why))
            else:
                go_on(row, lease)
        except (WorkerStops, LeaseLost) as gone:
            logger.info("%s is left to another worker: %s", row, gone)


def go_on(row: Conversation, lease: Lease) -> None:
    """Hold the conversation, and submit the proposal that comes of it."""
    try:
        proposal = hold(row, lease)
    except ConversationFailed as failure:
        logger.info("%s ended: %s", row, failure.failure)  # it is written
        return
    try:
        submit(row, lease, proposal)
    except ConversationFailed as failure:
        end(row, lease, failure)


def hold(row: Conversation, lease: Lease) -> Proposal:
    """Talk under a lease until a change is submitted. A named failure is written before it is raised.

    Raises ConversationFailed, WorkerStops, LeaseLost.
    """
    from agent.claude import Conversation as Talk  # the SDK takes a second to import, and only who talks needs it
    from agent.claude import Settings
    from agent.request import ConversationDeadline, connect

    began = time.monotonic()
    agents, project = row.project.file.agents, row.project
    budget = ConversationBudget(row, lease, agents.price_of(row.model))
    transcript = Transcript(row, lease, budget, redactor())
    transcript.charge_what_was_lost()
    with lease.heartbeat() as lost:
        deadline = ConversationDeadline(time.monotonic() + agents.seconds, Stop(row, lost.is_set))
        client = connect(key(), environment.read().ANTHROPIC_BASE_URL, deadline)
        talk = Talk(
            client=client,
            settings=Settings(
                row.model, agents.answer_tokens, agents.turns, agents.context_tokens, agents.effort, agents.thinking
            ),
            system=row.system,
            messages=messages_so_far(row),
            workbench=Workbench(
                ProjectWorkspace(project, row.base, row.candidate),
                [Edit(*edit) for edit in row.edits],
                answering=row.candidate is not None,
            ),
            budget=budget,
            transcript=transcript,
            deadline=deadline,
            clean=redactor(),
        )
        try:
            if not key():
                raise ConversationFailed(Failure.NO_KEY, unavailable(project))
            return talk.run()
        except ConversationFailed as failure:
            if failure.failure is Failure.STOPPED and stopping.is_set():
                lease.close(attempts=0)
                raise WorkerStops(str(failure)) from None
            end(row, lease, failure)
            raise ConversationFailed(failure.failure, redactor()(str(failure))) from None  # its cause may hold the key
        finally:
            client.close()
            Conversation.objects.filter(pk=row.pk).update(seconds=F("seconds") + time.monotonic() - began)


class Stop:
    """Whether a conversation should stop now; asks the database at most every LOOK_EVERY seconds."""

    def __init__(self, row: Conversation, lost: Callable[[], bool]) -> None:
        self.row = row
        self.lost = lost
        self.looked_at = 0.0
        self.wanted = False

    def __call__(self) -> str | None:
        if self.lost():
            return "The conversation was given to another worker."
        if stopping.is_set():
            return "The worker is stopping."
        if time.monotonic() - self.looked_at > LOOK_EVERY:
            self.looked_at = time.monotonic()
            self.wanted = Conversation.objects.filter(pk=self.row.pk, wants_stop=True).exists()
        return "A person stopped it." if self.wanted else None


def submit(row: Conversation, lease: Lease, proposal: Proposal) -> None:
    """Make a candidate of a proposal, or the next patch set of the one it is about. Raises ConversationFailed."""
    if row.candidate is not None:
        answer_changes(row, proposal)
        with transaction.atomic():
            close(lease, row.candidate)
        return
    with transaction.atomic():
        candidate = propose.enter(row.project, row.base, proposal, author=row.model, kind=Author.AGENT)
        if row.turn is not None:
            Candidate.objects.filter(pk=candidate.pk).update(round=row.turn.round_id)
            follow(row, TurnState.PROPOSED, "", candidate=candidate)
        close(lease, candidate)


def close(lease: Lease, candidate: Candidate) -> None:
    """The conversation rests, its change under review. In a transaction with what it brought."""
    lease.close(
        state=ConversationState.SUBMITTED,
        candidate=candidate,
        failure="",
        reason="",
        changed_at=timezone.now(),
        attempts=0,
        last_error="",
    )


def wake(row: Conversation) -> None:
    """Let a worker go on with a conversation. In a transaction."""
    Message.objects.enqueue("converse", row.pk, QUEUE)


def wake_conversations() -> None:
    """Open conversations outside turns that nobody holds; and stopped ones that go on by themselves.

    These are those that a spent day had stopped, on the next one, and those whose pause after passing trouble is over.
    """
    stopped = Conversation.objects.filter(state=ConversationState.STOPPED, project__paused=False).select_related("project")
    stopped = stopped.exclude(turn__round__closed_at__isnull=False)
    spent = Q(failure=Failure.BUDGET_SPENT, changed_at__lt=midnight())
    for row in stopped.filter(spent | Q(retry_at__lte=timezone.now()))[:50]:
        if not nothing_left(row.project):
            resume(row, "signoff")
    free = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    waiting = Conversation.objects.open().filter(free, changed_at__lt=timezone.now() - STALE)
    for pk in waiting.exclude(turn__state=TurnState.WORKING).values_list("pk", flat=True)[:50]:
        Message.objects.wake("converse", pk, QUEUE)


def resume(row: Conversation, actor: str) -> bool:
    """Let a stopped conversation go on where it is; False where it was not stopped."""
    with transaction.atomic():
        rows = Conversation.objects.filter(pk=row.pk, state=ConversationState.STOPPED)
        fields = {"state": ConversationState.OPEN, "failure": "", "reason": "", "wants_stop": False, "attempts": 0}
        if not rows.update(**fields, retry_at=None, changed_at=timezone.now()):
            return False
        Event.objects.record(EventKind.CONVERSATION_RESUMED, row, actor, row.project)
        wake(row)
    return True


def stop(row: Conversation, actor: str) -> bool:
    """Ask a conversation to stop after what it does now, or not to go on by itself; nothing of it is lost.

    False where it does not go on anyway.
    """
    same = Conversation.objects.filter(pk=row.pk)
    rests = {"failure": Failure.STOPPED, "reason": "A person stopped it.", "retry_at": None, "changed_at": timezone.now()}
    with transaction.atomic():
        if same.filter(state=ConversationState.STOPPED, retry_at__isnull=False).update(**rests):
            follow(row, TurnState.FAILED, "A person stopped it.")
        elif not same.filter(state=ConversationState.OPEN).update(wants_stop=True):
            return False
        Event.objects.record(EventKind.CONVERSATION_ASKED_TO_STOP, row, actor, row.project)
    return True
