"""The page “New project”: a repository is looked at, tried and created by workers; what a person writes stays as it is."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from research_app.loop.project import bring
from research_app.loop.project.bring import BringRefused
from research_app.loop.reconcile import reconcile
from research_app.models import Device, Event, Message, Project, Trial, TrialState
from research_app.project_file.project_file import read_project_file
from research_app.survey.keys import FORM, form_values, with_form
from tests.everything import make_trials
from tests.factories import make_user
from tests.small_project import drain, git

CODE = """
import os, random
random.seed(int(os.environ["SIGNOFF_SEED"]))
max_iters = 3
for step in range(max_iters):
    print(f"step {step}: train loss {4 - step:.4f}, val loss {3 - step + random.random():.4f}")
    print(f"iter {step}: loss {4 - step:.4f}, time 12.34ms, mfu 1.20%")
    # loss.backward()
"""
pytestmark = pytest.mark.django_db


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "nanoGPT"
    folder.mkdir()
    (folder / "train.py").write_text(CODE)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def text_of(client: Client, trial: Trial) -> str:
    return client.get(reverse("trial", args=[trial.pk])).content.decode()


def send(client: Client, trial: Trial, act: str, **fields: str) -> int:
    trial.refresh_from_db()
    sent = {"act": act, "file": trial.file, "slug": trial.slug, **fields}
    status = client.post(reverse("change-trial", args=[trial.pk]), sent).status_code
    trial.refresh_from_db()
    return status


@pytest.mark.slow
def test_a_repository_becomes_a_project_by_three_clicks(client: Client, source: Path) -> None:
    response = client.post(reverse("new-project"), {"source": str(source)})
    trial = Trial.objects.get()
    assert response.headers["Location"] == reverse("trial", args=[trial.pk]) and trial.state == TrialState.LOOKING
    assert "A worker copies it" in text_of(client, trial)
    drain()
    trial.refresh_from_db()
    assert (trial.state, trial.slug, trial.branch) == (TrialState.DRAFT, "nanogpt", "")
    page = text_of(client, trial)
    assert "# train.py line" in page and 'value="python train.py"' in page and "Create without a trial" in page

    assert send(client, trial, "try") == 302 and trial.state == TrialState.WAITING
    assert Message.objects.get().queue == "train.cpu", "a device tries it, not the web process"
    assert "No worker that serves train.cpu is online" in text_of(client, trial)
    drain()
    trial.refresh_from_db()
    assert trial.state == TrialState.DRAFT and trial.report["checks"] and "Training seed 2" in trial.log
    page = text_of(client, trial)
    assert "<mark>step 0: train loss 4.0000, val loss" in page and "Does the seed change the result?" in page
    assert "Create the project" in page, "the trial was good"

    assert send(client, trial, "create") == 302 and trial.state == TrialState.CREATING
    drain()
    trial.refresh_from_db()
    project = Project.objects.get(slug="nanogpt")
    assert trial.project == project and trial.state == TrialState.CREATED
    assert Event.objects.get(kind="project created").actor == "ada"
    assert project.runs.filter(outcome="completed").exists() and reverse("project", args=["nanogpt"]) in text_of(client, trial)
    assert send(client, trial, "try") == 422, "it is a project now"


@pytest.mark.slow
def test_what_does_not_go_well_is_said_and_mended_on_the_page(client: Client, source: Path) -> None:
    client.post(reverse("new-project"), {"source": str(source), "branch": "nowhere"})
    drain()
    trial = Trial.objects.get()
    assert "has no branch nowhere" in trial.reason and trial.reason in text_of(client, trial).replace("&#x27;", "'")
    client.post(reverse("new-project"), {"source": str(source)})
    drain()
    trial = Trial.objects.first()  # type: ignore[assignment]
    broken = trial.file.replace('[seed]\nhow = "environment"', '[seed]\nhow = "fixed"').replace("[limits]", "[limist]")
    assert send(client, trial, "try", file=broken) == 422
    assert trial.state == TrialState.DRAFT and trial.file == broken, "what was typed stays"
    response = client.post(reverse("change-trial", args=[trial.pk]), {"act": "save", "file": broken, "slug": "x"})
    assert "limist is not a known key" in response.content.decode()
    assert send(client, trial, "try", file=broken.replace("limist", "limits").replace("train.py", "nothing.py")) == 302
    drain()
    trial.refresh_from_db()
    assert "No file of the branch" in trial.report["failed"] and "matches the editable paths nothing.py" in text_of(
        client, trial
    )


@pytest.mark.slow
def test_a_name_that_is_taken_or_none_is_said(client: Client, source: Path) -> None:
    client.post(reverse("new-project"), {"source": str(source)})
    drain()
    trial = Trial.objects.get()
    send(client, trial, "create", slug="Not A Name")
    drain()
    trial.refresh_from_db()
    assert trial.state == TrialState.DRAFT and trial.reason
    assert not Project.objects.exists()


@pytest.mark.parametrize("bad", ["", "   ", "x" * 501, "a\nb", "--upload-pack=x"])
def test_what_is_no_repository_is_refused_or_said(client: Client, bad: str) -> None:
    response = client.post(reverse("new-project"), {"source": bad})
    if response.status_code == 302:
        drain()
        assert Trial.objects.get().reason
    else:
        assert response.status_code == 422 and "Name a repository" in response.content.decode()


def test_viewers_and_reviewers_have_no_such_page_and_approvers_do() -> None:
    for role, status in (("viewer", 403), ("operator", 200), ("reviewer", 200), ("approver", 200)):
        client = Client()
        client.force_login(make_user(f"a-{role}", role=role))
        assert client.get(reverse("new-project")).status_code == status, role


def test_a_worker_that_was_lost_is_followed_by_another_and_three_times_is_enough(client: Client, source: Path) -> None:
    client.post(reverse("new-project"), {"source": str(source)})
    Message.objects.all().delete()
    reconcile()
    assert Message.objects.filter(task="bring").count() == 1, "the row knows what is to be done"
    Message.objects.all().delete()
    Trial.objects.update(attempts=3, last_error="worker-1 was killed")
    bring.bring(Trial.objects.get().pk, "worker-2")
    trial = Trial.objects.get()
    assert trial.state == TrialState.DRAFT and "worker-1 was killed" in trial.reason and trial.attempts == 0


def test_one_person_keeps_workers_busy_with_few(client: Client, source: Path, ada: User) -> None:
    for _ in range(bring.MOST_OPEN):
        bring.begin(str(source), "", ada)
    with pytest.raises(BringRefused, match="are at work"):
        bring.begin(str(source), "", ada)


def test_stopping_while_it_waits_gives_it_back(client: Client) -> None:
    make_user("grace")
    make_trials()
    trial = Trial.objects.filter(state=TrialState.DRAFT).get()
    send(client, trial, "try")
    client.post(reverse("stop-trial", args=[trial.pk]))
    drain()
    trial.refresh_from_db()
    assert trial.state == TrialState.DRAFT and not Device.objects.exists()


def test_the_list_costs_the_same_for_one_and_for_many(client: Client, django_assert_max_num_queries: object) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_user("grace")
    counts = []
    for _ in range(2):
        make_trials()
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("new-project"))
        counts.append(len(captured))
    assert counts[0] == counts[1]


FILE = """# What was seen
[train]
command = ["python", "train.py"]  # train.py line 3
read = [
  "~/.cache/a",
]

