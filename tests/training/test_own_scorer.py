"""docs/how-to/own-scorer.md, followed: a repository of nanoGPT's shape is scored on text of its owner's that no run sees."""

import difflib
import json
import re
import socket
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from research_app.home import CODE
from research_app.loop.check import check
from research_app.loop.train import train
from research_app.models import Candidate, Project, Run
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.factories import make_device
from tests.own_scorer_samples import repository, text_of
from tests.small_project import drain
from training.scorer import read_shard
from training.spec import Outcome

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE = (CODE / "docs" / "how-to" / "own-scorer.md").read_text()


def block(language: str) -> str:
    """The block of the guide in this language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


class Owner:
    """Somebody who follows the guide, with a home and held-out text of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.held_out = home / "held_out" / "stories.txt"
        self.held_out.parent.mkdir(parents=True)
        self.held_out.write_text(text_of(2, 60_000))
        self.scorer, self.file = block("python"), block("toml").replace("/srv/held_out/stories.txt", str(self.held_out))
        self.file += "[baseline]\nruns = 2\n[policy]\ncalibration_runs = 2\nconfirm_runs = 1\n"  # runs take ten seconds each

    def follow(self) -> str:
        """Type the commands of the guide; what they print. Raises CommandError."""
        repository(self.home / "nanoGPT", self.scorer)
        (self.home / "stories.toml").write_text(self.file)
        out = StringIO()
        for line in block("sh").strip().splitlines():
            words = line.replace("~/", f"{self.home}/").replace("stories.toml", str(self.home / "stories.toml")).split()
            assert words[0] == "signoff"
            call_command(*words[1:], stdout=out)
        return out.getvalue()

    def refused(self) -> str:
        with pytest.raises(CommandError) as refused:
            self.follow()
        assert not Project.objects.exists()
        return str(refused.value)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    return Owner(tmp_path)


def enter(project: Project, path: str, old: str, new: str) -> Candidate:
    diff = diff_of(project, path, old, new)
    return check.submit(project, diff, "It learns faster", category="optimiser", author="ada")


def change(project: Project, path: str, old: str, new: str) -> Candidate:
    """A candidate after everything that was woken for it."""
    candidate = enter(project, path, old, new)
    drain()
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def diff_of(project: Project, path: str, old: str, new: str) -> str:

    before = project.repository.text(project.tip().commit, path)
    assert before is not None and before.count(old) == 1
    after = before.replace(old, new)
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}"))


def test_the_owner_writes_at_most_thirty_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 30


@pytest.mark.one_in(3)
def test_whoever_follows_the_guide_has_a_score_that_was_measured(owner: Owner) -> None:
    said = owner.follow()
    assert "config/train_stories.py:learning_rate = 3e-3" in said
    assert "train.py:learning_rate" in said.partition("config/train_stories.py sets it:")[2]
    drain()
    project = Project.objects.get()
    runs = list(project.runs.of_baseline().filter(budget_share=1.0))
    assert [run.outcome for run in runs] == [Outcome.completed] * len(runs), [run.reason for run in runs]
    assert not any(run.self_reported for run in runs)
    assert len({run.score for run in runs}) == len(runs), "seeds make a difference"
    assert all(1.0 < float(run.score or 0) < 6.1 for run in runs), [run.score for run in runs]
    assert all(probe["ok"] for run in runs for probe in run.facts["probes"].values()), runs[0].facts["probes"]
    assert runs[0].series.filter(name="val_loss").exists()
    candidate = change(project, "config/train_stories.py", "learning_rate = 3e-3", "learning_rate = 3e-2")
    assert candidate.evidence is not None, candidate.why
    assert (candidate.evidence.baseline_mean or 0) - (candidate.evidence.candidate_mean or 9) > 0.1


@pytest.mark.one_in(2)
def test_no_run_can_read_the_held_out_text(owner: Owner) -> None:
    corpora = Path(settings.HOME) / "corpus"
    looked = [str(owner.held_out), str(corpora), str(owner.home / "nanoGPT")]
    spying = f"import os, glob\nfor place in {looked!r} + glob.glob({str(corpora)!r} + '/*/held_out/*'):\n"
    spying += "    print('seen', place, os.path.exists(place) and bool(os.access(place, os.R_OK)))\n"
    run = scored(owner, "train.py", "out_dir = 'out'\n", spying + "out_dir = 'out'\n")
    assert run.outcome == Outcome.completed, run.reason
    assert run.log.text.count("seen") == len(looked), run.log.text
    assert f"seen {owner.held_out} True" not in run.log.text


