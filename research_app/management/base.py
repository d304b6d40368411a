"""What our commands share: they work on a database that was set up, and say in a sentence where it was not."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from research_app.plain_text import problem_in, strings_in
from research_app.tables import TablesMissing, require_tables

OF_DJANGO = {"stdout", "stderr", "settings", "pythonpath"}  # what Django passes to every command


class SignoffCommand(BaseCommand):
    """A command that needs the tables of this version."""

    requires_system_checks = []  # `manage.py check` makes them

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Raises CommandError before the first start, on a database of another version, and for what no text may hold."""
        try:
            require_tables()
        except TablesMissing as missing:
            raise CommandError(str(missing)) from missing
        for name, text in strings_in({name: value for name, value in options.items() if name not in OF_DJANGO}):
            if problem := problem_in(text):
                raise CommandError(f"{name.partition('.')[0]} {problem}.")
        return super().execute(*args, **options)
