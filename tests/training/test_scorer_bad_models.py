"""A model that misbehaves while it is scored ends as a named outcome in bounded time, and the worker is as it was."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import safetensors.numpy

from tests.scorer_samples import bigram, bigram_checkpoint, failed, scored
from tests.training_samples import small_corpus
from training import answers
from training.corpus import CorpusInfo
from training.probes import log_softmax
from training.sandbox import Level, best_level, landlock
from training.scorer import NoScore, read_shard, rounded_for_agents
from training.spec import Outcome


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusInfo:
    return small_corpus(tmp_path_factory.mktemp("bad"))


@pytest.fixture(autouse=True)
def _the_worker_is_as_it_was(corpus: CorpusInfo, tmp_path: Path) -> Iterator[None]:
    def state() -> tuple[object, ...]:
        me = psutil.Process()
        return {child.pid for child in me.children(recursive=True)}, len(os.listdir("/proc/self/fd")), me.num_threads()

    before = state()
    yield
    assert state() == before
    assert list(tmp_path.glob(".scoring-*")) == []


BROKEN = {
    "answers before it was asked": (
        "for fd in map(int, sys.argv[9::2]):\n    try:\n        os.write(fd, bytes(12))\n    except OSError:\n        pass",
        Outcome.no_score,
        "logits of shape (0, 0, 0)",
    ),
    "answers once more than it was asked": (
        "reply = int(sys.argv[9])\n"
        "os.write(reply, b''.join(n.to_bytes(4, 'little') for n in logits.shape) + logits[:, :1].detach().numpy().tobytes())",
        Outcome.no_score,
        "not kept",
    ),
    "takes back what it answers": (
        "own = os.open(f'/proc/self/fd/{sys.argv[9]}', os.O_RDONLY | os.O_NONBLOCK)",
        Outcome.no_score,
        "Operation not permitted",
    ),
    "does not end": (
        "import time\nos._exit = lambda code: time.sleep(600)",
        Outcome.no_score,
        "not kept",
    ),
    "answers in two dimensions": ("logits = logits[0]", Outcome.no_score, "it must be (sequences, length, vocabulary)"),
    "is infinite at one place": ("logits[0, 0, 0] = float('inf')", Outcome.not_finite, "logits that are not finite"),
    "closes everything and hangs": (
        "import time\nos.closerange(0, 100)\ntime.sleep(600)",
        Outcome.no_score,
        "scoring took longer than 3 s",
    ),
    "stops the process that watches it": (
        "import signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(600)",
        Outcome.no_score,
        "Operation not permitted",
    ),
    "uses memory and hangs": (
        "import time\nblock = os.urandom(1 << 20) * 440\ntime.sleep(600)",
        Outcome.out_of_memory,
        "memory",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_there_is_no_score_for_a_model_that(
    name: str, corpus: CorpusInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "END_SECONDS", 1.0)
    body, outcome, message = BROKEN[name]
    started = time.monotonic()
    memory = 600 << 20 if outcome is Outcome.out_of_memory else 4 << 30
    seconds = 3 if "3 s" in message or not message else 100
    with pytest.raises(NoScore) as caught:
        scored(tmp_path / "scratch", corpus.gate, bigram(body), bigram_checkpoint(), seconds=seconds, memory=memory)
    assert (caught.value.outcome, message in str(caught.value)) == (outcome, True), str(caught.value)
    assert time.monotonic() - started < 60


def test_a_model_that_prints_megabytes_is_scored(corpus: CorpusInfo, tmp_path: Path) -> None:
    result = scored(tmp_path / "scratch", corpus.gate, bigram("print('x' * (1 << 21))"), bigram_checkpoint())
    assert failed(result) == {}


def test_a_model_starts_nothing(corpus: CorpusInfo, tmp_path: Path) -> None:
    body = (
        "import _thread, subprocess\n"
        "for start in (os.fork, lambda: _thread.start_new_thread(print, ()), lambda: subprocess.run(['true']), os.pipe):\n"
        "    try:\n        start()\n    except (OSError, RuntimeError):\n        continue\n    sys.exit('it started something')"
    )
    assert failed(scored(tmp_path / "scratch", corpus.gate, bigram(body), bigram_checkpoint())) == {}


WORDS = (
    "open('/tmp/left-for-the-second', 'w')",
    "open('train.py', 'a')",
    "os.mkdir('/dev/shm/left-for-the-second')",
    "open(f'/proc/{os.getppid()}/mem', 'r+b')",
    "open(f'/proc/{os.getppid()}/mem', 'rb')",
)


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
@pytest.mark.parametrize("level", [Level.none, best_level(Level.none)])
def test_a_model_leaves_no_word_for_the_second_process(level: Level, corpus: CorpusInfo, tmp_path: Path) -> None:
    body = "\n".join(
        f"try:\n    {attempt}\nexcept OSError:\n    pass\nelse:\n    sys.exit({attempt!r} + ' got through')"
        for attempt in WORDS
    )
    assert failed(scored(tmp_path / "scratch", corpus.gate, bigram(body), bigram_checkpoint(), level=level)) == {}


def test_the_hidden_shard_is_scored_beside_the_gate_and_printed_nowhere(corpus: CorpusInfo, tmp_path: Path) -> None:
    table = log_softmax(safetensors.numpy.load(bigram_checkpoint())["table"]) / -math.log(2)  # bits
    result = scored(tmp_path / "scratch", corpus.gate, bigram(), bigram_checkpoint(), hidden=corpus.hidden)
    for path, whole, by_source in (
        (corpus.gate, result.bits_per_byte, result.by_source),
        (corpus.hidden, result.hidden, result.hidden_by_source),
    ):
        shard = read_shard(path)
        bits = table[shard.text[:, :-1], shard.text[:, 1:]]
        assert whole == pytest.approx(bits.mean(), rel=1e-5)
        assert by_source == pytest.approx({name: bits[rows].mean() for name, rows in shard.sources.items()}, rel=1e-5)
    assert result.scored_bytes == read_shard(corpus.gate).text[:, 1:].size
    assert f"{result.hidden:.4f}" not in repr(result)
    assert failed(result) == {}


def test_an_agent_is_told_a_score_to_half_a_sigma() -> None:
    assert rounded_for_agents(3.0164, 0.0162) == pytest.approx(3.0132)  # 372 halves
    assert rounded_for_agents(-0.0039, 0.0162) == 0.0
    assert rounded_for_agents(-0.0042, 0.0162) == pytest.approx(-0.0081)
    assert len({rounded_for_agents(3 + noise / 1e4, 0.0162) for noise in range(80)}) <= 2
    for sigma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="measured, positive sigma"):
            rounded_for_agents(3.0, sigma)
