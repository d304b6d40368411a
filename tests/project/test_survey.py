"""`project inspect`: a project file that is valid as it stands, with what was seen; nothing of the repository is run."""

import io
import time
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from research_app.project_file.project_file import ProjectFile, read_project_file
from research_app.survey.draft import NothingTrains, toml
from research_app.survey.look import inspect
from research_app.survey.output import pattern_of
from tests.real_shapes import SHAPES
from tests.small_project import git
from training.line_patterns import compiled


def repository(folder: Path, **files: str) -> Path:
    """A repository with these files, `__` for a slash and `_py` for `.py`."""
    for name, text in files.items():
        write(folder, name.replace("__", "/").replace("_DOT_", "."), text)
    return committed(folder)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def committed(folder: Path) -> Path:
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def seen(folder: Path) -> tuple[ProjectFile, str]:
    text = inspect(str(folder))
    return read_project_file(text), text


def of_shape(folder: Path, shape: str) -> tuple[ProjectFile, str]:
    for name, text in SHAPES[shape][0].items():
        write(folder, name, text)
    if shape == "autoresearch":
        write(folder, "uv.lock", "version = 1\n")
        write(folder, "pyproject.toml", '[project]\nname = "a"\nversion = "0"\n')
    return seen(committed(folder))


def test_autoresearch_is_seen(tmp_path: Path) -> None:
    file, text = of_shape(tmp_path, "autoresearch")
    assert (file.train.command, file.train.python) == (("python", "train.py"), "uv")
    assert file.train.read == ("~/.cache/autoresearch",) and file.baseline.branch == "main"
    assert (file.seed.how, file.seed.put) == ("patch", "random.seed({seed})")
    assert (file.metric.source, file.metric.key) == ("autoresearch", "val_bpb")
    assert file.metric.facts["device_memory"] == "peak_vram_mb MiB"
    assert (file.budget.kind, file.budget.counts, file.budget.amount) == ("own", "seconds", 300)
    assert file.edit.editable == ("train.py",)
    assert {"prepare.py", "pyproject.toml", "uv.lock", "program.md"} <= set(file.edit.protected)
    assert "# prepare.py line 5: MAX_SECONDS = 300" in text, "comments say where"


def test_nanogpt_is_seen(tmp_path: Path) -> None:
    file, _ = of_shape(tmp_path, "nanogpt")
    assert file.train.command == ("python", "train.py", "--out_dir={out}")
    assert (file.seed.how, file.seed.text, file.seed.put) == (
        "patch",
        "random.seed(1337 + seed_offset)",
        "random.seed({seed} + seed_offset)",
    )
    assert (file.metric.source, file.metric.key) == ("nanogpt", "val_loss")
    assert (file.budget.kind, file.budget.counts) == ("own", "steps")
    assert "configurator.py" in file.edit.protected


def test_nanochat_is_seen(tmp_path: Path) -> None:
    file, text = of_shape(tmp_path, "nanochat")
    assert file.train.directory == "chat" and file.train.command[:3] == ("python", "-m", "scripts.base_train")
    assert "--seed={seed}" in file.train.command and file.seed.how == "argument"
    assert file.metric.source == "nanochat" and "argparse, 3 options" in text


def test_modded_nanogpt_is_seen(tmp_path: Path) -> None:
    file, text = of_shape(tmp_path, "modded-nanogpt")
    assert file.train.command == ("torchrun", "--standalone", "--nproc_per_node=1", "train_gpt.py")
    assert file.train.writable_tree and file.seed.how == "environment"
    assert (file.metric.source, file.metric.key) == ("modded-nanogpt", "val_loss")
    assert "needs the variables that torchrun sets" in text


HYDRA = """
import hydra, torch
@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    torch.manual_seed(cfg.seed)
    for epoch in range(cfg.epochs):
        loss.backward()
        print(f"epoch {epoch} train loss {loss:.4f}")
        print(f"Epoch: {epoch} | val accuracy: {acc:.2f}%")
main()
"""


def test_hydra_and_printed_lines_are_seen(tmp_path: Path) -> None:
    file, _ = seen(repository(tmp_path, train_DOT_py=HYDRA, conf__config_DOT_yaml="seed: 1\nepochs: 3\nopt:\n  lr: 0.1\n"))
    assert file.train.command == ("python", "train.py", "seed={seed}")
    assert (file.metric.source, file.metric.key, file.metric.direction) == ("pattern", "val_accuracy", "higher")
    match = compiled(file.metric.pattern).search("Epoch: 3 | val accuracy: 71.25%")
    assert match and match["val_accuracy"] == "71.25" and match["step"] == "3"
    assert compiled(file.metric.pattern).search("epoch 3 train loss 0.5")
    assert (file.budget.kind, file.budget.counts) == ("own", "steps")


