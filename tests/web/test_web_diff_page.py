"""The diff on the candidate's page: what the address asks for is shown, file by file, with flags, viewed marks and context."""

import re

import pytest
from django.test import Client

from research_app.models import Candidate, PatchSet, Project, ViewedFile
from tests.factories import FILES, make_candidate, make_patch_set, make_project, make_user

pytestmark = pytest.mark.django_db
DESK = "/projects/demo/candidates/1/"
PAYLOAD = "<script>alert(1)</script><img src=x onerror=alert(1)>"
DEEPER = [("train.py", "LAYERS = 3", "LAYERS = 4"), ("train.py", "WARMUP = 0.05", "WARMUP = 0.02")]
LONG = "".join(f"value_{n} = {n}\n" for n in range(200))


def signed_in(name: str = "ada", role: str = "approver") -> Client:
    make_user(name, role=role)
    client = Client()
    client.login(username=name, password="correct horse battery")
    return client


@pytest.fixture
def client() -> Client:
    return signed_in()


@pytest.fixture
def project() -> Project:
    return make_project(files={**FILES, "values.py": LONG})


def get(client: Client, query: str = "", page: str = "", **headers: str) -> str:
    response = client.get(f"{DESK}{page}{query}", headers=headers)
    assert response.status_code == 200, response.content.decode()[:500]
    return response.content.decode()


def second(candidate: Candidate, edits: list[tuple[str, str, str]] = DEEPER) -> PatchSet:
    """A second patch set, which is the current one from now on."""
    candidate.patch_set = make_patch_set(candidate, candidate.project.tip(), edits)
    candidate.save()
    return candidate.patch_set


def test_side_by_side_is_asked_for_by_the_address(client: Client, project: Project) -> None:
    make_candidate(project)
    assert 'class="diff unified"' in get(client)
    page = get(client, "?view=split")
    assert 'class="diff split"' in page
    assert re.search(r'class="code removed">.*?</td><td class="n a">8</td><td class="code added">', page)


def test_the_view_of_last_time_is_remembered_and_an_address_that_names_one_wins(client: Client, project: Project) -> None:
    make_candidate(project)
    response = client.get(f"{DESK}?view=split", headers={"HX-Request": "true", "HX-Target": "diff"})
    assert response.headers["HX-Replace-Url"] == f"{DESK}?view=split"
    assert "<html" not in response.content.decode()
    assert 'class="diff split"' in get(client)
    assert 'class="diff unified"' in get(client, "?view=unified")


def test_two_patch_sets_are_compared_with_each_other(client: Client, project: Project) -> None:
    second(make_candidate(project))
    page = get(client, "?against=1")
    diff = page[page.index('id="diff"') : page.index("data-tabbed")]
    assert "LAYERS" in diff
    assert '<tr class="added' in diff
    assert not re.search(r'<tr class="(added|removed)[^>]*>(?:(?!</tr>).)*WARMUP', diff)  # the same in both
    assert not re.search(r'<tr class="added[^>]*>(?:(?!</tr>).)*LAYERS', get(client, "?ps=1"))


def test_an_earlier_patch_set_says_that_a_decision_is_about_another(client: Client, project: Project) -> None:
    second(make_candidate(project))
    assert "You look at patch set 1, an earlier one." in get(client, "?ps=1")
    assert "You look at patch set" not in get(client)


@pytest.mark.parametrize("query", ["?ps=7", "?ps=x", "?against=9", "?against=2", "?ps=1&against=2", "?view=<b>", "?space=x"])
def test_what_the_address_asks_for_and_is_not_there_is_left_out(client: Client, project: Project, query: str) -> None:
    second(make_candidate(project))
    page = get(client, query)
    assert 'class="diff unified"' in page


