"""The command line, as `manage.py` and as `signoff`."""

import os
import sys

from research_app.version import VERSION


def main() -> None:
    """Run one management command. What stands in its way is said in a sentence; --traceback shows where it came up."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    if "_ARGCOMPLETE" in os.environ:
        from research_app.completion import complete

        complete()
    if sys.argv[1:] == ["--version"]:
        print(f"Signoff {VERSION}")
        return
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from research_app.environment import BadEnvironment
    from training.registry import BrokenVariant

    try:
        execute_from_command_line(sys.argv)
    except (BadEnvironment, BrokenVariant, ImproperlyConfigured, DatabaseError, OSError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(sentence_about(error))


def sentence_about(error: Exception) -> str:
    """What is wrong and what to do."""
    from django.db import DatabaseError

    if not isinstance(error, DatabaseError):
        return str(error)
    from research_app.tables import TablesMissing, require_tables

    try:
        require_tables()
    except TablesMissing as missing:
        return str(missing)
    return f"The database refused: {str(error).strip()}. Look at `manage.py doctor`."
