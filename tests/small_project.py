"""A project whose runs take a tenth of a second, and a way to run the loop's steps without workers.

Its training code is real and is really trained by the runner as a process of its own; it just has little to learn: the
score follows from its constants and the seed.
"""

import difflib
import os
import shutil
import subprocess
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from research_app.access import Role, set_role
from research_app.loop import tasks
from research_app.loop.check import check
from research_app.loop.project.projects import create_project
from research_app.models import Candidate, Message, Project
from research_app.project_file.project_file import ProjectFile

TRAIN = '''"""Fit nothing, slowly: the loss falls with the steps, the score depends on the constants and the seed."""

import os
import random

LEARNING_RATE = 0.01

# Far enough from each other that a change of one is no context of a change of the other.
SEED = int(os.environ["SIGNOFF_SEED"])
NOISE = 0.001  # not a knob
STEPS = range(1, 21)  # not a knob

# How wide it is.
WIDTH = 64

# The end of the file: what is trained,
# what is measured,
# and what is said.
chance = random.Random(SEED * 7919 + WIDTH)
PENALTY = 0  # not a knob
for step in STEPS:
    print(f"step={step} train_loss={3 / step + LEARNING_RATE:.6f}")
score = 1 + abs(LEARNING_RATE - 0.02) - WIDTH / 1000 + chance.gauss(0, NOISE) + PENALTY
print(f"score={score:.8f}")
'''
NUMBER = r"[-+.\deinfa]+"
PATTERN = rf"step=(?P<step>\d+) train_loss=(?P<train_loss>{NUMBER})|score=(?P<score>{NUMBER})"
FILE = ProjectFile.model_validate(
    {
        "metric": {"name": "loss", "source": "pattern", "key": "score", "pattern": PATTERN},
        "data": {"corpus": "none"},
        "budget": {"kind": "wall_seconds", "amount": 20},
        "train": {"wall_limit_seconds": 20},
        "edit": {"protected": ["README.md"]},
        "policy": {"calibration_runs": 4, "confirm_runs": 3},
    }
)
BETTER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02")
WORSE = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.2")
WIDER = ("WIDTH = 64", "WIDTH = 128")
BAD_WHEN_WIDE = ("PENALTY = 0  # not a knob", "PENALTY = -0.05 if WIDTH < 100 else 5")
CRASHING = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 1 / 0")


def git(folder: Path, *words: str) -> str:
    """Run git for a person's own repository, away from the machine's settings."""
    who = {
        "GIT_AUTHOR_NAME": "P",
        "GIT_AUTHOR_EMAIL": "p@example.org",
        "GIT_COMMITTER_NAME": "P",
        "GIT_COMMITTER_EMAIL": "p@example.org",
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def source_repository(folder: Path, branch: str = "baseline", text: str = TRAIN) -> Path:
    """A repository as a person would bring it."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", branch)
    (folder / "train.py").write_text(text)
    (folder / "README.md").write_text("# Small\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def small_project(slug: str = "small") -> Project:
    """The project, its reference runs trained."""
    return trained(slug, FILE)


def trained(slug: str, file: ProjectFile, text: str = TRAIN) -> Project:
    """A project of this training code, its reference runs trained."""
    source = Path(settings.HOME) / "sources" / slug
    shutil.rmtree(source, ignore_errors=True)  # of an earlier test
    project = create_project(slug, source=str(source_repository(source, text=text)), file=file)
    drain()
    return project


def patch(*changes: tuple[str, str], text: str = TRAIN) -> str:
    """A unified diff of train.py with some exact replacements."""
    after = text
    for old, new in changes:
        assert after.count(old) == 1
        after = after.replace(old, new)
    lines = difflib.unified_diff(text.splitlines(True), after.splitlines(True), "a/train.py", "b/train.py")
    return "".join(lines)


def submit(project: Project, *changes: tuple[str, str], hypothesis: str = "It learns faster") -> Candidate:
    """Enter a change by hand and take it as far as it goes without a person."""
    candidate = check.submit(project, patch(*changes), hypothesis, category="optimiser", author="ada")
    drain()
    candidate.refresh_from_db()
    return candidate


def drain(limit: int = 200) -> list[str]:
    """Run the task of every unsent message in this process, in order, until there is none; what ran."""
    ran: list[str] = []
    while message := Message.objects.order_by("pk").first():
        assert len(ran) < limit, f"the loop does not come to rest: {ran[-10:]}"
        Message.objects.filter(pk=message.pk).delete()
        getattr(tasks, message.task)(message.object_id)
        ran.append(f"{message.task}({message.object_id})")
    return ran


def approver(name: str = "grace") -> User:
    """A person who may vote."""
    user, _ = User.objects.get_or_create(username=name)
    set_role(user, Role.APPROVER)
    return user
