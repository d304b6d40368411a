"""What was measured outside a run and what only it knows are kept apart, wherever a figure is shown."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from django.test import Client

from research_app.api import representations
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.guard_check import guards_of
from research_app.loop.judge.same_minutes import of_same_minutes
from tests.factories import make_candidate, make_project, make_run, make_user
from tests.training_samples import Rig, small_corpus, small_target
from training.checkpoint import read_header
from training.reported_by_run import MEASURED_HERE, said_by_run
from training.spec import Outcome


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("said")
    return Rig(folder, small_corpus(folder / "data"))


FORGED = {
    "parameters": 1, "tokens": 7, "tokens_per_second": 1e9, "cpu_seconds": 0.001, "peak_memory_bytes": 1, "account": "my own",
    "checkpoint_bytes": 1, "draws": 1, "tokens_here": 7, "text": "served", "device_busy_seconds": 0.1,
}  # fmt: skip


def test_a_run_cannot_state_what_is_measured_nor_hide_its_buffers(rig: Rig) -> None:
    tree = small_target(rig.folder / "forging")
    source = (tree / "train.py").read_text()
    source = source.replace(
        "        self.head.weight = self.token.weight\n",
        "        self.head.weight = self.token.weight\n        self.register_buffer('table', torch.zeros(100_000))\n",
    )
    forged = f"    import json\n    run.series.file = open(run.out / 'series.jsonl', 'a')\n    run.series.close({FORGED!r})\n"
    (tree / "train.py").write_text(source.replace("    run.finish(model)\n", f"    run.finish(model)\n{forged}"))
    result = rig.run(tree)
    assert result.outcome is Outcome.completed, result.log
    facts = result.facts
    assert facts["parameters"] == 9456 + 100_000 and facts["parameters_said"] == 1
    assert facts["tokens"] == facts["draws"] * 4 * 128 and facts["tokens_said"] == 7
    assert facts["cpu_seconds"] > 0.5 and facts["peak_memory_bytes"] > 1 << 26 and facts["account"] != "my own"
    assert facts["tokens_per_second"] < 1e8 and facts["checkpoint_bytes"] >= 4 * 109_456
    assert "device_busy_seconds" not in facts
    assert not any(said_by_run(facts, name) for name in ("parameters", "tokens", "tokens_per_second", "cpu_seconds"))
    assert said_by_run(facts, "flops_per_token") and said_by_run(facts, "layers")


def test_without_a_served_text_and_a_checkpoint_a_run_is_taken_at_its_word_and_that_is_said(rig: Rig) -> None:
    result = rig.run_script("print('score: 1')", served=False)
    assert said_by_run({**result.facts, "parameters": 5, "tokens": 3}, "parameters")
    assert said_by_run({"tokens": 3}, "tokens")
    assert not any(said_by_run(result.facts, name) for name in MEASURED_HERE)


@pytest.mark.parametrize(
    ("header", "values", "size"),
    [
        ({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, 6, 24),
        ({"a": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]}, "__metadata__": {"b": "c"}}, 1, 2),
        ({"mask": {"dtype": "BOOL", "shape": [128, 128], "data_offsets": [0, 16384]}}, 0, 16384),
    ],
)
def test_the_header_of_a_checkpoint_is_read_and_nothing_else(
    tmp_path: Path, header: dict[str, object], values: int, size: int
) -> None:
    told_header = json.dumps(header).encode()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(struct.pack("<Q", len(told_header)) + told_header + bytes(size))
    with path.open("rb") as file:
        stored = read_header(file.fileno())
    assert (stored.values, stored.bytes) == (values, size)


@pytest.mark.django_db
def test_pages_guards_and_the_api_mark_what_only_the_run_knows() -> None:
    project = make_project()
    candidate = make_candidate(project, effect=0.05)
    assert candidate.patch_set is not None
    run = make_run(project.tip(), patch_set=candidate.patch_set, seed=77)
    run.facts = run.facts | {"checkpoint_bytes": 4, "cpu_seconds": 15.0, "account": "control group"}
    run.save()
    client = Client()
    client.force_login(make_user())
    page = client.get(f"/projects/{project.slug}/runs/{run.pk}/").content.decode()
    marked = [line for line in page.splitlines() if "said by the run" in line]
    assert "FLOPs per token <small>said by the run</small>" in page
    assert "parameters <small>" not in page and "control group" in page and marked
    out = representations.run(run, None)
    assert "flops_per_token" in out.said_by_the_run and "parameters" not in out.said_by_the_run
    reference = list(project.tip().runs.filter(patch_set=None))
    rows = {row.metric: row for row in guards_of(project, Arms(reference, [run]), of_same_minutes(reference, [run]))}
    assert "said by the run" in rows["flops_per_token"].note and not rows["peak_memory"].note
    assert "said by the run" in client.get(candidate.get_absolute_url()).content.decode()


@pytest.mark.django_db
def test_runs_from_before_checkpoints_were_read_are_compared_by_what_both_say() -> None:
    """A header counts buffers too: beside runs that counted parameters alone, the same model would look larger."""
    project = make_project()
    candidate = make_candidate(project, effect=0.05)
    run = make_run(project.tip(), patch_set=candidate.patch_set, seed=77)
    reference = list(project.tip().runs.filter(patch_set=None))
    said = reference[0].facts["parameters"]
    run.facts = run.facts | {"checkpoint_bytes": 4, "parameters": said * 2, "parameters_said": said}
    row = {row.metric: row for row in guards_of(project, Arms(reference, [run]), of_same_minutes(reference, [run]))}[
        "parameters"
    ]
    assert row.status == "within" and "said by the run" in row.note
    for each in reference:
        each.facts = each.facts | {"checkpoint_bytes": 4}
    row = {row.metric: row for row in guards_of(project, Arms(reference, [run]), of_same_minutes(reference, [run]))}[
        "parameters"
    ]
    assert row.status == "exceeded" and not row.note
