"""/projects/<slug>/agents/<id>/ : a conversation with all that was said, what it cost, and stop and go on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from agent.failure import Failure
from agent.quote import cut
from research_app.access import may_operate
from research_app.loop.propose import steer
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.conversation.token_budget import shares
from research_app.loop.propose.steer import SteeringRefused
from research_app.models import Candidate, Conversation, ConversationMessage, Note
from research_app.models.candidate import DISCARDED
from research_app.web.agents.conversations import Budget, person
from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, get_project, operator, researcher
from research_app.web.shared.drafts import refuse

LONGEST_SHOWN = 20_000  # characters of one block
SHORT = 1200  # characters; a longer block is folded
FRAGMENTS = {"talk-head": "agents/conversation/_head.html", "talk-turns": "agents/conversation/_turns.html"}


def get_conversation(request: HttpRequest, slug: str, pk: int) -> Conversation:
    """The conversation, if this person may see its project. Two queries."""
    project = get_project(request, slug)
    rows = Conversation.objects.select_related("project", "base", "candidate__project", "asked_by", "program", "turn")
    return get_object_or_404(rows, project=project, pk=pk)


@researcher
@require_safe
def conversation(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The transcript. A constant number of queries."""
    conversation_ = get_conversation(request, slug, pk)
    context = {
        "project": conversation_.project,
        "conversation": conversation_,
        "entries": entries_of(list(conversation_.messages.order_by("number"))),
        "system": [block.get("text", "") for block in conversation_.system],
        "budgets": [Budget(*row) for row in shares(conversation_.project, conversation_)[:2] if row[0] == "this proposal"],
        "about": conversation_.about.select_related("project").order_by("number"),
        "advice": Failure(conversation_.failure).resumable if conversation_.failure else False,
    }
    return live.page(request, "agents/conversation.html", FRAGMENTS, context)


@dataclass(frozen=True)
class Block:
    """One block of a message, as text."""

    kind: str  # "text", "thinking", "call", "result"
    title: str
    text: str
    failed: bool = False

    @property
    def long(self) -> bool:
        return len(self.text) > SHORT or self.text.count("\n") > 14


@dataclass(frozen=True)
class Entry:
    """One message with its blocks."""

    message: ConversationMessage
    blocks: Sequence[Block]


def entries_of(messages: Sequence[ConversationMessage]) -> list[Entry]:
    """The transcript; results carry the name of the tool that they answer."""
    names: dict[str, str] = {}
    entries = []
    for message in messages:
        for block in message.content:
            if block.get("type") == "tool_use":
                names[str(block.get("id"))] = str(block.get("name"))
        entries.append(Entry(message, [block_of(block, names) for block in message.content]))
    return entries


def block_of(block: Mapping[str, Any], names: Mapping[str, str]) -> Block:
    """A block of the Messages API as a person reads it."""
    kind = block.get("type")
    if kind == "tool_use":
        return Block("call", str(block.get("name")), call_text(block.get("input")))
    if kind == "tool_result":
        text = cut(str(block.get("content", "")), LONGEST_SHOWN)
        return Block("result", names.get(str(block.get("tool_use_id")), "tool"), text, bool(block.get("is_error")))
    if kind in ("thinking", "redacted_thinking"):
        return Block("thinking", "thinking", str(block.get("thinking") or "(not shown by the service)"))
    return Block("text", "", cut(str(block.get("text", "")), LONGEST_SHOWN))


def call_text(given: Any) -> str:
    """The input of a call: short values on a line each, long ones below their name."""
    if not isinstance(given, Mapping):
        return json.dumps(given, ensure_ascii=False)
    parts = []
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        parts.append(f"{name}:\n{text}" if "\n" in text or len(text) > 100 else f"{name}: {text}")
    return cut("\n".join(parts), LONGEST_SHOWN)


@operator
@require_POST
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Stop after what it does now; it can go on later."""
    conversation_ = get_conversation(request, slug, pk)
    if converse.stop(conversation_, person(request).get_username()):
        messages.info(request, "Stopping after the current request. Nothing is lost; it can be resumed later.")
    return redirect(conversation_)


@operator
@require_POST
def resume(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Let it go on where it is."""
    conversation_ = get_conversation(request, slug, pk)
    if reason := converse.unavailable(conversation_.project):
        refuse(request, reason)
    elif converse.resume(conversation_, person(request).get_username()):
        messages.info(request, "Resumed where it stopped.")
    return redirect(conversation_)


@operator
@require_POST
def rework(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Have an agent work out an earlier idea again; what stands in the field of notes goes with it."""
    candidate = get_candidate(request, slug, number)
    try:
        row = steer.rework(candidate, person(request), request.POST.get("text", ""))
    except SteeringRefused as refused:
        refuse(request, str(refused))
        return redirect(candidate)
    messages.info(request, f"An agent works on {candidate} again.")
    return redirect(row)


def of_candidate(request: HttpRequest, candidate: Candidate) -> dict[str, Any]:
    """What the candidate's page shows of agents: its conversations and the notes on it. At most four queries."""
    rows = Conversation.objects.select_related("project", "asked_by").order_by("pk")
    return {
        "talks": [*rows.filter(candidate=candidate), *rows.filter(about=candidate)],
        "notes": Note.objects.standing().filter(candidate=candidate).select_related("written_by"),
        "may_operate": may_operate(request.user),
        "may_rework": candidate.stage in DISCARDED or candidate.undone,
    }
