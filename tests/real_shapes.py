"""Small repositories of the shapes that people bring, each with its project file and a change of one of its constants."""

from collections.abc import Mapping

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
