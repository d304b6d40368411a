"""`manage.py request`: print the whole request with which a conversation of a project begins, without sending anything."""

import json
from argparse import ArgumentParser
from typing import Any

from django.db import transaction

from agent.tools import definitions
from research_app.loop.propose import propose, steer
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.conversation.requested_changes import changes_wanted
from research_app.management.base import SignoffCommand
from research_app.management.commands.project import find_project
from research_app.models import Candidate, ConversationPurpose, Decision, Project


class Command(SignoffCommand):
    help = "Print the first request of a conversation: system prompt, tools and first message."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="name of the project")
        parser.add_argument("--combine", type=int, nargs="+", metavar="N", help="the request for combining these candidates")
        parser.add_argument("--rework", type=int, metavar="N", help="the request for reworking this candidate's idea")
        parser.add_argument("--changes", type=int, metavar="N", help="only the message that asks for changes to this candidate")
        parser.add_argument("--json", action="store_true", help="print the request as JSON, as the service receives it")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        if options["changes"]:
            self.stdout.write(changes_of(project, options["changes"]))
            return
        about, task = asked_for(project, options)
        context = propose.context_of(project, project.tip(), about=about)
        with transaction.atomic():  # the words are those of a conversation that begins, which is taken back
            row = converse.begin(project, context, about=about, task=task)
            system, first = row.system, row.messages.get().content
            transaction.set_rollback(True)
        if options["json"]:
            messages = [{"role": "user", "content": first}]
            request = {"model": row.model, "system": system, "tools": definitions(), "messages": messages}
            self.stdout.write(json.dumps(request, indent=2, ensure_ascii=False))
            return
        tools = [f"{tool['name']}: {tool['description']}\n  {json.dumps(tool['input_schema'])}" for tool in definitions()]
        for title, text in (
            ("SYSTEM", "\n\n".join(str(block["text"]) for block in system)),
            ("TOOLS", "\n".join(tools)),
            ("FIRST MESSAGE", "\n\n".join(str(block["text"]) for block in first)),
        ):
            self.stdout.write(f"===== {title} =====\n{text}\n")


def asked_for(project: Project, options: dict[str, Any]) -> tuple[list[Candidate], str]:
    """The candidates that a conversation is about, and its task; none for a new change."""
    numbers = options["combine"] or ([options["rework"]] if options["rework"] else [])
    about = list(Candidate.objects.with_evidence().filter(project=project, number__in=numbers).order_by("number"))
    if not about:
        return [], ""
    purpose = ConversationPurpose.COMBINE if options["combine"] else ConversationPurpose.REWORK
    return about, steer.task_of(purpose, about)


def changes_of(project: Project, number: int) -> str:
    """What the conversation of a candidate is told when changes are requested of it."""
    candidate = Candidate.objects.with_evidence().get(project=project, number=number)
    review = candidate.reviews.filter(decision=Decision.CHANGES).order_by("-pk").first()
    return changes_wanted(candidate, review) if review else f"Nobody requested changes of {candidate}."
