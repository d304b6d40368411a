"""What our commands share: they work on a database that was set up, and say in a sentence where it was not."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from research_app.tables import TablesMissing, require_tables


class SignoffCommand(BaseCommand):
    """A command that needs the tables of this version."""

    requires_system_checks = []  # `manage.py check` makes them

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Raises CommandError before the first start, and where the database is of another version."""
        try:
            require_tables()
        except TablesMissing as missing:
            raise CommandError(str(missing)) from missing
        return super().execute(*args, **options)
