"""The diff in a real browser: both views, keys, threads, viewed marks, unfolding, patch sets, and typed text that stays."""

import re

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Project, Thread, Verdict, ViewedFile
from tests.browser.conftest import NARROW, SignIn
from tests.factories import FILES, make_candidate, make_evidence, make_patch_set, make_project, make_run, make_user

pytestmark = pytest.mark.django_db(transaction=True)
DESK = "/projects/demo/candidates/1/"
PAYLOAD = "<script>alert(1)</script><img src=x onerror=alert(1)>"
MODEL = "".join(f"def part_{n}(x):\n    return x + {n}\n\n\n" for n in range(40))
EDITS = [
    ("model/parts.py", "    return x + 2\n", "    return x * 2\n"),
    ("model/parts.py", "    return x + 30\n", "    return x * 30\n"),
    ("train.py", "WARMUP = 0.05", "WARMUP = 0.02"),
]


@pytest.fixture
def candidate() -> Candidate:
    project = make_project(files={**FILES, "model/parts.py": MODEL})
    return make_candidate(project, edits=EDITS, effect=0.033, runs=3, verdict=Verdict.SOLID)


def open_desk(sign_in: SignIn, name: str = "ada", query: str = "", **options: object) -> Page:
    page = sign_in(name, **options)
    page.goto(f"{DESK}{query}")
    expect(page.locator("#similar-title")).to_be_attached()
    return page


def comment(page: Page, words: str) -> None:
    """Write a first comment into the field that has the focus, and send it by keys."""
    expect(page.get_by_label("Comment", exact=True)).to_be_focused()
    page.keyboard.type(words)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".thread").filter(has_text=words)).to_be_visible()


def line(page: Page, path: str, number: int) -> str:
    """Text of a line of the new side."""
    rows = page.locator(f'[data-path="{path}"] tr').filter(has=page.locator("td.n.a", has_text=re.compile(f"^{number}$")))
    return rows.locator("td.code").last.inner_text()


def test_m_puts_the_sides_beside_each_other_and_back_and_the_address_says_so(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in)
    expect(page.locator("table.diff.unified")).to_have_count(2)
    page.keyboard.press("m")
    expect(page.locator("table.diff.split")).to_have_count(2)
    assert page.url.endswith("?view=split")
    before, after = page.locator("td.code.removed").first.bounding_box(), page.locator("td.code.added").first.bounding_box()
    assert before and after
    assert before["y"] == after["y"] and before["x"] < after["x"]
    page.keyboard.press("m")
    expect(page.locator("table.diff.unified")).to_have_count(2)
    page.goto(DESK)
    page.keyboard.press("m")
    expect(page.locator("table.diff.split")).to_have_count(2)
    page.goto(DESK)  # remembered without being said
    expect(page.locator("table.diff.split")).to_have_count(2)


def test_keys_go_through_chunks_files_and_threads(sign_in: SignIn, candidate: Candidate) -> None:
    assert candidate.patch_set
    ada = make_user("ada")
    Thread.objects.begin(candidate.patch_set, "train.py", 8, "Why?", ada)
    Thread.objects.begin(candidate.patch_set, "model/parts.py", 10, "Really?", ada)
    page = open_desk(sign_in)
    on = page.locator(".diff tr.chunk.on")
    page.keyboard.press("n")
    expect(on).to_contain_text("return x + 2")
    page.keyboard.press("n")
    page.keyboard.press("n")
    expect(on).to_contain_text("WARMUP = 0.05")
    page.keyboard.press("p")
    expect(on).to_contain_text("return x + 30")
    page.keyboard.press("]")
    expect(page.locator("[data-file].on")).to_have_attribute("data-path", "train.py")
    page.keyboard.press("[")
    expect(page.locator("[data-file].on")).to_have_attribute("data-path", "model/parts.py")
    page.keyboard.press("N")
    expect(page.locator(".thread.on")).to_contain_text("Really?")
    page.keyboard.press("N")
    expect(page.locator(".thread.on")).to_contain_text("Why?")
    page.keyboard.press("P")
    expect(page.locator(".thread.on")).to_contain_text("Really?")


@pytest.mark.parametrize("query", ["?view=unified", "?view=split"])
def test_c_comments_on_the_change_that_was_gone_to_and_it_is_there_for_everybody(
    sign_in: SignIn, candidate: Candidate, query: str
) -> None:
    page = open_desk(sign_in, query=query)
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("c")
    comment(page, f"Why so short? {PAYLOAD}")
    expect(page.get_by_label("Comment", exact=True)).to_have_count(0)
    thread = Thread.objects.get()
    assert (thread.path, thread.line, thread.side) == ("train.py", 8, "new")
    other = open_desk(sign_in, "grace", query)
    expect(other.locator(".thread")).to_contain_text(PAYLOAD)
    expect(other.locator(".thread img")).to_have_count(0)


