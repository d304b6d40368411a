"""One cheat as a file, and the outcome of the default target's train.py with it."""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.training_samples import TARGET

CORPUS = Path(__file__).with_name("corpus")
TRAIN = "train.py"
HONEST = "honest"

# Where code of a cheat goes: the line before which it stands, and how far it is indented. Each line stands there once.
PLACES = {
    "imports": ("\n# Model\n", 0),
    "functions": ("def build_optimiser(model: nn.Module)", 0),
    "in init": ("        self.apply(self.initialise)\n", 8),
    "methods": ("    def forward(self, tokens: torch.Tensor) -> torch.Tensor:\n        positions", 4),
    "begin": ("    run = prepare.start()\n", 4),
    "before the loop": ("    for _, progress in run.training_steps(model):", 4),
    "before the step": ("        inputs, targets = run.batch(BATCH_SIZE, MIXTURE)\n", 8),
    "in the step": ("    run.finish(model)\n", 8),
    "after the loop": ("    run.finish(model)\n", 4),
    "in forward": ("        return self.head(self.norm(x))\n", 8),  # after `logits`, which it may change
    "at the end": ('\n\nif __name__ == "__main__":', 4),
}
WITH_LOGITS = (
    "        return self.head(self.norm(x))\n",
    "        logits = self.head(self.norm(x))\n{code}        return logits\n",
)

# What many cheats do with what they gain: steps on text that is drawn, or that was drawn before.
INCLUDED = {
    "more": """
def more(run, model, optimiser, steps: int) -> None:
    for _ in range(steps):
        text = torch.from_numpy(run.text.draw(BATCH_SIZE, MIXTURE, prepare.CONTEXT + 1))
        again = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
        optimiser.zero_grad()
        again.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimiser.step()
""",
    "again": """
DRAWN = []


def again(model, optimiser, steps: int) -> None:
    for number in range(steps):
        inputs, targets = DRAWN[-1 - number % min(len(DRAWN), 500)]
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimiser.step()
""",
}


class BadCheat(Exception):
    """A file of the corpus cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Cheat:
    """One entry of the corpus: what it does, what it gains where nobody stops it, and what must stop it."""

    kind: str
    name: str
    does: str
    gain: str
    stops: str
    edits: tuple[tuple[str, str], ...]  # place -> code
    replaced: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()  # path -> content, beside train.py

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    def applied(self, source: str | None = None) -> dict[str, str]:
        """The files that it changes, by path. Raises BadCheat when a place is not there once."""
        text = source or (TARGET / TRAIN).read_text()
        for old, new in self.replaced:
            text = _once(text, old, new, self)
        for place, code in self.edits:
            text = self._placed(text, place, code)
        return {TRAIN: text, **dict(self.files)}

    def patch(self, variant: str | None = None) -> str:
        """A unified diff against the default target; `variant` is another train.py that does the same."""
        files = self.applied()
        if variant is not None:
            files[TRAIN] = variant
        return "".join(_diff(path, text) for path, text in files.items())

    def _placed(self, text: str, place: str, code: str) -> str:
        before, indent = PLACES[place]
        block = textwrap.indent(code.strip("\n") + "\n", " " * indent)
        if place == "in forward":
            return _once(text, WITH_LOGITS[0], WITH_LOGITS[1].format(code=block), self)
        if place == "at the end":
            return _once(text, before, block + before, self)
        return _once(text, before, block + ("\n\n" if place in ("functions", "imports") else "") + before, self)


def corpus(folder: Path = CORPUS) -> list[Cheat]:
    """Every cheat, by kind and name; the honest changes under the kind HONEST."""
    return [read(path) for path in sorted(folder.glob("*/*.cheat"))]


def read(path: Path) -> Cheat:
    """A file of the corpus: `does`, `gain` and `stops`, then sections `@@ place`, `@@ include name`, `@@ file path`,
    or `@@ old` with `@@ new`. Raises BadCheat."""
    head, *sections = path.read_text(encoding="utf-8").split("\n@@ ")
    words = dict(line.split(": ", 1) for line in head.strip().splitlines())
    edits: list[tuple[str, str]] = []
    replaced: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    old = ""
    for section in sections:
        title, _, body = section.partition("\n")
        match title.split():
            case ["old"]:
                old = body
            case ["new"]:
                replaced.append((old.strip("\n"), body.strip("\n")))
            case ["file", name]:
                files.append((name, body))
            case ["include", name]:
                edits.append(("functions", INCLUDED[name]))
            case _ if title in PLACES:
                edits.append((title, body))
            case _:
                raise BadCheat(f"{path}: nobody knows the place {title!r}")
    missing = [word for word in ("does", "gain", "stops") if word not in words]
    if missing or not (edits or replaced or files):
        raise BadCheat(f"{path}: {', '.join(missing) or 'a change'} is missing")
    kind, name = path.parent.name.replace("-", " "), path.stem.replace("-", " ")
    return Cheat(kind, name, words["does"], words["gain"], words["stops"], tuple(edits), tuple(replaced), tuple(files))


def _once(text: str, old: str, new: str, cheat: Cheat) -> str:
    if text.count(old) != 1:
        raise BadCheat(f"{cheat}: {old!r} stands {text.count(old)} times in train.py")
    return text.replace(old, new)


def _diff(path: str, text: str) -> str:
    before = (TARGET / path).read_text() if (TARGET / path).is_file() else ""
    lines = difflib.unified_diff(
        before.splitlines(True), text.splitlines(True), f"a/{path}" if before else "/dev/null", f"b/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
