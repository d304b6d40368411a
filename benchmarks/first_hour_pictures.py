"""Pictures of the first hour, taken by a Chromium while the loop works: for docs/tutorial/first-hour.md."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, sync_playwright

from tests.walk.visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import StorageState, ViewportSize

SIZES: dict[str, ViewportSize] = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}
"""As the tutorial shows them, and as a telephone does."""


class Photographer:
    """A person's windows, wide and narrow, signed in as a visitor is."""

    def __init__(self, visitor: Visitor, folder: Path) -> None:
        self.visitor, self.folder = visitor, folder
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Photographer:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        self.playwright = sync_playwright().start()
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.browser: Browser = self.playwright.chromium.launch(executable_path=chromium, args=arguments)
        self.windows = {size: self.open(viewport) for size, viewport in SIZES.items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.browser.close()
        self.playwright.stop()

    def open(self, viewport: ViewportSize) -> Page:
        """A window of one size, with the visitor's cookies."""
        cookies = [
            {"name": c.name, "value": c.value or "", "domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": False,
             "secure": False, "sameSite": "Lax"}
            for c in self.visitor.cookies
        ]  # fmt: skip
        state: StorageState = {"cookies": cookies, "origins": []}  # type: ignore[typeddict-item]
        context = self.browser.new_context(base_url=self.visitor.site, viewport=viewport, storage_state=state)
        return context.new_page()

    @property
    def window(self) -> Page:
        """The wide window, to work in."""
        return self.windows["wide"]

    def take(self, name: str, address: str, sizes: tuple[str, ...] = ("wide",)) -> None:
        """A page as it stands now, when its charts are drawn."""
        for size in sizes:
            self.windows[size].goto(address)
            self.snap(name, size)

    def snap(self, name: str, size: str = "wide") -> None:
        """What stands in a window."""
        page = self.windows[size]
        if page.locator(".chart").count():
            page.locator(".chart .main-svg, .chart-empty").first.wait_for()
        suffix = "" if size == "wide" else f"-{size}"
        page.screenshot(path=self.folder / f"{name}{suffix}.png", animations="disabled")
