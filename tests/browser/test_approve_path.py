"""The whole way in a real Signoff: a patch by hand, real workers, two people in real browsers, a commit on the baseline."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.faults.test_killed_processes import PROJECT
from tests.installation import Installation
from tests.small_project import BETTER, WIDER, git, patch, source_repository

pytestmark = pytest.mark.slow
SECOND = """
from django.contrib.auth.models import Group, User
user = User.objects.create_user("grace", password="a long enough secret")
user.groups.add(Group.objects.get(name="approver"))
"""


@pytest.fixture(scope="module")
def signoff(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with one small project and two approvers."""
    folder = tmp_path_factory.mktemp("approve")
    installation = Installation(folder / "home", SIGNOFF_DEVICES="cpu:1")
    (folder / "project.toml").write_text(PROJECT)
    installation.migrate()
    words = ["--repo", str(source_repository(folder / "source")), "--config", str(folder / "project.toml")]
    made = installation.command("project", "create", "small", *words)
    assert made.returncode == 0, made.stderr
    installation.start()
    try:
        assert installation.command("shell", "-c", SECOND).returncode == 0
        yield installation
    finally:
        installation.end()


def by_link(browser: Browser, signoff: Installation) -> Page:
    """A window of the administrator, signed in by the link that was printed."""
    page = browser.new_context(base_url=signoff.url).new_page()
    [link] = re.findall(r"Sign in once, within 12 hours: (\S+)", signoff.output)
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(signoff.url + "/")
    return page


def by_password(page: Page, name: str, password: str) -> Page:
    page.goto("/sign-in/")
    page.get_by_label("User name").or_(page.get_by_label("Username")).fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))
    return page


def submit(signoff: Installation, folder: Path, change: tuple[str, str], words: str) -> str:
    """Enter a patch at the command line; the number that it prints."""
    file = folder / "change.patch"
    file.write_text(patch(change))
    done = signoff.command("candidate", "submit", "--project", "small", "--patch", str(file), "--hypothesis", words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def landed(signoff: Installation, number: str) -> list[str]:
    """Commits of the baseline branch that carry this candidate's trailer, newest first."""
    repository = signoff.home / "projects" / "small" / "repository.git"
    wanted = f"^Candidate: small/{number}$"
    return git(repository, "log", "--format=%H", f"--grep={wanted}", "baseline").split()


def test_a_patch_by_hand_is_approved_in_the_browser_and_becomes_the_tip_with_its_trailers(
    signoff: Installation, browser: Browser, tmp_path: Path
) -> None:
    page = by_link(browser, signoff)
    number = submit(signoff, tmp_path, BETTER, "A larger learning rate, because it is nearer to the optimum")
    page.goto(f"/projects/small/candidates/{number}/")
    approve = page.get_by_role("button", name="Approve for baseline")
    expect(approve).to_be_visible(timeout=60_000)  # the page follows the run without being reloaded
    approve.dblclick()
    expect(page.locator("header").get_by_text("landed").first).to_be_visible(timeout=60_000)
    repository = signoff.home / "projects" / "small" / "repository.git"
    [commit] = landed(signoff, number)
    assert git(repository, "rev-parse", "baseline") == commit
    message = git(repository, "log", "-1", "--format=%B", commit)
    for trailer in (f"Candidate: small/{number}", "Reviewed-by: admin", "Evidence: ", "Audit-Head: "):
        assert re.search(f"^{trailer}", message, re.MULTILINE), message
    assert "+LEARNING_RATE = 0.02" in git(repository, "show", commit)
    page.reload()
    expect(approve).to_have_count(0)
    assert page.goto("/audit/").ok  # type: ignore[union-attr]
    expect(page.get_by_role("row").filter(has_text=f"C-{number}").filter(has_text="landed").first).to_be_visible()


@pytest.mark.one_in(2)
def test_two_people_who_approve_at_once_and_a_stale_page_land_it_once(
    signoff: Installation, browser: Browser, tmp_path: Path
) -> None:
    [password] = re.findall(r"user admin, password (\S+)", signoff.first_output)
    admin = by_password(browser.new_context(base_url=signoff.url).new_page(), "admin", password)
    grace = by_password(browser.new_context(base_url=signoff.url).new_page(), "grace", "a long enough secret")
    stale = by_password(browser.new_context(base_url=signoff.url).new_page(), "grace", "a long enough secret")
    number = submit(signoff, tmp_path, WIDER, "Wider")
    windows = [admin, grace, stale]
    for window in windows:
        window.goto(f"/projects/small/candidates/{number}/")
        expect(window.get_by_role("button", name="Approve for baseline")).to_be_visible(timeout=60_000)
    stale.route("**/*", lambda route: route.abort() if route.request.headers.get("hx-request") else route.continue_())
    for window in (admin, grace):  # the first click is not waited for
        window.get_by_role("button", name="Approve for baseline").click(no_wait_after=True)
    expect(grace.locator("header").get_by_text("landed").first).to_be_visible(timeout=90_000)
    stale.unroute("**/*")
    if stale.get_by_role("button", name="Approve for baseline").is_enabled():
        stale.get_by_role("button", name="Approve for baseline").click()
    expect(stale.get_by_text(re.compile("landed")).first).to_be_visible(timeout=30_000)
    assert len(landed(signoff, number)) == 1
    assert signoff.command("audit", "verify").returncode == 0
