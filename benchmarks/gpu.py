"""What Signoff does on a GPU, measured: `benchmarks/gpu.sh` runs this. Claims, and what they come to on this machine.

    python -m benchmarks.gpu [--out FOLDER] [--simulate]

`--simulate` goes the same way on a core, in seconds and with small sizes, where there is no GPU: then figures of a GPU are not
claimed. Each part prints a line; all of it stands in report.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from research_app.project_file.ladder import CUDA_SIZES
from training.compile_cache import CompileCache
from training.corpus import CorpusInfo, build_corpus
from training.devices import seen_as
from training.launch import Launch
from training.nvml import Gpu, Nvml, gpus_of_nvml, seen_through
from training.runner import run_training
from training.sandbox import Level, best_level
from training.spec import GIB, Budget, Outcome, Point, RunResult, RunSpec, Scored, SelfReported
from training.targets import DEFAULT

HERE = Path(__file__).parent
NAMES = ("~/.triton", "~/.cache/torchinductor")
SHARE = 0.98  # of a plain loop's tokens per second
SCORING = 0.05  # of a run of five minutes
FIVE_MINUTES = 300.0
BUSY = 0.90  # of the seconds of training steps
NEAR = 0.15  # by so much the runner's figures of the driver may differ from those taken beside it
STEPS = r"^step (?P<step>\d+) tokens (?P<tokens>\d+) seconds (?P<seconds>\S+)|^score: (?P<score>\S+)"
MASK = """
import os, torch
count = torch.cuda.device_count()
uuid = str(torch.cuda.get_device_properties(0).uuid) if count else ""
print("mask", os.environ.get("CUDA_VISIBLE_DEVICES", ""), os.environ["SIGNOFF_DEVICE"], count, uuid)
print("score: 1")
"""


class Missing(Exception):
    """There is no GPU to try it on; the message says what is missing."""


@dataclass
class Part:
    """One claim and what was found."""

    name: str
    held: bool | None  # None: not claimed here
    found: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Sizes:
    """How long and how large runs are: on a GPU, or on a core to see that all of it works."""

    seconds: float
    beside: float
    settings: dict[str, str]
    small: dict[str, str]

    @classmethod
    def of(cls, gpu: Gpu | None) -> Sizes:
        if gpu is None:
            return cls(6.0, 4.0, {}, {})
        size = next(size for size in CUDA_SIZES if gpu.memory >= size.memory)
        small = {"SIGNOFF_GROWTH": "8", "SIGNOFF_BATCH": "16"}
        return cls(60.0, 30.0, {"SIGNOFF_GROWTH": str(size.growth), "SIGNOFF_BATCH": "64"}, small)


class Rig:
    """Runs on one device, in a folder of their own, with compile caches that are kept between them."""

    def __init__(self, folder: Path, gpu: Gpu | None) -> None:
        self.folder, self.gpu, self.sizes = folder, gpu, Sizes.of(gpu)
        self.device = f"cuda:{gpu.mask}" if gpu else "cpu"
        self.corpus: CorpusInfo = build_corpus(folder / "corpus")
        self.cache = CompileCache(folder / "kept", NAMES)
        self.level = best_level(Level.none)
        self.number = 0

    def run(
        self,
        tree: Path,
        scoring: Scored | SelfReported,
        seconds: float,
        settings: dict[str, str],
        *words: str,
        shares: bool = False,
    ) -> tuple[RunResult, list[Point]]:
        """One run under a budget of seconds, and its points."""
        self.number += 1
        scratch = self.folder / f"run-{self.number}" / "scratch"
        scratch.mkdir(parents=True)
        self.cache.lay_out(scratch)
        scored = isinstance(scoring, Scored)
        spec = RunSpec(
            run=self.number, tree=tree, scratch=scratch, command=("python", *(words or ("train.py",))), seed=self.number,
            device=self.device, budget=Budget("wall_seconds", seconds), wall_limit=seconds + 180, first_step_limit=240,
            data=self.corpus.visible, scoring=scoring, served=scored, drawn=scratch.parent / "drawn.json", processes=256,
            memory_limit=32 * GIB, settings=settings, launch=Launch(cache=NAMES), level=self.level, shares_device=shares,
        )  # fmt: skip
        points: list[Point] = []
        result = run_training(spec, points.extend, lambda: None)
        if result.outcome != Outcome.completed:
            raise RuntimeError(f"{result.outcome}: {result.reason}\n{result.log[-2000:]}")
        self.cache.take_back(scratch)
        shutil.rmtree(scratch.parent, ignore_errors=True)
        return result, points

    def target(self, seconds: float, settings: dict[str, str], *, shares: bool = False) -> tuple[RunResult, list[Point]]:
        """The default target, scored."""
        return self.run(DEFAULT, Scored(self.corpus.gate), seconds, settings, shares=shares)

    def tree(self, **files: str) -> Path:
        """A tree of the default target with other files in it."""
        self.number += 1
        tree = self.folder / f"tree-{self.number}"
        shutil.copytree(DEFAULT, tree)
        for name, text in files.items():
            (tree / f"{name}.py").write_text(text)
        return tree


def speed(points: Sequence[Point]) -> float:
    """Tokens per second over the second half of a run: without start and compilation."""
    known = [(p.values["seconds"], p.values["tokens"]) for p in points if {"seconds", "tokens"} <= p.values.keys()]
    late = [each for each in known if each[0] >= known[-1][0] / 2]
    if len(late) < 3:
        raise RuntimeError(f"only {len(late)} points in the second half of a run")
    return (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0])


class Beside:
    """The driver's figures, taken beside the runner by a thread of our own."""

    def __init__(self, gpu: Gpu | None) -> None:
        self.gpu, self.busy, self.memory = gpu, list[float](), list[int]()
        self.began, self.times = time.monotonic(), list[float]()  # seconds since then, of each look
        self.energy = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Beside:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()

    def _look(self) -> None:
        if self.gpu is None:
            return
        with Nvml() as nvml:
            handle = nvml.handle(self.gpu.mask)
            if handle is None:
                return
            before, first = nvml.memory(handle)[0], nvml.energy(handle) or 0
            while not self.done.wait(0.2):
                self.times.append(time.monotonic() - self.began)
                self.busy.append(nvml.busy(handle) or 0.0)
                self.memory.append(nvml.memory(handle)[0] - before)
            self.energy = ((nvml.energy(handle) or 0) - first) / 1000


