"""How a script gets its seed: an option, a variable, a place in its source, or not at all."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from research_app.survey.options import Options, reads_variable
from research_app.survey.sources import Module, Seen

SEEDERS = (
    "torch.manual_seed", "manual_seed", "set_seed", "seed_everything", "random.seed", "np.random.seed", "numpy.random.seed",
    "torch.random.manual_seed", "jax.random.PRNGKey", "jax.random.key", "random.PRNGKey", "accelerate.utils.set_seed",
)  # fmt: skip


@dataclass(frozen=True)
class FoundSeed:
    """What [seed] is to say, and the words that the command needs for it."""

    how: Literal["environment", "argument", "patch", "fixed"]
    comment: str
    words: tuple[str, ...] = ()
    file: str = ""
    text: str = ""
    put: str = ""


def seed_of(modules: Sequence[Module], options: Options) -> FoundSeed:
    """The way in which a run can be given its seed, the least intrusive first."""
    if seen := reads_variable(modules, "SIGNOFF_SEED"):
        return FoundSeed("environment", f"{seen} reads SIGNOFF_SEED")
    if option := options.named(r"(random_|global_|rng_|manual_)?seed"):
        word = options.word(option, "{seed}")
        return FoundSeed("argument", f"{option.seen} has the option {option.name}", (word,))
    seeded = [(module, call) for module in modules for name, call in module.calls() if name in SEEDERS]
    for wanted in ("torch.manual_seed", "manual_seed", ""):
        for module, call in seeded:
            if wanted in module.source_of(call) and (place := _place(module, call)):
                return place
    if seeded:
        module, call = seeded[0]
        return FoundSeed(
            "fixed", f'{module.seen(call)} seeds, but not with a number that stands there once: say where with "patch"'
        )
    return FoundSeed("fixed", "nothing seeds its random numbers: runs differ by what the device does not repeat, if at all")


def _place(module: Module, call: ast.Call) -> FoundSeed | None:
    """The text of a call that seeds with a number, where it stands once; with the start of its line where that is needed."""
    number = next((node for node in ast.walk(call) if isinstance(node, ast.Constant) and type(node.value) is int), None)
    name = next((node for node in call.args if isinstance(node, ast.Name)), None)
    if number is None and name is not None:
        return _place_of_constant(module, name.id)
    if number is None or not (text := module.source_of(call)) or "\n" in text or "{" in text:
        return None
    if module.text.count(text) != 1:
        text = module.text.split("\n")[call.lineno - 1].strip()
    if module.text.count(text) != 1 or "{" in text:
        return None
    put = re.sub(rf"(?<![\w.]){re.escape(str(number.value))}(?![\w.])", "{seed}", text, count=1)
    return FoundSeed("patch", f"{module.seen(call)} seeds with {number.value!r}", file=module.path, text=text, put=put)


def _place_of_constant(module: Module, name: str) -> FoundSeed | None:
    """The line at the top level that gives the name a number."""
    for statement in module.tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Constant):
            continue
        named = any(isinstance(each, ast.Name) and each.id == name for each in statement.targets)
        value, text = statement.value.value, module.source_of(statement)
        if named and isinstance(value, int) and module.text.count(text) == 1:
            seen, put = Seen(module.path, statement.lineno), text.replace(str(value), "{seed}")
            return FoundSeed("patch", f"{seen} seeds with {value}", file=module.path, text=text, put=put)
    return None
