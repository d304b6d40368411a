"""Repositories of the shapes that people bring, as they are: created with a project file alone, trained, a change judged."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from research_app.loop.attention.baseline_trouble import troubles_of_newest
from research_app.loop.check import check
from research_app.loop.check.check import CheckFailed
from research_app.loop.project.projects import ProjectRefused, create_project
from research_app.models import Candidate, Project, Run
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.small_project import drain, git, patch
from training.uv_environment import uv

pytestmark = pytest.mark.django_db

# karpathy/autoresearch: two files, uv, data below ~/.cache, a seed in the source, a budget that the code keeps itself.
AUTORESEARCH_PREPARE = '''"""Data and evaluation. Do not modify."""
import os

CACHE = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")
MAX_SECONDS = 300


def tokens():
    return open(os.path.join(CACHE, "tokenizer.txt")).read().split()
'''
AUTORESEARCH_TRAIN = '''"""Train."""
import random
import time

from prepare import MAX_SECONDS, tokens

DEPTH = 8  # layers
MATRIX_LR = 0.04
random.seed(42)
words = tokens()
began = time.time()
for step in range(5):
    loss = 9.0 - step - MATRIX_LR
    print(f"\\rstep {step:05d} ({100 * step / 5:.1f}%) | loss: {loss:.6f} | lrm: 1.00 | dt: 330ms | tok/sec: 1,588,751 "
          f"| mfu: 41.0% | epoch: 1 | remaining: 299s    ", end="", flush=True)
print()
print("---")
print(f"val_bpb:          {1.0 - MATRIX_LR + random.gauss(0, 0.001):.6f}")
print(f"training_seconds: {time.time() - began:.1f}")
print("peak_vram_mb:     45060.2")
print(f"depth:            {DEPTH}")
'''
AUTORESEARCH = """
[train]
command = ["uv", "run", "train.py"]
python = "uv"
read = ["~/.cache/autoresearch"]
[limits]
wall_seconds = 60
[seed]
how = "patch"
file = "train.py"
text = "random.seed(42)"
put = "random.seed({seed})"
[edit]
editable = ["train.py"]
protected = ["prepare.py"]
[metric]
source = "autoresearch"
"""

# karpathy/nanoGPT: configurator.py with --key=value, an out_dir in the tree.
CONFIGURATOR = """import sys
for arg in sys.argv[1:]:
    if "=" not in arg:
        exec(open(arg).read())
    else:
        key, val = arg[2:].split("=")
        try:
            globals()[key] = type(globals()[key])(eval(val)) if not isinstance(globals()[key], str) else val
        except NameError:
            globals()[key] = val
"""
NANOGPT_TRAIN = """import os
import random

out_dir = "out"
eval_interval = 250
learning_rate = 6e-4
max_iters = 500
seed_offset = 0
exec(open("configurator.py").read())
os.makedirs(out_dir, exist_ok=True)
random.seed(1337 + seed_offset)
for iter_num in range(0, max_iters + 1, eval_interval):
    val_loss = 4.1 - iter_num / 500 - learning_rate + random.gauss(0, 1e-3)
    print(f"step {iter_num}: train loss {4 - iter_num / 500:.4f}, val loss {val_loss:.4f}")
    print(f"iter {iter_num}: loss {4 - iter_num / 500:.4f}, time 12.34ms, mfu 1.20%")
    open(os.path.join(out_dir, "ckpt.pt"), "w").write("weights")
"""
NANOGPT = """
[train]
command = ["python", "train.py", "config/small.py", "--out_dir=out-shakespeare-char"]
writable_tree = true
[limits]
wall_seconds = 60
[seed]
how = "patch"
file = "train.py"
text = "1337 + seed_offset"
put = "{seed} + seed_offset"
[edit]
editable = ["train.py"]
protected = ["configurator.py"]
[metric]
source = "nanogpt"
key = "val_loss"
"""

# karpathy/nanochat: a package, argparse options, its own step lines.
NANOCHAT_TRAIN = """import argparse
import os
import random

from nanochat.common import banner

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--run", type=str, default="dummy")
args = parser.parse_args()
random.seed(args.seed)
banner(os.environ["WANDB_MODE"])
for step in range(3):
    print(f"step {step:05d}/00003 (0.00%) | loss: {11 - step:.6f} | lrm: 0.10 | dt: 9.00ms | tok/sec: 58,254 | bf16_mfu: 5.1")