def test_the_line_under_the_pointer_offers_a_comment(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in)
    page.locator("tr.added td.code").last.hover()
    page.get_by_role("button", name="Comment on this line").click()
    comment(page, "Here")
    assert (Thread.objects.get().line, Thread.objects.get().side) == (8, "new")
    page.get_by_role("button", name="Comment on file").first.click()
    comment(page, "All of it")
    assert Thread.objects.latest("pk").line is None


def test_a_thread_is_answered_and_resolved_by_keys(sign_in: SignIn, candidate: Candidate) -> None:
    assert candidate.patch_set
    Thread.objects.begin(candidate.patch_set, "train.py", 8, "Why?", make_user("grace"))
    page = open_desk(sign_in)
    page.keyboard.press("N")
    page.keyboard.press("c")
    expect(page.get_by_label("Reply")).to_be_focused()
    page.keyboard.type("Because")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".thread .said li")).to_have_text([re.compile("Why"), re.compile("Because")])
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".thread.resolved summary")).to_contain_text("resolved by ada")
    assert Thread.objects.get().resolved


def test_what_is_typed_survives_a_live_update_and_a_reload(sign_in: SignIn, candidate: Candidate, project: Project) -> None:
    assert candidate.patch_set
    thread = Thread.objects.begin(candidate.patch_set, "train.py", 8, "Why?", make_user("grace"))
    page = open_desk(sign_in)
    page.get_by_label("Reply").fill("Half a rep")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.press("c")
    page.keyboard.type("Half a comm")
    thread.say("Nobody answers", make_user("heidi"))
    make_run(project.tip(), patch_set=candidate.patch_set, seed=9, score=2.19)
    candidate.evidence = make_evidence(candidate.patch_set, [2.15, 2.16, 2.17, 2.19])
    candidate.save()
    expect(page.locator(".thread .said")).to_contain_text("Nobody answers")
    expect(page.locator("#runs")).to_contain_text("seed 9")
    reply = page.locator(".thread").filter(has_text="Why?").get_by_label("Reply")
    typed = [reply, page.get_by_label("Comment", exact=True)]
    for _ in range(2):
        expect(typed[0]).to_have_value("Half a rep")
        expect(typed[1]).to_have_value("Half a comm")
        page.reload()
    page.keyboard.press("m")
    expect(page.locator("table.diff.split")).to_have_count(2)
    expect(typed[1]).to_have_value("Half a comm")
    typed[1].press("Control+Enter")
    expect(page.locator(".thread").filter(has_text="Half a comm")).to_be_visible()
    page.reload()
    expect(typed[1]).to_have_count(0)
    expect(typed[0]).to_have_value("Half a rep")


def test_what_others_say_arrives_by_itself_at_its_line(sign_in: SignIn, candidate: Candidate) -> None:
    assert candidate.patch_set
    page = open_desk(sign_in)
    thread = Thread.objects.begin(candidate.patch_set, "train.py", 8, "Just now", make_user("grace"))
    expect(page.locator('[data-path="train.py"] tr.talk .thread')).to_contain_text("Just now")
    expect(page.locator("[data-open-count]")).to_have_text("· 1 open")
    thread.settle(True, make_user("heidi"))
    expect(page.locator(".thread.resolved")).to_have_count(1)
    expect(page.locator("[data-open-count]")).to_have_text("")


def test_a_refused_comment_says_why_and_keeps_what_was_typed(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in)
    page.keyboard.press("n")
    page.keyboard.press("c")
    page.locator(".new-thread [name=line]").evaluate("field => { field.value = 9999 }")
    page.keyboard.type("Where?")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".new-thread [role=alert]")).to_contain_text("has 160 lines, not 9999")
    expect(page.get_by_label("Comment", exact=True)).to_have_value("Where?")


def test_r_marks_the_file_as_viewed_for_this_person(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in)
    first = page.locator("[data-file]").first
    page.keyboard.press("n")
    with page.expect_response("**/viewed/"):
        page.keyboard.press("r")
    expect(first.get_by_label("viewed")).to_be_checked()
    expect(first.locator("table.diff")).to_be_hidden()
    expect(page.locator("[data-viewed-count]")).to_have_text("1")
    page.reload()
    expect(first.get_by_label("viewed")).to_be_checked()
    assert ViewedFile.objects.get().path == "model/parts.py"
    first.get_by_role("button", name="Fold model/parts.py").click()  # its lines are fetched only now
    expect(first.locator("table.diff")).to_contain_text("return x * 2")
    expect(open_desk(sign_in, "grace").locator("[data-file]").first.get_by_label("viewed")).not_to_be_checked()


def test_unchanged_lines_unfold_from_the_server(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in)
    file = page.locator('[data-path="model/parts.py"]')
    expect(file).not_to_contain_text("def part_9(x)")
    file.get_by_role("button", name="↓ 20").first.click()
    expect(file).to_contain_text("def part_7(x)")
    file.get_by_role("button", name=re.compile("show 8[0-9] unchanged lines")).click()
    expect(file).to_contain_text("def part_20(x)")
    numbers = [int(text) for text in file.locator("td.n.a").all_inner_texts() if text]
    assert numbers == sorted(set(numbers))
    assert line(page, "model/parts.py", 41) == "def part_10(x):"


