"""`manage.py knobs --project NAME`: what the proposer `knobs` may turn, and what it leaves alone, each with the reason."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from agent.knob_sources import Survey, survey
from agent.ladder import ladder
from agent.proposal import NothingToPropose
from research_app.loop.train.launched import launched_of
from research_app.management.base import SignoffCommand
from research_app.management.commands.project import find_project

SHOWN = 6  # values of a knob in a line


class Command(SignoffCommand):
    help = (
        "List the values in a project's code that the proposer `knobs` may change, and those it leaves alone, with the reason."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="name of the project")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        base = project.tip()
        seen = survey(project.repository.texts(base.commit, project.file.edit.editable), launched_of(project, base))
        try:
            knobs = {constant.name: [constant.written(value) for value in ladder(constant)] for constant in seen.constants}
        except NothingToPropose as bad:  # a comment that cannot be used
            raise CommandError(str(bad)) from bad
        now = {constant.name: constant.literal for constant in seen.constants}
        knobs = {name: values for name, values in knobs.items() if values}
        if options["json"]:
            left_out = {each.constant.name: each.why for each in seen.left_out}
            knob_values = {name: {"now": now[name], "values": values} for name, values in knobs.items()}
            self.stdout.write(json.dumps({"knobs": knob_values, "left_out": left_out, "unreadable": seen.unreadable}))
            return
        self.tell(seen, knobs, now)

    def tell(self, seen: Survey, knobs: dict[str, list[str]], now: dict[str, str]) -> None:
        """The same for people: knobs first, then what is left out by its reason."""
        self.stdout.write(f"{len(knobs)} knobs:")
        for name, values in knobs.items():
            others = [value for value in values if value != now[name]]
            more = f" … ({len(others)} values)" if len(others) > SHOWN else ""
            self.stdout.write(f"  {name} = {now[name]}; also {', '.join(others[:SHOWN])}{more}")
        by_reason: dict[str, list[str]] = {}
        for each in seen.left_out:
            by_reason.setdefault(each.why, []).append(each.constant.name)
        for why, names in by_reason.items():
            self.stdout.write(f"Left out, {why}: {', '.join(names)}")
        for problem in seen.unreadable:
            self.stdout.write(problem)