def test_patch_sets_on_different_baselines_tell_what_the_baseline_brought(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    repository = project.repository
    moved = repository.change_from_edits(project.tip().commit, [("train.py", "LAYERS = 3", "LAYERS = 5")], "Deeper", "ada")
    repository.advance(project.tip().commit, moved.commit)
    version = project.baseline_versions.create(number=1, commit=moved.commit, tree=moved.tree)
    candidate.patch_set = make_patch_set(candidate, version, [("train.py", "WARMUP = 0.05", "WARMUP = 0.03")])
    candidate.save()
    page = get(client, "?against=1")
    assert "came with baseline 1" in page
    assert re.search(r'<tr class="added rebased[^>]*>(?:(?!</tr>).)*LAYERS', page)
    assert re.search(r'<tr class="added(?! rebased)[^>]*>(?:(?!</tr>).)*WARMUP', page)


def test_white_space_can_be_left_out(client: Client, project: Project) -> None:
    line = "    return nn.Sequential(*blocks)"
    make_candidate(project, edits=[("train.py", line, f"    if True:\n    {line}")])
    assert len(re.findall(r'<tr class="(?:added|removed)', get(client))) == 3
    page = get(client, "?space=ignore")
    assert len(re.findall(r'<tr class="(?:added|removed)', page)) == 1
    assert 'class="context respaced"' in page


def test_unchanged_lines_are_fetched_into_their_gap(client: Client, project: Project) -> None:
    edits = [("values.py", "value_5 = 5\n", "value_5 = 6\n"), ("values.py", "value_150 = 150\n", "value_150 = 151\n")]
    make_candidate(project, edits=edits)
    page = get(client)
    assert "value_80" not in page
    addresses = [address.replace("&amp;", "&") for address in re.findall(r'hx-get="([^"]*lines/[^"]*)"', page)]
    top = next(address for address in addresses if "take=top" in address and "first=10" in address)
    rows = client.get(top).content.decode()
    assert rows.count("<tr") == 21  # twenty lines, and the rest of the gap
    assert "value_9 " in rows and "value_28 " in rows and "value_29 " not in rows
    assert "first=30" in rows
    everything = client.get(top.replace("take=top", "take=all")).content.decode()
    assert everything.count('<tr class="context"') == 138


@pytest.mark.parametrize(
    "change", ["first=1&count=500", "first=6&count=1", "first=0&count=3", "first=x&count=3", "first=20&count=-1"]
)
def test_only_unchanged_lines_are_fetched_as_such(client: Client, project: Project, change: str) -> None:
    make_candidate(project, edits=[("values.py", "value_5 = 5\n", "value_5 = 6\n")])
    assert client.get(f"{DESK}lines/?path=values.py&{change}&take=all").status_code == 404
    assert client.get(f"{DESK}lines/?path=train.py&first=1&count=2&take=all").status_code == 404


def test_a_large_file_comes_by_a_request_of_its_own(client: Client, project: Project) -> None:
    large = "".join(f"number_{n} = {n}\n" for n in range(1600))
    make_candidate(project, edits=[("large.py", "", large), ("train.py", "WARMUP = 0.05", "WARMUP = 0.02")])
    page = get(client)
    assert "number_1599" not in page
    assert "1601 constants in all" in page
    assert "1,600 changed lines" in page
    assert "WARMUP" in page
    [address] = re.findall(r'hx-get="([^"]*file/\?[^"]*)"', page)
    rows = client.get(address.replace("&amp;", "&")).content.decode()
    assert rows.count('<tr class="added') == 1600


def test_a_file_is_fetched_with_the_line_that_a_link_names(client: Client, project: Project) -> None:
    make_candidate(project, edits=[("values.py", "value_5 = 5\n", "value_5 = 6\n")])
    rows = get(client, "?path=values.py&line=120", page="file/")
    assert '<td class="n a">120</td>' in rows
    assert client.get(f"{DESK}file/?path=elsewhere.py").status_code == 404


def test_viewed_marks_belong_to_one_person_and_one_patch_set(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    mark = {"ps": 1, "path": "train.py", "viewed": "1"}
    assert client.post(f"{DESK}viewed/", mark, headers={"HX-Request": "true"}).status_code == 204
    client.post(f"{DESK}viewed/", mark)
    assert ViewedFile.objects.count() == 1
    assert 'data-key-words="mark the file as viewed" checked' in get(client)
    assert 'data-key-words="mark the file as viewed" checked' not in get(signed_in("grace"))
    second(candidate)
    assert 'data-key-words="mark the file as viewed" checked' not in get(client)
    client.post(f"{DESK}viewed/", {"ps": 1, "path": "train.py"})
    assert not ViewedFile.objects.exists()
    assert client.post(f"{DESK}viewed/", {"ps": 1, "path": "elsewhere.py", "viewed": "1"}).status_code == 404
    assert client.post(f"{DESK}viewed/", {"ps": "x", "path": "train.py", "viewed": "1"}).status_code == 404


def test_a_risky_edit_stands_below_its_line_in_both_views(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    assert candidate.patch_set
    flag = {"detector": "edit near the budget", "level": "warning", "sentence": "WARMUP moved.", "path": "train.py", "line": 8}
    far = {"detector": "reads a file", "level": "invalid", "sentence": "It opens one.", "path": "train.py", "line": 17}
    candidate.patch_set.flags = [flag, far]
    candidate.patch_set.save()
    for view in ("unified", "split"):
        page = get(client, f"?view={view}")
        assert re.search(r'WARMUP.*?</tr>\s*<tr class="flag warn" id="flag-2"', page, re.DOTALL)
        assert 'id="flag-1"' in page  # its line was unfolded for it
        assert 'href="#flag-1"' in page


def test_the_constants_of_the_resolved_effect_are_read_off_the_diff(client: Client, project: Project) -> None:
    make_candidate(project, details={"knobs": {"train.py:WARMUP": 0.5}, "was": {"train.py:WARMUP": 0.4}})
    page = get(client)
    effect = page[page.index('class="card resolved-effect"') : page.index('id="diff"')]
    assert "<code>WARMUP</code> 0.05 → <b>0.02</b>" in effect
    assert "0.5" not in re.sub(r"<[^>]*>|0\.05", " ", effect.split("</summary>")[0])


def test_what_was_tried_before_is_told_with_its_result(client: Client, project: Project) -> None:
    make_candidate(project)
    longer = [("train.py", "WARMUP = 0.05", "WARMUP = 0.09")]
    make_candidate(project, edits=longer, hypothesis=f"Longer {PAYLOAD}", effect=-0.02)
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], hypothesis="Deeper")
    same = make_candidate(project, hypothesis="Again")
    PatchSet.objects.filter(current_of=same).update(syntax_hash=PatchSet.objects.get(current_of__number=1).syntax_hash)
    found = get(client, page="similar/")
    assert found.index("same code") < found.index("C-2")
    assert "WARMUP 0.05 → 0.09" in found
    assert re.search(r"\+0\.0\d+", found)  # its effect
    assert "Deeper" not in found
    assert "<script" not in found
    assert "Nothing like it was tried before" in client.get("/projects/demo/candidates/3/similar/").content.decode()


@pytest.mark.parametrize("query", ["", "?view=split", "?against=1", "?space=ignore"])
def test_script_in_a_file_name_or_a_line_stays_text(client: Client, project: Project, query: str) -> None:
    edits = [("train.py", "# Linear warm-up, then constant.", f"# {PAYLOAD}"), (f"{PAYLOAD}.py".replace("/", "|"), "", PAYLOAD)]
    second(make_candidate(project), edits)
    page = get(client, query)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 2


def test_nobody_reads_a_diff_without_signing_in(project: Project) -> None:
    make_candidate(project)
    for page in ("file/?path=train.py", "lines/?path=train.py&first=1&count=2", "similar/", "change.diff"):
        assert Client().get(f"{DESK}{page}").status_code == 302


def test_a_comparison_can_be_downloaded(client: Client, project: Project) -> None:
    second(make_candidate(project))
    body = client.get(f"{DESK}change.diff?against=1").content.decode()
    assert "+LAYERS = 4" in body
    assert "WARMUP = 0.02" not in [line[1:] for line in body.splitlines() if line[:1] in "+-"]
