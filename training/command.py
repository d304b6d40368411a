"""What is started for a run: its command, the variables that it sees, and what it may reach."""

from __future__ import annotations

import json
from pathlib import Path

from training.compile_cache import variables_of as cache_variables
from training.devices import masks_of, one_of, seen_as, several, visibility
from training.launch import filled, program, read_folders, variables
from training.process import clean_environment
from training.sandbox import Confinement, Level
from training.sandbox.packages import places_of
from training.spec import RunSpec, Scored
from training.text import TRAIN


def command_line(spec: RunSpec) -> list[str]:
    """The command with its interpreter and what its places stand for; the sandbox wraps this. Raises CannotLaunch."""
    values = places(spec)
    return [filled(word, values) for word in program(spec.command, spec.launch, max(1, len(masks_of(spec.device))))]


def places(spec: RunSpec) -> dict[str, str]:
    """What the places of commands and variables stand for in this run."""
    amount = spec.budget.amount
    whole = f"{amount:.0f}" if amount >= 1 and amount == int(amount) else repr(amount)
    own = {"out": str(spec.scratch), "data": str(spec.data)}
    return {**own, "seed": str(spec.seed), "device": seen_as(spec.device), "budget": whole}


def confinement_of(spec: RunSpec, level: Level) -> Confinement:
    """What the training command may reach."""
    return Confinement(
        level=level,
        readable=(spec.tree, spec.data, *spec.readable, *read_folders(spec.launch)),
        writable=spec.scratch,
        device=one_of(spec.device),
        memory_limit=spec.memory_limit,
        processes=spec.process_limit,
        file_size=spec.scratch_limit,
        scratch_size=spec.scratch_limit,
        hidden=(
            *(places_of(corpus_packages(spec.data)) if isinstance(spec.scoring, Scored) else ()),
            *((spec.data / TRAIN,) if spec.served else ()),
        ),
        loopback=several(spec.device)
        or (level is Level.strong and "torchrun" in (spec.command[0], spec.launch.launcher)),  # its processes meet there
        threads_only=level is not Level.none and spec.processes == 1 and not several(spec.device),
    )


def corpus_packages(visible: Path) -> list[str]:
    """The installed packages that the held-out text beside this folder was taken from, if it was."""
    record = visible.parent / "corpus.json"
    if not record.is_file():
        return []
    recipe = json.loads(record.read_text())["recipe"]
    return [name for names in recipe.values() for name in names if name.isidentifier()]


def run_environment(spec: RunSpec) -> dict[str, str]:
    """All that the training command sees of the environment: the clean one and the contract with prepare.py."""
    return clean_environment(
        spec.scratch,
        SIGNOFF_SEED=str(spec.seed),
        SIGNOFF_BUDGET_KIND=spec.budget.kind,
        SIGNOFF_BUDGET=repr(spec.budget.amount),
        SIGNOFF_DATA=str(spec.data),
        SIGNOFF_OUT=str(spec.scratch),
        SIGNOFF_DEVICE=seen_as(spec.device),
        SIGNOFF_SCALE=spec.scale,
        **({"SIGNOFF_CHECKPOINT_SECONDS": f"{spec.checkpoint_seconds:g}"} if spec.checkpoint_seconds else {}),
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
        **visibility(spec.device),
        **cache_variables(spec.launch.cache, spec.scratch),
        **spec.settings,
        **variables(spec.launch, places(spec)),
    )
