"""`manage.py screenshots`: pictures of every page of a running server, in both themes and two widths."""

import os
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from research_app.home import CODE
from research_app.models import Candidate, Project, Run, SignInLink, Verdict
from research_app.models.candidate import WAITING

SIZES = {"wide": (1440, 900), "narrow": (375, 800)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


class Command(BaseCommand):
    help = "Take a picture of every page of the running server into docs/screenshots."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="where the server answers")
        parser.add_argument("--out", type=Path, default=CODE / "docs" / "screenshots")
        parser.add_argument("--user", default="admin", help="who is signed in")
        parser.add_argument("--project", default="demo")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        project = Project.objects.filter(slug=options["project"]).first()
        if user is None or project is None:
            raise CommandError("There is no such user or project; see --user and --project.")
        link = f"{options['url']}/sign-in/{SignInLink.make(user)}/"
        take(options["url"], link, addresses(project), options["out"])
        self.stdout.write(f"Pictures are in {options['out']}")


def addresses(project: Project) -> dict[str, str]:
    """Name of the picture → address. Of candidates, one that waits is shown, the newest otherwise."""
    at = project.get_absolute_url()
    found = {"inbox": "/", "project": at, "candidates": f"{at}candidates/", "baseline": f"{at}baseline/"}
    found |= {"fleet": "/fleet/", "audit": "/audit/"}
    candidates = Candidate.objects.filter(project=project, evidence__effect__isnull=False)
    candidates = candidates.exclude(evidence__verdict=Verdict.INVALID)
    shown = candidates.filter(stage__in=WAITING).order_by("-evidence__effect").first() or candidates.last()
    if shown:
        found["candidate"] = shown.get_absolute_url()
    if run := Run.objects.filter(project=project, score__isnull=False).last():
        found["run"] = f"{at}runs/{run.pk}/"
    return found


def take(url: str, link: str, pages: dict[str, str], folder: Path) -> None:
    """Drive a Chromium over the pages. Raises CommandError where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise CommandError("Playwright is missing: install requirements-dev.txt.") from None
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise CommandError("No Chromium found: install one (Debian: apt install chromium), or name yours in CHROMIUM.")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        first = browser.new_context()
        page = first.new_page()
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{url}/")
        session = first.storage_state()
        for theme in THEMES:
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    storage_state=session, viewport={"width": width, "height": height}, color_scheme=theme, base_url=url
                )
                page = context.new_page()
                for name, address in pages.items():
                    page.goto(address)
                    if page.locator(".chart").count():
                        page.locator(".chart .main-svg, .chart-empty").first.wait_for()
                    page.screenshot(path=folder / f"{name}-{size}-{theme}.png", animations="disabled")
                context.close()
        browser.close()