@pytest.mark.parametrize(
    ("lines", "source", "key", "file"),
    [
        ('log = open("m.jsonl", "a")\nlog.write(json.dumps({"step": 1, "val/loss": 2}))', "jsonl", "val/loss", "**/m.jsonl"),
        ('w = csv.writer(open(f"{out}/run.csv", "w"))\nw.writerow({"eval_loss": 1})', "csv", "eval_loss", "**/run.csv"),
        ('w = SummaryWriter("runs")\nw.add_scalar("loss/val", x, 1)', "tensorboard", "loss/val", ""),
        ('wandb.init()\nwandb.log({"val/bpb": x, "train/loss": y})', "wandb", "val/bpb", ""),
    ],
)  # fmt: skip
def test_files_that_are_written_are_seen(tmp_path: Path, lines: str, source: str, key: str, file: str) -> None:
    code = f"import json, csv, wandb\nfrom torch.utils.tensorboard import SummaryWriter\nloss.backward()\n{lines}\n"
    found, _ = seen(repository(tmp_path, train_DOT_py=code))
    assert (found.metric.source, found.metric.key, found.metric.file) == (source, key, file)


def test_a_script_in_a_folder_of_a_monorepo_is_run_there(tmp_path: Path) -> None:
    options = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--max-steps', default=10)\n"
    write(tmp_path, "experiments/gpt/train.py", f"{options}loss.backward()\nprint(f'val_loss {{x}}')\n")
    write(tmp_path, "experiments/gpt/requirements.txt", "torch\n")
    write(tmp_path, "README.md", "x")
    file, _ = seen(committed(tmp_path))
    assert file.train.directory == "experiments/gpt" and file.train.command == ("python", "train.py")
    assert file.edit.editable == ("experiments/gpt/train.py",)


