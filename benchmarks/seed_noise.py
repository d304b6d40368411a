"""Measures how much the default target's score varies from seed to seed, and what known changes are worth beside that.

    python -m benchmarks.seed_noise [--seeds 16] [--corpus FOLDER] [--changes]

Prints mean, standard deviation with its 95% interval, seconds per run and their parts; with --changes, the effect of a few
one-line changes, each over --change-seeds seeds, in units of that deviation.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import chi2

from training.corpus import CorpusInfo, build_corpus
from training.runner import run_training
from training.spec import Budget, Outcome, RunResult, RunSpec, Scored
from training.targets import BUDGET_FLOPS, DEFAULT

# Name -> replacements in train.py: changes that help much, a little, not at all, and that hurt.
CHANGES: dict[str, Sequence[tuple[str, str]]] = {
    "the previous byte's embedding added to the input": [
        (
            "        for block in self.blocks:\n            x = block(x)",
            "        x = x + F.pad(self.token(tokens[:, :-1]), (0, 0, 1, 0)).roll(1, dims=-1)\n"
            "        for block in self.blocks:\n            x = block(x)",
        )
    ],
    "one block of width 48": [("LAYERS = 2 ", "LAYERS = 1 "), ("WIDTH = 32 ", "WIDTH = 48 ")],
    "width 24": [("WIDTH = 32 ", "WIDTH = 24 ")],
    "positions start at a sixth of the scale": [
        (
            "        for block in self.blocks:  # each",
            "        nn.init.normal_(self.position.weight, std=INIT_STD / 6)\n        for block in self.blocks:  # each",
        )
    ],
    "square of ReLU instead of GELU": [("F.gelu(self.mlp_in(self.norm2(x)))", "F.relu(self.mlp_in(self.norm2(x))).square()")],
    "half the learning rate": [("LEARNING_RATE = 8e-3", "LEARNING_RATE = 4e-3")],
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=16)
    options.add_argument("--corpus", type=Path, help="folder of a corpus, built when it is not there (default: a new one)")
    options.add_argument("--changes", action="store_true", help="measure the known changes too")
    options.add_argument("--change-seeds", type=int, default=2)
    options.add_argument("--budget", type=float, default=BUDGET_FLOPS, help="training FLOPs of a run")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="seed-noise-") as work:
        folder = Path(work)
        corpus = build_corpus(chosen.corpus or folder / "corpus")
        print(f"corpus {corpus.data_hash[:16]}, {corpus.shard_bytes['train'] / 1e6:.1f} MB of training text", flush=True)
        results = [run(folder, corpus, seed, chosen.budget) for seed in range(1, chosen.seeds + 1)]
        mean, deviation = report(results)
        for name, edits in CHANGES.items() if chosen.changes else ():
            changed = [run(folder, corpus, seed, chosen.budget, edits) for seed in range(101, 101 + chosen.change_seeds)]
            gain = mean - statistics.fmean(scores(changed))
            print(f"{name}: {gain:+.4f} bits per byte, {gain / deviation:+.1f} deviations, n = {len(changed)}", flush=True)


def run(folder: Path, corpus: CorpusInfo, seed: int, budget: float, edits: Sequence[tuple[str, str]] = ()) -> RunResult:
    """Train and score the default target, with `edits` made in train.py, in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    shutil.copytree(DEFAULT, home / "tree")
    (home / "scratch").mkdir()
    train = home / "tree" / "train.py"
    for old, new in edits:
        if train.read_text().count(old) != 1:
            raise SystemExit(f"train.py no longer has exactly one {old!r}; bring this benchmark up to date")
        train.write_text(train.read_text().replace(old, new))
    spec = RunSpec(
        run=seed,
        tree=home / "tree",
        scratch=home / "scratch",
        command=("python", "train.py"),
        seed=seed,
        device="cpu",
        budget=Budget("train_flops", budget),
        wall_limit=600,
        data=corpus.visible,
        scoring=Scored(corpus.gate),
    )
    started = time.monotonic()
    result = run_training(spec, lambda points: None, lambda: None)
    if result.outcome is not Outcome.completed:
        raise SystemExit(f"seed {seed} ended as {result.outcome}: {result.reason}")
    shown = {name: result.facts[name] for name in ("startup_seconds", "loop_seconds", "score_seconds", "cpu_seconds", "steps")}
    whole = time.monotonic() - started
    print(f"seed {seed}: {result.score:.5f}  {whole:.1f} s in all, {json.dumps(shown)}", flush=True)
    shutil.rmtree(home)
    return result


def scores(results: Sequence[RunResult]) -> list[float]:
    return [result.score for result in results if result.score is not None]


def report(results: Sequence[RunResult]) -> tuple[float, float]:
    """Print what the runs show; returns mean and standard deviation of the score, in bits per byte."""
    found, n = scores(results), len(results)
    mean, deviation = statistics.fmean(found), statistics.stdev(found)
    # (n - 1) s² / sigma² is chi-squared with n - 1 degrees of freedom when the scores are normal
    low, high = (deviation * math.sqrt((n - 1) / chi2.ppf(quantile, n - 1)) for quantile in (0.975, 0.025))
    print(f"\nscore {mean:.4f} bits per byte, n = {n}, lowest {min(found):.4f}, highest {max(found):.4f}")
    print(f"standard deviation over seeds {deviation:.5f}, 95% interval {low:.5f} to {high:.5f} ({deviation / mean:.2%})")
    for name in ("startup_seconds", "loop_seconds", "score_seconds", "cpu_seconds"):
        values = [float(result.facts[name]) for result in results]
        print(f"{name}: median {statistics.median(values):.2f}, highest {max(values):.2f}")
    return mean, deviation


if __name__ == "__main__":
    main()