def test_patch_sets_are_compared_with_the_selects(sign_in: SignIn, candidate: Candidate, project: Project) -> None:
    candidate.patch_set = make_patch_set(candidate, project.tip(), [*EDITS, ("train.py", "LAYERS = 3", "LAYERS = 4")])
    candidate.save()
    page = open_desk(sign_in)
    expect(page.locator(".diff-file")).to_have_count(2)
    page.get_by_label("Left side").select_option("patch set 1")
    expect(page.locator(".diff-file")).to_have_count(1)
    expect(page.locator("tr.added td.code")).to_have_text("+LAYERS = 4")
    assert "against=1" in page.url
    page.get_by_label("Right side").select_option("patch set 1")
    expect(page.get_by_text("You look at patch set 1, an earlier one.")).to_be_visible()
    expect(page.locator("tr.added").filter(has_text="LAYERS")).to_have_count(0)
    expect(page.get_by_role("button", name="Reject")).to_be_hidden()  # a vote is about what is current
    page.get_by_role("link", name="Show patch set 2").click()
    expect(page.get_by_role("button", name="Reject")).to_be_visible()
    expect(page.locator("tr.added").filter(has_text="LAYERS")).to_have_count(1)


def test_white_space_is_left_out_and_the_address_says_so(sign_in: SignIn, project: Project) -> None:
    inner = "    return nn.Sequential(*blocks)"
    make_candidate(project, edits=[("train.py", inner, f"    if True:\n    {inner}")])
    page = sign_in()
    page.goto("/projects/demo/candidates/2/")
    expect(page.locator("tr.added, tr.removed")).to_have_count(3)
    page.get_by_label("ignore white space").check()
    expect(page.locator("tr.added, tr.removed")).to_have_count(1)
    assert "space=ignore" in page.url


def test_a_link_leads_to_its_line_even_where_it_is_folded_away(sign_in: SignIn, candidate: Candidate) -> None:
    page = open_desk(sign_in, query="#model/parts.py-81")
    linked = page.locator(".diff tr.linked")
    expect(linked).to_contain_text("def part_20(x):")
    expect(linked).to_be_in_viewport()
    page.locator('[data-path="train.py"] td.n.a', has_text=re.compile("^8$")).click()
    assert page.url.endswith("#train.py-8")
    expect(linked).to_contain_text("WARMUP = 0.02")
    page.locator('[data-path="train.py"] tr.removed td.n.b').click()
    assert page.url.endswith("#train.py-b8")


@pytest.mark.parametrize("query", ["?view=unified", "?view=split"])
def test_on_a_phone_the_diff_fits_and_reads_from_top_to_bottom(sign_in: SignIn, candidate: Candidate, query: str) -> None:
    assert candidate.patch_set
    Thread.objects.begin(candidate.patch_set, "train.py", 8, "A long word: " + "w" * 200, make_user("grace"))
    page = open_desk(sign_in, query=query, viewport=NARROW)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    verdict, diff = page.locator(".verdict-card").bounding_box(), page.locator("#diff").bounding_box()
    assert verdict and diff
    assert verdict["y"] < diff["y"]
    removed, added = page.locator(".diff .removed").last.bounding_box(), page.locator(".diff .added").last.bounding_box()
    assert removed and added
    assert removed["y"] < added["y"]


def test_similar_candidates_come_after_the_page(sign_in: SignIn, candidate: Candidate, project: Project) -> None:
    make_candidate(project, edits=[("train.py", "WARMUP = 0.05", "WARMUP = 0.09")], effect=-0.02)
    page = open_desk(sign_in)
    expect(page.locator("#similar-count")).to_have_text("1")
    page.locator("#similar-title").click()
    expect(page.locator(".similar")).to_contain_text("WARMUP 0.05 → 0.09")
    page.locator(".similar a", has_text="C-2").click()
    page.wait_for_url("**/candidates/2/")


def test_script_in_a_file_name_stays_text_wherever_scripts_handle_it(sign_in: SignIn, project: Project) -> None:
    path = PAYLOAD.replace("/", "|")
    make_candidate(project, edits=[(path, "", "x = 1\ny = 2\n")])
    page = sign_in()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto("/projects/demo/candidates/2/")
    page.keyboard.press("n")
    page.keyboard.press("c")
    comment(page, "A strange name")
    page.locator("td.n.a").last.click()
    page.reload()
    expect(page.locator(".diff tr.linked")).to_contain_text("y = 2")
    assert page.locator("main img, main script").count() == 0
    assert dialogs == []


@pytest.fixture
def project(candidate: Candidate) -> Project:
    return candidate.project
