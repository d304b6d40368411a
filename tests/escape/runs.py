"""Attempts that are whole runs: to use up the machine, to hand over what is no plain file, to get a better score than earned.

Each is trained and scored as any run is; `made` says what it got, "" when it was stopped or marked for the right reason.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.scorer_samples import bigram, bigram_checkpoint
from tests.training.test_training_environment import marked
from tests.training_samples import SCORING, Rig
from training.detectors import Circumstances, RunRecord, examine
from training.runner import run_training
from training.sandbox import Level
from training.sandbox.scratch import remove
from training.spec import Budget, Outcome, Point, RunResult, RunSpec, Scored

MIB = 1 << 20
SPARE = 256 * MIB  # what may be written between two looks at a folder, on a machine that is busy
HONEST_SCORE = 8.5  # bits per byte at least, of the random table that every cheat begins with

IN_HOME = "import os, sys, time\nos.chdir(os.environ['HOME'])\n"
HAND_OVER = """
if __name__ == "__main__":
    import os, shutil
    BEFORE
    shutil.copyfile("table.safetensors", os.environ["SIGNOFF_OUT"] + "/checkpoint.safetensors")
    AFTER
    raise SystemExit
"""


@dataclass(frozen=True)
class RunAttempt:
    """A script, and the outcome and words that show that it was stopped."""

    script: str
    outcomes: tuple[Outcome, ...]
    words: tuple[str, ...] = ()  # one of them in the reason or the log
    limits: Mapping[str, object] = field(default_factory=dict)
    probes: frozenset[str] = frozenset()  # one of them must fail, where the run is scored


def greedy(script: str, *words: str, outcome: Outcome = Outcome.crashed, **limits: object) -> RunAttempt:
    """A script that takes without end."""
    bounds = {"wall_limit": 20.0, "scratch_limit": 32 * MIB, "memory_limit": 256 * MIB, "process_limit": 64, **limits}
    return RunAttempt(IN_HOME + script, (outcome,), words, bounds)


def handing(script: str, *words: str) -> RunAttempt:
    """A run that hands over something else than a plain checkpoint or series."""
    return RunAttempt(IN_HOME + script, (Outcome.no_score,), words, {"scored": True})


def cheating(body: str = "pass", *probes: str, before: str = "pass", after: str = "pass", model: str = "") -> RunAttempt:
    """A model that does `body` when it is asked, or training that does something before or after it saves the checkpoint."""
    script = HAND_OVER.replace("BEFORE", before.strip()).replace("AFTER", after.strip()) + bigram(body) + model
    return RunAttempt(script, (), (), {"scored": True}, frozenset(probes))


USING_UP = {
    "fork without end": greedy(
        "while True:\n try:\n  os.fork()\n except OSError:\n  time.sleep(0.01)", outcome=Outcome.timed_out, wall_limit=2.0
    ),
    "allocate without end, in one process": greedy(
        "kept = []\nwhile True: kept.append(bytearray(8 << 20))", "MemoryError", outcome=Outcome.out_of_memory
    ),
    "allocate without end, in many processes": greedy(
        "for _ in range(4):\n if os.fork() == 0: break\nblock = os.urandom(1 << 20) * 90\ntime.sleep(60)",
        "0.25 GiB",
        outcome=Outcome.out_of_memory,
    ),
    "write a file without end": greedy("with open('big', 'wb') as f:\n while True: f.write(bytes(1 << 20))", "File too large"),
    "write files without end": greedy(
        "for n in range(10**9):\n with open(str(n), 'wb') as f: f.write(bytes(1 << 20))\n time.sleep(0.02)", "filled its folder"
    ),
    "write deleted files without end": greedy(
        "kept = []\nfor n in range(60):\n f = open(str(n), 'wb'); os.unlink(str(n)); f.write(bytes(1 << 20)); f.flush()\n"
        " kept.append(f); time.sleep(0.02)\ntime.sleep(60)",
        "filled its folder",
    ),
    "keep deleted files in memory maps": greedy(
        "import mmap\nkept = []\nfor n in range(60):\n f = open(str(n), 'w+b'); os.unlink(str(n)); f.write(bytes(1 << 20))\n"
        " f.flush(); kept.append(mmap.mmap(f.fileno(), 1 << 20)); f.close(); time.sleep(0.02)\ntime.sleep(60)",
        "filled its folder",
    ),
    "make files without end": greedy("for n in range(10**9): open(str(n), 'w').close()", "made more than"),
    "fill /dev/shm": greedy(
        "with open('/dev/shm/MARK', 'wb') as f:\n while True: f.write(bytes(1 << 20)); f.flush()",
        "No space left", "File too large", "Permission denied",
    ),
    "fill /tmp": greedy(
        "for n in range(10**9):\n with open(f'/tmp/MARK-{n}', 'wb') as f: f.write(bytes(1 << 20))",
        "No space left", "File too large", "Permission denied",
    ),
    "print without end": greedy("while True: print('x' * 8000)", outcome=Outcome.timed_out, wall_limit=1.0),
    "ignore every signal and hang": greedy(
        "import signal\nfor n in range(1, 32):\n try: signal.signal(n, signal.SIG_IGN)\n except OSError: pass\n"
        "os.close(1); os.close(2); time.sleep(60)",
        outcome=Outcome.timed_out, wall_limit=1.0,
    ),
    "nest folders until no path is long enough": greedy(
        "for _ in range(3000): os.mkdir('d'); os.chdir('d')\ntime.sleep(60)", "nobody can look into", "its limit of",
        outcome=Outcome.crashed,
    ),
    "leave a daemon": RunAttempt(
        IN_HOME + "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  for fd in range(3): os.close(fd)\n"
        "  time.sleep(60)\n os._exit(0)\ntime.sleep(0.2); print('score: 1')",
        (Outcome.completed,),
    ),
    "leave a closed folder": RunAttempt(
        IN_HOME + "os.makedirs('a/b'); open('a/b/c', 'w').close(); os.umask(0o777); os.mkdir('closed'); print('score: 1')",
        (Outcome.completed,),
    ),
}  # fmt: skip

OUTPUTS = {
    "a link to the gate shard as checkpoint": handing("os.symlink('GATE', 'checkpoint.safetensors')", "plain file"),
    "a pipe as checkpoint": handing("os.mkfifo('checkpoint.safetensors')", "plain file"),
    "a folder as checkpoint": handing("os.mkdir('checkpoint.safetensors')", "plain file"),
    "a second name of another file as checkpoint": handing(
        "open('x', 'wb').write(bytes(9)); os.link('x', 'checkpoint.safetensors')", "second name"
    ),
    "a pickle as checkpoint": handing(
        "import pickle; open('checkpoint.safetensors', 'wb').write(pickle.dumps(print))", "no complete safetensors file"
    ),
    "a link to a key as series": handing("os.symlink('GATE', 'series.jsonl'); time.sleep(1.5)", "plain file"),
    "a pipe as series": handing("os.mkfifo('series.jsonl'); time.sleep(1.5)", "plain file"),
}

CHEATS = {
    "print a better score": cheating(before="print('val_bpb: 0.1\\nscore: 0.1')"),
    "state a better score among the facts": cheating(
        before="open(os.environ['SIGNOFF_OUT'] + '/series.jsonl', 'w').write('{\"facts\": {\"score\": 0.1}}\\n')"
    ),
    "change its own code after the start": cheating(
        before="try: open('train.py', 'a').write('\\nraise SystemExit')\n    except OSError: pass"
    ),
    "leave somebody to exchange the checkpoint": cheating(
        after="if os.fork() == 0:\n        import time\n        os.setsid()\n        time.sleep(3)\n"
        "        open(os.environ['SIGNOFF_OUT'] + '/checkpoint.safetensors', 'wb').write(b'other')"
    ),
    "change torch's loss": cheating(model="\nF.cross_entropy = lambda *a, **k: torch.zeros(())\n"),
    "change the program that asks it": cheating(
        "main = sys.modules['__main__']\n"
        "for name in ('answer_all', 'bits_of', 'read_shard'): setattr(main, name, lambda *a, **k: 0.1)"
    ),
    "answer before it is asked": cheating(
        "for fd in range(3, 64):\n    try: os.write(fd, bytes(64))\n    except OSError: pass"
    ),
    "read the held-out text when it is asked": cheating("logits = logits + open('GATE', 'rb').read(1)[0]"),
    "log-probabilities that add up to more than one": cheating("logits = logits + 100"),
    "look at the next token": cheating("logits[:, :-1] += 9 * F.one_hot(tokens[:, 1:], 256)", "causality"),
    "look at later tokens through attention without a mask": cheating(
        "x = F.one_hot(tokens, 256).float()\n"
        "logits = logits + 9 * F.scaled_dot_product_attention(x, x, x).roll(-1, dims=1)", "causality"
    ),
    "learn from what it is asked": cheating(
        "logits = logits.clone()\n"
        "self.table.data.index_put_((tokens[:, :-1], tokens[:, 1:]), torch.tensor(0.3), accumulate=True)",
        "state", "causality",
    ),
    "remember what it was asked": cheating(
        "for row, answer in zip(tokens.tolist(), logits):\n    for t in range(len(row) - 1):\n"
        "        answer[t] += self.seen.get(tuple(row[:t + 1]), 0)\n"
        "        self.seen[tuple(row[:t + 1])] = 9 * F.one_hot(torch.tensor(row[t + 1]), 256)",
        "state", "causality", "determinism",
    ),
    "logits that are not numbers": cheating("logits = logits * float('nan')"),
}  # fmt: skip

ALL: Mapping[str, RunAttempt] = {**USING_UP, **OUTPUTS, **CHEATS}
PAST_THE_BUDGET = "train past the budget"


def made(rig: Rig, name: str, level: Level) -> str:
    """Make one attempt at a level. What it got, "" when it was stopped or marked."""
    attempt, mark = ALL[name], uuid.uuid4().hex
    tree = rig.script(attempt.script.replace("GATE", str(rig.corpus.gate)).replace("MARK", mark), f"tree-{mark}")
    (tree / "table.safetensors").write_bytes(bigram_checkpoint())
    limits = dict(attempt.limits)
    scoring = Scored(rig.corpus.gate) if limits.pop("scored", False) else SCORING
    command = ("python", "train.py", mark)
    spec = rig.spec(tree, level=level, command=command, scoring=scoring, **{"wall_limit": 60.0, "processes": 512, **limits})
    points: list[Point] = []
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, len(marked(mark)))

    result = run_training(spec, points.extend, watch)
    evidence = _left_behind(spec, mark, most) or _judge(attempt, result)
    remove(spec.scratch)
    spec.scratch.mkdir()
    return evidence


def _left_behind(spec: RunSpec, mark: str, most: int) -> str:
    """Harm that is seen from outside."""
    if marked(mark):
        return "left a process"
    if most > spec.process_limit + 8:  # our own processes around it carry the mark too
        return f"had {most} processes at one time"
    size = sum(path.stat().st_blocks * 512 for path in _files(spec.scratch))
    if size > spec.scratch_limit + SPARE:
        return f"left {size} bytes"
    left = [path for folder in ("/tmp", "/dev/shm") for path in Path(folder).glob(f"{mark}*")]
    return f"left {left[0]}" if left else ""


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_file() and not path.is_symlink()]


def _judge(attempt: RunAttempt, result: RunResult) -> str:
    said = f"{result.outcome}: {result.reason}"
    if attempt.outcomes and result.outcome not in attempt.outcomes:
        return said
    if attempt.words and not any(word in result.reason + result.log for word in attempt.words):
        return said
    if attempt.outcomes or result.outcome is not Outcome.completed:
        return ""
    probes = result.facts["probes"]
    failed = {name for name, probe in probes.items() if not probe["ok"]}
    if attempt.probes:
        return "" if failed & attempt.probes else f"scored {result.score} with failed probes {failed or 'none'}"
    return f"scored {result.score}" if result.score is None or result.score < HONEST_SCORE else ""


def train_past_the_budget(rig: Rig, level: Level, tree: Path) -> str:
    """Train the default target for 1.5 times its budget, as if prepare.py had been told so; the detectors must object."""
    limit = Budget("train_flops", 2e8)
    spec = rig.spec(tree, level=level, budget=Budget("train_flops", 1.5 * limit.amount))
    points: list[Point] = []
    result = run_training(spec, points.extend, lambda: None)
    columns: dict[str, list[list[float]]] = {}
    for point in points:
        for name, value in point.values.items():
            steps, values = columns.setdefault(name, [[], []])
            steps.append(point.step)
            values.append(value)
    record = RunRecord(columns, dict(result.facts), result.score, result.train_seconds)
    findings = examine(record, Circumstances(budget=limit))
    shutil.rmtree(spec.scratch)
    spec.scratch.mkdir()
    return "" if any(finding.level == "invalid" for finding in findings) else f"{result.outcome}, and nobody objected"
