"""The training text is handed out by the worker: what a run draws is counted where its code cannot reach."""

from __future__ import annotations

import importlib
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training_samples import TARGET, Rig, small_corpus, small_target
from training.sandbox import Level
from training.spec import Outcome
from training.text import ANSWER, REFUSED, TextServer

pytestmark = pytest.mark.one_in(2)  # each is long

MIXTURE = {"verse": 2.0, "prose": 1.0, "code": 0.0}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("served")
    return Rig(folder, small_corpus(folder / "data"))


@pytest.fixture(scope="module")
def prepare() -> Iterator[Any]:
    sys.path.insert(0, str(TARGET))
    yield importlib.import_module("prepare")
    sys.path.remove(str(TARGET))
    sys.modules.pop("prepare", None)


def client(prepare: Any, server: TextServer, rig: Rig) -> Any:
    assert server.theirs is not None
    return prepare.ServedText(server.theirs.fileno(), rig.corpus.visible)


def test_the_windows_are_those_that_the_target_draws_by_hand(rig: Rig, prepare: Any) -> None:
    by_hand = prepare.TrainText(rig.corpus.visible, 7)
    with TextServer(rig.corpus.visible, 7, None) as server:
        served = client(prepare, server, rig)
        for size, length in ((4, 129), (1, 65), (3, 129), (512, 129)):
            assert (served.draw(size, MIXTURE, length) == by_hand.draw(size, MIXTURE, length)).all()
            assert served.tokens == by_hand.tokens
        drawn = server.end()
    assert drawn.tokens == drawn.tokens_here == (4 + 3 + 512) * 128 + 64


def test_a_mixture_that_changes_at_every_draw_owes_nobody_a_window(rig: Rig, prepare: Any) -> None:
    by_hand = prepare.TrainText(rig.corpus.visible, 7)
    with TextServer(rig.corpus.visible, 7, None) as server:
        served = client(prepare, server, rig)
        for size in range(1, 40):
            mixture = {"verse": 1.0, "prose": size / 7, "code": 0.1 if size % 3 else 0.0}
            assert (served.draw(size, mixture, 65) == by_hand.draw(size, mixture, 65)).all()


