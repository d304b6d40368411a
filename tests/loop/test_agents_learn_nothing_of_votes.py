"""Whatever an agent can read, it finds nothing of who reviewed what and how: contexts, tools, API, clones and pushes."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agent.briefing import briefing
from agent.tools import Workbench
from research_app.api.application import api
from research_app.loop.propose import propose, steer
from research_app.loop.propose.conversation import requested_changes
from research_app.loop.propose.conversation.facts import facts_of
from research_app.loop.propose.conversation.workspace import ProjectWorkspace, record_of
from research_app.loop.propose.revert import revert
from research_app.loop.review.review import Seen, approve, reject, request_changes
from research_app.models import Candidate, Conversation, Project, Review, Run, Stage, Thread
from tests.factories import make_user
from tests.landing_samples import approved, fresh, knob, knobs_project, landed, ready, training_at_once
from tests.outside import call, served, token_for
from tests.small_project import drain

pytestmark = pytest.mark.django_db(transaction=True)
REVIEWERS = ("hypatia", "emmy", "sofia")
VOTES = re.compile(rb"hypatia|emmy|sofia|grace|Reviewed-by|\bapprove[ds]?\b|\bvotes?\b", re.IGNORECASE)
ASKED, TURNED_DOWN = "Shorten the warm-up first.", "It tunes to the metric."


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With votes of every kind, by three people, and with their notes and comments."""
    project = knobs_project(tmp_path)
    hypatia, emmy, sofia = (make_user(name) for name in REVIEWERS)
    first = approved(project, knob(2))
    drain(limit=500)
    for number, person in ((10, hypatia), (14, emmy)):
        other = ready(project, knob(number))
        Thread.objects.begin(other.revision, "train.py", 20, "Is that not a little much?", sofia)
        approve(fresh(other), person, Seen.of(fresh(other)), "It convinces me.")
        drain(limit=500)
    reject(turned_down := ready(project, knob(20)), emmy, Seen.of(turned_down), TURNED_DOWN)
    asked = ready(project, knob(30))
    Thread.objects.begin(asked.revision, "train.py", 40, "Why here?", hypatia)
    request_changes(fresh(asked), hypatia, Seen.of(fresh(asked)), ASKED)
    steer.add_note(project, "Keep it small.", sofia)
    steer.add_note(project, "Try it with less warm-up.", emmy, asked)
    back = revert(project.baseline_versions.get(number=1), make_user("oscar", role="operator"))
    drain(limit=500)
    Candidate.objects.filter(pk=back.pk).update(stage=Stage.READY)
    approve(fresh(back), sofia, Seen.of(fresh(back)), "It must go.")
    drain(limit=500)
    assert fresh(first).undone and len(landed(project)) == 4 and Review.objects.count() == 6
    return project


def found_in(what: str, text: Any) -> list[str]:
    """Where something of the votes stands in it, with what is around."""
    data = text if isinstance(text, bytes) else str(text).encode()
    return [f"{what}: …{data[max(0, m.start() - 60) : m.end() + 60]!r}…" for m in VOTES.finditer(data)]


def test_nothing_of_it_is_in_what_proposers_are_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    context = propose.context_of(project, project.tip())
    said: dict[str, Any] = {"history": context.history, "others": context.others, "files": context.files}
    said["briefing"] = briefing(context, facts_of(project, project.tip()))
    said |= {f"record of {each}": record_of(each) for each in Candidate.objects.with_evidence()}
    workspace = Workbench(ProjectWorkspace(project, project.tip()))
    for number in range(1, project.last_number + 1):
        said[f"look at {number}"] = workspace.use("look", {"candidate": number})
    said["search"] = [workspace.use("history", {}), workspace.use("history", {"order": "worst"})]
    for candidate in Candidate.objects.filter(stage=Stage.REJECTED):
        steer.rework(candidate, User.objects.get(username="sofia"), "It deserves a second look.")
    asked = Candidate.objects.with_evidence().get(stage=Stage.CHANGES)
    review = asked.reviews.get()
    said["changes wanted"] = requested_changes.changes_wanted(asked, review)
    said |= {f"conversation {row.pk}": row.messages.values_list("content", flat=True) for row in Conversation.objects.all()}
    assert [each for name, text in said.items() for each in found_in(name, text)] == []
    assert ASKED in said["changes wanted"] and "at train.py:40" in said["changes wanted"]
    assert TURNED_DOWN in str(said), "the reasons are for the agents"


