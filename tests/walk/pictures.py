"""Pictures of every page, in both themes and two widths, taken while the loop works: into var/walk/."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.walk.crawl import PLACE, Target
from tests.walk.state import Candidate, Snapshot

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

SIZES: Mapping[str, "ViewportSize"] = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_HEIGHT = 2600  # pixels of a picture: what comes below is more of the same
IN_DOCUMENTS: Mapping[str, str] = {
    "candidate-ready-wide-light": "candidate-wide-light",
    "project-wide-dark": "project-wide-dark",
}
"""Pictures that docs/screenshots has too, as they stand in the window, and their names there."""
RICH: Mapping[str, float] = {"ready": 3.0, "shortlisted": 3.0, "scaling_up": 5.0, "landed": 2.0}
ODD = re.compile("Twelve thousand|same once more")  # candidates of which a picture shows little


class Pictures:
    """The best picture of each page so far; `folder=None`: none are taken."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.kept: dict[str, float] = {}

    def gain(self, route: str, stage: str, worth: float) -> float:
        """How many times more a picture is worth than the one that there is; 0 where none are taken."""
        return 0.0 if self.folder is None else worth / self.kept.get(name_of(route, stage), 0.05)

    def wants(self, route: str, stage: str, worth: float) -> bool:
        """Whether a picture is worth more than the one that there is, by half at least."""
        return self.gain(route, stage, worth) > 1.5

    def note(self, route: str, stage: str, worth: float) -> None:
        self.kept[name_of(route, stage)] = worth

    def file(self, route: str, stage: str, size: str, theme: str) -> Path:
        """Where a picture goes. Raises AssertionError where none are taken."""
        assert self.folder is not None
        return self.folder / f"{name_of(route, stage)}-{size}-{theme}.png"

    def take(self, page: "Page", file: Path) -> None:
        """The page from its top, as far down as tells something."""
        file.parent.mkdir(parents=True, exist_ok=True)
        width = page.viewport_size["width"] if page.viewport_size else 0
        if file.stem in IN_DOCUMENTS:
            page.screenshot(path=file.parent / "docs" / f"{IN_DOCUMENTS[file.stem]}.png", animations="disabled")
        height = min(page.evaluate("document.documentElement.scrollHeight"), MOST_HEIGHT)
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=file, animations="disabled")


def name_of(route: str, stage: str) -> str:
    """A candidate's page has a picture of each stage."""
    return f"{route}-{stage.replace(' ', '-')}" if route == "candidate" and stage else route


def stage_of(target: Target, now: Snapshot) -> str:
    """The stage of the candidate that an address is about; empty where it is about none."""
    candidate = candidate_of(target, now)
    return "" if candidate is None else "stuck" if candidate.stuck else candidate.stage.replace("_", " ")


def candidate_of(target: Target, now: Snapshot) -> Candidate | None:
    found = PLACE.match(target.address)
    if found is None or found["kind"] != "candidates":
        return None
    here = (found["slug"], int(found["number"]))
    return next((each for each in now.candidates if (each.slug, each.number) == here), None)


def worth(target: Target, now: Snapshot) -> float:
    """More for what shows more, and for a page without filters; nothing while no run trains."""
    if not any(run.state == "running" for run in now.runs):
        return 0.0
    shown, found = 1.0, PLACE.match(target.address)
    if found is None:
        shown = float(len(now.candidates))
    elif candidate := candidate_of(target, now):
        shown = 0.1 if ODD.search(candidate.hypothesis) else RICH.get(candidate.stage, 1.0)
    elif found["kind"] == "runs":
        shown = 3.0 if any(str(run.id) == found["number"] and run.outcome == "completed" for run in now.runs) else 1.0
    else:
        shown += len({candidate.stage for candidate in now.of(found["slug"])})
    return shown if "?" in target.address else 2.0 * shown
