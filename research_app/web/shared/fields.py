"""Form fields that more than one page uses."""

from collections.abc import Sequence

from django import forms

MOST_SHOWN = 40  # characters of what was asked for and makes no sense


class Day(forms.DateInput):
    """A day, chosen in the browser's own calendar; in the address as 2026-11-30."""

    def __init__(self, words: str) -> None:
        super().__init__(format="%Y-%m-%d", attrs={"type": "date", "aria-label": words, "title": words})


class Filters(forms.Form):
    """What an address may say to narrow a list. A value that makes no sense is ignored, and the page says so."""

    @property
    def ignored(self) -> Sequence[str]:
        """What was asked for and is left out, as `until = 2026-02-30`."""
        invalid = ((name, str(self.data.get(name, ""))) for name in self.errors if name in self.fields)
        return [f"{name} = {text[:MOST_SHOWN]}{'…' * (len(text) > MOST_SHOWN)}" for name, text in invalid]
