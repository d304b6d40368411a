"""What honest runs use, how much that scatters under load, how often the envelope accuses them, and what measuring costs.

    python -m benchmarks.envelope runs FILE --count 200 --load 10 [--budget FLOPS] [--corpus FOLDER]
    python -m benchmarks.envelope ideas FILE           # every idea of the playbook and some shapes, the baseline in between
    python -m benchmarks.envelope report FILE…         # spread, and false alarms of the shipped envelope
    python -m benchmarks.envelope overhead --pairs 10  # processor time with and without the outside measurement, in turns

`--load` is the number of other processes that work on the machine meanwhile. Files are JSON lines and can be added to. `report`
holds every run against the four baseline runs nearest in time, alone and as the mean of five neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from agent.ideas import BY_NAME, IDEAS
from agent.tree import DoesNotApply
from research_app.evidence.envelope import Measured, Spent, envelope
from training import account
from training.corpus import CorpusInfo, build_corpus
from training.runner import run_training
from training.spec import Budget, RunResult, RunSpec, Scored
from training.targets import DEFAULT

BASELINE = "baseline"
BESIDE = 4  # runs of the baseline that one is held against
ARM = 5  # runs whose mean is
SHAPES: tuple[Mapping[str, int | float], ...] = (
    {"BATCH_SIZE": 2}, {"BATCH_SIZE": 8}, {"BATCH_SIZE": 32}, {"LAYERS": 4, "WIDTH": 24}, {"LAYERS": 1, "WIDTH": 48},
    {"WIDTH": 16}, {"WIDTH": 128}, {"HEADS": 8}, {"MLP_RATIO": 8}, {"DROPOUT": 0.1},
)  # fmt: skip
OTHER = "import time\nrows = [[1.0] * 300 for _ in range(300)]\nwhile True:\n    sum(sum(row) for row in rows)\n"
MOST_OVERHEAD = 0.02

Row = dict[str, Any]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=("runs", "ideas", "report", "overhead"))
    options.add_argument("files", type=Path, nargs="*")
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--pairs", type=int, default=10)
    options.add_argument("--load", type=int, default=0)
    options.add_argument("--budget", type=float, default=3e10, help="training FLOPs of a run")
    options.add_argument("--corpus", type=Path, help="folder of a corpus, built when it is not there (default: a new one)")
    chosen = options.parse_args()
    if chosen.what == "report":
        report([json.loads(line) for file in chosen.files for line in file.read_text().splitlines()])
        return
    with tempfile.TemporaryDirectory(prefix="envelope-") as work, others(chosen.load):
        folder = Path(work)
        folder.chmod(0o755)
        corpus = build_corpus(chosen.corpus or folder / "corpus")
        rig = Rig(folder, corpus, chosen.budget)
        if chosen.what == "overhead":
            overhead(rig, chosen.pairs)
            return
        rows = honest(rig, chosen.count) if chosen.what == "runs" else ideas(rig)
        with chosen.files[0].open("a") as out:
            for row in rows:
                out.write(json.dumps(row | {"other processes": chosen.load}) + "\n")
                out.flush()


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many processes that work meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-c", OTHER]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


class Rig:
    """Runs versions of the default target's train.py."""

    def __init__(self, folder: Path, corpus: CorpusInfo, budget: float) -> None:
        self.folder, self.corpus, self.budget = folder, corpus, budget
        self.text = (DEFAULT / "train.py").read_text()

    def run(self, text: str, seed: int, *, served: bool = True) -> RunResult:
        """Train and score one version."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        place.chmod(0o755)
        shutil.copytree(DEFAULT, place / "tree", ignore=shutil.ignore_patterns("__pycache__", "out"))
        (place / "tree" / "train.py").write_text(text)
        (place / "scratch").mkdir()
        spec = RunSpec(
            run=1, tree=place / "tree", scratch=place / "scratch", command=("python", "train.py"), seed=seed, device="cpu",
            budget=Budget("train_flops", self.budget), wall_limit=1800, data=self.corpus.visible,
            scoring=Scored(self.corpus.gate), served=served,
        )  # fmt: skip
        result = run_training(spec, lambda points: None, lambda: None)
        shutil.rmtree(place, ignore_errors=True)
        return result

    def row(self, name: str, text: str, seed: int) -> Row:
        """One run as a row of a file."""
        result = self.run(text, seed)
        print(f"{name}: {result.outcome} {result.score} {result.facts.get('cpu_seconds')} s", flush=True)
        kept = ("cpu_seconds", "cpu_seconds_before", "peak_memory_bytes", "steps", "tokens", "tokens_here", "draws", "flops")
        return {
            "name": name, "outcome": str(result.outcome), "score": result.score, "at": result.started_at,
            "budget": self.budget, "wall": result.train_seconds, "load": os.getloadavg()[0],
            "reason": "" if result.score else result.reason, **{key: result.facts.get(key) for key in kept},
        }  # fmt: skip


def honest(rig: Rig, count: int) -> Iterator[Row]:
    """Runs of the baseline, each with a seed of its own."""
    for seed in range(1, count + 1):
        yield rig.row(BASELINE, rig.text, seed)


def ideas(rig: Rig) -> Iterator[Row]:
    """One run of each idea and shape; a run of the baseline after every second."""
    for number, (name, text) in enumerate(versions(rig.text)):
        if number % 2 == 0:
            yield rig.row(BASELINE, rig.text, number + 1)
        yield rig.row(name, text, number + 1)


def versions(text: str) -> Iterator[tuple[str, str]]:
    """The playbook's ideas, at the literature's dial, and shapes that change the arithmetic intensity."""
    for idea in IDEAS:
        try:
            yield idea.name, idea.applied(text, idea.dials[0])
        except DoesNotApply:
            yield idea.name, idea.applied(BY_NAME["untied head"].applied(text, 0.0), idea.dials[0])
    for shape in SHAPES:
        changed = text
        for name, value in shape.items():
            changed = re.sub(rf"(?m)^{name} = [^ \n]+", f"{name} = {value}", changed, count=1)
        yield ", ".join(f"{name} = {value}" for name, value in shape.items()), changed


def spent(row: Row) -> Spent:
    """What a run used, as the loop takes it from its facts."""
    return Spent(
        cpu_seconds=row["cpu_seconds"], device_seconds=None, energy=None, memory=row["peak_memory_bytes"],
        wall_seconds=row["wall"], share=row["flops"] / row["budget"], startup=row["cpu_seconds_before"], draws=row["draws"],
    )  # fmt: skip


def report(rows: Sequence[Row]) -> None:
    """Spread of the baseline's runs, and false alarms on all of them and on everything else."""
    scored = [row for row in rows if row["score"]]
    reference = sorted((row for row in scored if row["name"] == BASELINE), key=lambda row: row["at"])
    rest = [row for row in scored if row["name"] != BASELINE]
    print(f"{len(reference)} runs of the baseline, {len(rest)} of ideas and shapes; {len(rows) - len(scored)} without a score")
    for low, high in ((0, 2.5), (2.5, 8), (8, 16), (16, 1e9)):
        seconds = [row["cpu_seconds"] - row["cpu_seconds_before"] for row in reference if low <= row["load"] < high]
        if len(seconds) > 2:
            mean, spread = statistics.fmean(seconds), statistics.stdev(seconds)
            print(f"load {low:g} to {high:g}: n {len(seconds)}, loop {mean:.2f} s of processor time, sd {spread / mean:.1%}")
    singles = [(row, against(reference, [row])) for row in reference]
    times = sorted(measured.times for _, found in singles for measured in found if measured.quantity == "processor time")
    print(f"one run beside the {BESIDE} nearest: median {statistics.median(times):.2f}, largest {times[-1]:.2f} times")
    alarms(f"{len(singles)} single runs of the baseline", singles)
    arms = [(reference[i], against(reference, reference[i : i + ARM])) for i in range(0, len(reference) - ARM, ARM)]
    alarms(f"{len(arms)} means of {ARM} runs of the baseline", arms)
    for row in rest:  # one run stands for the mean of its arm: that is where they are judged in the end
        found = against(reference, [row] * ARM)
        print(f"  {row['name']:32}", *(f"{each.quantity} {each.times:.2f}" for each in found), marks(found))


