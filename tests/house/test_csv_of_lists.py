"""Every page with a list has it as CSV too, as it is filtered; and what agents wrote is no formula in a spreadsheet."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from research_app.models import Project
from research_app.web.csv_lists.csv_list import LISTS
from research_app.web.shared.cells import written
from research_app.web.shared.every_page import every_address
from tests.everything import make_everything
from tests.factories import make_candidate, make_user

pytestmark = pytest.mark.django_db
LIST = re.compile(r'<table class="[^"]*\blist\b|data-row\b|class="decisions')
WITHOUT = {  # pages whose lists are no tables of data, each with the reason
    "candidate": "one candidate; its runs are CSV",
    "candidate-side-by-side": "the same page",
    "project": "a summary of lists that are pages",
    "scale-up": "one candidate; its runs are CSV",
    "compare": "its curves are CSV, and its scores a table of the figure",
    "stack": "one ablation",
    "tokens": "a person's own keys",
    "notifications": "a person's own messages",
    "history": "the versions and candidates of other pages, drawn as a tree",
    "history-tree": "the same page",
    "history-landings": "the landings of their own page",
    "imports": "each history is a file that was brought",
    "imported": "a file that was brought",
    "imported-result": "one row of a file",
    "report": "a page to read, which goes out as Markdown",
    "digest": "a page to read, made of lists that have theirs",
    "digest-week": "the same page",
    "program": "notes, which are text",
    "conversation": "one conversation",
    "settings": "a file",
    "moved": "commits of git",
}


class Links(HTMLParser):
    """Addresses of a page's CSV files."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "a" and values.get("class") == "csv":
            self.found.append(values["href"] or "")


def table(client: Client, address: str) -> list[dict[str, str]]:
    answer = client.get(address)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/csv"), address
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.one_in(3)
def test_every_list_of_a_page_is_csv_too_and_every_csv_belongs_to_a_page(client: Client) -> None:
    project = make_everything()
    client.force_login(make_user("tess"))
    linked, missing = set(), set()
    for name, address in every_address(project):
        answer = client.get(address)
        if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        html = answer.content.decode()
        addresses = Links(html).found
        linked |= {re.sub(r".*/csv/|\.csv.*", "", each) for each in addresses}
        if LIST.search(html) and not addresses and name not in WITHOUT:
            missing.add(name)
    assert missing == set(), "link its list with csv_link, or say in WITHOUT why it has none"
    assert linked == set(LISTS), "a list that no page links to, or a link to none"


def test_every_csv_has_its_columns_and_no_cell_that_is_run_as_a_formula(client: Client) -> None:
    project = make_everything()
    make_candidate(project, title='=HYPERLINK("http://evil.example")', hypothesis="@SUM(1)", author="+cmd|' /C calc'!A0")
    client.force_login(make_user("tess"))
    for name, listed in LISTS.items():
        rows = table(client, f"/projects/{project.slug}/csv/{name}.csv" if listed.rows else f"/csv/{name}.csv")
        assert all(set(row) == set(listed.columns) for row in rows), name
        for cell in (cell for row in rows for cell in row.values()):
            number = re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", cell)
            assert number or not cell.lstrip().startswith(("=", "+", "-", "@")), (name, cell)
    assert len(table(client, f"/projects/{project.slug}/csv/candidates.csv?archived=too")) == project.candidates.count()


def test_candidates_come_as_they_are_filtered_and_others_are_not_found(client: Client, project: Project) -> None:
    wide = make_candidate(project, category="optimiser")
    make_candidate(project)
    assert client.get("/projects/demo/csv/candidates.csv").status_code == 302
    client.force_login(make_user("tess"))
    rows = table(client, "/projects/demo/csv/candidates.csv?category=optimiser")
    assert [row["candidate"] for row in rows] == [str(wide)] and rows[0]["gain"].startswith("0.01")
    for address in ("/projects/demo/csv/audit.csv", "/csv/candidates.csv", "/csv/nothing.csv"):
        assert client.get(address).status_code == 404


@pytest.mark.parametrize("text", ["=1+1", " =1", "\t=1", "\x00=1", "+1", "-1", "@A1", "|calc", "＝1", "\u200b=1", "\n=1"])
def test_a_text_that_begins_as_a_formula_is_text(text: str) -> None:
    assert written(text).startswith("'")


def test_numbers_stay_numbers_and_ordinary_text_is_as_it_was() -> None:
    assert [written(cell) for cell in (-0.5, 3, True, None, "C-12 a = b", "")] == ["-0.5", "3", "yes", "", "C-12 a = b", ""]
