"""Which script trains: by its name, its place and what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from research_app.survey.sources import Module, Sources, imports_of

ASIDE = re.compile(
    r"(^|/)(tests?|docs?|configs?|examples?|records?|archive|old|legacy|third_party|vendor|notebooks?|evals?)/", re.IGNORECASE
)
LOOP = re.compile(
    r"\.backward\(|optimizer\w*\.step\(|optimizers?\b.*\.step\(|Trainer\(|\.fit\(|jax\.value_and_grad|train_step\("
)
NOT_PRETRAINING = re.compile(r"(sft|rlhf|_rl\b|dpo|chat|finetun|sample|eval|bench|tok|tokenizer|prepare|export)", re.IGNORECASE)
TRAINS = {"train": 4.0, "main_train": 4.0, "pretrain": 4.0, "main": 1.0, "run": 1.0}


@dataclass(frozen=True)
class Entry:
    """The script, how it is started, and what else might have been meant."""

    module: Module
    command: tuple[str, ...]
    others: tuple[str, ...]
    root: str = "."  # the folder that it is run in


def entry_of(sources: Sources) -> Entry | None:
    """The script that trains; None where none looks like it."""
    own = [module for path in sources.python if not ASIDE.search(path) and (module := sources.module(path))]
    scores = {module.path: likeness(module) + started_by(sources, module.path) for module in own}
    likely = sorted(
        (path for path in scores if scores[path] > 0), key=lambda path: (-scores[path], path.count("/"), len(path), path)
    )
    if not likely:
        return None
    best = likely[0]
    module = next(module for module in own if module.path == best)
    root = root_of(sources, module)
    relative = str(PurePosixPath(best).relative_to(root)) if root != "." else best
    if "/" in relative and package_beside(sources, module, root):
        command: tuple[str, ...] = ("python", "-m", relative.removesuffix(".py").replace("/", "."))
    else:
        command = ("python", relative)
    return Entry(module, command, tuple(likely[1:6]), root)


def likeness(module: Module) -> float:
    """How much a file looks like the script that trains a model from nothing."""
    name = PurePosixPath(module.path).stem.lower()
    score = 0.0
    score += TRAINS.get(name, 3.0 if "train" in name else 0.0)
    score += 3.0 if LOOP.search(module.text) else 0.0
    score += 1.0 if "__main__" in module.text or "argparse" in module.text or "hydra.main" in module.text else 0.0
    score -= 3.0 if NOT_PRETRAINING.search(name) else 0.0
    score -= module.path.count("/") * 0.5
    return score - 2.0  # what only prepares, samples or evaluates stays below


def started_by(sources: Sources, path: str) -> float:
    """How surely people start this file: by a shell script, or as the README says."""
    name = re.escape(path.rpartition("/")[2]) if "/" not in path else re.escape(path.removesuffix(".py"))
    dotted_name = re.escape(path.removesuffix(".py").replace("/", "."))
    says = re.compile(rf"(?<![\w./-])(?:\./)?(?:{name}(?:\.py)?|{dotted_name})(?![\w/-])")
    scripts = (text for each, text in sources.texts.items() if each.endswith(".sh") and not ASIDE.search(each))
    if any(says.search(text) for text in scripts):
        return 1.0
    return 0.5 if says.search(sources.texts.get("README.md", "")) else 0.0


def root_of(sources: Sources, module: Module) -> str:
    """The folder that a script is run in: where what it imports lies, else that of its project files, else the repository's."""
    parents = list(PurePosixPath(module.path).parents)
    for parent in parents[1:]:  # beside the script Python finds it in any case
        if str(parent) != "." and package_beside(sources, module, str(parent)):
            return str(parent)
    for parent in PurePosixPath(module.path).parents:
        if any(str(parent / name) in sources.files for name in ("pyproject.toml", "uv.lock", "requirements.txt", "setup.py")):
            return str(parent)
    return "."


def package_beside(sources: Sources, module: Module, root: str) -> bool:
    """Whether a script in a folder imports what lies in the folder that it is run in: then `python -m` finds both."""
    prefix = "" if root == "." else f"{root}/"
    tops = {name.partition(".")[0] for name in imports_of(module)}
    return any(name.startswith(tuple(f"{prefix}{top}/" for top in tops)) or name in {f"{prefix}{top}.py" for top in tops}
               for name in sources.python)  # fmt: skip
