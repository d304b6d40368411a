"""A diff of any size opens at once, and holds up nobody: long lines are cut and large files folded, each with "show anyway"."""

import re
import threading
import time
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.models import Candidate, Project
from research_app.web.diff.colours import coloured_lines
from research_app.web.diff.diff import LONGEST_SHOWN
from tests.factories import TRAIN_PY, make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db
EDIT: dict[str, Any] = {"editable": ["**"], "protected": [], "max_changed_lines": 50_000}
LINE = f"TABLE = [{', '.join(str(i % 97) for i in range(12_000))}]\n"  # 46,000 characters


@pytest.fixture
def project() -> Project:
    return make_project(edit=EDIT, reference_runs=0)


@pytest.fixture
def client() -> Client:
    return signed_in("ada")


def signed_in(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.filter(username=name).first() or make_user(name))
    return client


def changed(project: Project, *edits: tuple[str, str, str]) -> Candidate:
    coloured_lines.cache_clear()
    return make_candidate(project, edits=edits, effect=None)


def opened(client: Client, address: str) -> tuple[str, float]:
    """A page, and how many seconds of the processor it took."""
    begin = time.process_time()
    response = client.get(address)
    took = time.process_time() - begin
    assert response.status_code == 200, response.content[:300]
    return response.content.decode(), took


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def address_in(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found, page[:2000]
    return unescape(found[1])


@pytest.fixture
def warm(client: Client, project: Project) -> None:
    """Templates and queries are compiled before anything is timed."""
    opened(client, make_candidate(project, effect=None).get_absolute_url())


@pytest.mark.usefixtures("warm")
def test_a_line_of_46000_characters_opens_in_a_moment_is_cut_and_comes_whole_when_asked_for(
    client: Client, project: Project
) -> None:
    row = changed(project, ("train.py", "WIDTH = 96\n", f"WIDTH = 96\n{LINE}"))
    page, took = opened(client, row.get_absolute_url())
    assert took < 1
    assert len(page) < 600_000
    begin = next(cell for cell in re.findall(r'<td class="code">(.*?)</td>', page) if "TABLE" in cell)
    assert f"{len(LINE) - 1 - LONGEST_SHOWN:,} more characters: show anyway" in plain(begin)
    rest, took = opened(client, address_in(begin, r'hx-get="([^"]*)"'))
    assert took < 1
    shown = plain(re.sub(r"<i .*?</i>|<a .*?</a>", "", begin))
    assert shown + plain(rest) == LINE.removesuffix("\n")
    assert '<span class="m">' in rest


@pytest.mark.parametrize("side", ["old", "new"])
def test_both_sides_of_a_long_line_can_be_seen_whole(client: Client, project: Project, side: str) -> None:
    files = {"train.py": TRAIN_PY + LINE}
    project = make_project("long", files=files, edit=EDIT, reference_runs=0)
    row = changed(project, ("train.py", LINE, LINE.replace("[0", "[9")))
    page = client.get(f"{row.get_absolute_url()}?view=split").content.decode()
    addresses = [unescape(found) for found in re.findall(r'class="rest" href="([^"]*)"', page)]
    assert sorted(re.findall(r"side=(\w+)", " ".join(addresses))) == ["new", "old"]
    rest = client.get(next(address for address in addresses if f"side={side}" in address)).content.decode()
    assert plain(rest) == LINE[LONGEST_SHOWN:].removesuffix("\n")


@pytest.mark.parametrize(
    "wrong", ["path=prepare.py&line=1", "path=train.py&line=99999", "path=train.py&line=x", "path=train.py"]
)
def test_only_lines_of_the_diffs_own_files_are_given_out(client: Client, project: Project, wrong: str) -> None:
    row = changed(project, ("train.py", "WIDTH = 96", "WIDTH = 64"))
    assert client.get(f"{row.get_absolute_url()}line/?{wrong}").status_code == 404


@pytest.mark.usefixtures("warm")
def test_a_diff_of_20000_lines_opens_in_a_moment_and_shows_all_of_itself_when_asked_to(
    client: Client, project: Project
) -> None:
    text = "".join(f"x_{i} = [{i}, {i}]  # {i % 7}\n" for i in range(20_000))
    row = changed(project, ("large.py", "", text), ("train.py", "WIDTH = 96", "WIDTH = 64"))
    page, took = opened(client, row.get_absolute_url())
    assert took < 2
    assert len(page) < 600_000
    assert "WIDTH" in plain(page)  # what is small comes with the page
    assert "20,000 changed lines, much to draw at once." in page
    assert not re.search(r'hx-get="[^"]*path=large.py[^"]*" hx-trigger="intersect', page)
    whole, took = opened(client, address_in(page, r'href="([^"]*)" hx-get="[^"]*path=large.py'))
    assert took < 2
    assert whole.count("<tr ") == 20_000
    assert "x_19999 = [19999, 19999]" in plain(whole)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    "text",
    [
        "\u2800" * 300_000 + "\n",
        "\u3164x\n" * 19_000,
        "а = 1  # a\n" * 19_000,
        '"' * 46_000 + "\n",
        " \n" * 19_000,
        "\t" * 200_000 + "\n",
        ("<&>" * 300 + "\n") * 400,
    ],
)
def test_nothing_in_a_new_file_makes_its_page_slow_or_huge(client: Client, project: Project, text: str) -> None:
    row = changed(project, ("hostile.txt", "", f"x\n{text}"))
    candidate = Candidate.objects.get(pk=row.pk)
    page, took = opened(client, candidate.get_absolute_url())
    assert took < 2
    assert len(page) < 3_000_000
    lines, took = opened(client, f"{candidate.get_absolute_url()}file/?path=hostile.txt")
    assert took < 3
    assert "<table" in lines


@pytest.mark.django_db(transaction=True)
def test_a_long_line_holds_up_nobody_else(project: Project) -> None:
    slow = changed(project, ("train.py", "WIDTH = 96\n", f"WIDTH = 96\n{LINE * 5}"))
    other = changed(project, ("train.py", "WIDTH = 96", "WIDTH = 64"))
    waits: list[float] = []
    clients = [(signed_in("ada"), slow), (signed_in("grace"), other)]

    def visit(client: Client, row: Candidate) -> None:
        begin = time.perf_counter()
        assert client.get(row.get_absolute_url()).status_code == 200
        waits.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=visit, args=each) for each in clients]
    begin = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 2
    assert time.process_time() - begin < 2  # both together: neither can have waited longer for the other's work
