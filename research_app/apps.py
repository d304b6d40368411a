"""Signoff as a Django application."""

from django.apps import AppConfig


class SignoffConfig(AppConfig):
    name = "research_app"

    def ready(self) -> None:
        """Register the system checks."""
        from research_app import checks  # noqa: F401
