"""Comments at lines: who may write them, where they stand, and where they stand once the code has moved on."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.models import Candidate, Event, PatchSet, Project, Side, Thread
from tests.factories import make_candidate, make_patch_set, make_project, make_user

pytestmark = pytest.mark.django_db
DESK = "/projects/demo/candidates/1/"
PAYLOAD = "<script>alert(1)</script><img src=x onerror=alert(1)>"
HERE = {"ps": 1, "path": "train.py", "side": "new", "line": 8, "text": "Why so short?"}


def signed_in(name: str = "ada", role: str = "approver") -> Client:
    make_user(name, role=role)
    client = Client()
    client.login(username=name, password="correct horse battery")
    return client


@pytest.fixture
def client() -> Client:
    return signed_in()


@pytest.fixture
def candidate() -> Candidate:
    return make_candidate(make_project())


@pytest.fixture
def project(candidate: Candidate) -> Project:
    return candidate.project


def begin(client: Client, **changes: object) -> Thread:
    response = client.post(f"{DESK}threads/", {**HERE, **changes}, headers={"HX-Request": "true"})
    assert response.status_code == 200, response.content.decode()
    return Thread.objects.latest("pk")


def reply(client: Client, thread: Thread, **said: str) -> str:
    address = f"{DESK}threads/{thread.pk}/reply/"
    return client.post(address, said, headers={"HX-Request": "true"}).content.decode()


def page(client: Client, query: str = "") -> str:
    response = client.get(f"{DESK}{query}")
    assert response.status_code == 200
    return response.content.decode()


def revised(candidate: Candidate, edits: list[tuple[str, str, str]]) -> PatchSet:
    """The candidate's next patch set, which is the current one from now on."""
    candidate.patch_set = make_patch_set(candidate, candidate.project.tip(), edits)
    candidate.save()
    return candidate.patch_set


def test_a_comment_stands_below_its_line_and_quotes_it(client: Client, candidate: Candidate) -> None:
    thread = begin(client)
    assert (thread.quoted, thread.side, thread.resolved) == ("WARMUP = 0.02", Side.NEW, False)
    shown = page(client)
    diff = shown[shown.index('<table class="diff') :]
    assert diff.index(">8</td>") < diff.index("Why so short?") < diff.index(">9</td>")
    event = Event.objects.get(kind="commented")
    assert (event.actor, event.data["says"], event.data["on"]) == ("ada", "Why so short?", "C-1/1 train.py:8")


def test_a_comment_on_a_whole_file_needs_no_line(client: Client, candidate: Candidate) -> None:
    thread = begin(client, line="")
    assert thread.line is None
    assert "on the file" in page(client)


def test_a_comment_on_the_old_side_is_about_the_base(client: Client, candidate: Candidate) -> None:
    thread = begin(client, side="old")
    assert thread.quoted == "WARMUP = 0.05"
    assert str(thread) == "C-1/1 train.py:8 before the change"
    split = page(client, "?view=split")
    assert "Why so short?" in split[split.index('<td colspan="2">') : split.index('<td colspan="2"></td>')]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text": ""}, "Write something first."),
        ({"text": "x" * 10_001}, "at most 10000 characters"),
        ({"line": 4_000}, "train.py has 19 lines, not 4000"),
        ({"path": "prepare.py"}, "does not change prepare.py"),
        ({"ps": 9}, "has no patch set 9"),
    ],
)
def test_a_comment_that_cannot_stand_is_refused_and_what_was_typed_comes_back(
    client: Client, candidate: Candidate, changes: dict[str, object], says: str
) -> None:
    response = client.post(f"{DESK}threads/", {**HERE, **changes}, headers={"HX-Request": "true"})
    assert response.status_code == 422
    body = response.content.decode()
    assert says in body
    assert str({**HERE, **changes}["text"])[:30] in body
    assert not Thread.objects.exists()


def test_who_may_only_look_may_not_comment(candidate: Candidate) -> None:
    viewer = signed_in("vera", role="viewer")
    assert viewer.post(f"{DESK}threads/", HERE).status_code == 403
    thread = begin(signed_in("grace", role="reviewer"))
    assert viewer.post(f"{DESK}threads/{thread.pk}/reply/", {"then": "resolve"}).status_code == 403
    shown = page(viewer)
    assert "Why so short?" in shown
    assert 'aria-label="Reply"' not in shown
    assert 'id="comment-form"' not in shown


def test_a_thread_is_answered_resolved_and_opened_again(client: Client, candidate: Candidate) -> None:
    thread = begin(client)
    assert "Because it is" in reply(client, thread, text="Because it is enough")
    assert 'class="thread resolved"' in reply(client, thread, then="resolve")
    thread.refresh_from_db()
    assert thread.resolved and thread.resolved_by == User.objects.get(username="ada")
    reply(client, thread, then="resolve")  # again: nothing happens
    assert Event.objects.filter(kind="thread resolved").count() == 1
    reply(client, thread, then="reopen")
    assert "Done." in reply(client, thread, then="done")
    assert Thread.objects.get(pk=thread.pk).resolved
    reply(client, thread, text="Not quite")  # saying more opens it
    assert not Thread.objects.get(pk=thread.pk).resolved
    assert "Write something first." in reply(client, thread, text="", then="")
    said = list(thread.comments.values_list("text", flat=True))
    assert said == ["Why so short?", "Because it is enough", "Done.", "Not quite"]


