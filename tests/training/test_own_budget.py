"""A budget that the code keeps itself: nothing is asked of it at other budgets, and its own overshoot is the reference."""

from dataclasses import replace

import pytest

from research_app.evidence.envelope import Spent, TimeBudget, envelope
from research_app.evidence.health import RunFacts, check
from research_app.loop.check.check import submit
from research_app.loop.judge.budget_check import OWN_BUDGET, usual_of_own
from research_app.loop.judge.target import measure_target
from research_app.loop.runs import ensure_curve
from research_app.models import Purpose, Run, State
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.factories import make_project, make_run
from tests.small_project import FILE, TRAIN, drain, patch, trained
from training import own_budget
from training.detectors.record import Circumstances, RunRecord
from training.detectors.resources import budget_overrun
from training.spec import Budget

OWN = Budget("own", 0.0, tolerance=0.05)


def own_file(**budget: object) -> ProjectFile:
    return FILE.model_copy(
        update={"budget": ProjectFile.model_validate({"budget": {"kind": "own", **budget}}).budget, "ladder": FILE.ladder}
    )


def record(seconds: float, **facts: float) -> RunRecord:
    return RunRecord(facts=facts, train_seconds=seconds)


def overrun(run: RunRecord, budget: Budget, *baseline: RunRecord) -> list[str]:
    return [finding.sentence for finding in budget_overrun(run, Circumstances(baseline, budget))]


# The project file.


def test_an_own_budget_needs_no_amount_and_tolerates_five_percent() -> None:
    budget = read_project_file('[budget]\nkind = "own"\n').budget
    assert (budget.amount, budget.counts, budget.tolerance) == (0.0, "seconds", 0.05)
    assert budget.of(1.0) == Budget("own", 0.0, "seconds", 0.05)
    assert budget.words == "in seconds, kept by the code itself"
    aimed = read_project_file('[budget]\nkind = "own"\namount = 300\ntolerance = 0.1\n').budget
    assert aimed.of(1.0).tolerance == 0.1 and aimed.words == "300 seconds, kept by the code itself"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[budget]\nkind = "own"\ncounts = "hours"\n', "line 3: budget.counts"),
        ('[budget]\nkind = "own"\ntolerance = 5\n', "line 3: budget.tolerance"),
        ("[budget]\ntolerance = 0.5\n", 'tolerance belongs to kind = "own"'),
        ('[budget]\nkind = "tokens"\namount = 0\n', "amount must be greater than 0"),
        ('[budget]\nkind = "own"\n[train]\ncommand = ["python", "train.py", "--time={budget}"]\n', "has no amount: write one"),
        (
            '[budget]\nkind = "own"\n[[ladder]]\nname = "S"\n[[ladder]]\nname = "M"\nbudget = 4\n',
            "the rung M would train just what S does",
        ),
    ],
)
def test_an_own_budget_that_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(ProjectFileError, match="project file") as caught:
        read_project_file(text)
    assert said in str(caught.value)


def test_files_of_other_budgets_are_read_as_before() -> None:
    stored = ProjectFile().model_dump(mode="json")
    assert ProjectFile.model_validate(stored) == ProjectFile(), "what pages write is read again"
    for name in ("counts", "tolerance"):
        del stored["budget"][name]
    assert ProjectFile.model_validate(stored).run_budget() == Budget("train_flops", 3.2e11)


# What was spent.


def test_seconds_are_those_that_every_run_says_else_those_of_our_clock() -> None:
    said = [({"training_seconds": 300.1}, 340.0), ({"training_minutes": 5.5}, 390.0)]
    assert own_budget.spent(said, "seconds") == [300.1, 330]
    assert own_budget.spent([({"training_seconds": 300.1}, 340.0), ({}, 390.0)], "seconds") == [340, 390]
    assert own_budget.spent([({"steps": 500}, 1.0), ({"steps": "many"}, 1.0)], "steps") == [500, None]


def test_a_run_may_miss_it_by_the_baselines_overshoot_and_the_tolerance() -> None:
    budget = Budget("own", 300.0, "seconds", 0.05)
    baseline = [record(340, training_seconds=315.0), record(340, training_seconds=312.0)]
    assert overrun(record(350, training_seconds=329.0), budget, *baseline) == []
    (said,) = overrun(record(350, training_seconds=332.0), budget, *baseline)
    assert "Spent 332 seconds of a budget of 300, 10.7% too many. The baseline's runs spend up to 5.0% too many." in said


