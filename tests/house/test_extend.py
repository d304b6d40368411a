"""docs/how-to/extend.md: every file that it shows is written, used through the product, and taken out again."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from research_app.choices_page import PAGE, page
from research_app.home import CODE
from research_app.loop.propose.propose import open_round
from research_app.models import Candidate, Delivery, Device, Kind, NotificationSettings, Sending, Stage, Verdict
from research_app.models.run import arrays_of
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.registries import registries
from tests.factories import make_candidate, make_project, make_user
from tests.notify_samples import arrive, hook, send_all
from tests.receivers import Webhook
from tests.small_project import FILE, TRAIN, drain, small_project, submit, trained

pytestmark = pytest.mark.django_db
__all__ = ["hook"]  # a fixture
EXTEND = (CODE / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
SHOWN_FILES = dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", EXTEND, re.DOTALL))
Added = Callable[[str], str]


@pytest.fixture
def added(tmp_path: Path) -> Iterator[Added]:
    """Adds the file that the page shows for a folder, as if it stood there; returns the name of its variant."""
    taken_out: list[Callable[[], object]] = []

    def add(folder: str) -> str:
        [(path, text)] = [(path, text) for path, text in SHOWN_FILES.items() if path.rpartition("/")[0] == folder]
        (tmp_path / Path(path).name).write_text(text, encoding="utf-8")
        package = importlib.import_module(folder.replace("/", "."))
        package.__path__.append(str(tmp_path))
        importlib.invalidate_caches()
        [registry] = [each for each in registries() if each.package == package.__name__]
        before = set(registry)
        registry.forget()
        taken_out.extend(
            [
                lambda: package.__path__.remove(str(tmp_path)),
                lambda: sys.modules.pop(f"{package.__name__}.{Path(path).stem}", None),
                registry.forget,
            ]
        )
        [name] = set(registry) - before
        return str(name)

    yield add
    for undo in taken_out:
        undo()
    assert not {"keras", "ntfy", "markdown", "doubling", "steps", "kind"} & {name for each in registries() for name in each}


def test_every_registry_has_a_file_on_the_page_and_every_file_a_test() -> None:
    folders = {each.package.replace(".", "/") for each in registries()}
    assert {path.rpartition("/")[0] for path in SHOWN_FILES} == folders
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [folder for folder in folders if f'added("{folder}")' not in tested] == []


def test_the_page_of_choices_is_made_from_the_registries() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m research_app.choices_page"


def test_a_metric_source_is_accepted_in_a_project_file_and_its_runs_are_read(added: Added) -> None:
    assert added("training/sources") == "keras"
    text = '[metric]\nsource = "keras"\nkey = "val_loss"\n[data]\ncorpus = "none"\n'
    assert read_project_file(text).metric.source == "keras"
    with pytest.raises(ProjectFileError, match='keras prints val_loss, not score: write key = "val_loss"'):
        read_project_file(text.replace('"val_loss"', '"score"'))
    config = FILE.model_dump(mode="json") | {"metric": {"name": "loss", "source": "keras", "key": "val_loss"}}
    lines = 'print(f"Epoch {step}/20 - loss: {3 / step:.4f} - val_loss: {1 + 1 / step + SEED / 1e4:.4f}")'
    code = re.sub(r'print\(f"step=.*\)\n', f"{lines}\n", TRAIN)
    run = trained("keras", ProjectFile.model_validate(config), code).runs.order_by("pk")[0]
    assert run.outcome == "completed" and run.score == pytest.approx(1.05 + run.seed / 1e4), run.reason
    assert run.self_reported and len(arrays_of([run.pk], ("val_loss",))[run.pk]["val_loss"][0]) == 20


def test_without_its_file_a_metric_source_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ProjectFileError, match=r"metric.source: use one of: 'scored', 'autoresearch', .*'wandb'"):
        read_project_file('[metric]\nsource = "keras"\n')


def test_a_channel_has_fields_and_a_trial_and_delivers(added: Added, hook: Webhook) -> None:
    assert added("research_app/loop/notify/channels") == "ntfy"
    settings_page, client = "/settings/notifications/", Client()
    client.force_login(make_user("ada", role="approver"))
    form = {"email": "off", "webhook": "off", "ntfy": "at_once", "digest_hour": "8", "hourly_limit": "10"}
    refused = client.post(settings_page, form).content.decode()
    assert "Say which topic should be used, or choose “never”." in refused
    assert client.post(settings_page, form | {"ntfy_address": hook.url}).status_code == 302
    html = client.get(settings_page).content.decode()
    assert "<legend>Ntfy</legend>" in html and "secret-part" not in html and "…part — empty keeps it" in html
    candidate = arrive(make_project())
    send_all()
    [body] = hook.bodies
    assert f"{candidate} of demo awaits landing approval".encode() in body
    assert Delivery.objects.get().state == Sending.SENT
    assert ">ntfy<" in client.get(settings_page).content.decode().replace("Ntfy", "ntfy")


def test_a_channel_that_is_gone_is_said_by_its_name_and_sends_nothing(hook: Webhook) -> None:
    ada = make_user("ada", role="approver")
    wishes = NotificationSettings.objects.create(user=ada)
    wishes.channels.create(channel="ntfy", pace="at_once", address=hook.url)
    arrive(make_project())
    send_all()
    assert hook.bodies == []
    row = Delivery.objects.create(user=ada, channel="ntfy")
    client = Client()
    client.force_login(ada)
    assert client.get(f"/settings/notifications/sent/{row.pk}/").status_code == 200


def test_an_export_format_is_a_choice_of_the_command_and_written(added: Added, tmp_path: Path) -> None:
    assert added("research_app/histories/formats") == "markdown"
    make_candidate(make_project(), stage=Stage.LANDED, verdict=Verdict.SOLID, hypothesis="Deeper")
    call_command("project", "export", "demo", "--format", "markdown", "--out", str(tmp_path / "out"), stdout=StringIO())
    assert (tmp_path / "out" / "candidates.md").read_text() == "- C-1 Deeper (landed)\n"


@pytest.mark.django_db(transaction=True)
def test_a_proposer_is_asked_and_its_proposal_entered_trained_and_judged(added: Added) -> None:
    assert added("research_app/loop/propose/proposers") == "doubling"
    project = small_project()
    Device.report("here/cpu.0", "cpu", 0)
    asked = open_round(project, ["doubling"], 1, "ada")
    drain()
    candidate = asked.candidates.get()
    assert candidate.author == "doubling" and candidate.title.startswith("The learning rate of train.py is too small")
    assert candidate.patch_set and "+LEARNING_RATE = 0.02" in candidate.patch_set.diff
    assert candidate.patch_set.runs.exists() and candidate.evidence


@pytest.mark.django_db(transaction=True)
def test_a_kind_of_budget_is_given_to_runs_and_kept(added: Added) -> None:
    assert added("training/budgets") == "steps"
    config: dict[str, Any] = FILE.model_dump(mode="json") | {"budget": {"kind": "steps", "amount": 21}}
    with pytest.raises(ValueError, match="tolerance belongs to kind"):
        ProjectFile.model_validate(config | {"budget": {"kind": "steps", "amount": 21, "tolerance": 0.5}})
    code = TRAIN.replace("PENALTY = 0", 'print(os.environ["SIGNOFF_BUDGET_KIND"], os.environ["SIGNOFF_BUDGET"])\nPENALTY = 0')
    project = trained("steps", ProjectFile.model_validate(config), code)
    run = project.runs.order_by("pk")[0]
    assert run.outcome == "completed" and "steps 21" in run.log.text
    assert run.facts["steps"] == 21 and project.file.budget.words == "21 steps"
    longer = submit(project, ("range(1, 21)", "range(1, 41)"), hypothesis="Longer")
    assert longer.stage == Stage.INVALID
    assert "Spent 41 steps of a budget of 21" in longer.why


def test_a_column_is_chosen_shown_and_sorted_by(added: Added) -> None:
    assert added("research_app/web/candidates/list_columns") == "kind"
    project, client = make_project(), Client()
    make_candidate(project)
    revert = make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    Candidate.objects.filter(pk=revert.pk).update(kind=Kind.REVERT)
    client.force_login(make_user(role="viewer"))
    address = "/projects/demo/candidates/?columns=kind,author&sort="
    ascending, descending = (client.get(f"{address}{order}").content.decode() for order in ("kind", "kind-z"))
    kinds = re.findall(r'<td class="kind">\s*(\w+)\s*</td>', ascending)
    assert kinds == ["change", "revert"] == re.findall(r'<td class="kind">\s*(\w+)\s*</td>', descending)[::-1]
    assert ">Kind" in ascending and "a change, or what was made of others" in ascending
    assert '<option value="kind-z" selected>' in descending


def test_a_list_goes_out_as_csv(added: Added) -> None:
    assert added("research_app/web/csv_lists/lists") == "notes"
    client, vera = Client(), make_user(role="viewer")
    make_project().notes.create(text="=1+1", written_by=vera)
    client.force_login(vera)
    assert client.get("/projects/demo/csv/notes.csv").content.decode().endswith(",'=1+1\r\n")
