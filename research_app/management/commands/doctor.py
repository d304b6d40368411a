"""`manage.py doctor`: what is there, what is wrong, and the fix."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from research_app.health import Finding, examine


class Command(BaseCommand):
    help = "Check the installation and print what is wrong and how to fix it; exit status 1 if anything is wrong"
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings. Exits with 1 if one of them is wrong."""
        findings = examine(thorough=True)
        wrong = [finding for finding in findings if not finding.ok]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "findings": [asdict(finding) for finding in findings]}))
        else:
            for finding in findings:
                self.tell(finding)
            self.stdout.write(f"{len(wrong)} of {len(findings)} need a hand." if wrong else "All is well.")
        if wrong:
            sys.exit(1)

    def tell(self, finding: Finding) -> None:
        """One line, and one more for the fix."""
        mark = self.style.ERROR("wrong ") if not finding.ok else self.style.WARNING("advice") if finding.fix else "ok    "
        self.stdout.write(f"{mark}  {finding.name:<18} {finding.detail}")
        if finding.fix:
            self.stdout.write(f"{'':<26} → {finding.fix}")
