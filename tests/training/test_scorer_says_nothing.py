"""Whatever a model does once it saw held-out text is said in fixed sentences; before, it is said in full."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.scorer_samples import bigram, bigram_checkpoint, failed, scored
from tests.training_samples import small_corpus
from training import answers
from training.answers import NOT_KEPT, SLOTS, Model
from training.corpus import CorpusInfo
from training.process import Process
from training.scorer import NoScore

LATER = "self.seen['asked'] = self.seen.get('asked', 0) + 1\nif self.seen['asked'] > 2:\n    "
SPEAKING = {
    "raises it": LATER + "raise ValueError(bytes(tokens[0].tolist()))",
    "prints it and ends with a byte of it": LATER + "print(bytes(tokens[0].tolist()), flush=True); os._exit(int(tokens[0, 9]))",
    "ends as if it could not be loaded": LATER + "print('MemoryError', bytes(tokens[0].tolist()), flush=True); os._exit(4)",
    "makes a shape of it": LATER + "logits = logits[:, : int(tokens[0, 9]) % 64]",
    "leaves by a name of it": LATER + "sys.exit(str(tokens[0].tolist()))",
    "ends by a signal": LATER + "ctypes = __import__('ctypes'); ctypes.string_at(0)",
    "writes it between the answers": LATER + "os.write(int(sys.argv[9]), bytes(tokens[0].tolist()))",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusInfo:
    return small_corpus(tmp_path_factory.mktemp("says"))


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """The processes that were started, with what was kept of their output."""
    started: list[Process] = []
    made = Model.__init__

    def keep(self: Model, *words: object, **more: object) -> None:
        made(self, *words, **more)  # type: ignore[arg-type]
        started.append(self.process)

    monkeypatch.setattr(answers.Model, "__init__", keep)
    return started


@pytest.mark.parametrize("name", SPEAKING)
def test_one_sentence_for_a_model_that(name: str, corpus: CorpusInfo, tmp_path: Path, logs: list[Process]) -> None:
    with pytest.raises(NoScore) as caught:
        scored(tmp_path / "scratch", corpus.gate, bigram(SPEAKING[name]), bigram_checkpoint())
    assert str(caught.value) == NOT_KEPT
    assert [process.log.text() for process in logs] == [""]


def test_what_is_wrong_before_it_saw_any_of_it_is_said_in_full(corpus: CorpusInfo, tmp_path: Path) -> None:
    with pytest.raises(NoScore, match="KeyError: 'no such part'"):
        scored(tmp_path / "scratch", corpus.gate, bigram("raise KeyError('no such part')"), bigram_checkpoint())


def test_modules_that_are_imported_late_are_there(corpus: CorpusInfo, tmp_path: Path) -> None:
    body = "import colorsys, xml.dom.minidom\nfrom torch.func import vmap\nlogits = vmap(lambda row: row * 1.0)(logits)"
    assert failed(scored(tmp_path / "scratch", corpus.gate, bigram(body), bigram_checkpoint())) == {}


def test_the_time_of_the_answers_is_one_of_a_few(corpus: CorpusInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    plain = Model.rest

    def rest(self: Model) -> None:
        plain(self)
        taken.append(time.monotonic() - self.turn)

    monkeypatch.setattr(Model, "rest", rest)
    slow = LATER + "__import__('time').sleep(0.01 * (int(tokens[0, 9]) % 3))"
    scored(tmp_path / "scratch", corpus.gate, bigram(slow), bigram_checkpoint())
    assert len(taken) == 2
    for seconds in taken:
        assert min(seconds - slot for slot in SLOTS if slot <= seconds) < 0.2, taken
