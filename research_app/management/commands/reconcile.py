"""`manage.py reconcile`: the reconciler, which finds and mends what stopped."""

from typing import Any

from research_app.loop.reconcile import run_forever
from research_app.management.base import SignoffCommand


class Command(SignoffCommand):
    help = "Restart whatever should be running and is not, every few seconds, until Ctrl-C or SIGTERM"

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until it is told to end."""
        run_forever()
