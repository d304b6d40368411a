"""`manage.py docs`: build the documentation into a site with a search, which the product serves at /docs/."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from research_app.docs_site import SITE, BadDocuments, build, is_fresh


class Command(BaseCommand):
    help = "Build the documentation as a searchable site; Signoff serves it at /docs/, and any web server can"
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--out", type=Path, default=SITE, metavar="FOLDER", help="output folder (default: docs/_build/html)"
        )
        parser.add_argument("--if-changed", action="store_true", help="only if a source changed since the last build")

    def handle(self, *args: Any, **options: Any) -> None:
        """Build it and say where it is. Raises CommandError with what is wrong in which document."""
        site: Path = options["out"]
        if options["if_changed"] and is_fresh(site):
            return
        try:
            build(site.resolve())
        except BadDocuments as error:
            raise CommandError(f"The documents do not make a site:\n{error}") from error
        self.stdout.write(f"The documentation is in {site}/index.html, and at /docs/ while Signoff runs.")