def test_where_only_the_code_knows_the_amount_the_baselines_median_is_it() -> None:
    baseline = [record(seconds) for seconds in (100, 101, 104)]
    assert overrun(record(108.5), OWN, *baseline) == [], "the longest of the baseline's took 3% longer than their median"
    assert overrun(record(109.5), OWN, *baseline)
    assert overrun(record(1e6), OWN) == [], "without a baseline nothing is known"


def test_steps_are_counted_where_the_code_counts_them() -> None:
    budget = Budget("own", 0.0, "steps", 0.0)
    baseline = [record(10, steps=500), record(30, steps=500)]
    assert overrun(record(900, steps=500), budget, *baseline) == []
    (said,) = overrun(record(10, steps=501), budget, *baseline)
    assert "Spent 501 steps where the baseline's runs spend 500" in said


FACTS = RunFacts("d", budget=300.0, spent=315.0, device_kind="1 cpu", scorer_hash="", outcome="finished", score=2.0)
BASELINE = [FACTS, replace(FACTS, score=2.01)]


def test_health_names_the_arm_and_what_is_tolerated() -> None:
    mine = [replace(FACTS, spent=329.0, score=1.99), replace(FACTS, spent=328.0, score=1.98)]
    assert check(BASELINE, mine, own_tolerance=0.05).state == "healthy"
    (finding,) = check(BASELINE, [*mine, replace(FACTS, spent=333.0, score=1.97)], own_tolerance=0.05).findings
    assert finding.sentence == (
        "1 of 3 candidate runs exceeded the budget that the code keeps itself, by up to 11.0%; "
        "the baseline's runs do by up to 5.0%, and 5.0% more is tolerated"
    )


def test_our_own_clock_allows_what_the_longest_of_the_baselines_runs_took() -> None:
    runs = [Spent(None, None, None, None, seconds) for seconds in (100.0, 100.0, 110.0)]
    time = TimeBudget(100.0, 0.05, 1.1)

    def beyond(seconds: float) -> bool:
        mine = [Spent(None, None, None, None, seconds)]
        (found,) = envelope(runs, mine, same_minutes=True, time=time)
        return found.beyond

    assert not beyond(116.0) and beyond(118.0)


# In the loop.

pytestmark = pytest.mark.django_db


def test_no_runs_at_other_budgets_are_asked_for() -> None:
    project = make_project()
    project.config = own_file().model_dump(mode="json")
    project.save()
    ensure_curve(project.tip())
    measure_target(project.tip(), "ada")
    assert not Run.objects.filter(project=project).exclude(budget_share=1.0).exists()
    assert not Run.objects.filter(purpose__in=[Purpose.CURVE, Purpose.TARGET]).exists()


def test_progress_is_measured_by_what_the_baselines_runs_came_to() -> None:
    project = make_project()
    project.config = own_file(counts="steps").model_dump(mode="json")
    project.save()
    queued = make_run(project.tip(), seed=77, score=None, state=State.QUEUED)
    Run.objects.exclude(pk=queued.pk).update(facts={})
    assert usual_of_own(project, queued) is None
    Run.objects.exclude(pk=queued.pk).update(facts={"steps": 400})
    assert usual_of_own(project, queued) == 400


@pytest.mark.slow
def test_a_candidate_is_confirmed_without_runs_at_other_budgets_and_one_that_runs_on_is_not_comparable() -> None:
    text = TRAIN.replace("STEPS = range(1, 21)  # not a knob", "MOST = 21\nSTEPS = range(1, MOST)  # not a knob")
    project = trained("own", own_file(counts="steps"), text)
    changes = [("RATE = 0.01", "RATE = 0.02"), ("MOST = 21", "MOST = 31")]
    better, longer = (
        submit(project, patch(change, text=text), "It learns", category="schedule", author="ada") for change in changes
    )
    drain()
    better.refresh_from_db()
    longer.refresh_from_db()
    assert better.evidence is not None and better.evidence.verdict == "solid"
    assert better.evidence.numbers["savings"] == {"sentence": OWN_BUDGET}
    assert longer.evidence is not None and longer.evidence.verdict == "invalid"
    assert "candidate runs exceeded the budget that the code keeps itself" in str(longer.evidence.numbers)
    assert not project.runs.exclude(budget_share=1.0).exists()
