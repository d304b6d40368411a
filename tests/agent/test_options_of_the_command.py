"""Options of the command as knobs: a tree may give them other values, tried, judged and landed like any change."""

import pytest

from agent.knobs import KnobsProposer
from agent.launched import Launched
from agent.proposal import Context, NothingToPropose
from research_app.loop.check import check
from research_app.loop.check.check import CheckFailed
from research_app.loop.propose import propose
from research_app.models import Candidate, Project, Run, Stage
from research_app.project_file.project_file import ProjectFile
from tests.small_project import FILE, TRAIN, drain, trained
from training.options import FILE as OPTIONS
from training.options import may_change, program_of, read_options, with_options

READING = TRAIN.replace("import random\n", "import random\nimport sys\n").replace(
    "LEARNING_RATE = 0.01\n", "LEARNING_RATE = float(sys.argv[1].partition('=')[2])\n"
)
COMMAND = ["python", "train.py", "--learning_rate=0.01", "--seed={seed}"]


@pytest.mark.parametrize(
    ("command", "script", "options"),
    [
        (["python", "train.py", "--a=1", "--b", "2", "--flag", "x"], "train.py", {"--a": "1", "--b": "2", "--flag": "x"}),
        (["uv", "run", "train.py", "config/a.py", "--lr=-1"], "train.py", {"--lr": "-1"}),
        (["torchrun", "--nproc_per_node=8", "-m", "a.b", "--", "--lr", "-1e-3"], "a/b.py", {"--lr": "-1e-3"}),
        (["python", "-u", "train.py", "model.lr=0.1", "+x=1", "++y=2"], "train.py", {"model.lr": "0.1", "+x": "1", "++y": "2"}),
        (["python", "train.py", "--flag", "--other"], "train.py", {"--flag": None, "--other": None}),
        (["bash", "run.sh", "--lr=1"], "", {"--lr": "1"}),
    ],
)  # fmt: skip
def test_what_of_a_command_reaches_the_code(command: list[str], script: str, options: dict[str, str | None]) -> None:
    program = program_of(command)
    assert program.script == script
    assert {option.name: option.value for option in program.options} == options


def test_words_that_belong_to_no_option_are_told_apart_from_values() -> None:
    assert program_of(["python", "train.py", "config/a.py", "--lr", "0.1", "b.yaml"]).plain == ("config/a.py", "b.yaml")


def test_a_file_of_options_gives_the_command_other_values() -> None:
    command = ["torchrun", "-m", "a.b", "--", "--depth", "4", "--lr=0.1", "--seed={seed}"]
    text = "# tried\n--depth=6\n\n--lr=0.2\n"
    assert with_options(command, text, [command]) == (
        "torchrun",
        "-m",
        "a.b",
        "--",
        "--depth",
        "6",
        "--lr=0.2",
        "--seed={seed}",
    )


@pytest.mark.parametrize("line", ["--seed=1", "--new=1", "--out_dir=/"])
def test_it_can_change_no_place_and_add_nothing(line: str) -> None:
    command = ["python", "train.py", "--depth=4", "--seed={seed}", "--out_dir={out}"]
    with pytest.raises(ValueError, match="which not every command"):
        with_options(command, line, [command])


def test_an_option_that_differs_between_rungs_is_not_its_to_change() -> None:
    commands = [["python", "train.py", "--depth=4", "--lr=0.1"], ["python", "train.py", "--depth=8", "--lr=0.1"]]
    assert set(may_change(commands)) == {"--lr"}


def test_a_line_that_is_no_option_is_named() -> None:
    with pytest.raises(ValueError, match=f"{OPTIONS}, line 2: write an option with its value"):
        read_options("--lr=0.1\nlr\n")


def proposed(files: dict[str, str], attempt: int = 1) -> tuple[str, str, str]:
    launched = Launched((("python", "train.py", "--depth=4", "--seed={seed}"),), complete=True, options_editable=True)
    [edit] = KnobsProposer().propose(Context(files, "", (), None, attempt, launched=launched)).edits
    return edit.path, edit.old, edit.new


def test_a_proposal_makes_the_file_adds_a_line_to_it_or_changes_one() -> None:
    path, old, new = proposed({"train.py": ""})
    assert (path, old) == (OPTIONS, "") and new.startswith("--depth=") and new.endswith("\n") and new != "--depth=4\n"
    path, old, new = proposed({"train.py": "", OPTIONS: "# ours"})
    assert old == "# ours" and new.startswith("# ours\n--depth=")
    path, old, new = proposed({"train.py": "", OPTIONS: "# ours\n--depth=9\n"})
    assert old == "--depth=9" and new.startswith("--depth=") and new != old


def project_with_options(editable: tuple[str, ...] = ("train.py", OPTIONS)) -> Project:
    config = FILE.model_dump(mode="json") | {"knobs": {"from": ["command"]}}
    config["train"] |= {"command": COMMAND}
    config["edit"] |= {"editable": editable}
    return trained("small", ProjectFile.model_validate(config), READING)


def submit(project: Project, text: str) -> Candidate:
    diff = f"--- /dev/null\n+++ b/{OPTIONS}\n@@ -0,0 +1 @@\n+{text}\n"
    candidate = check.submit(project, diff, "It learns faster", category="optimiser", author="ada")
    drain()
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


@pytest.mark.django_db(transaction=True)
def test_a_run_of_a_tree_with_options_is_started_with_them() -> None:
    project = project_with_options()
    candidate = submit(project, "--learning_rate=0.02")
    assert candidate.stage == Stage.READY, candidate.why
    mine = Run.objects.filter(patch_set__candidate=candidate).order_by("pk")[0]
    theirs = project.tip().runs.of_baseline().get(seed=mine.seed, budget_share=1.0)
    assert mine.score is not None and theirs.score is not None
    assert theirs.score - mine.score == pytest.approx(0.01)


@pytest.mark.django_db(transaction=True)
def test_options_that_it_may_not_change_are_refused_before_any_run() -> None:
    project = project_with_options()
    with pytest.raises(CheckFailed, match="gives --seed, which not every command"):
        submit(project, "--seed=7")


@pytest.mark.django_db(transaction=True)
def test_the_proposer_turns_the_options_of_the_command_where_the_file_is_editable() -> None:
    project = project_with_options()
    propose.open_round(project, ["knobs"], 1, "test")
    drain()
    [candidate] = project.candidates.all()
    assert candidate.title.startswith("--learning_rate 0.01 → "), candidate.title
    assert candidate.stage not in (Stage.INVALID, Stage.CRASHED), candidate.why


@pytest.mark.django_db(transaction=True)
def test_a_file_of_options_that_is_not_editable_is_no_place_for_knobs() -> None:
    project = project_with_options(editable=("train.py",))
    with pytest.raises(CheckFailed, match="not among the editable paths"):
        submit(project, "--learning_rate=0.03")
    with pytest.raises(NothingToPropose):
        KnobsProposer().propose(propose.context_of(project, project.tip()))
