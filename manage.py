#!/usr/bin/env python3
"""The one entry point: up, loop, project, candidate, audit, doctor and Django's own commands."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")
    from django.core.management import execute_from_command_line

    from research_app.home import BadEnvironment

    try:
        execute_from_command_line(sys.argv)
    except BadEnvironment as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