def masks(rig: Rig) -> list[Part]:
    """A run sees the one device that it leased, and that is the one that the driver calls so."""
    tree = rig.tree(train=MASK)
    result, _ = rig.run(tree, SelfReported("pattern", "score", STEPS), 30, {})
    line = next(line for line in result.log.split("\n") if line.startswith("mask"))
    if rig.gpu is None:
        return [Part("masks", None, line)]
    _, mask, device, count, uuid = line.split()
    right = (mask, device, count) == (rig.gpu.mask, "cuda:0", "1") and uuid in rig.gpu.uuid
    return [Part("masks", right, f"{line}; the driver says {rig.gpu.uuid}")]


def against_a_plain_loop(rig: Rig) -> list[Part]:
    """Tokens per second, utilisation, the driver's figures and the time of scoring, of the default target."""
    sizes, plain = rig.sizes, rig.tree(plain=(HERE / "gpu_plain_loop.py").read_text())
    rig.target(sizes.seconds / 3, sizes.settings)  # compiles
    with Beside(rig.gpu) as beside:
        result, points = rig.target(sizes.seconds, sizes.settings)
    own = speed(points)
    _, points = rig.run(plain, SelfReported("pattern", "score", STEPS), sizes.seconds, sizes.settings, "plain.py")
    simple = speed(points)
    share = own / simple
    facts, claimed = result.facts, rig.gpu is not None
    found = f"{own:,.0f} tokens/s, a plain loop {simple:,.0f}: {share:.1%} (at least {SHARE:.0%})"
    parts = [
        Part("tokens per second", share >= SHARE if claimed else None, found, {"share": share, "own": own, "plain": simple})
    ]
    scored = facts["score_seconds"] / FIVE_MINUTES
    said = f"{facts['score_seconds']:.2f} s, {scored:.2%} of a five-minute run (below {SCORING:.0%})"
    parts.append(Part("scoring", scored < SCORING if claimed else None, said, {"seconds": facts["score_seconds"]}))
    return [*parts, *figures_of_the_driver(facts, result.train_seconds, beside, claimed)]


