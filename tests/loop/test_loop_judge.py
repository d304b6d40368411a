"""How runs are spent: drop early, replicate what may be real, confirm on fresh seeds, and never on the same tree's seeds."""

import pytest

from research_app.loop.project.projects import ProjectRefused, configure
from research_app.loop.propose import propose
from research_app.loop.review.review import ReviewRefused, Seen, approve
from research_app.models import Candidate, Event, Project, Purpose, Run, Stage, Verdict
from research_app.project_file.project_file import ProjectFile
from tests.small_project import BETTER, TRAIN, WORSE, approver, drain, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

SLIGHTLY_BETTER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.013")  # 3 sigma: real, but not seen in one run
BIG_WIN = ("PENALTY = 0  # not a knob", "PENALTY = -0.5")
SEEDLESS = ("NOISE = 0.001  # not a knob", "NOISE = 0.0")
RESEEDED = ("random.Random(SEED * 7919 + WIDTH)", "random.Random(42)")


@pytest.fixture
def project() -> Project:
    return small_project()


def purposes(candidate: Candidate) -> list[str]:
    rows = Run.objects.filter(patch_set__candidate=candidate).order_by("pk")
    return [str(purpose) for purpose in rows.values_list("purpose", flat=True)]


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def test_a_bad_change_costs_one_run(project: Project) -> None:
    assert purposes(submit(project, WORSE)) == ["screen"]


def test_a_small_real_gain_is_replicated_until_it_crosses_the_boundary_and_then_confirmed(project: Project) -> None:
    candidate = fresh(submit(project, SLIGHTLY_BETTER))
    spent = purposes(candidate)
    assert spent[0] == "screen" and "replicate" in spent
    assert candidate.stage == Stage.READY, candidate.why
    assert spent[-3:] == ["confirm"] * 3
    assert candidate.evidence is not None
    looks = candidate.evidence.numbers["looks"]
    assert [look["n"] for look in looks] == list(range(1, spent.count("replicate") + 2))
    assert looks[-1]["z"] >= looks[-1]["boundary"]
    assert all(look["z"] < look["boundary"] for look in looks[:-1])


def test_the_evidence_keeps_all_that_a_reviewer_needs(project: Project) -> None:
    evidence = fresh(submit(project, BETTER)).evidence
    assert evidence is not None
    told = evidence.numbers
    assert told["health"] == {"state": "healthy", "findings": []}
    assert told["policy"]["alpha"] == 0.01 and len(told["boundaries"]) == 8
    assert told["tried"] == 1
    assert told["confirmation"]["n"] == 3 and told["confirmation"]["p_value"] < 0.07
    assert {row["run"] for row in told["candidate"]} <= set(Run.objects.values_list("pk", flat=True))
    assert evidence.content_hash == evidence.compute_hash()


def test_runs_that_all_score_alike_make_the_evidence_invalid_and_hide_the_effect(project: Project) -> None:
    candidate = fresh(submit(project, RESEEDED, BETTER))
    assert candidate.stage == Stage.INVALID and "the seed does not reach the training" in candidate.why
    assert candidate.evidence is not None
    assert candidate.evidence.effect is None and candidate.evidence.interval is None


def test_an_implausible_gain_is_quarantined_and_approving_it_needs_a_reason(project: Project) -> None:
    candidate = fresh(submit(project, BIG_WIN))
    assert candidate.stage == Stage.READY
    assert candidate.evidence is not None and candidate.evidence.quarantined
    with pytest.raises(ReviewRefused, match="quarantine"):
        approve(candidate, approver(), Seen.of(candidate))
    approve(candidate, approver(), Seen.of(candidate), "I read the code: the penalty term is ours.")


def test_an_edit_near_the_seed_is_flagged_on_its_line(project: Project) -> None:
    candidate = fresh(submit(project, ('SEED = int(os.environ["SIGNOFF_SEED"])', "SEED = 7")))
    assert candidate.patch_set is not None
    [flag] = [flag for flag in candidate.patch_set.flags if flag["level"] == "warning"]  # type: ignore[attr-defined]
    assert flag["path"] == "train.py" and TRAIN.splitlines()[flag["line"] - 1].startswith("SEED = ")


def test_candidates_that_do_nothing_are_drawn_at_the_rate_of_the_project(project: Project) -> None:
    project.config["policy"]["aa_rate"] = 0.25
    assert 0.2 < sum(propose.is_aa(project, attempt) for attempt in range(2000)) / 2000 < 0.3


def test_an_aa_candidate_changes_nothing_has_seeds_of_its_own_and_does_not_reach_a_person(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propose, "is_aa", lambda project, attempt: attempt % 2 == 0)
    configure(
        project, ProjectFile.model_validate(project.config | {"policy": project.config["policy"] | {"aa_rate": 0.5}}), "t"
    )
    project.refresh_from_db()
    propose.open_round(project, ["knobs"], 6, "test")
    drain()
    aa = list(project.candidates.filter(aa=True))
    assert len(aa) == 3
    baseline_seeds = set(project.tip().runs.filter(patch_set=None, purpose=Purpose.REFERENCE).values_list("seed", flat=True))
    for candidate in aa:
        assert candidate.stage in (Stage.DROPPED, Stage.INCONCLUSIVE)
        run = Run.objects.filter(patch_set__candidate=candidate).first()
        assert run is not None and run.seed not in baseline_seeds


def test_confirming_baseline_runs_join_the_reference_runs_when_nothing_was_confirmed(project: Project) -> None:
    candidate = submit(project, SEEDLESS)
    if Purpose.CONFIRM in purposes(candidate) and candidate.stage == Stage.INCONCLUSIVE:
        assert not project.tip().runs.filter(purpose=Purpose.CONFIRM).exists()
    assert candidate.stage in (Stage.DROPPED, Stage.INCONCLUSIVE, Stage.INVALID)


def test_a_changed_policy_is_a_new_version_and_old_evidence_keeps_its_own(project: Project) -> None:
    candidate = fresh(submit(project, BETTER))
    stricter = project.config | {"policy": project.config["policy"] | {"alpha": 0.001}}
    configure(project, ProjectFile.model_validate(stricter), "grace")
    project.refresh_from_db()
    assert project.policy_version == 2
    assert candidate.evidence is not None and candidate.evidence.policy_version == 1
    assert candidate.evidence.numbers["policy"]["alpha"] == 0.01
    assert Event.objects.filter(kind="project configured", data__policy_version=2).exists()
    with pytest.raises(ProjectRefused, match="budget"):
        configure(project, ProjectFile.model_validate(project.config | {"budget": {"amount": 5}}), "grace")


def test_a_verdict_needs_no_second_look_at_a_discarded_candidate(project: Project) -> None:
    candidate = fresh(submit(project, WORSE))
    assert candidate.evidence is not None and candidate.evidence.verdict == Verdict.WORSE
    assert candidate.evidence.numbers["settle"] == ""