def test_batches_that_come_together_are_the_same_ones_and_are_drawn_one_by_one(rig: Rig, prepare: Any) -> None:
    by_hand = prepare.TrainText(rig.corpus.visible, 7)
    with TextServer(rig.corpus.visible, 7, None) as server:
        served = client(prepare, server, rig)
        served.at_once = lambda: 5
        for number in range(12):
            assert (served.draw(4, MIXTURE, 129) == by_hand.draw(4, MIXTURE, 129)).all()
            assert served.tokens == by_hand.tokens
            assert server.tokens == (1 + -(-number // 5) * 5) * 4 * 128, "all that was handed out counts"
        assert (server.draws, len(served.waiting)) == (16, 4)
        served.draw(4, MIXTURE, 65)
        assert served.tokens == server.tokens == 16 * 4 * 128 + 4 * 64, "what waited is spent"


def test_batches_that_wait_are_there_for_the_next_attempt(rig: Rig, prepare: Any, tmp_path: Path) -> None:
    kept, by_hand = tmp_path / "kept", prepare.TrainText(rig.corpus.visible, 7)
    with TextServer(rig.corpus.visible, 7, kept) as server:
        served = client(prepare, server, rig)
        served.at_once = lambda: 3
        for _ in range(3):
            assert (served.draw(2, MIXTURE, 129) == by_hand.draw(2, MIXTURE, 129)).all()
        state = json.loads(json.dumps(served.state(3)))
        assert len(state["waiting"]) == 1
    with TextServer(rig.corpus.visible, 7, kept) as server:
        served = client(prepare, server, rig)
        served.go_back(state)
        served.at_once = lambda: 3
        for _ in range(5):
            assert (served.draw(2, MIXTURE, 129) == by_hand.draw(2, MIXTURE, 129)).all()
        assert served.tokens == by_hand.tokens == 8 * 2 * 128
        drawn = server.end()
    assert drawn.tokens_here == drawn.tokens - 4 * 2 * 128


def test_what_another_process_draws_is_counted_and_told_to_all(rig: Rig, prepare: Any) -> None:
    with TextServer(rig.corpus.visible, 7, None) as server:
        served = client(prepare, server, rig)
        if (child := os.fork()) == 0:
            served.draw(100, MIXTURE, 129)
            os._exit(0)
        os.waitpid(child, 0)
        served.draw(1, MIXTURE, 129)
        assert served.tokens == server.end().tokens == 101 * 128


def test_an_order_is_known_by_its_hash(rig: Rig, prepare: Any) -> None:
    def order(seed: int) -> str:
        with TextServer(rig.corpus.visible, seed, None) as server:
            client(prepare, server, rig).draw(8, MIXTURE, 129)
            return server.end().order

    assert order(1) == order(1) != order(2)


BAD = {
    "an unknown source": (b"mix ", 13, 0, b'{"other": 1}\n'),
    "no object": (b"mix ", 2, 0, b"12"),
    "a weight that is no number": (b"mix ", 16, 0, b'{"verse": "1e9"}'),
    "a negative weight": (b"mix ", 13, 0, b'{"verse": -1}'),
    "no JSON": (b"mix ", 3, 0, b"\xff\xfe{"),
    "a mixture without end": (b"mix ", 1 << 31, 0, b""),
    "no mixture": (b"draw", 1, 2, b""),
    "something else": (b"spam", 1, 2, b""),
    "a state that was never kept": (b"back", 3, 0, b""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_request_that_makes_no_sense_is_refused_and_the_next_is_answered(rig: Rig, name: str) -> None:
    what, first, second, more = BAD[name]
    with TextServer(rig.corpus.visible, 1, None) as server:
        assert server.theirs is not None
        ask(server.theirs, what, first, second, more)
        tokens, said = answer(server.theirs)
        assert tokens == REFUSED and said
        mixture = json.dumps(MIXTURE).encode()
        ask(server.theirs, b"mix ", len(mixture), 0, mixture)
        ask(server.theirs, b"draw", 0, 4)
        ask(server.theirs, b"draw", 1 << 20, 1 << 20)
        ask(server.theirs, b"draw", 1, 4)
        assert [answer(server.theirs)[0] for _ in range(4)] == [0, REFUSED, REFUSED, 3]


def ask(sock: socket.socket, what: bytes, first: int, second: int, more: bytes = b"") -> None:
    sock.sendall(struct.pack("<4sII", what, first, second) + more)


def answer(sock: socket.socket) -> tuple[int, bytes]:
    tokens, size = ANSWER.unpack(sock.recv(ANSWER.size, socket.MSG_WAITALL))
    return tokens, sock.recv(size, socket.MSG_WAITALL) if size else b""


def test_a_run_that_never_reads_its_answer_ends_all_the_same(rig: Rig) -> None:
    with TextServer(rig.corpus.visible, 1, None) as server:
        assert server.theirs is not None
        mixture = json.dumps(MIXTURE).encode()
        ask(server.theirs, b"mix ", len(mixture), 0, mixture)
        ask(server.theirs, b"draw", 1 << 16, 512)
        server.theirs.recv(ANSWER.size, socket.MSG_WAITALL)  # it is being sent, and no more of it is taken
        assert server.end().tokens == (1 << 16) * 511


def test_a_resumed_run_goes_on_once_and_its_count_goes_on_with_it(rig: Rig, prepare: Any, tmp_path: Path) -> None:
    kept = tmp_path / "drawn.json"
    with TextServer(rig.corpus.visible, 5, kept) as server:
        served = client(prepare, server, rig)
        served.draw(4, MIXTURE, 129)
        state = served.state(3)
        expected = served.draw(4, MIXTURE, 129)
        with pytest.raises(SystemExit, match="nothing is kept"):
            served.go_back(state)  # not in the attempt that kept it: its count would begin anew
    with TextServer(rig.corpus.visible, 5, kept) as server:
        served = client(prepare, server, rig)
        served.go_back(state)
        assert (served.draw(4, MIXTURE, 129) == expected).all()
        drawn = server.end()
    assert (drawn.tokens, drawn.tokens_here) == (8 * 128, 4 * 128)


@pytest.mark.parametrize("level", [Level.strong, Level.basic])
def test_a_run_cannot_read_the_text_that_it_is_served(rig: Rig, level: Level) -> None:
    source = """
import os
for name in ('train.bin', 'train.json', 'watch.bin', 'data_hash'):
    try: print(name, len(open(os.environ['SIGNOFF_DATA'] + '/' + name, 'rb').read()) > 0)
    except OSError as error: print(name, type(error).__name__)
raise SystemExit(1)
"""
    result = rig.run(rig.script(source, f"reads-{level}"), level=level)
    lines = dict(line.split() for line in result.log.splitlines())
    assert lines.pop("train.bin") in ("False", "PermissionError", "FileNotFoundError")
    assert set(lines.values()) == {"True"}


# Each draws as much again as the budget pays for, or does as much again with what it drew.
LOOP = "        inputs, targets = run.batch(BATCH_SIZE, MIXTURE)\n"
STEP = "        optimiser.step()\n"
TRAIN = """F.cross_entropy(model(MORE[:, :-1]).flatten(0, 1), MORE[:, 1:].flatten()).backward(); optimiser.step()
"""
DRAWN = "torch.from_numpy(run.text.draw(BATCH_SIZE, MIXTURE, 129))"
EXTRA = {
    "a step more in most steps": (STEP, f"{STEP}        if step % 64:\n            MORE = {DRAWN}; {TRAIN}"),
    "the same batch again in most steps": (
        STEP, f"{STEP}        if step % 64:\n            MORE = torch.cat([inputs, targets[:, -1:]], 1); {TRAIN}"
    ),
    "steps before the first": (
        "    for _, progress", f"    for _ in range(20):\n        MORE = {DRAWN}; {TRAIN}    for _, progress"
    ),
    "one batch again and again before the first step": (
        "    for _, progress", f"    MORE = {DRAWN}\n    for _ in range(20):\n        {TRAIN}    for _, progress"
    ),
    "steps after the last": (
        "    run.finish(model)", f"    for _ in range(20):\n        MORE = {DRAWN}; {TRAIN}    run.finish(model)"
    ),
    "the last batch again and again": (
        "    run.finish(model)",
        f"    MORE = torch.cat([inputs, targets[:, -1:]], 1)\n    for _ in range(20):\n        {TRAIN}    run.finish(model)",
    ),
    "counting instead of training": (
        "    for _, progress", "    model.seen = run.text.draw(80, MIXTURE, 129)\n    for _, progress"
    ),
    "a thread that draws": (
        "    for _, progress",
        "    import threading\n    t = threading.Thread(target=run.text.draw, args=(80, MIXTURE, 129)); t.start(); t.join()\n"
        "    for _, progress",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_work_beside_the_steps_is_charged(rig: Rig, name: str) -> None:
    before, after = EXTRA[name]
    tree = small_target(rig.folder / f"tree-{name.replace(' ', '-')}")
    source = (tree / "train.py").read_text()
    assert before in source
    source = source.replace(before, after).replace("for _, progress in", "for step, progress in")
    (tree / "train.py").write_text(source)
    honest = 40 * 4 * 128  # tokens that the budget pays for
    result = rig.run(tree, budget=rig.budget_of(honest))
    assert result.outcome is Outcome.completed, result.log
    facts = result.facts
    price = facts["flops"] / facts["tokens"]
    assert facts["flops"] >= 1.4 * rig.budget_of(honest).amount or facts["steps"] <= 25, (facts["steps"], price)
