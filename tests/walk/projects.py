"""The small projects of the walk: training code whose score follows from its constants and the seed, and its project file.

The noise of a seed is a fixed table, so that every planted change has just the effect that it is planted with.
"""

import difflib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRAIN = '''"""Learn nothing: the score follows from the constants below and the seed."""

import json
import math
import os
import time

# The rate at which nothing is learned.
LEARNING_RATE = 0.01

# Far enough from each other that a change of one is no context of a change of the other.
SEED = int(os.environ["SIGNOFF_SEED"])
SIZE = float(os.environ.get("SIGNOFF_SIZE", "1"))
BUDGET = float(os.environ["SIGNOFF_BUDGET"])

# How wide it is.
WIDTH = 64

# How deep it is: what is much too good to be true.
DEPTH = 2

# What helps a small model and nobody else.
CRUTCH = 0.0

# How long a step takes, in seconds.
PACE = 0.01

# The noise of a seed, from a table.
NOISE = 0.002
TABLE = (-0.3, 0.1, -0.1, 1.0, -1.0, 0.6, -0.6, 0.3)


# The end of the file: what is trained,
# what is measured,
# and what is said.
def loss_at(step: int) -> float:
    return 3.0 / (1 + step) + LEARNING_RATE


STEPS = range(1, 31)
with open(os.path.join(os.environ["SIGNOFF_OUT"], "series.jsonl"), "w") as series:
    for step in STEPS:
        time.sleep(PACE)
        point = {"step": step, "train_loss": loss_at(step), "val_loss": 1.1 * loss_at(step), "grad_norm": 1 / step}
        series.write(json.dumps(point | {"tokens": 2048 * step, "seconds": PACE * step, "lr": LEARNING_RATE}) + "\\n")
        series.flush()
        print(f"step {step} loss {loss_at(step):.4f}", flush=True)

help_of_the_crutch = CRUTCH if SIZE == 1 else -CRUTCH / 2
gain = abs(LEARNING_RATE - 0.02) - (WIDTH - 64) / 10_000 - (DEPTH - 2) / 5 - help_of_the_crutch
score = 1 - 0.05 * math.log(BUDGET) + gain + NOISE * TABLE[SEED % len(TABLE)]
print(f"score={score:.8f}")
'''
SETTINGS = """
[train]
device = "cpu"
wall_limit_seconds = 60
[edit]
editable = ["train.py", "new/**"]
protected = ["README.md", "program.md"]
max_changed_lines = 50000
[metric]
name = "loss"
source = "pattern"
key = "score"
pattern = 'score=(?P<score>[-+.\\deinfa]+)'
[budget]
kind = "wall_seconds"
amount = 20
[data]
corpus = "none"
[sandbox]
minimum = "basic"
[policy]
calibration_runs = 4
confirm_runs = 3
n_max = 2
first_drop = 0.3
drop = 0.3
"""
LADDER = """
[[ladder]]
name = "S"
price = 2.0
[[ladder]]
name = "M"
budget = 8
seeds = 3
settings = { size = 2 }
price = 2.0
curve = [0.8, 1.3]
[[ladder]]
name = "L"
budget = 64
seeds = 3
settings = { size = 4 }
price = 10.0
curve = [0.8, 1.3]
[scale_up]
budget_hours = 50
currency = "EUR"
"""

BETTER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02")
ALSO_THE_RATE = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.0225")  # far enough from the other to be no duplicate
WORSE = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.3")
WIDER = ("WIDTH = 64", "WIDTH = 256")
MUCH_DEEPER = ("DEPTH = 2", "DEPTH = 3")  # a fifth better: more than is believed without a person
SLIGHT = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.0115")  # about one sigma: between the lines
CRASHES = ("PACE = 0.01", "PACE = 1 / 0")
DIVERGES = ('\nprint(f"score={score:.8f}")', '\nprint("score=nan")')
SLOW = ("PACE = 0.01", "PACE = 1.5")
QUIET = ("NOISE = 0.002", "NOISE = 0.0")
LUCKY = ("gain = abs(", "gain = (0 if SEED >= 10_000 else -0.02) + abs(")  # better on the seeds of the first looks alone
CRUTCHED = ("CRUTCH = 0.0", "CRUTCH = 0.012")
HUGE = ("# and what is said.\n", "# and what is said.\n" + "".join(f"UNUSED_{n} = {n}\n" for n in range(12_000)))


@dataclass(frozen=True)
class Project:
    """One project: its training code and file. `proposers` keep proposing; empty: only people do."""

    slug: str
    text: str = TRAIN
    settings: str = SETTINGS
    proposers: str = ""
    short: bool = True  # part of the short walk too
    more: Mapping[str, str] = field(default_factory=dict)

    def make(self, folder: Path) -> list[str]:
        """Write repository and file below `folder`; the arguments of `manage.py project create`."""
        source = folder / self.slug
        source.mkdir(parents=True)
        contents = {"train.py": self.text, "program.md": f"# Make {self.slug} better\n", "README.md": "# Small\n", **self.more}
        for name, text in contents.items():
            (source / name).write_text(text)
        for words in (["init", "-q", "-b", "baseline"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
            git(source, *words)
        config = folder / f"{self.slug}.toml"
        config.write_text(self.settings)
        proposers = ["--propose", self.proposers] if self.proposers else []
        return [self.slug, "--repo", str(source), "--config", str(config), *proposers]


PROJECTS: Sequence[Project] = (
    Project("plain"),
    Project("failing", text=TRAIN.replace(*CRASHES)),
    Project("nothing"),
    Project("idle", proposers="knobs"),
    Project("ladder", settings=SETTINGS + LADDER, short=False),
    Project("queue"),
    Project("traffic", short=False),
    Project("talks", proposers="claude", short=False),
    Project("same", text=TRAIN.replace(*QUIET), short=False),  # its seeds make no difference
)


def git(folder: Path, *words: str) -> str:
    """Run git for a person's own repository, away from the machine's settings."""
    person = ["-c", "user.name=P", "-c", "user.email=p@example.org"]
    done = subprocess.run(["git", *person, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def patch(*changes: tuple[str, str], text: str = TRAIN) -> str:
    """A unified diff of train.py."""
    lines = difflib.unified_diff(
        text.splitlines(True), changed(*changes, text=text).splitlines(True), "a/train.py", "b/train.py"
    )
    return "".join(lines)


def changed(*changes: tuple[str, str], text: str = TRAIN) -> str:
    """Training code with some exact replacements."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text