def arguments_of(path: str, project: Project) -> Iterator[dict[str, Any]]:
    """What to fill into an address of the API: everything that there is."""
    if "{number}" in path:
        yield from ({"slug": project.slug, "number": row.number} for row in project.candidates.all())
    elif "{run}" in path:
        yield from ({"slug": project.slug, "run": row.pk} for row in Run.objects.order_by("-pk")[:5])
    else:
        yield {"slug": project.slug}


def test_nothing_of_it_is_in_any_answer_of_the_api(project: Project) -> None:
    token, answered, found = token_for(User.objects.get(username="oscar")), 0, []
    with served() as site:
        for path, operations in api.get_openapi_schema()["paths"].items():
            if "get" not in operations:
                continue
            for filled in arguments_of(path, project):
                status, body = call(site + path.format(**filled), token)
                answered += status == 200
                found += found_in(path.format(**filled), body)
    assert found == [] and answered > 30, answered


def test_nothing_of_it_is_in_a_clone_and_a_push_from_there_is_a_candidate(project: Project, tmp_path: Path) -> None:
    token = token_for(User.objects.get(username="oscar"))
    with served() as site:
        remote = f"{site.replace('://', f'://agent:{token}@')}/git/{project.slug}.git"
        folder = tmp_path / "clone"

        def git(*words: str, where: Path = folder) -> bytes:
            who = ["-c", "user.name=Agent", "-c", "user.email=agent@example.org"]
            done = subprocess.run(["git", *who, *words], cwd=where, capture_output=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        git("clone", "--quiet", remote, str(folder), where=tmp_path)
        everything = git("cat-file", "--batch-all-objects", "--batch", "--unordered")
        assert found_in("clone", everything) == []
        assert b"Candidate: knobs/1" in everything and b"Evidence: " in everything, "what else a commit says is there"
        tip = project.repository.tip()
        tree = git("rev-parse", "HEAD^{tree}").decode().strip()
        assert tree == project.repository.tree_of(tip), "the very same tree"
        asked = f"0032want {tip}\n00000009done\n".encode()  # what no client asks for that was told of another commit
        address, kind = f"/git/{project.slug}.git/git-upload-pack", "application/x-git-upload-pack-request"
        headers = {"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}
        answer = Client().post(address, asked, content_type=kind, headers=headers)
        assert b"PACK" not in answer.content and b"not our ref" in answer.content, answer.content[:200]
        status, told = call(f"{site}/api/v1/projects/{project.slug}", token)
        assert status == 200 and told["baseline_commit"] == git("rev-parse", "HEAD").decode().strip() != tip
        text = (folder / "train.py").read_text()
        (folder / "train.py").write_text(text.replace("KNOB_40 = 0", "KNOB_40 = 1"))
        git("commit", "--quiet", "--all", "--message", "Switch it on\n\nIt helps.\n\nCategory: optimiser")
        pushed = git("push", "origin", "HEAD:refs/for/baseline")
        assert b"is checked and will be trained" in pushed
    made = Candidate.objects.latest("pk")
    assert "+KNOB_40 = 1" in made.proposed["patch"] and made.proposed["patch"].count("\n+") == 2, "its own change alone"


def test_a_clone_from_before_may_still_push(project: Project, tmp_path: Path) -> None:
    """Made straight from the repository, with the commits as they are."""
    folder = tmp_path / "old"
    subprocess.run(["git", "clone", "--quiet", str(project.repository.path), str(folder)], check=True)
    (folder / "train.py").write_text((folder / "train.py").read_text().replace("KNOB_40 = 0", "KNOB_40 = 1"))
    who = ["-c", "user.name=Agent", "-c", "user.email=agent@example.org"]
    subprocess.run(["git", *who, "commit", "-qam", "Switch it on\n\nIt helps.\n\nCategory: optimiser"], cwd=folder, check=True)
    with served() as site:
        token = token_for(User.objects.get(username="oscar"))
        remote = f"{site.replace('://', f'://agent:{token}@')}/git/{project.slug}.git"
        done = subprocess.run(["git", "push", remote, "HEAD:refs/for/baseline"], cwd=folder, capture_output=True, text=True)
    assert "is checked and will be trained" in done.stderr, done.stderr
    assert Candidate.objects.latest("pk").proposed["patch"].count("\n+") == 2
