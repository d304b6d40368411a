"""The documentation is built into a site by one command, without a warning, and the product serves it under its own policy."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from research_app import docs_site
from research_app.web.shared.security import POLICY
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: a warning, for example of a link that leads nowhere, fails it."""
    folder = tmp_path_factory.mktemp("docs") / "html"
    call_command("docs", out=folder)
    return folder


@pytest.fixture
def client(site: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(docs_site, "SITE", site)
    client = Client()
    client.force_login(make_user(role="viewer"))
    return client


class Elements(HTMLParser):
    """What a page holds that a strict policy forbids, and what it names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.forbidden.append(self.get_starttag_text() or tag)
        if tag == "script" and not given.get("src"):
            self.forbidden.append(self.get_starttag_text() or tag)
        self.names += [value for name in ("src", "href") if (value := given.get(name))]


def pages(site: Path) -> list[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 40
    return found


def test_no_page_needs_an_inline_script_or_style_or_anything_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        elements = Elements(page.read_text(encoding="utf-8"))
        assert elements.forbidden == [], page
        loaded = [name for name in elements.names if name.endswith((".js", ".css"))]
        assert loaded and not [name for name in loaded if urlsplit(name).netloc], page


def test_every_link_of_the_site_leads_to_a_file_of_it_or_to_the_desk(site: Path) -> None:
    there = docs_site.served(site)
    for page in pages(site):
        here = f"/{page.relative_to(site).as_posix()}"
        for name in Elements(page.read_text(encoding="utf-8")).names:
            parts = urlsplit(urljoin(here, name))
            assert parts.netloc or parts.path[1:] in there or name == "/", f"{here} leads to {name}"


def test_the_product_serves_each_file_under_its_policy(client: Client, site: Path) -> None:
    for address, kind in [
        ("/docs/", "text/html"),
        ("/docs/reference/glossary.html", "text/html"),
        ("/docs/search.html", "text/html"),
        ("/docs/_static/searchtools.js", "text/javascript"),
        ("/docs/_static/site.css", "text/css"),
        ("/docs/searchindex.js", "text/javascript"),
    ]:
        response = client.get(address)
        assert response.status_code == 200, address
        assert response.headers["Content-Type"].startswith(kind)
        assert response.headers["Content-Security-Policy"] == POLICY


def test_an_address_of_the_source_leads_to_the_built_page(client: Client) -> None:
    assert client.get("/docs/how-to/operating.md").headers["Location"] == "/docs/how-to/operating.html"


def test_nothing_beside_the_site_can_be_named(client: Client) -> None:
    for name in ("../conf.py", "_static/../../../conf.py", "conf.py", "_theme/layout.html", "none.html"):
        assert client.get(f"/docs/{name}").status_code in (301, 404)


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(client: Client) -> None:
    assert Client().get("/docs/searchindex.js").headers["Location"].startswith("/sign-in/")


def test_a_document_that_changed_since_is_shown_as_it_is_now(
    client: Client, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "html"
    shutil.copytree(site, old)
    monkeypatch.setattr(docs_site, "SITE", old)
    monkeypatch.setattr(docs_site, "sources", lambda: [Path(__file__)])
    index = old / "searchindex.js"
    index.touch()
    assert 'id="site-search"' in client.get("/docs/").content.decode()
    os.utime(index, (1, 1))
    page = client.get("/docs/").content.decode()
    assert 'id="site-search"' not in page and "tutorial/first-hour.md" in page


def test_the_index_of_the_search_knows_the_words_of_the_product(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert all(word in index for word in ("glossari", "sandbox", "reconcil"))


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "docs"
    shutil.copytree(docs_site.SOURCES / "_theme", sources / "_theme")
    shutil.copy(docs_site.SOURCES / "conf.py", sources)
    (sources / "index.md").write_text("# Here\n\n[there](none.md)\n")
    monkeypatch.setattr(docs_site, "SOURCES", sources)
    with pytest.raises(CommandError, match=re.escape("none.md")):
        call_command("docs", out=tmp_path / "html")
    assert not (tmp_path / "html").exists()
