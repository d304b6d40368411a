"""Whichever way a change comes in, it makes the same tree and the same diff, to the byte; or the same refusal."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from agent.proposal import Edit
from agent.tools import Refused
from research_app.loop.check.check import check
from research_app.loop.propose.conversation.workspace import ProjectWorkspace
from research_app.models import Candidate, Project, Stage
from research_app.repository import Repository, writing
from tests.api.test_api_git_push import Clone, git
from tests.factories import make_candidate, make_project, make_user
from tests.outside import served, token_for

pytestmark = pytest.mark.django_db(transaction=True)

PYTHON = '"""Train."""\n\nLR = 0.1\nWIDTH = 64\n\n\ndef f(x):\n    return x\n'
FILES = {
    "crlf.py": PYTHON.replace("\n", "\r\n"),
    "lf.py": PYTHON,
    "mixed.py": PYTHON.replace("64\n", "64\r\n"),
    "unfinished.py": PYTHON.removesuffix("\n"),
    "crlf_unfinished.py": PYTHON.replace("\n", "\r\n").removesuffix("\r\n"),
    "marked.py": f"\ufeff{PYTHON}",
    "marked_crlf.py": f"\ufeff{PYTHON}".replace("\n", "\r\n"),
    "feeds.py": PYTHON.replace("\n\n\ndef", "\n\x0c\n# \u2028\x85\ndef"),
}
BYTES = {**{name: text.encode() for name, text in FILES.items()}, "lib/latin.py": b"S = 'caf\xe9'\n", "w.bin": b"\0\1"}
EDITS = (("LR = 0.1", "LR = 0.2"), ("WIDTH = 64", "WIDTH = 96"), ("return x", "return 2 * x"))
CHANGED = {name: text.replace(*EDITS[0]).replace(*EDITS[1]).replace(*EDITS[2]) for name, text in FILES.items()}
Way: TypeAlias = Callable[["World"], Candidate]


class World:
    """A project over HTTP, a clone of it, a person and a token."""

    def __init__(self, folder: Path, project: Project, site: str) -> None:
        self.folder, self.project = folder, project
        self.ada = make_user("ada")
        self.token = token_for(self.ada)
        self.clone = Clone(folder, site, self.token)
        self.client = Client(SERVER_NAME="127.0.0.1")
        self.client.force_login(self.ada)

    def patch(self) -> bytes:
        return subprocess.run(
            ["git", "diff", "HEAD"], cwd=self.clone.folder, capture_output=True, check=True, env={"PATH": os.environ["PATH"]}
        ).stdout

    def asked_for_changes(self) -> Candidate:
        edits = [("lf.py", "WIDTH = 64", "WIDTH = 65")]
        return make_candidate(self.project, edits=edits, stage=Stage.CHANGES, effect=None, submitted_by=self.ada)

    def call(self, address: str, body: dict[str, Any]) -> Any:
        answer = self.client.post(
            f"/api/v1/projects/demo/{address}", json.dumps(body), content_type="application/json",
            headers={"Authorization": f"Bearer {self.token}"},
        )  # fmt: skip
        if answer.status_code != 201:
            raise CommandError(answer.json()["detail"])
        return answer.json()


def newest() -> Candidate:
    return Candidate.objects.order_by("-number")[0]


def by_file(world: World) -> Candidate:
    file = world.folder / "change.patch"
    file.write_bytes(world.patch())
    call_command("candidate", "submit", "--project", "demo", "--patch", str(file), "--hypothesis", "x", stdout=io.StringIO())
    return newest()


def by_standard_input(world: World) -> Candidate:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(world.patch())))
        call_command("candidate", "submit", "--project", "demo", "--patch", "-", "--hypothesis", "x", stdout=io.StringIO())
    return newest()


def by_api(world: World) -> Candidate:
    patch = world.patch().decode("utf-8", "surrogateescape")
    world.call("candidates", {"patch": patch, "hypothesis": "x", "category": "schedule"})
    return newest()


def by_edits(world: World) -> Candidate:
    told = [{"path": name, "old": old, "new": new} for name in FILES for old, new in EDITS]
    world.call("candidates", {"edits": told, "hypothesis": "x", "category": "schedule"})
    return newest()


def by_push(world: World) -> Candidate:
    git(world.clone.folder, "add", "--all")
    git(world.clone.folder, "commit", "--quiet", "--message", "Change it")
    pushed = world.clone.push()
    if pushed.returncode:
        raise CommandError(pushed.stderr)
    return newest()


def revised(world: World, row: Candidate) -> Candidate:
    check(row.pk, "worker")
    return Candidate.objects.get(pk=row.pk)


def by_revise_command(world: World) -> Candidate:
    row = world.asked_for_changes()
    file = world.folder / "change.patch"
    file.write_bytes(world.patch())
    call_command("candidate", "revise", "demo", str(row.number), "--patch", str(file), stdout=io.StringIO())
    return revised(world, row)


def by_api_revision(world: World) -> Candidate:
    row = world.asked_for_changes()
    world.call(f"candidates/{row.number}/patch-sets", {"patch": world.patch().decode("utf-8", "surrogateescape")})
    return revised(world, row)


def by_pushed_revision(world: World) -> Candidate:
    row = world.asked_for_changes()
    git(world.clone.folder, "add", "--all")
    git(world.clone.folder, "commit", "--quiet", "--message", f"Change it\n\nCandidate: C-{row.number}")
    pushed = world.clone.push()
    if pushed.returncode:
        raise CommandError(pushed.stderr)
    return revised(world, row)


def by_form(world: World, *, script: bool = False) -> Candidate:
    row = world.asked_for_changes()
    text = world.patch().decode("utf-8", "replace").replace("\r\n", "\n")  # a text field holds line feeds alone
    sent = text if script else text.replace("\n", "\r\n")
    told = {"patch": sent, "reason": ""}
    headers = {"HX-Request": "true"} if script else {}
    answer = world.client.post(f"/projects/demo/candidates/{row.number}/revise/", told, headers=headers)
    if answer.status_code not in (200, 302):
        raise CommandError(answer.content.decode())
    return revised(world, row)


def by_form_with_script(world: World) -> Candidate:
    return by_form(world, script=True)


WAYS: dict[str, Way] = {
    "file": by_file,
    "standard input": by_standard_input,
    "API": by_api,
    "edits": by_edits,
    "push": by_push,
    "revise command": by_revise_command,
    "API revision": by_api_revision,
    "pushed revision": by_pushed_revision,
    "form": by_form,
    "form with script": by_form_with_script,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    project = make_project(files={"train.py": "X = 1\n"}, reference_runs=0, edit={"editable": ["**"], "protected": []})
    repository = project.repository
    with served() as site:
        yield World(tmp_path, grown(project, repository), site)


def grown(project: Project, repository: Repository) -> Project:
    """The project with files whose bytes are no text among them, as a mirrored repository may have."""
    tree = writing.tree_with(repository.path, {path: ("100644", data) for path, data in BYTES.items()})
    version = project.tip()
    when = datetime.fromtimestamp(1_700_000_000, UTC)
    commit = writing.commit_tree(repository.path, tree, (version.commit,), "Grow", "ada", when)
    repository.advance(version.commit, commit)
    version.commit, version.tree = commit, tree
    version.save()
    return project


@pytest.mark.parametrize("way", WAYS)
def test_every_way_brings_the_same_bytes(world: World, way: str) -> None:
    for name, text in CHANGED.items():
        (world.clone.folder / name).write_bytes(text.encode())
    row = WAYS[way](world)
    if row.patch_set is None:
        check(row.pk, "worker")
        row = Candidate.objects.get(pk=row.pk)
    assert row.patch_set, row.why
    repository, base = world.project.repository, world.project.tip().commit
    assert {name: repository.read(row.patch_set.commit, name).decode() for name in CHANGED} == CHANGED
    wanted = repository.change_from_edits(base, [(name, *edit) for name in FILES for edit in EDITS], "x", "ada")
    assert (row.patch_set.tree, row.patch_set.diff_hash) == (wanted.tree, wanted.diff_hash)


NOT_TEXT = {"lib/latin.py": b"S = 'caf\xe9s'\n", "lib/other.py": b"# \xe9\n", "w.bin": b"\0\2"}


@pytest.mark.parametrize("way", ["file", "standard input", "push", "revise command", "pushed revision"])
def test_every_way_that_carries_bytes_refuses_what_is_no_text_in_the_same_words(world: World, way: str) -> None:
    for path, data in NOT_TEXT.items():
        git(world.clone.folder, "reset", "--quiet", "--hard", "origin/HEAD")
        (world.clone.folder / path).write_bytes(data)
        git(world.clone.folder, "add", "--all")
        with pytest.raises(CommandError) as refused:
            WAYS[way](world)
        assert f"{path} is not UTF-8 text; only text files can be changed" in str(refused.value)
    assert not Candidate.objects.exclude(stage=Stage.CHANGES).exists()


def test_a_form_whose_bytes_were_no_text_is_refused(world: World) -> None:
    (world.clone.folder / "lf.py").write_bytes(PYTHON.replace("LR = 0.1", "LR = 0.1  # \ufffd").encode())
    with pytest.raises(CommandError, match=r"U\+FFFD"):
        by_form(world)


def test_json_whose_bytes_are_no_text_is_refused(world: World) -> None:
    body = json.dumps({"patch": "X", "hypothesis": "x", "category": "schedule"}).encode().replace(b"X", b"\xe9")
    answer = world.client.post(
        "/api/v1/projects/demo/candidates", body, content_type="application/json",
        headers={"Authorization": f"Bearer {world.token}"},
    )  # fmt: skip
    assert 400 <= answer.status_code < 500
    assert not Candidate.objects.exists()


def test_an_edit_of_a_file_that_is_no_text_is_refused_in_the_same_words(world: World) -> None:
    with pytest.raises(CommandError, match=r"lib/latin\.py is not UTF-8 text; only text files can be changed\."):
        world.call(
            "candidates", {"edits": [{"path": "lib/latin.py", "old": "S", "new": "T"}], "hypothesis": "x", "category": "data"}
        )

    with pytest.raises(Refused, match=r"lib/latin\.py is not UTF-8 text; only text files can be changed\."):
        ProjectWorkspace(world.project, world.project.tip()).edited([Edit("lib/latin.py", "S", "T")])


def test_a_pushed_name_that_is_no_text_is_refused_by_its_bytes(world: World) -> None:
    (Path(os.fsdecode(bytes(world.clone.folder) + b"/caf\xe9.py"))).write_text("x = 1\n")
    with pytest.raises(CommandError, match=re.escape("The path 'caf\\xe9.py' is not UTF-8; rename the file.")):
        by_push(world)


def test_a_name_that_is_no_text_in_a_patch_is_refused_by_its_bytes(world: World) -> None:
    patch = world.folder / "change.patch"
    name = '"{}/caf\\351.py"'
    head = f"diff --git {name.format('a')} {name.format('b')}\nnew file mode 100644\n--- /dev/null\n+++ {name.format('b')}\n"
    patch.write_text(f"{head}@@ -0,0 +1 @@\n+x = 1\n")
    with pytest.raises(CommandError, match=re.escape("The path 'caf\\xe9.py' is not UTF-8; rename the file.")):
        call_command("candidate", "submit", "--project", "demo", "--patch", str(patch), "--hypothesis", "x")
