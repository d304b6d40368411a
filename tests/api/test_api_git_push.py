"""An agent's own git: clone the baseline, push to refs/for/<baseline>, and get a candidate or the reason why not."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.models import Candidate, Project, Stage
from tests.factories import FILES, make_candidate, make_user
from tests.outside import served, token_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(project: Project) -> Iterator[str]:
    with served() as address:
        yield address


def git(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "p@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **who,
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done


class Clone:
    """A working copy of the project, with a token in its remote."""

    def __init__(self, folder: Path, site: str, token: str, slug: str = "demo") -> None:
        self.folder = folder / "clone"
        git(folder, "clone", "--quiet", f"{site.replace('://', f'://agent:{token}@')}/git/{slug}.git", str(self.folder))

    def edit(self, old: str, new: str, message: str, path: str = "train.py") -> None:
        text = (self.folder / path).read_text()
        assert text.count(old) == 1
        (self.folder / path).write_text(text.replace(old, new))
        git(self.folder, "commit", "--quiet", "--all", "--message", message)

    def push(self, to: str = "refs/for/baseline", *, what: str = "HEAD") -> subprocess.CompletedProcess[str]:
        return git(self.folder, "push", "origin", f"{what}:{to}", check=False)


@pytest.fixture
def clone(tmp_path: Path, site: str) -> Clone:
    return Clone(tmp_path, site, token_for(make_user("ada", role="operator")))


def test_a_clone_has_the_baseline_and_nothing_else(clone: Clone, project: Project) -> None:
    make_candidate(project)
    git(clone.folder, "fetch", "--quiet", "origin")
    assert (clone.folder / "train.py").read_text() == FILES["train.py"]
    assert git(clone.folder, "ls-remote", "origin").stdout.split()[1::2] == ["HEAD", "refs/heads/baseline"]


def test_a_pushed_commit_is_a_candidate_and_the_push_says_where(clone: Clone, project: Project) -> None:
    tip = project.repository.tip()
    clone.edit(
        "WARMUP = 0.05", "WARMUP = 0.01", "A shorter warm-up\n\nIt wastes less.\n\nCategory: schedule\nExpected-Effect: small"
    )
    pushed = clone.push()
    assert pushed.returncode == 0, pushed.stderr
    candidate = Candidate.objects.get()
    assert f"C-{candidate.number} is checked" in pushed.stderr
    assert (candidate.hypothesis, candidate.category) == ("A shorter warm-up\n\nIt wastes less.", "schedule")
    assert (candidate.author, candidate.author_kind, candidate.expected_effect) == ("outsider", "agent", "small")
    assert project.repository.tip() == tip


def test_several_commits_come_as_one_change(clone: Clone, project: Project) -> None:
    clone.edit("WARMUP = 0.05", "WARMUP = 0.01", "First")
    clone.edit("WIDTH = 96", "WIDTH = 64", "Then\n\nCategory: architecture")
    assert clone.push().returncode == 0
    patch = Candidate.objects.get().proposed["patch"]
    assert "+WARMUP = 0.01" in patch and "+WIDTH = 64" in patch


def test_a_trailer_that_names_a_candidate_brings_its_next_patch_set(clone: Clone, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED, submitted_by=User.objects.get(username="ada"))
    clone.edit("WARMUP = 0.05", "WARMUP = 0.08", f"Longer instead\n\nCandidate: {candidate}")
    pushed = clone.push()
    assert pushed.returncode == 0, pushed.stderr
    candidate.refresh_from_db()
    assert candidate.stage == Stage.PROPOSED
    assert Candidate.objects.count() == 1


@pytest.mark.parametrize("ref", ["refs/heads/baseline", "refs/heads/mine", "refs/for/other", "refs/tags/v1"])
def test_nothing_but_the_one_ref_can_be_pushed(clone: Clone, project: Project, ref: str) -> None:
    tip = project.repository.tip()
    clone.edit("WARMUP = 0.05", "WARMUP = 0.01", "x")
    pushed = clone.push(ref)
    assert pushed.returncode != 0
    assert "refs/for/baseline" in pushed.stderr
    assert project.repository.tip() == tip
    assert not Candidate.objects.exists()


def test_a_bad_change_is_refused_in_the_push_itself(clone: Clone, project: Project) -> None:
    clone.edit("BUDGET = 5e11", "BUDGET = 9e11", "More of it", path="prepare.py")
    pushed = clone.push()
    assert pushed.returncode != 0
    assert "prepare.py" in pushed.stderr
    assert not Candidate.objects.exists()


def test_a_branch_without_our_history_is_refused(clone: Clone, project: Project) -> None:
    git(clone.folder, "checkout", "--quiet", "--orphan", "elsewhere")
    git(clone.folder, "commit", "--quiet", "--message", "Another beginning")
    pushed = clone.push()
    assert pushed.returncode != 0
    assert "shares no history" in pushed.stderr


def test_an_unknown_category_is_named_with_those_that_there_are(clone: Clone, project: Project) -> None:
    clone.edit("WARMUP = 0.05", "WARMUP = 0.01", "x\n\nCategory: magic")
    assert "architecture, optimiser" in clone.push().stderr


@pytest.mark.parametrize(("scopes", "role"), [(("read",), "operator"), (("read", "submit"), "viewer")])
def test_a_token_that_may_not_submit_clones_and_cannot_push(
    tmp_path: Path, site: str, project: Project, scopes: tuple[str, ...], role: str
) -> None:
    clone = Clone(tmp_path, site, token_for(make_user("vera", role=role), *scopes))
    clone.edit("WARMUP = 0.05", "WARMUP = 0.01", "x")
    assert clone.push().returncode != 0
    assert not Candidate.objects.exists()


def test_nobody_clones_without_a_token(tmp_path: Path, site: str) -> None:
    assert git(tmp_path, "clone", f"{site}/git/demo.git", "x", check=False).returncode != 0
    assert (
        git(tmp_path, "clone", f"{site.replace('://', '://a:signoff_wrong@')}/git/demo.git", "x", check=False).returncode != 0
    )


def test_what_is_no_push_is_refused_in_words(project: Project) -> None:
    client = Client(headers={"authorization": f"Bearer {token_for(make_user('ada', role='operator'))}"})
    for body in (b"", b"zzzz", b"0010", b"ffff" + b"x" * 100, b"0009hello0000"):
        answer = client.post("/git/demo.git/git-receive-pack", body, content_type="application/x-git-receive-pack-request")
        assert answer.status_code == 400, body
        assert b"push" in answer.content