print(f"Step 00003 | Validation bpb: {1.2 - args.depth / 1000 + random.gauss(0, 1e-3):.6f}")
print("Peak memory usage: 12345.67MiB")
"""
NANOCHAT = """
[train]
directory = "chat"
command = ["python", "-m", "scripts.base_train", "--depth=4", "--seed={seed}", "--run=dummy"]
env = { WANDB_MODE = "offline" }
[limits]
wall_seconds = 60
[seed]
how = "argument"
[edit]
editable = ["chat/scripts/*.py"]
protected = ["README.md"]
[metric]
source = "nanochat"
"""

# KellerJordan/modded-nanogpt: torchrun, a record of its own in logs/.
MODDED_TRAIN = """import os
import random
import uuid

rank = int(os.environ["RANK"])
random.seed(int(os.environ["SIGNOFF_SEED"]))
os.makedirs("logs", exist_ok=True)
record = open(f"logs/{uuid.uuid4()}.txt", "w")
cooldown = 0.4


def print0(text):
    if rank == 0:
        print(text, flush=True)
        print(text, file=record)


for step in range(0, 3):
    val_loss = 4.0 - step / 3 - cooldown / 10 + random.gauss(0, 1e-3)
    print0(f"step:{step}/2 val_loss:{val_loss:.4f} train_time:{step * 1000}ms step_avg:49.38ms")
"""
MODDED = """
[train]
command = ["torchrun", "--standalone", "--nproc_per_node=1", "train_gpt.py"]
writable_tree = true
[limits]
wall_seconds = 120
[edit]
editable = ["train_gpt.py"]
protected = []
[metric]
source = "modded-nanogpt"
key = "val_loss"
"""
REST = """
[budget]
kind = "wall_seconds"
amount = 60
[data]
corpus = "none"
[sandbox]
minimum = "strong"
[baseline]
runs = 2
[policy]
calibration_runs = 2
"""
SHAPES: Mapping[str, tuple[Mapping[str, str], str, tuple[str, str, str]]] = {
    "autoresearch": (
        {"train.py": AUTORESEARCH_TRAIN, "prepare.py": AUTORESEARCH_PREPARE, "program.md": "# Better\n"},
        AUTORESEARCH,
        ("train.py", "MATRIX_LR = 0.04", "MATRIX_LR = 0.05"),
    ),
    "nanogpt": (
        {"train.py": NANOGPT_TRAIN, "configurator.py": CONFIGURATOR, "config/small.py": "max_iters = 500\n"},
        NANOGPT,
        ("train.py", "learning_rate = 6e-4", "learning_rate = 5e-4"),
    ),
    "nanochat": (
        {
            "chat/scripts/base_train.py": NANOCHAT_TRAIN,
            "chat/scripts/__init__.py": "",
            "chat/nanochat/__init__.py": "",
            "chat/nanochat/common.py": "def banner(mode):\n    print('wandb is', mode)\n",
            "README.md": "# nanochat\n",
        },
        NANOCHAT,
        ("chat/scripts/base_train.py", "args.depth / 1000", "args.depth / 999"),
    ),
    "modded-nanogpt": ({"train_gpt.py": MODDED_TRAIN}, MODDED, ("train_gpt.py", "cooldown = 0.4", "cooldown = 0.5")),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home with data below ~/.cache."""
    folder = tmp_path / "person"
    (folder / ".cache" / "autoresearch").mkdir(parents=True)
    (folder / ".cache" / "autoresearch" / "tokenizer.txt").write_text("a b c")
    folder.chmod(0o700)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def bring(folder: Path, shape: str, file: str = "") -> Project:
    """The project of a repository of this shape, its baseline trained."""
    files, described, _ = SHAPES[shape]
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if shape == "autoresearch":
        (folder / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "0"\nrequires-python = ">=3.11"\n')
        subprocess.run([*uv(), "lock", "--offline", "--quiet"], cwd=folder, check=True)
    git(folder, "init", "-q", "-b", "baseline")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    project = create_project(shape, source=str(folder), file=read_project_file(file or described + REST))
    drain()
    return project


def submit(project: Project, shape: str) -> Candidate:
    path, old, new = SHAPES[shape][2]
    diff = patch((old, new), text=SHAPES[shape][0][path]).replace("train.py", path)
    return check.submit(project, diff, "It learns faster", category="optimiser", author="ada")


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_trained_as_it_is_and_a_first_change_is_judged(tmp_path: Path, home: Path, shape: str) -> None:
    project = bring(tmp_path / "source", shape)
    runs = list(Run.objects.filter(project=project))
    assert [run.outcome for run in runs] == ["completed"] * len(runs) and len(runs) >= 2, [run.reason for run in runs]
    assert len({run.score for run in runs}) == len(runs), "the seed reaches the training"
    assert all(run.sandbox_level == "strong" for run in runs)
    assert not troubles_of_newest([project])
    candidate = submit(project, shape)
    drain()
    candidate.refresh_from_db()
    measured = Run.objects.filter(patch_set__candidate=candidate)
    assert measured.exists() and all(run.outcome == "completed" for run in measured), [run.reason for run in measured]
    assert candidate.evidence is not None


@pytest.mark.slow
def test_what_the_sandbox_hides_is_said_with_the_key_in_the_inbox_and_can_be_mended(tmp_path: Path, home: Path) -> None:
    file = (AUTORESEARCH + REST).replace('read = ["~/.cache/autoresearch"]', "")
    project = bring(tmp_path / "source", "autoresearch", file)
    trouble = troubles_of_newest([project])[project.pk]
    assert (
        "the sandbox hides it" in trouble.sentence
        and '[train] read = ["~/.cache/autoresearch/tokenizer.txt"]' in trouble.sentence
    )
    assert "project configure" in trouble.mend


# The seed.


def refused(seed: str, command: str = "") -> str:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(f"[seed]\n{seed}\n[train]\n{command}\n", "project.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ('how = "always"', "line 2: seed.how"),
        ('how = "argument"', 'no word of [train] command or env holds {seed}: write for example "--seed={seed}"'),
        ('how = "patch"', 'needs file, text and put, for example file = "train.py"'),
        ('how = "patch"\nfile = "a.py"\ntext = "x"\nput = "y"', "put must hold {seed}"),
        ('how = "patch"\nfile = "a.py"\ntext = "x"\nput = "{sede}"', "nothing is known to put into {sede}"),
        ('file = "a.py"', 'file belongs to how = "patch", not to how = "environment"'),
    ],
)
def test_a_seed_that_cannot_arrive_is_refused_with_its_line_and_an_example(seed: str, said: str) -> None:
    found = refused(seed)
    assert said in found and "project.toml, line " in found, found


