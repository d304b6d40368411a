"""`project try`: two seeds and a repeat in the sandbox, and what to do for each thing that stands in the way."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from research_app.loop.project.try_project import try_out
from research_app.loop.project.try_report import TryReport
from research_app.project_file.project_file import read_project_file
from tests.real_shapes import NANOGPT, SHAPES
from tests.small_project import git
from training.denied import denied
from training.matched import lines_of
from training.spec import SelfReported

CODE = """
import os, random
random.seed(int(os.environ["SIGNOFF_SEED"]))
for step in range(3):
    print(f"step {step}: train loss {4 - step:.4f}, val loss {3 - step + random.random():.4f}")
    print(f"iter {step}: loss {4 - step:.4f}, time 12.34ms, mfu 1.20%")
"""
FILE = """
[train]
{train}
[limits]
wall_seconds = {wall}
[metric]
source = "nanogpt"
key = "val_loss"
[budget]
kind = "own"
counts = "steps"
{budget}
[data]
corpus = "none"
[baseline]
branch = "main"
[edit]
editable = ["train.py"]
protected = []
"""


def tried(
    folder: Path, code: str = CODE, *, train: str = "", key: str = "val_loss", budget: str = "", wall: int = 30
) -> TryReport:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(code)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    return try_out(str(folder), read_project_file(FILE.format(train=train, budget=budget, wall=wall)))


def answers(report: TryReport) -> dict[str, tuple[bool | None, str, str]]:
    return {check.question: (check.good, check.answer, check.mend) for check in report.checks}


DEPTH = 'command = ["python", "train.py", "--depth=3"]'
STARTED, READ = "Did it start, and end well?", "Is val_loss read?"
SEED, REPEAT = "Does the seed change the result?", "Is a repeat of one seed identical?"
BUDGET, NOISE = "What does the budget come to?", "How large is the noise?"


@pytest.mark.slow
def test_what_works_is_said_with_figures_and_the_lines_that_were_read(tmp_path: Path) -> None:
    report = tried(tmp_path, budget="amount = 3")
    found = answers(report)
    assert report.good and [run.words for run in report.runs] == ["seed 1", "seed 2", "seed 1 again"]
    assert found[STARTED][0] and "sandbox of level" in found[STARTED][1]
    assert found[READ][0] and "val_loss = " in found[READ][1] and "train_loss (3 points)" in found[READ][1]
    assert found[BUDGET] == (True, "The code keeps it itself: 3, 3, 3 steps, of 3.", "")
    assert found[SEED][0] and "Seed 1: " in found[SEED][1] and found[REPEAT][:2] == (True, "Yes, score and curves.")
    assert found[NOISE][0] is None and "from two seeds" in found[NOISE][1]
    assert report.runs[0].lines[0].values == {"step": 0.0, "train_loss": 4.0, "val_loss": pytest.approx(3.1344)}
    assert TryReport.model_validate(report.model_dump(mode="json")) == report


@pytest.mark.slow
def test_what_runs_will_not_have_stands_first(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("train.py")
    report = tried(tmp_path)
    assert report.checks[0].question == "Do runs have all of the repository?" and report.good
    assert report.checks[0].answer.startswith("1 symbolic link (latest): runs do not have them.")


@pytest.mark.slow
def test_a_seed_that_does_not_arrive_and_one_that_shows_in_more_digits_alone(tmp_path: Path) -> None:
    fixed = tried(tmp_path / "fixed", CODE.replace('int(os.environ["SIGNOFF_SEED"])', "42"))
    good, answer, mend = answers(fixed)[SEED]
    assert good is False and "Both seeds gave" in answer and '[seed] how = "environment" does not reach the code' in mend
    assert not fixed.good
    rounded = tried(tmp_path / "rounded", CODE.replace("val loss {3 - step + random.random():.4f}", "val loss {3 - step:.0f}")
                    .replace("iter {step}: loss {4 - step:.4f}", "iter {step}: loss {random.random():.4f}"))  # fmt: skip
    good, answer, mend = answers(rounded)[SEED]
    assert good is False and "The curves differ" in answer and "more digits" in mend


@pytest.mark.slow
def test_a_repeat_that_differs_is_noise(tmp_path: Path) -> None:
    report = tried(tmp_path, CODE.replace("random.random()", "random.SystemRandom().random()"))
    good, answer, _ = answers(report)[REPEAT]
    assert report.good and good is None and "does not repeat" in answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "more", "question", "said", "mend"),
    [
        ("import not_to_be_found", {}, STARTED, "failed with exit code 1", "its interpreter has no module not_to_be_found"),
        ("open('out.txt', 'w')", {}, STARTED, "failed with exit code 1", "[train] writable_tree = true"),
        ("open('/root/.cache/x')", {}, STARTED, "exit code 1", "[train] read"),
        ("import socket; socket.create_connection(('example.org', 80))", {}, STARTED, "exit code 1", "no network"),
        ("import argparse; argparse.ArgumentParser().parse_args()", {"train": DEPTH}, STARTED,
         "exit code 2", "it does not take --depth=3: [train] command"),
        ("import os; os.environ['RANK']", {}, STARTED, "exit code 1", "torchrun"),
        ("import os; os.environ['DATA_ROOT']", {}, STARTED, "exit code 1", "it needs the variable DATA_ROOT: [train] env"),
        ("import subprocess; subprocess.run(['true'])", {}, STARTED, "processes = 8", "[train] processes"),
        ("import time; time.sleep(60)", {"wall": 1}, STARTED, "Still running after its limit", "[limits] wall_seconds"),
        ("x = bytearray(8 << 30)", {}, STARTED, "emory", "[limits] host_memory_gb"),
        ("print('step 1: train loss nan, val loss nan')", {}, STARTED, "diverged", "Its loss is no number"),
        ("print('done')", {}, READ, "without printing its metric 'val_loss'", "[metric] source and key"),
        ("print('done')", {"train": 'command = ["nanny"]'}, STARTED, "exit code 127", "nanny cannot be started"),
    ],
)  # fmt: skip
def test_each_failure_says_what_to_write(
    tmp_path: Path, code: str, more: dict[str, str], question: str, said: str, mend: str
) -> None:
    report = tried(tmp_path, code, **more)  # type: ignore[arg-type]
    good, answer, found = answers(report)[question]
    assert good is False and not report.good and len(report.runs) == 1, "the other runs would fail as well"
    assert said in answer and mend in found, (answer, found)


@pytest.mark.slow
def test_what_stands_in_the_way_before_anything_ran_is_said(tmp_path: Path) -> None:
    file = read_project_file(FILE.format(train="", budget="", wall=9))
    assert "There is no git repository at" in try_out(str(tmp_path), file).failed
    missing = tried(tmp_path / "a", train='read = ["/nowhere/at/all"]')
    assert "[train] read names /nowhere/at/all, and there is no" in missing.failed
    other = tried(tmp_path / "b", train='python = "/nowhere/venv"')
    assert "[train] python names /nowhere/venv" in other.failed
    assert "[train] directory is x" in tried(tmp_path / "c", train='directory = "x"').failed


@pytest.mark.slow
@pytest.mark.django_db
def test_the_command_shows_lines_and_checks_and_fails_where_nothing_can_be_made_of_it(tmp_path: Path) -> None:
    for name, text in SHAPES["nanogpt"][0].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    described = NANOGPT.replace(
        "[edit]", '[baseline]\nbranch = "main"\n[data]\ncorpus = "none"\n[budget]\nkind = "own"\n[edit]'
    )
    config, out = tmp_path.parent / "project.toml", io.StringIO()
    config.write_text(described)
    call_command("project", "try", str(config), "--repo", str(tmp_path), stdout=out)
    said = out.getvalue()
    assert "> step 0: train loss 4.0000, val loss" in said and "yes Does the seed change the result?" in said
    assert f"It can be created: project create NAME --repo {tmp_path} --config {config}" in said
    config.write_text(described.replace("val_loss", "train_loss").replace("{seed} + seed_offset", "0 * {seed}"))
    with pytest.raises(CommandError, match="Not yet: mend what is marked NO"):
        call_command("project", "try", str(config), "--repo", str(tmp_path), stdout=out)
    assert "NO  Does the seed change the result?" in out.getvalue()
    config.write_text("[trian]\n")
    with pytest.raises(CommandError, match="line 1"):
        call_command("project", "try", str(config), "--repo", str(tmp_path))


def test_what_was_denied_is_found_once_each_and_bounded() -> None:
    log = "\n".join([f"PermissionError: [Errno 13] Permission denied: '/secret/{n}'" for n in range(100)] * 2)
    assert len(denied(log)) == 8 and len({each.what for each in denied(log)}) == 8
    assert denied("all is well") == []


def test_of_a_long_log_what_was_read_and_the_end_are_shown() -> None:
    log = "\n".join(["noise"] * 500 + ["step 1: train loss 2, val loss 3"] + ["noise"] * 500 + ["the end"])
    lines = lines_of(log, SelfReported("nanogpt", "val_loss"), 10)
    assert len(lines) <= 10 and lines[0].values["val_loss"] == 3 and lines[-1].text == "the end"


@pytest.mark.slow
def test_a_limit_of_device_memory_that_nobody_can_hold_is_said(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CODE)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    text = FILE.format(train="", budget="", wall=30).replace("wall_seconds", "device_memory_gb = 40\nwall_seconds")
    good, answer, _ = answers(try_out(str(tmp_path), read_project_file(text)))["Is device memory held to its limit?"]
    assert good is None and "device_memory_gb = 40 cannot be held here" in answer and "NVML" in answer
