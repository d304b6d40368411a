"""`manage.py audit verify|head`"""

from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from research_app.models import Event


class Command(BaseCommand):
    help = "Prove that the audit log is whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["verify", "head"])

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "verify":
            faults = list(islice(Event.objects.faults(), 10))
            if faults:
                raise CommandError("The audit log was tampered with:\n" + "\n".join(faults))
            self.stdout.write(f"{Event.objects.count()} events, chain whole.")
        self.stdout.write(Event.objects.head())