def test_a_place_that_the_source_does_not_have_is_said_at_creation_and_of_a_change(tmp_path: Path, home: Path) -> None:
    file = (NANOGPT + REST).replace('text = "1337 + seed_offset"', 'text = "1338 + seed_offset"')
    with pytest.raises(ProjectRefused, match=r"'1338 \+ seed_offset' does not stand in train.py; it must stand there once"):
        bring(tmp_path / "wrong", "nanogpt", file)
    project = bring(tmp_path / "source", "nanogpt")
    diff = patch(("1337 + seed_offset", "7"), text=NANOGPT_TRAIN)
    with pytest.raises(CheckFailed, match=r"does not stand in train.py; it must stand there once"):
        check.submit(project, diff, "A lucky seed", category="optimiser", author="ada")


def test_a_seed_that_does_not_arrive_is_said_with_what_to_do(tmp_path: Path, home: Path) -> None:
    file = (NANOGPT + REST).partition("[seed]")[0] + "[edit]" + (NANOGPT + REST).partition("[edit]")[2]
    project = bring(tmp_path / "source", "nanogpt", file)
    trouble = troubles_of_newest([project])[project.pk]
    assert trouble.kind == "seed" and '[seed] how = "argument" or "patch"' in trouble.advice


@pytest.mark.parametrize("source", ["nanogpt", "modded-nanogpt"])
def test_a_metric_that_the_format_does_not_print_is_refused(source: str) -> None:
    with pytest.raises(ProjectFileError, match=f'{source} prints val_loss and train_loss, not val_bpb: write key = "val_loss"'):
        read_project_file(f'[metric]\nsource = "{source}"\n')
