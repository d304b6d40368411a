"""Conversations with agents, newest first, as the page filters them."""

from collections.abc import Iterator, Sequence

from django.http import HttpRequest

from research_app.models import ConversationState, Project
from research_app.web.csv_lists.csv_list import CsvList
from research_app.web.shared.cells import Cell

COLUMNS = (
    "conversation", "purpose", "state", "failure", "reason", "model", "candidate", "asked by", "requests", "input tokens",
    "cache write tokens", "cache read tokens", "output tokens", "cost in USD", "seconds", "created",
)  # fmt: skip


def rows(request: HttpRequest, project: Project) -> Iterator[Sequence[Cell]]:
    """One query."""
    talks = project.conversations.select_related("candidate__project", "asked_by").defer("system", "edits").order_by("-pk")
    if (state := request.GET.get("state", "")) in ConversationState.values:
        talks = talks.filter(state=state)
    for talk in talks.iterator(chunk_size=500):
        yield (
            talk.pk, talk.purpose, talk.state, talk.failure, talk.reason, talk.model,
            str(talk.candidate) if talk.candidate else "", talk.asked_by.get_username() if talk.asked_by else "", talk.requests,
            talk.input_tokens, talk.cache_write_tokens, talk.cache_read_tokens, talk.output_tokens,
            talk.cost if talk.priced else None, talk.seconds, talk.created_at,
        )  # fmt: skip


LIST = CsvList("conversations", "conversations with agents, newest first", COLUMNS, rows=rows)
