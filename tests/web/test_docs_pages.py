"""Where no site was built, /docs/ renders the pages itself: every page, picture and link, and nothing beside the folder."""

from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from research_app import docs_site
from research_app.web.shared import docs
from tests.factories import make_user
from tests.html import read

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_site_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_site, "SITE", tmp_path / "none")


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user(role="viewer"))
    return client


def test_every_page_opens_and_every_link_and_picture_in_it_leads_somewhere(client: Client) -> None:
    addresses = {f"/docs/{name}" for name in docs.files() if name.endswith(".md")}
    assert {"/docs/tutorial/first-hour.md", "/docs/how-to/operating.md"} <= addresses
    for address in sorted(addresses):
        response = client.get(address)
        assert response.status_code == 200, address
        html = response.content.decode()
        article = html.split('<article class="docs">')[1].split("</article>")[0]
        for link in read(address, article).links | read(address, article).files:
            parts = urlsplit(urljoin(address, link))
            if parts.path.startswith("/docs/"):
                found = client.get(parts.path)
                assert found.status_code == 200, f"{address} leads to {link}"
                if parts.fragment:
                    assert f'id="{parts.fragment}"' in found.content.decode(), f"{address} leads to {link}"
            else:
                assert parts.scheme == "https", f"{address} leads out of the documentation to {link}"


def test_the_index_names_all_pages_and_the_tutorial_first(client: Client) -> None:
    page = client.get("/docs/").content.decode()
    assert page.index("tutorial/first-hour.md") < page.index("operating.md") < page.index("decisions/")


@pytest.mark.parametrize(
    "name",
    ["../README.md", "%2e%2e/README.md", "tutorial/../../README.md", "/etc/passwd", "tutorial", "..\\README.md", "none.md"],
)
def test_nothing_outside_the_folder_can_be_named(client: Client, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code in (301, 404)


def test_html_in_a_page_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text(
        "# A & B\n\n<script>alert(1)</script> [x](javascript:alert(1)) ![y](javascript:alert(1))\n"
    )
    monkeypatch.setattr(docs, "FOLDER", tmp_path)
    shown = docs.document("page.md", -1.0)
    assert "<script" not in shown.html and "&lt;script&gt;" in shown.html
    assert 'href="javascript' not in shown.html and 'src="javascript' not in shown.html
    assert '<h1 id="a--b">A &amp; B</h1>' in shown.html


def test_who_is_not_signed_in_is_led_to_the_sign_in_page() -> None:
    assert Client().get("/docs/how-to/operating.md").headers["Location"].startswith("/sign-in/")