def figures_of_the_driver(facts: Mapping[str, Any], seconds: float, beside: Beside, claimed: bool) -> list[Part]:
    """What the runner says that the GPU did, against what was seen beside it."""
    if not claimed or "device_busy_seconds" not in facts:
        return [Part("driver", None if not claimed else False, "the runner has no figures of a driver")]
    training = zip(beside.times, beside.busy, strict=True)  # what comes after it, scoring among it, is not of its steps
    half = [share for at, share in training if seconds / 2 <= at <= seconds - 1] or beside.busy
    busy = statistics.fmean(half)
    parts = [
        Part("utilisation", busy >= BUSY, f"{busy:.1%} in the second half of training (at least {BUSY:.0%})", {"busy": busy})
    ]
    pairs = {
        "busy seconds": (facts["device_busy_seconds"], sum(beside.busy) * 0.2),
        "memory, GiB": (facts["device_memory_bytes"] / GIB, max(beside.memory) / GIB),
        "energy, J": (facts.get("device_energy_joules", 0.0), beside.energy),
    }
    for name, (runner, ours) in pairs.items():
        near = abs(runner - ours) <= NEAR * max(runner, ours)
        parts.append(
            Part(f"driver: {name}", near, f"runner {runner:,.1f}, beside it {ours:,.1f}", {"runner": runner, "ours": ours})
        )
    return parts


def side_by_side(rig: Rig) -> list[Part]:
    """Two small runs on one GPU, against one alone: how much each is slower, and what both do together."""
    sizes = rig.sizes
    _, points = rig.target(sizes.beside, sizes.small)
    alone = speed(points)
    with ThreadPoolExecutor(2) as both:
        ran = [both.submit(rig.target, sizes.beside, sizes.small, shares=True) for _ in range(2)]
        speeds = [speed(each.result()[1]) for each in ran]
    slower, together = 1 - statistics.fmean(speeds) / alone, sum(speeds) / alone
    found = f"alone {alone:,.0f} tokens/s; two at once {speeds[0]:,.0f} and {speeds[1]:,.0f}: "
    found += f"each {slower:.0%} slower, together {together:.2f} times one"
    return [Part("two at once", None, found, {"alone": alone, "slower": slower, "together": together})]


def own_loop(rig: Rig) -> list[Part]:
    """A run in the shape of autoresearch: its summary is read, and its memory is what the driver says."""
    tree = rig.folder / "autoresearch"
    tree.mkdir()
    shutil.copyfile(HERE / "gpu_autoresearch.py", tree / "train.py")
    result, _ = rig.run(tree, SelfReported("autoresearch", "val_bpb"), 60, {})
    said, held = float(result.facts.get("peak_vram_mb", 0)) / 1024, result.facts.get("device_memory_bytes", 0) / GIB
    right = rig.gpu is None or 0 < said <= held
    found = f"val_bpb {result.score:.4f} after {result.train_seconds:.0f} s; it says {said:.2f} GiB, the driver {held:.2f} GiB"
    return [Part("autoresearch", right, found, {"said": said, "held": held})]


PARTS: tuple[Callable[[Rig], list[Part]], ...] = (masks, against_a_plain_loop, side_by_side, own_loop)


def gpu_here() -> Gpu:
    """The first GPU that this machine lets us use. Raises Missing."""
    found = seen_through(os.environ.get("CUDA_VISIBLE_DEVICES"), gpus_of_nvml())
    if not found:
        raise Missing(
            "No NVIDIA GPU is here: its driver's library (libnvidia-ml.so.1) names none that CUDA_VISIBLE_DEVICES leaves."
        )
    if not torch.cuda.is_available():
        raise Missing(f"{found[0].name} is here, and this torch ({torch.__version__}) cannot use it: install one with CUDA.")
    return found[0]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("gpu-report"))
    options.add_argument("--simulate", action="store_true", help="go through it on a core, without a GPU")
    chosen = options.parse_args()
    try:
        gpu = None if chosen.simulate else gpu_here()
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    began, parts = time.monotonic(), list[Part]()
    with tempfile.TemporaryDirectory(prefix="gpu-") as name:
        Path(name).chmod(0o755)
        rig = Rig(Path(name), gpu)
        print(
            f"{gpu.name if gpu else 'a core, simulated'}, seen as {seen_as(rig.device)}; torch {torch.__version__}",
            flush=True,
        )
        for part in PARTS:
            found = tried(part, rig)
            parts += found
            for each in found:
                mark = {True: "held", False: "NOT", None: "–"}[each.held]
                print(f"{time.monotonic() - began:5.0f} s  {mark:<5} {each.name}: {each.found}", flush=True)
            (chosen.out / "report.json").write_text(json.dumps([asdict(each) for each in parts], indent=1))
    return int(any(each.held is False for each in parts))


def tried(part: Callable[[Rig], list[Part]], rig: Rig) -> list[Part]:
    """A part that breaks is one that did not hold: the others are measured all the same."""
    try:
        return part(rig)
    except Exception as error:
        traceback.print_exc()
        return [Part(part.__name__.replace("_", " "), False, f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    sys.exit(main())