def test_a_virtual_environment_beside_the_code_is_taken(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", ".venv\n")
    write(tmp_path, "train.py", "import torch\nloss.backward()\nprint(f'val_loss: {x}')\n")
    committed(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    file, _ = seen(tmp_path)
    assert file.train.python == str(tmp_path / ".venv")


def test_what_the_workers_interpreter_lacks_is_said(tmp_path: Path) -> None:
    _, text = seen(
        repository(tmp_path, train_DOT_py="import flash_attn_of_nowhere\nloss.backward()\nprint(f'val_loss: {x}')\n")
    )
    assert "lacks flash_attn_of_nowhere" in text


HOSTILE = [
    "import os\nos.system('touch /tmp/door-was-here')\nraise SystemExit(open('/tmp/door-was-here', 'w'))\n",
    "x = " + "(" * 5000 + ")" * 5000,
    "def f(:\n",
    "\0",
    "x = 'a\\nb' # \u202e [train]\nprint(f'val_loss: {x}') \n",
    'print(f\'{x}]"""\\n[train] val_loss {y}\')\nloss.backward()\n',
    'torch.manual_seed(42)  # "]\\n[edit]\nprint(f\'val "loss" {y}\')\nloss.backward()\n',
]


@pytest.mark.parametrize("code", HOSTILE)
def test_hostile_code_is_never_run_and_breaks_no_file(tmp_path: Path, code: str) -> None:
    folder = repository(tmp_path, train_DOT_py=code)
    with suppress(NothingTrains):
        seen(folder)
    assert not Path("/tmp/door-was-here").exists()


@pytest.mark.django_db
def test_the_command_prints_or_writes_once_and_says_what_is_wrong(tmp_path: Path) -> None:
    folder = repository(tmp_path / "source", train_DOT_py="loss.backward()\nprint(f'val_loss: {x}')\n")
    out = io.StringIO()
    call_command("project", "inspect", str(folder), stdout=out)
    assert read_project_file(out.getvalue()).metric.key == "val_loss"
    call_command("project", "inspect", str(folder), "--out", str(tmp_path / "p.toml"), stdout=out)
    assert read_project_file((tmp_path / "p.toml").read_text())
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("project", "inspect", str(folder), "--out", str(tmp_path / "p.toml"))
    with pytest.raises(CommandError, match="There is no git repository at"):
        call_command("project", "inspect", str(tmp_path))
    with pytest.raises(CommandError, match="has no branch other"):
        call_command("project", "inspect", str(folder), "--branch", "other")
    nothing = repository(tmp_path / "nothing", README_DOT_md="x")
    with pytest.raises(CommandError, match="No script here looks like it trains"):
        call_command("project", "inspect", str(nothing))


@pytest.mark.parametrize(
    ("shape", "line", "values"),
    [
        ("step \0 | loss \0", "step 12 | loss 3.5", {"step": "12", "loss": "3.5"}),
        ("[\0/\0] val loss: \0, ppl: \0", "[1/2] val loss: 3.5, ppl: 33", {"val_loss": "3.5", "ppl": "33"}),
        ("Iter \0: test acc=\0%", "Iter 5: test acc=12.5%", {"step": "5", "test_acc": "12.5"}),
    ],
)
def test_a_pattern_is_made_of_a_printed_line(shape: str, line: str, values: dict[str, str]) -> None:
    pattern, _ = pattern_of(shape)
    match = compiled(pattern).search(line)
    assert match and match.groupdict() == values


def test_texts_are_written_as_toml_reads_them() -> None:
    for text in ('a"b', "a'b", r"\d+ 'x'", r"\s(?P<x>\S+)", "ü\u202e", "tab\t"):
        assert read_project_file(f"[metric]\nname = {toml(text)}\n").metric.name == text if text.isprintable() else True


def test_of_two_scripts_the_one_is_taken_that_people_start(tmp_path: Path) -> None:
    for name in ("train_gpt.py", "train_gpt_medium.py", "small/train_gpt.py"):
        write(tmp_path, name, "loss.backward()\nprint(f'val_loss: {x}')\n")
    file, text = seen(committed(tmp_path))
    assert file.train.command == ("python", "train_gpt.py") and "train_gpt_medium.py" in text
    write(tmp_path, "run.sh", "torchrun --standalone --nproc_per_node=8 train_gpt_medium.py\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "How it is run")
    assert seen(tmp_path)[0].train.command == ("python", "train_gpt_medium.py")


def test_an_archive_of_a_thousand_runs_costs_no_minutes(tmp_path: Path) -> None:
    code = "loss.backward()\nprint(f'val_loss: {x}')\n"
    write(tmp_path, "train.py", code)
    for number in range(1500):
        write(tmp_path, f"records/{number % 40}/{number}/train_gpt.py", code + "x = [\n" + "    1,\n" * 300 + "]\n")
    committed(tmp_path)
    began = time.process_time()
    file, _ = seen(tmp_path)
    assert file.train.command == ("python", "train.py") and time.process_time() - began < 4


def test_of_a_folder_that_the_code_writes_in_only_what_it_reads_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os
def base():
    home = os.path.expanduser("~")
    cache = os.path.join(home, ".cache")
    place = os.path.join(cache, "nanochat")
    os.makedirs(place, exist_ok=True)
    return place
loss.backward()
print(f"val_loss: {x}")
"""
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    folder = repository(tmp_path / "source", train_DOT_py=code)
    assert seen(folder)[0].train.read == ("~/.cache/nanochat",), "not made yet"
    for name in ("base_data", "tokenizer", "base_checkpoints", "report", ".locks"):
        (tmp_path / "person" / ".cache" / "nanochat" / name).mkdir(parents=True)
    assert seen(folder)[0].train.read == ("~/.cache/nanochat/base_data", "~/.cache/nanochat/tokenizer")


@pytest.mark.django_db
def test_the_command_may_end_with_words_of_ones_own(tmp_path: Path) -> None:
    options = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--max-steps', default=10)\n"
    folder = repository(tmp_path, train_DOT_py=f"{options}loss.backward()\nprint(f'val_loss: {{x}}')\n")
    out = io.StringIO()
    call_command("project", "inspect", str(folder), "--words=--max-steps 3 --name='two words'", stdout=out)
    assert read_project_file(out.getvalue()).train.command[-3:] == ("--max-steps", "3", "--name=two words")
    assert "(max_steps = 3)" in out.getvalue()
    with pytest.raises(CommandError, match="--words is no words of a shell"):
        call_command("project", "inspect", str(folder), "--words='", stdout=out)


def test_a_package_in_a_folder_of_a_monorepo_is_run_where_its_imports_lie(tmp_path: Path) -> None:
    code = "from nanochat.common import banner\nloss.backward()\nprint(f'val_loss: {x}')\n"
    write(tmp_path, "chat/scripts/base_train.py", code)
    write(tmp_path, "chat/nanochat/common.py", "def banner(): pass\n")
    write(tmp_path, "other/nanochat/common.py", "def banner(): pass\n")
    file, _ = seen(committed(tmp_path))
    assert (file.train.directory, file.train.command) == ("chat", ("python", "-m", "scripts.base_train"))
    assert "chat/nanochat/common.py" in file.edit.editable


def test_variables_without_which_it_does_not_run_are_named(tmp_path: Path) -> None:
    code = """
import os
os.environ["OWN"] = "1"
own, rank, seed = os.environ["OWN"], os.environ["RANK"], os.environ["SIGNOFF_SEED"]
mode, root = os.environ["WANDB_MODE"], os.environ["DATA_ROOT"]
if own == "2":
    other = os.environ["OTHER"]
loss.backward()
print(f"val_loss: {x}")
"""
    file, text = seen(repository(tmp_path, train_DOT_py=code))
    assert file.train.env["WANDB_MODE"] == "offline"
    assert "# train.py line 5 needs the variable DATA_ROOT: give it in env" in text and text.count("needs the variable ") == 1


@pytest.mark.parametrize(("extras", "taken"), [("cpu = []\ngpu = []", ("cpu",)), ("dev = []", ()), ("", ()), ("= [", ())])
def test_the_extra_for_this_kind_of_device_is_taken_from_the_lock_file_s_project(
    tmp_path: Path, extras: str, taken: tuple[str, ...]
) -> None:
    write(tmp_path, "train.py", "loss.backward()\nprint(f'val_loss: {x}')\n")
    write(tmp_path, "uv.lock", "")
    write(tmp_path, "pyproject.toml", f"[project]\nname = 'x'\n[project.optional-dependencies]\n{extras}\n")
    file, _ = seen(committed(tmp_path))
    assert (file.train.python, file.train.extras) == ("uv", taken)
