"""A real browser that walks beside: it opens pages as somebody, notes what goes wrong in its windows, and takes pictures."""

import queue
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.walk.crawl import Target
from tests.walk.faults import Fault
from tests.walk.pictures import SIZES, THEMES, Pictures
from tests.watching import arguments, chromium, watch

if TYPE_CHECKING:
    from tests.walk.walk import Walk

BROWSER = "browser"  # as a role of the crawl: what it opened
LONGEST = 900_000  # milliseconds: the machine may be busy
NO_PAGE = ("Download is starting", "net::ERR_ABORTED")


@dataclass(frozen=True)
class Wish:
    """A page to open, as whom, and what a picture of it is worth now."""

    target: Target
    role: str
    route: str
    stage: str
    worth: float


class Windows:
    """All windows live in the thread of `work`; the walk hands over one wish at a time."""

    def __init__(self, walk: "Walk", pictures: Pictures) -> None:
        self.walk, self.pictures = walk, pictures
        self.wishes: queue.Queue[Wish] = queue.Queue(maxsize=1)
        self.wrong: list[str] = []
        self.opened = 0

    def work(self) -> None:
        """Until the walk is over."""
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=arguments())
                windows: dict[tuple[str, str, str], BrowserContext] = {}
                while not self.walk.over.is_set():
                    try:
                        wish = self.wishes.get(timeout=0.3)
                    except queue.Empty:
                        continue
                    self.look(browser, windows, wish)
                browser.close()
        except Exception as error:
            self.walk.faults.append(Fault("browser", "the walk", f"{type(error).__name__}: {error}"))

    def look(self, browser: Browser, windows: dict[tuple[str, str, str], BrowserContext], wish: Wish) -> None:
        """Open one page; what went wrong in it is a fault. Where it is worth a picture, take it in all sizes and themes."""
        self.open(self.window(browser, windows, wish.role), wish, None)
        if not self.pictures.wants(wish.route, wish.stage, wish.worth):
            return
        for size in SIZES:
            for theme in THEMES:
                window = self.window(browser, windows, "approver", size, theme)
                self.open(window, wish, self.pictures.file(wish.route, wish.stage, size, theme))
        self.pictures.note(wish.route, wish.stage, wish.worth)

    def window(
        self,
        browser: Browser,
        windows: dict[tuple[str, str, str], BrowserContext],
        role: str,
        size: str = "wide",
        theme: str = "light",
    ) -> BrowserContext:
        """The window of a person, signed in."""
        if (role, size, theme) not in windows:
            look: Mapping[str, Any] = {"viewport": SIZES[size], "color_scheme": theme}
            context = browser.new_context(base_url=self.walk.signoff.url, **look)
            context.set_default_timeout(LONGEST)
            watch(context, self.note)
            cookies = [
                {"name": c.name, "value": c.value or "", "url": self.walk.signoff.url} for c in self.walk.visitors[role].cookies
            ]
            context.add_cookies(cookies)  # type: ignore[arg-type]
            windows[role, size, theme] = context
        return windows[role, size, theme]

    def note(self, wrong: list[str]) -> None:
        """Keep what went wrong; a server that has too much to do now and says so is not wrong."""
        self.wrong += [words for words in wrong if not re.search(r"^503 from|status of 503|Status Error Code 503", words)]

    def open(self, window: BrowserContext, wish: Wish, picture: Path | None) -> None:
        """Open a page, wait for its curves, and take its picture where one is wanted."""
        page = window.new_page()
        self.wrong.clear()
        try:
            while (answer := page.goto(wish.target.address)) and answer.status == 503 and "retry-after" in answer.headers:
                page.wait_for_timeout(1000.0 * float(answer.headers["retry-after"]))
            wait_for_curves(page)
            if picture:
                self.pictures.take(page, picture)
            self.opened += 1
        except Error as error:
            if not any(words in error.message for words in NO_PAGE) and not self.walk.over.is_set():
                self.wrong.append(error.message)
        finally:
            page.close()
        told = f"as {wish.role}, found on {wish.target.found_on}"
        self.walk.faults += [Fault("browser", wish.target.address, f"{words}, {told}") for words in dict.fromkeys(self.wrong)]


def wait_for_curves(page: Page) -> None:
    """Until the first chart of a page is drawn, where it has one."""
    if page.locator(".chart").count():
        page.locator(".chart .main-svg, .chart-empty").first.wait_for(state="attached")