[metric]
source = "nanogpt"
key = "val_loss"
[budget]
kind = "own"
"""


def test_the_form_changes_its_keys_alone_and_leaves_comments() -> None:
    values = form_values(FILE)
    assert values["train.command"] == "python train.py" and values["budget.kind"] == "own" and values["seed.how"] == ""
    asked = {
        **values,
        "train.command": "python train.py --name 'a b'",
        "budget.amount": "300",
        "seed.how": "fixed",
        "metric.key": "",
    }
    changed = with_form(FILE, asked, values)
    assert 'command = ["python", "train.py", "--name", "a b"]  # train.py line 3' in changed
    assert changed.startswith("# What was seen") and "key =" not in changed and '[seed]\nhow = "fixed"' in changed
    assert form_values(changed)["budget.amount"] == "300"
    assert with_form(FILE, values, values) == FILE
    read_project_file(with_form(FILE, {**values, "metric.direction": "higher"}, values))


@pytest.mark.parametrize("each", FORM, ids=[each.name for each in FORM])
@pytest.mark.parametrize("value", ['a"b', "'", "\\", "#", "x = 1", "]\n[edit]", "nan"])
def test_no_value_of_the_form_breaks_out_of_its_key(each: object, value: str) -> None:
    import tomllib

    try:
        changed = with_form(FILE, {each.name: value}, form_values(FILE))  # type: ignore[attr-defined]
    except ValueError:
        return
    content = tomllib.loads(changed)
    assert set(content) <= {"train", "metric", "budget", "seed", "limits"} and content["train"]["read"] == ["~/.cache/a"]


def test_a_project_that_is_deleted_leaves_what_was_tried(ada: User, source: Path) -> None:
    from research_app.loop.project.delete_project import delete_project
    from research_app.loop.project.projects import create_project
    from tests.small_project import FILE as SMALL

    file = SMALL.model_copy(update={"baseline": SMALL.baseline.model_copy(update={"branch": "main"})})
    project = create_project("gone", source=str(source), file=file)
    trial = Trial.objects.create(source=str(source), asked_by=ada, project=project, state=TrialState.CREATED)
    delete_project(project, "ada")
    trial.refresh_from_db()
    assert (trial.project, trial.state) == (None, TrialState.DRAFT), "it may be brought again"
