"""The funnel of a project: each step counts those that came to it or past it."""

import pytest

from research_app.models import Purpose
from research_app.web.project.funnel import funnel_of
from tests.factories import make_candidate, make_project, make_run

pytestmark = pytest.mark.django_db


def test_what_goes_to_fresh_seeds_at_once_makes_no_step_larger_than_the_one_before() -> None:
    project = make_project("demo")
    for seed in (900, 901):
        candidate = make_candidate(project, effect=None)
        make_run(project.tip(), patch_set=candidate.patch_set, seed=1)
        make_run(project.tip(), patch_set=candidate.patch_set, seed=seed, purpose=Purpose.CONFIRM)
    steps = {step.words: step for step in funnel_of(project)}
    assert (steps["replicated"].count, steps["fresh seeds"].count) == (2, 2)
    assert all(step.of_before is None or step.of_before <= 1 for step in steps.values())