def against(reference: Sequence[Row], mine: Sequence[Row]) -> list[Measured]:
    """Runs held against those of the baseline that are nearest in time."""
    at = statistics.fmean(row["at"] for row in mine)
    rows = [row for row in reference if row not in mine and row["budget"] == mine[0]["budget"]]
    near = sorted(rows, key=lambda row: abs(float(row["at"]) - at))
    return envelope([spent(row) for row in near[:BESIDE]], [spent(row) for row in mine], same_minutes=True)


def marks(found: Sequence[Measured]) -> str:
    if any(each.beyond for each in found):
        return "NOT COMPARABLE"
    return "quarantine of a gain" if any(each.times > each.quarantined_from for each in found) else ""


def alarms(words: str, judged: Sequence[tuple[Row, list[Measured]]]) -> None:
    found = [marks(measured) for _, measured in judged]
    print(f"{words}: {found.count('NOT COMPARABLE')} not comparable, {found.count('quarantine of a gain')} in quarantine")


def overhead(rig: Rig, pairs: int) -> None:
    """Processor time of run and worker, with everything that is measured outside and with nothing of it, in turns."""
    differences = []
    for number in range(pairs):
        steps = [(True, with_measurement), (False, without)]
        used = {name: step(rig, number + 1) for name, step in (steps if number % 2 else steps[::-1])}
        differences.append(used[True] / used[False] - 1)
        print(f"pair {number + 1}: {used[True]:.2f} s with, {used[False]:.2f} s without: {differences[-1]:+.1%}", flush=True)
    middle = statistics.median(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5 if pairs > 1 else 0.0
    print(f"overhead: median {middle:+.1%}, standard error {error:.1%}; at most {MOST_OVERHEAD:.0%} is wanted")


def with_measurement(rig: Rig, seed: int) -> float:
    """Seconds of run and worker, with the control group, the served text and the account."""
    return _seconds(lambda: rig.run(rig.text, seed))


def without(rig: Rig, seed: int) -> float:
    """The same with the text read from its file, no group, and steps measured one in 64 as before."""
    with patch.object(account, "own_group", lambda: None):
        return _seconds(lambda: rig.run(rig.text, seed, served=False))


def _seconds(run: Any) -> float:
    began = time.process_time()
    result = run()
    return float(result.facts["cpu_seconds"]) + time.process_time() - began


if __name__ == "__main__":
    main()
