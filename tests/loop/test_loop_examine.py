"""What the detectors say reaches the rows: text that was memorised from the gate shard makes a run's score meaningless."""

import pytest

from research_app.loop.check.examine import findings_of, overlap_of
from research_app.models import Project, Run
from tests.small_project import BETTER, small_project, submit
from training.corpus import WINDOW
from training.spec import Outcome, RunResult

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    """A project with a gate shard of one window."""
    project = small_project()
    Project.objects.filter(pk=project.pk).update(data_hash="f" * 64)
    project.refresh_from_db()
    assert project.corpus is not None
    held_out = project.corpus / "held_out"
    held_out.mkdir(parents=True, exist_ok=True)
    words = b"the quick brown fox jumps over the lazy dog while nobody looks at what it learned by heart " * 2
    (held_out / "gate.bin").write_bytes(words[: WINDOW + 1])
    return project


def result() -> RunResult:
    return RunResult(Outcome.completed, "", 1.0, {}, False, {}, "", "none", 0.0, 1.0, 1.0, 0)


def test_an_honest_change_shares_no_text_with_the_gate(project: Project) -> None:
    run = Run.objects.filter(patch_set=submit(project, BETTER).patch_set).first()
    assert run is not None
    found = overlap_of(run, run.commit)
    assert found is not None and found.shared == 0
    assert [finding for finding in findings_of(run, result()) if finding.detector == "gate text read"] == []


def test_gate_text_in_the_code_is_found_and_invalid(project: Project) -> None:
    assert project.corpus is not None
    learned = (project.corpus / "held_out" / "gate.bin").read_bytes().decode()
    run = Run.objects.filter(patch_set=submit(project, ("# How wide it is.", f'HEART = "{learned}"')).patch_set).first()
    assert run is not None
    [finding] = [finding for finding in findings_of(run, result()) if finding.detector == "gate text read"]
    assert finding.level == "invalid"
    assert "invalid" in [told["level"] for told in run.facts["findings"]], "it stands with the run"
