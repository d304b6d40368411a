"""The scale ladder of a project file: what is filled in, what is refused, and what may change later."""

from pathlib import Path

import pytest

from research_app.loop.project.projects import ProjectRefused, configure
from research_app.project_file.ladder import Rung
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.factories import make_project, make_run
from tests.ladder_project import CONFIG
from training.spec import Budget

RUNGS = '[[ladder]]\nname = "S"\n'


def rung(text: str) -> Rung:
    """The second rung of a file with these keys."""
    return read_project_file(f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 8\n{text}').rung("M")


def mistakes(text: str) -> str:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(text, "p.toml")
    return str(caught.value)


def test_without_a_ladder_there_is_one_rung_and_nothing_to_scale_up_to() -> None:
    file = ProjectFile()
    assert [rung.name for rung in file.rungs] == ["S"] and file.upper_rungs == ()
    assert file.run_budget(0.5) == Budget("train_flops", 1.6e11)


def test_the_default_target_has_a_ladder_of_three_rungs() -> None:
    file = ProjectFile.default_target()
    assert [(rung.name, rung.budget) for rung in file.rungs] == [("S", 1), ("M", 8), ("L", 64)]
    assert [rung.device for rung in file.rungs] == ["cpu", "cpu", "cuda"]
    assert file.rung("M").environment == {"SIGNOFF_GROWTH": "1.5"}
    assert file.run_budget(1.0, "M").amount == pytest.approx(8 * 3.2e11)


def test_what_a_rung_leaves_open_comes_from_the_train_section() -> None:
    text = '[train]\ncommand = ["python", "go.py"]\nwall_limit_seconds = 100\nmemory_limit_mb = 512\n'
    file = read_project_file(f'{text}{RUNGS}[[ladder]]\nname = "M"\nbudget = 8\n')
    filled = file.rung("M")
    assert filled.command == ("python", "go.py") and filled.memory_limit_mb == 512
    assert filled.wall_limit_seconds == 800, "a larger budget takes longer"
    assert (filled.queue, filled.device) == ("train.cpu", "cpu")


def test_a_rung_has_its_own_command_devices_and_queue() -> None:
    many = rung('command = ["torchrun", "--nproc_per_node=8", "t.py"]\ndevice = "cuda"\ndevices = 8\nmemory_limit_mb = 9000\n')
    assert many.command[0] == "torchrun" and many.place == "8 × cuda"
    assert many.queue == "scale_up", "workers of train.cuda have one device each"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[ladder]]\nname = "big"\n', 'name = "S", budget = 1'),
        (f'{RUNGS}[[ladder]]\nname = "S"\nbudget = 2\n', "a name of its own"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 0.5\n', "in order of their budgets"),
        (f'{RUNGS}[[ladder]]\nname = "a very long name"\nbudget = 2\n', "ladder.1.name"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\nsettings = {{ seed = 3 }}\n', "set for every run already"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\nsettings = {{ "A B" = 3 }}\n', "cannot be a setting"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\ndevices = 2\nqueue = "train.cuda"\n', 'devices need queue = "scale_up"'),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\ncurve = [1.0, 0.8]\n', "without 1 itself"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\nseeds = 1\n', "ladder.1.seeds"),
        (f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 2\nspeed = 1\n', "known here: name, budget, seeds"),
        ("[scale_up]\nbudget_hours = 0\n", "scale_up.budget_hours"),
    ],
)
def test_a_mistake_in_the_ladder_is_named_with_what_is_right(text: str, said: str) -> None:
    assert said in mistakes(text)


def test_a_mistake_is_named_with_the_line_of_its_own_rung() -> None:
    text = f'{RUNGS}[[ladder]]\nname = "M"\nbudget = 8\nprice = -1\n[[ladder]]\nname = "L"\nbudget = 64\nprice = 1\n'
    assert mistakes(text).startswith("p.toml, line 6: ladder.1.price")


@pytest.mark.django_db
def test_a_rung_that_has_runs_stays_what_it_is_but_for_seeds_queue_and_price() -> None:
    project = make_project("kept", ladder=CONFIG["ladder"])
    make_run(project.tip(), seed=1, scale="M")

    def changed(**fields: object) -> ProjectFile:
        rungs = [dict(each) for each in CONFIG["ladder"]]
        rungs[1] |= fields
        return ProjectFile.model_validate(project.config | {"ladder": rungs})

    configure(project, changed(seeds=6, price=9.0), "ada")
    for fields in ({"budget": 9}, {"settings": {"size": 3}}, {"name": "M2"}):
        with pytest.raises(ProjectRefused, match="rung M has runs"):
            configure(project, changed(**fields), "ada")


@pytest.mark.django_db
def test_a_rung_without_runs_may_change_or_go() -> None:
    project = make_project("free", ladder=CONFIG["ladder"])
    configure(project, ProjectFile.model_validate(project.config | {"ladder": CONFIG["ladder"][:2]}), "ada")
    project.refresh_from_db()
    assert [rung.name for rung in project.file.rungs] == ["S", "M"]


def test_the_documented_ladder_is_the_one_of_the_default_target() -> None:
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "ladder.md").read_text()
    block = text.split("```toml", 1)[1].split("```", 1)[0]
    assert read_project_file(block).ladder == ProjectFile.default_target().ladder
