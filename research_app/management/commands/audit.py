"""`manage.py audit verify|head|checkpoint`"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from research_app.audit.checkpoints import NotExported, export
from research_app.audit.keys import BadKey, private_key, public_half
from research_app.audit.report import Report
from research_app.audit.verify import verify
from research_app.management.base import SignoffCommand
from research_app.models import Event

SHOWN = 10  # faults


class Command(SignoffCommand):
    help = "Verify the audit log and everything it refers to; see docs/explanation/audit.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        check = verbs.add_parser("verify", help="recompute every hash and report what was altered")
        check.add_argument(
            "--checkpoints", action="append", default=[], metavar="PLACE", help="another file or address of checkpoints"
        )
        check.add_argument("--no-git", action="store_true", help="skip diffs and baselines (faster)")
        check.add_argument("--all", action="store_true", help=f"list all faults, not only the first {SHOWN}")
        verbs.add_parser("head", help="print the hash of the newest event")
        verbs.add_parser("checkpoint", help="export a signed checkpoint now")
        verbs.add_parser("key", help="print the public key that signs checkpoints")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["verb"])(options)

    def verify(self, options: dict[str, Any]) -> None:
        report = verify(options["checkpoints"], self.progress, git=not options["no_git"])
        self.stdout.write(f"Checked: {self.counted(report)}.")
        for sentence, count in sorted(report.unchecked.items()):
            self.stdout.write(f"Could not check: {sentence}{f' ({count:,})' if count > 1 else ''}.")
        if not report.whole:
            entries = report.in_order if options["all"] else report.in_order[:SHOWN]
            lines = [f"First wrong: {entries[0]}", *(str(fault) for fault in entries[1:])]
            kinds = ", ".join(f"{kind} ({count:,})" for kind, count in report.counts.most_common())
            raise CommandError(
                "The audit log, or what it tells of, was tampered with.\n" + "\n".join(lines) + f"\nIn all: {kinds}."
            )
        self.stdout.write(f"{report.checked['events']:,} events, chain whole, nothing altered.")
        self.head(options)

    def counted(self, report: Report) -> str:
        return ", ".join(f"{count:,} × {what}" for what, count in report.checked.items() if count) or "nothing"

    def progress(self, line: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r\x1b[K{line} …", ending="")

    def head(self, options: dict[str, Any]) -> None:
        self.stdout.write(Event.objects.head())

    def checkpoint(self, options: dict[str, Any]) -> None:
        try:
            made = export()
        except (BadKey, NotExported) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(made.line if made else "Nothing happened since the last checkpoint.")

    def key(self, options: dict[str, Any]) -> None:
        try:
            self.stdout.write(public_half(private_key()))
        except BadKey as error:
            raise CommandError(str(error)) from error
