"""`manage.py reconcile`: the reconciler, which finds and mends what stopped."""

from typing import Any

from django.core.management.base import BaseCommand

from research_app.loop.reconcile import run_forever


class Command(BaseCommand):
    help = "Find and mend what stopped, every few seconds, until Ctrl-C or SIGTERM"
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until it is told to end."""
        run_forever()
