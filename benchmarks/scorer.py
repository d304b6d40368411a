"""Measures what the probes add to scoring the default target, and the bytes that cross the pipes per scored token.

    python -m benchmarks.scorer [--repeats 8] [--corpus FOLDER]

Every scoring is timed in its two parts, with PyTorch imported before the clock starts, as it is at the end of a run: the
first process, which a score needs, and the second, which is there for the probes. So each pair is measured side by side.
"""

from __future__ import annotations

import argparse
import importlib
import select
import statistics
import sys
import tempfile
from pathlib import Path

from training.corpus import WINDOW, build_corpus
from training.runner import read_source
from training.scorer import AUDITED, BATCH, BATCH_LIMIT, CHOSEN, WHOLE_VOCABULARY, Score, Scorer
from training.series import CHECKPOINT, Outputs
from training.targets import DEFAULT


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=8)
    options.add_argument("--corpus", type=Path, help="folder of a corpus, built when it is not there (default: a new one)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="scorer-") as work:
        corpus = build_corpus(chosen.corpus or Path(work) / "corpus")
        (Path(work) / "scratch").mkdir()
        write_checkpoint(Path(work) / "scratch" / CHECKPOINT)
        found = [
            score(Path(work) / "scratch", corpus.gate, corpus.hidden if pair % 2 else None) for pair in range(chosen.repeats)
        ]
    for name, scores in (("gate", found[::2]), ("gate and hidden", found[1::2])):
        report(name, scores)
    for vocabulary in (256, WHOLE_VOCABULARY, 50_000):
        for length in (WINDOW, 1024):
            print(moved(vocabulary, length))


def write_checkpoint(path: Path) -> None:
    """A checkpoint of the default target's untrained model; what it scores does not matter here."""
    from safetensors.torch import save_model

    sys.path.insert(0, str(DEFAULT))
    save_model(importlib.import_module("train").build_model(), str(path))


def score(scratch: Path, gate: Path, hidden: Path | None) -> Score:
    with (
        Outputs(scratch) as outputs,
        Scorer(read_source(DEFAULT), scratch.parent, device="cpu", memory_limit=4 << 30) as scorer,
    ):
        select.select([scorer.model.line.replies], [], [], 60)  # it says so when PyTorch is there
        return scorer.score(outputs, gate, lambda: None, hidden=hidden)


def report(name: str, scores: list[Score]) -> None:
    whole = [score.seconds for score in scores]
    probing = [score.probe_seconds for score in scores]
    ratios = [score.seconds / (score.seconds - score.probe_seconds) for score in scores]
    print(
        f"{name}: {statistics.median(whole):.3f} s in all, {statistics.median(probing):.3f} s of it the second process "
        f"(most {max(probing):.3f}); ratio to the first alone {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}), n = {len(scores)}",
        flush=True,
    )


def moved(vocabulary: int, length: int) -> str:
    """Bytes that cross the pipes for each token the first process is asked about, sent whole and sent chosen."""
    rows = max(2, min(BATCH, BATCH_LIMIT // (4 * vocabulary * length)))
    whole = 4 + 4 * vocabulary
    chosen = 4 + 8 * CHOSEN + AUDITED * (8 + 4 * vocabulary) / (rows * length)
    used = "whole" if vocabulary <= WHOLE_VOCABULARY else "chosen"
    return f"vocabulary {vocabulary}, windows of {length}: {whole} bytes per token whole, {chosen:.0f} chosen; used: {used}"


if __name__ == "__main__":
    main()
