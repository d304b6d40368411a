"""Signoff as a Django application."""

from django.apps import AppConfig


class SignoffConfig(AppConfig):
    name = "research_app"

    def ready(self) -> None:
        """Register the system checks, and read every registry. Raises BrokenVariant."""
        from research_app import checks  # noqa: F401
        from research_app.registries import read_registries

        read_registries()