def test_without_scripts_an_answer_leads_back_to_its_thread(client: Client, candidate: Candidate) -> None:
    thread = begin(client)
    response = client.post(f"{DESK}threads/{thread.pk}/reply/", {"text": "Yes"})
    assert response.headers["Location"] == f"{DESK}#thread-{thread.pk}"


def test_a_comment_moves_along_with_its_line_to_the_next_patch_set(client: Client, candidate: Candidate) -> None:
    begin(client)
    revised(candidate, [("train.py", "WARMUP = 0.05", "WARMUP = 0.02"), ("train.py", "LAYERS = 3", "DEPTH = 1\nLAYERS = 3")])
    shown = page(client)
    assert "on patch set 1" in shown
    assert 'data-side="new" data-line="9"' in shown
    assert "the line has changed since" not in shown


def test_a_comment_whose_line_was_changed_stays_with_its_file_and_quotes_what_it_was_about(
    client: Client, candidate: Candidate
) -> None:
    begin(client)
    revised(candidate, [("train.py", "WARMUP = 0.05", "WARMUP = 0.04")])
    shown = page(client)
    assert "the line has changed since" in shown
    assert '<pre class="quoted">WARMUP = 0.02</pre>' in shown
    assert shown.index("on-file") < shown.index("Why so short?") < shown.index('<table class="diff')
    assert 'data-side="old" data-line="8"' in page(client, "?against=1")  # there it is still the line on the left


def test_a_comment_on_unchanged_lines_unfolds_them(client: Client, candidate: Candidate) -> None:
    revised(candidate, [("train.py", '"""Train a small model within the budget."""', '"""Train a model."""')])
    assert "learning_rate(progress" not in page(client)
    begin(client, ps=2, line=18)
    shown = page(client)
    assert '<td class="n a">18</td>' in shown
    assert '<td class="n a">12</td>' not in shown


def test_an_earlier_patch_set_does_not_show_what_was_said_later(client: Client, candidate: Candidate) -> None:
    revised(candidate, [("train.py", "WARMUP = 0.05", "WARMUP = 0.02"), ("train.py", "LAYERS = 3", "LAYERS = 4")])
    thread = begin(client, ps=2)
    assert "Why so short?" in page(client)
    assert "Why so short?" not in page(client, "?ps=1").split('id="diff"')[1].split("data-tabbed")[0]
    assert client.get(f"{DESK}threads/{thread.pk}/?ps=1").status_code == 204


def test_a_comment_on_a_file_that_is_not_compared_is_still_shown(client: Client, candidate: Candidate) -> None:
    begin(client)
    revised(candidate, [("new.py", "", "x = 1\n")])
    shown = page(client)
    assert "Comments on files that are not in this comparison" in shown
    assert "Why so short?" in shown


def test_an_authors_answer_is_marked_as_its_words(client: Client, candidate: Candidate) -> None:
    begin(client).say("It converges anyway.", None, "claude")
    shown = page(client)
    assert "<b>claude</b>" in shown
    assert "its words, not measured" in shown


def test_script_in_a_comment_stays_text(client: Client, candidate: Candidate) -> None:
    thread = begin(client, text=f"{PAYLOAD}\u202e")
    reply(client, thread, text=PAYLOAD)
    refused = client.post(f"{DESK}threads/", {**HERE, "path": PAYLOAD, "text": PAYLOAD}).content.decode()
    alone = client.get(f"{DESK}threads/{thread.pk}/").content.decode()
    for shown in (page(client), page(client, "?view=split"), alone, refused):
        assert "<script>alert" not in shown
        assert "<img" not in shown
        assert "&lt;script&gt;" in shown
    assert "U+202E" in page(client)


def test_a_thread_is_found_under_its_own_candidate_alone(client: Client, candidate: Candidate) -> None:
    thread = begin(client)
    make_candidate(candidate.project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    assert client.get(f"/projects/demo/candidates/2/threads/{thread.pk}/").status_code == 404
    assert client.post(f"/projects/demo/candidates/2/threads/{thread.pk}/reply/", {"text": "x"}).status_code == 404


def test_a_live_update_tells_which_threads_changed(client: Client, candidate: Candidate) -> None:
    thread = begin(client)
    pulse = {"HX-Request": "true", "HX-Trigger": "pulse"}
    assert f'data-threads="{thread.pk}:1o"' in client.get(DESK, headers=pulse).content.decode()
    reply(client, thread, text="More", then="resolve")
    assert f'data-threads="{thread.pk}:2r"' in client.get(DESK, headers=pulse).content.decode()


def test_open_threads_are_counted(client: Client, candidate: Candidate) -> None:
    reply(client, begin(client), then="resolve")
    begin(client, line=7)
    assert "· 1 open" in page(client)
    assert [thread.line for thread in Thread.objects.of(candidate).open()] == [7]
