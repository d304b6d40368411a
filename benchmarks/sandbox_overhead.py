"""Measures what sandbox and scorer add to a run of the default target, against the bare training process.

    python -m benchmarks.sandbox_overhead [--pairs 5] [--level strong] [--budget FLOPS] [--corpus FOLDER]

Bare and full runs alternate, each pair in the other order than the last, so that a machine that slows down or is shared hits
both alike. Prints the seconds of each, what is added in the median pair, and what the entry into each level alone costs.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from training.command import run_environment
from training.corpus import CorpusInfo, build_corpus
from training.process import clean_environment
from training.runner import run_training
from training.sandbox import Confinement, Level, best_level, confined
from training.spec import GIB, Budget, Outcome, RunSpec, Scored
from training.targets import BUDGET_FLOPS, DEFAULT

ENTRIES = 20  # starts of an empty command at each level
MOST_SECONDS, MOST_SHARE = 1.0, 0.05  # what sandbox and scorer together may add


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--level", type=Level, default=Level.strong)
    options.add_argument("--budget", type=float, default=BUDGET_FLOPS, help="training FLOPs of a run")
    options.add_argument("--corpus", type=Path, help="folder of a corpus, built when it is not there (default: a new one)")
    chosen = options.parse_args()
    best_level(chosen.level)  # found once by a worker, so not a part of a run
    with tempfile.TemporaryDirectory(prefix="sandbox-overhead-") as work:
        folder = Path(work)
        folder.chmod(0o755)
        entries(folder)
        corpus = build_corpus(chosen.corpus or folder / "corpus")
        pairs = []
        for number in range(chosen.pairs):
            spec = spec_of(folder, corpus, number, chosen.level, chosen.budget)
            steps = [bare, full] if number % 2 == 0 else [full, bare]
            found = {step.__name__: step(spec) for step in steps}
            pairs.append((found["bare"], found["full"]))
            print(f"pair {number + 1}: bare {found['bare']}, full {found['full']}", flush=True)
    report(pairs)


@dataclass(frozen=True)
class Measured:
    """Seconds of one run: all of it, what came after training, and the processor time of training."""

    whole: float
    after: float
    processor: float

    def __str__(self) -> str:
        return f"{self.whole:.2f} s ({self.after:.2f} s after training; training took {self.processor:.2f} s of processor time)"


def entries(folder: Path) -> None:
    """Seconds to run an empty command at each level."""
    scratch = folder / "entry"
    scratch.mkdir()
    for level in Level:
        kept = Confinement(level, (folder,), scratch, "cpu", GIB, 64, GIB, GIB)
        seconds = []
        for _ in range(ENTRIES):
            started = time.monotonic()
            subprocess.run(confined(["true"], kept), cwd=scratch, env=clean_environment(scratch), check=True)
            seconds.append(time.monotonic() - started)
        print(f"an empty command at level {level}: {1000 * statistics.median(seconds):.1f} ms", flush=True)


def spec_of(folder: Path, corpus: CorpusInfo, number: int, level: Level, budget: float) -> RunSpec:
    home = folder / f"run-{number}"
    shutil.copytree(DEFAULT, home / "tree")
    (home / "scratch").mkdir()
    return RunSpec(
        run=number,
        tree=home / "tree",
        scratch=home / "scratch",
        command=("python", "train.py"),
        seed=1,
        device="cpu",
        budget=Budget("train_flops", budget),
        wall_limit=600.0,
        data=corpus.visible,
        scoring=Scored(corpus.gate),
        level=level,
    )


def bare(spec: RunSpec) -> Measured:
    """The training command alone, as a plain process."""
    out = spec.scratch.with_name("bare")
    out.mkdir()
    environment = {**run_environment(spec), "SIGNOFF_OUT": str(out), "HOME": str(out), "TMPDIR": str(out)}
    used, started = processor_seconds(), time.monotonic()
    subprocess.run([sys.executable, "train.py"], cwd=spec.tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Measured(time.monotonic() - started, 0.0, processor_seconds() - used)


def full(spec: RunSpec) -> Measured:
    """The same run as a worker makes it: in the sandbox, followed, scored."""
    started = time.monotonic()
    result = run_training(spec, lambda points: None, lambda: None)
    if result.outcome is not Outcome.completed:
        raise SystemExit(f"the run did not complete: {result.reason}")
    whole = time.monotonic() - started
    return Measured(whole, whole - result.train_seconds, float(result.facts["cpu_seconds"]))


def processor_seconds() -> float:
    """Of all processes that were waited for so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(pairs: list[tuple[Measured, Measured]]) -> None:
    added = statistics.median(full.whole - bare.whole for bare, full in pairs)
    share = statistics.median(full.whole / bare.whole - 1 for bare, full in pairs)
    after = statistics.median(full.after for _, full in pairs)
    slower = statistics.median(full.processor / bare.processor - 1 for bare, full in pairs)
    alone = statistics.median(bare.whole for bare, _ in pairs)
    print(f"bare {alone:.2f} s; sandbox and scorer add {added:+.2f} s ({share:+.1%}) in the median of {len(pairs)} pairs")
    print(f"of that after training: {after:.2f} s; processor time of training in the sandbox: {slower:+.1%}")
    print(f"load average of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    within = added <= MOST_SECONDS and share <= MOST_SHARE
    print(f"{'within' if within else 'NOT within'} {MOST_SECONDS:g} s and {MOST_SHARE:.0%}")


if __name__ == "__main__":
    main()
