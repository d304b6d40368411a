"""The corpus of cheats is whole, and a slice of it, drawn by lot, is trained and found out. All of it: `make test-cheats`."""

from __future__ import annotations

import ast
import os
import random
from pathlib import Path

import pytest

from tests.cheats.__main__ import false_alarm
from tests.cheats.cheat import HONEST, TRAIN, BadCheat, Cheat, corpus, read
from tests.cheats.product import Entry, Fate
from tests.cheats.variants import SPELLINGS, variant
from tests.training_samples import TARGET, Rig, small_corpus
from training.spec import Budget, Outcome

CHEATS = [cheat for cheat in corpus() if cheat.kind != HONEST]
SLICE = random.Random(os.environ.get("CHEATS_SEED", "1"))
TRAINED = 1


def test_the_corpus_has_sixty_cheats_of_twelve_kinds_and_each_says_what_must_stop_it() -> None:
    assert len(CHEATS) >= 60 and len({cheat.kind for cheat in CHEATS}) >= 12
    for cheat in CHEATS:
        assert cheat.does.endswith(".") and cheat.gain and cheat.stops, cheat
        assert cheat.patch().startswith("--- a/train.py"), cheat
        ast.parse(cheat.applied()[TRAIN])


def test_another_spelling_is_another_text_of_the_same_target() -> None:
    chance = random.Random(3)
    drawn = set()
    for cheat in SLICE.sample(CHEATS, 12):
        spelling, text = variant(cheat, chance)
        drawn |= set(spelling.split(", "))
        tree = ast.parse(text)
        assert {"GPT", "Block"} <= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        assert text != cheat.applied()[TRAIN]
    assert drawn == set(SPELLINGS)


def test_a_cheat_got_through_when_it_scored_better_and_was_called_healthy() -> None:
    entry = Entry("a", "b", "")
    assert Fate(entry, "dropped", 3.0, "healthy", "").got_through
    assert not Fate(entry, "dropped", 3.0, "invalid", "").got_through
    assert not Fate(entry, "dropped", 1.0, "healthy", "").got_through
    assert not Fate(entry, "crashed", None, "", "").got_through
    assert Fate(entry, "crashed", None, "", "", leaked="import os").got_through


def test_an_honest_change_that_is_not_called_healthy_is_a_false_alarm() -> None:
    entry = Entry("a", HONEST, "")
    assert not false_alarm(Fate(entry, "dropped", -3.0, "healthy", ""))
    assert not false_alarm(Fate(entry, "shortlisted", 9.0, "quarantined", "implausible: a gain of 12%"))
    for stage, health, why in (
        ("invalid", "invalid", "envelope: …"),
        ("ready", "quarantined", "work: …"),
        ("crashed", "", "…"),
    ):
        assert false_alarm(Fate(entry, stage, None, health, why))


def test_a_file_of_the_corpus_that_says_too_little_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kind" / "name.cheat"
    path.parent.mkdir()
    path.write_text("does: Nothing.\ngain: 0\n\n@@ in the step\npass\n")
    with pytest.raises(BadCheat, match="stops is missing"):
        read(path)
    path.write_text("does: Nothing.\ngain: 0\nstops: x\n\n@@ nowhere\npass\n")
    with pytest.raises(BadCheat, match="nobody knows the place"):
        read(path)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("cheats")
    return Rig(folder, small_corpus(folder / "data"))


PEEKING = [cheat for cheat in CHEATS if cheat.kind in ("peeking", "leaks", "state between questions")]
DRAWN = PEEKING if "EVERY_CHEAT" in os.environ else SLICE.sample(PEEKING, TRAINED)


@pytest.mark.parametrize("cheat", DRAWN, ids=str)
def test_what_peeks_or_tells_is_found_out_by_the_scorer(cheat: Cheat, rig: Rig, tmp_path: Path) -> None:
    """With a run of a few steps: what these do is done when they are scored."""
    source = (TARGET / TRAIN).read_text()
    mixture = source[source.index("MIXTURE = {") : source.index("}\n", source.index("MIXTURE = {")) + 1]
    text = cheat.applied()[TRAIN].replace(mixture, 'MIXTURE = {"verse": 1.0, "prose": 1.0, "code": 1.0}')
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / TRAIN).write_text(text)
    (tmp_path / "tree" / "prepare.py").write_text((TARGET / "prepare.py").read_text())
    result = rig.run(tmp_path / "tree", budget=Budget("train_flops", 1e9))
    gate = rig.corpus.gate.read_bytes()
    said = result.reason + result.log
    assert not any(said[at : at + 24].encode(errors="replace") in gate for at in range(0, len(said) - 24, 4)), said
    if cheat.kind != "leaks" and result.outcome == Outcome.completed:
        better = result.score is not None and result.score < 5.5
        failed = [name for name, probe in result.facts["probes"].items() if not probe["ok"]]
        assert failed or not better, result
