"""`manage.py screenshots`: pictures of every page of a running server while it trains, in both themes and two widths."""

import os
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from research_app import environment
from research_app.home import home
from research_app.management.base import SignoffCommand
from research_app.models import Project, SignInLink
from research_app.web.shared.every_page import every_address

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

SIZES: dict[str, "ViewportSize"] = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


class Command(SignoffCommand):
    help = "Take a picture of every page of the running server, while it trains."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="address of the server")
        parser.add_argument("--out", type=Path, default=home() / "screenshots", help="output folder")
        parser.add_argument("--idle", action="store_true", help="proceed even if nothing is training (pages then show less)")
        parser.add_argument("--user", default="admin", help="user to sign in as")
        parser.add_argument("--project", default="demo", help="name of the project")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        project = Project.objects.filter(slug=options["project"]).first()
        if user is None or project is None:
            raise CommandError("There is no such user or project; see --user and --project.")
        if not options["idle"] and not project.runs.training().exists():
            raise CommandError(f"Nothing trains in {project.slug} now, so pages show less: wait for a run, or say --idle.")
        link = f"{options['url']}/sign-in/{SignInLink.make(user)}/"
        taken = take(options["url"], link, dict(every_address(project)), options["out"])
        self.stdout.write(f"{len(taken)} pages, each in {len(THEMES)} themes at {len(SIZES)} widths, are in {options['out']}")


def take(url: str, link: str, addresses: dict[str, str], folder: Path) -> list[str]:
    """Drive a Chromium over whatever answers with a page; the names of those. Raises CommandError where that cannot be."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise CommandError("Playwright is missing: install requirements-dev.txt.") from None
    chromium = environment.read().CHROMIUM or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise CommandError("No Chromium found: install one (Debian: apt install chromium), or name yours in CHROMIUM.")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        first = browser.new_context(base_url=url)
        try:
            first.new_page().goto("/sign-in/")
        except Error as error:
            raise CommandError(
                f"Nothing answers at {url}: start Signoff with `make up`, or say --url. ({error.message})"
            ) from None
        page = first.pages[0]
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{url}/")
        pages = {name: address for name, address in addresses.items() if is_page(page, address)}
        for theme in THEMES:
            for size, viewport in SIZES.items():
                context = browser.new_context(
                    storage_state=first.storage_state(), viewport=viewport, color_scheme=theme, base_url=url
                )
                for name, address in pages.items():
                    picture(context.new_page(), address, folder / f"{name}-{size}-{theme}.png")
                context.close()
        browser.close()
    return list(pages)


def is_page(page: "Page", address: str) -> bool:
    """Whether a signed-in person gets a whole page at this address: no form to be sent, no part, no data."""
    answer = page.request.get(address)
    return answer.ok and answer.text().lstrip()[:15].lower() == "<!doctype html>"


def picture(page: "Page", address: str, file: Path) -> None:
    """What stands in the window when its charts are drawn."""
    page.goto(address)
    if page.locator(".chart").count():
        page.locator(".chart .main-svg, .chart-empty").first.wait_for()
    page.screenshot(path=file, animations="disabled")
    page.close()