def test_the_shards_are_the_owners_text_in_the_owners_tokens(owner: Owner) -> None:
    owner.follow()
    project = Project.objects.get()
    folder = Path(settings.HOME) / "corpus" / project.data_hash
    gate, hidden = (read_shard(folder / "held_out" / f"{name}.bin") for name in ("gate", "hidden"))
    assert gate.vocabulary == 65 and gate.text.shape[1] == 65 and len(gate.text) == 256
    assert gate.text_bytes == {"stories": 256 * 64}, "one byte for a character"
    characters = "".join(json.loads((owner.home / "nanoGPT/data/stories/characters.json").read_text()))
    text = owner.held_out.read_text()
    for shard in (gate, hidden):
        assert all("".join(characters[token] for token in window) in text for window in shard.text[::16])
    assert not {bytes(row) for row in gate.text} & {bytes(row) for row in hidden.text}
    visible = {path.name for path in (folder / "visible").iterdir()}
    assert visible == {"watch.bin", "watch.json", "data_hash"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def encode(text)", "def encoded(text)", "signoff_scorer has no function encode"),
        ("def load_model(file)", "def loaded(file)", "signoff_scorer has no function load_model"),
        (
            "from model import GPT,",
            "from models import GPT,",
            "signoff_scorer cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("data/stories/characters.json", "data/characters.json", "encode() failed: FileNotFoundError"),
        ("numbers[character] for", "str(numbers[character]) for", "which is no token: it must return whole numbers from 0"),
        ("numbers[character] for", "numbers[character] - 60 for", "which is no token: it must return whole numbers from 0"),
        ("numbers[character] for", "numbers[character] + 60 for", "and [scorer] vocabulary is 65"),
        ("return [numbers", "return 7 or [numbers", "encode() failed: TypeError: 'int' object is not iterable"),
    ],
)
def test_what_is_wrong_with_the_owners_code_is_said_when_the_project_is_created(
    owner: Owner, old: str, new: str, said: str
) -> None:
    assert owner.scorer.count(old) == 1
    owner.scorer = owner.scorer.replace(old, new)
    assert said in owner.refused()


def test_too_little_text_is_said(owner: Owner) -> None:
    owner.held_out.write_text(text_of(2, 2_000))
    assert "windows of 64 tokens for the gate shard, and 32 are needed: give more text" in owner.refused()


def test_text_that_is_not_there_is_said(owner: Owner) -> None:
    owner.held_out.unlink()
    assert f"the held-out text {owner.held_out} cannot be read: No such file or directory" in owner.refused()


def test_text_that_is_no_text_is_said(owner: Owner) -> None:
    owner.held_out.write_bytes(b"\xff\xfe" * 9000)
    assert "is not UTF-8 text" in owner.refused()


def test_text_that_runs_may_read_is_refused(owner: Owner) -> None:
    owner.file = owner.file.replace("[train]\n", f'[train]\nread = ["{owner.home}/held_out"]\n')
    assert "which runs may read: keep it elsewhere" in owner.refused()


def test_text_that_stands_in_the_repository_is_refused(owner: Owner) -> None:
    owner.held_out.write_text(text_of(1, 20_000))  # what it trains on
    owner.file = owner.file.replace("windows = 256", "windows = 64")
    assert "of the held-out text stands in data/stories/train.txt of the repository" in owner.refused()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('held_out = "/srv/held_out/stories.txt"', 'held_out = "stories.txt"', "write the whole path"),
        ('module = "signoff_scorer"', 'module = "signoff_scorer.py!"', "write the name of a module"),
        ('checkpoint = "ckpt.pt"', 'checkpoint = "out/ckpt.pt"', "write the name of the file"),
        ('source = "scored"', 'source = "nanogpt"\nkey = "val_loss"', 'write [metric] source = "scored"'),
        ('corpus = "none"', 'corpus = "default"', 'write [data] corpus = "none"'),
        ("[budget]", '[sandbox]\nminimum = "none"\n[budget]', '[sandbox] minimum = "none" hides nothing'),
        ('held_out = "/srv/held_out/stories.txt"', "# held_out", "needs held_out"),
    ],
)
def test_a_wrong_table_says_how_it_should_be(old: str, new: str, said: str) -> None:
    text = block("toml")
    assert text.count(old) == 1
    with pytest.raises(ProjectFileError) as refused:
        read_project_file(text.replace(old, new))
    assert said in str(refused.value)


def scored(owner: Owner, path: str, old: str, new: str) -> Run:
    """The first run of a candidate with this change, trained and scored; none of the baseline."""
    owner.follow()
    candidate = enter(Project.objects.get(), path, old, new)
    check.check(candidate.pk, "test")
    Run.objects.filter(patch_set=None).delete()
    run = Run.objects.get(patch_set__candidate=candidate)
    assert train.train_next(run.queue, make_device(f"{socket.gethostname()}/cpu.0", sandbox_level="strong"))
    run.refresh_from_db()
    return run


@pytest.mark.one_in(2)
def test_a_checkpoint_that_the_loader_does_not_take_is_said(owner: Owner) -> None:
    run = scored(owner, "train.py", "'model_args': model_args", "'arguments': model_args")
    assert run.outcome == Outcome.no_score
    assert "The trained model cannot be scored: load_model() failed: KeyError: 'model_args'" in run.reason


def test_a_checkpoint_that_is_not_written_is_said(owner: Owner) -> None:
    run = scored(owner, "train.py", "'ckpt.pt')", "'other.pt')")
    assert "training ended without writing ckpt.pt; write it into the folder {out}" in run.reason.replace(
        "Training", "training"
    )


def test_a_model_that_looks_ahead_is_found_out(owner: Owner) -> None:
    run = scored(owner, "model.py", "is_causal=True", "is_causal=False")
    assert not run.facts["probes"]["causality"]["ok"]
