"""A small corpus, tiny training scripts, and a run of them: what the tests of `training/` share."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.corpus import CorpusInfo, build_corpus
from training.runner import run_training
from training.spec import Budget, Point, RunResult, RunSpec, Scored, SelfReported

TARGET = Path(__file__).parent.parent / "training" / "targets" / "default"
SOURCES = ("verse", "prose", "code")
SCORING = SelfReported("pattern", "score", r"^score: (?P<score>\S+)|^step (?P<step>\d+) loss (?P<loss>\S+)")
MIXTURE = '{"verse": 1.0, "prose": 1.0, "code": 1.0}'  # in place of the default target's


def small_corpus(folder: Path, pieces: int = 100) -> CorpusInfo:
    """Three sources of made-up text, some 300 KB each."""
    texts = folder / "texts"
    for name in SOURCES:
        letters = random.Random(name)
        words = ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(2, 9))) for _ in range(400)]
        (texts / name).mkdir(parents=True)
        for piece in range(pieces):
            lines = [" ".join(letters.choices(words, k=9)) for _ in range(60)]
            (texts / name / f"{piece:03}.txt").write_text("\n".join(lines) + "\n")
    return build_corpus(folder / "corpus", {name: [texts / name] for name in SOURCES})


def small_target(tree: Path) -> Path:
    """The default target with a model of a few thousand weights, for the sources of `small_corpus`."""
    shutil.copytree(TARGET, tree)
    source = (tree / "train.py").read_text()
    before, rest = source.split("MIXTURE = {", 1)
    source = f"{before}MIXTURE = {MIXTURE}{rest.split('}', 1)[1]}"
    for name, value in (("LAYERS", 1), ("WIDTH", 16), ("HEADS", 2), ("BATCH_SIZE", 4)):
        start = source.index(f"\n{name} = ") + 1
        source = f"{source[:start]}{name} = {value}{source[source.index(chr(10), start) :]}"
    (tree / "train.py").write_text(source)
    return tree


@dataclass
class Rig:
    """Runs scripts and trees against one corpus."""

    folder: Path
    corpus: CorpusInfo
    points: list[Point] = field(default_factory=list)

    def script(self, source: str, name: str = "script") -> Path:
        """A tree whose train.py is `source`."""
        tree = self.folder / name
        tree.mkdir(parents=True)
        (tree / "train.py").write_text(source)
        return tree

    def spec(self, tree: Path, **changes: object) -> RunSpec:
        scratch = self.folder / f"scratch-{len(list(self.folder.glob('scratch-*')))}"
        scratch.mkdir()
        values: dict[str, object] = {
            "run": 1,
            "tree": tree,
            "scratch": scratch,
            "command": ("python", "train.py"),
            "seed": 1,
            "device": "cpu",
            "budget": Budget("train_flops", 3e8),
            "wall_limit": 240.0,
            "data": self.corpus.visible,
            "scoring": Scored(self.corpus.gate),
            "served": True,
            "drawn": scratch.with_suffix(".json"),
        }
        return RunSpec(**{**values, **changes})  # type: ignore[arg-type]

    def budget_of(self, tokens: int) -> Budget:
        """What so many tokens cost the small target."""
        return Budget("train_flops", 67584.0 * tokens)

    def run(self, tree: Path, **changes: object) -> RunResult:
        self.points = []
        return run_training(self.spec(tree, **changes), self.points.extend, lambda: None)

    def run_script(self, source: str, **changes: object) -> RunResult:
        """Run a script as a self-reported project that prints `score: …`."""
        name = f"script-{len(list(self.folder.glob('script-*')))}"
        return self.run(self.script(source, name), **{"scoring": SCORING, **changes})


def values_of(points: Sequence[Point], name: str) -> list[float]:
    return [point.values[name] for point in points if name in point.values]
