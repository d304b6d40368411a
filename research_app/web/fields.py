"""Form fields that more than one page uses."""

from django import forms


class Day(forms.DateInput):
    """A day, chosen in the browser's own calendar; in the address as 2026-11-30."""

    def __init__(self, words: str) -> None:
        super().__init__(format="%Y-%m-%d", attrs={"type": "date", "aria-label": words, "title": words})
