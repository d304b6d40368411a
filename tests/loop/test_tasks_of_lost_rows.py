"""A message may come late: its row was taken over, has moved on or was deleted meanwhile. That is no failure of any task."""

from collections.abc import Mapping
from typing import Any

import pytest
from celery import current_app
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from research_app.loop import tasks
from research_app.models import (
    Ablation,
    BaselineVersion,
    Candidate,
    Conversation,
    Delivery,
    LeaseLost,
    PatchSet,
    Project,
    Round,
    Run,
    Stage,
    State,
    Trial,
)
from research_app.models.lease import Lease, Leased
from tests.routes.world import make_world
from training.spec import Outcome

pytestmark = pytest.mark.django_db
TASKS: Mapping[str, type[models.Model]] = {
    "propose": Round, "converse": Conversation, "check": Candidate, "train": Run, "judge": PatchSet, "scale_up": PatchSet,
    "judge_baseline": BaselineVersion, "announce": Candidate, "deliver": Delivery, "land": Project, "push": Project,
    "check_stack": Ablation, "bring": Trial,
}  # fmt: skip
OUTSIDE = ("bring", "converse", "deliver", "push", "train")  # they reach out of this machine or train before they write


def test_every_task_is_tried() -> None:
    assert {name for name in current_app.tasks if name.startswith("research_app.")} == {
        f"research_app.{name}" for name in TASKS
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_row_that_is_gone(name: str) -> None:
    getattr(tasks, name)(10**9)


@pytest.mark.slow
def test_a_row_that_another_worker_takes_over_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    make_world()
    ended = {"state": State.FINISHED, "outcome": Outcome.completed, "score": 1.0, "finished_at": timezone.now()}
    Run.objects.exclude(state=State.FINISHED).update(**ended)  # so that what waits for runs is judged
    taken_over: list[tuple[str, int]] = []
    claim, lost = Leased.claim.__func__, []  # type: ignore[attr-defined]

    def stolen(model: type[Leased], pk: int, worker: str, *conditions: Q, **fields: Any) -> Lease | None:
        lease: Lease | None = claim(model, pk, worker, *conditions, **fields)
        if lease:
            model._default_manager.filter(pk=pk).update(fence_token=F("fence_token") + 1)
            taken_over.append((model.__name__, pk))
        return lease

    def told(self: LeaseLost, *words: object) -> None:
        lost.append(words)

    monkeypatch.setattr(Leased, "claim", classmethod(stolen))
    monkeypatch.setattr(LeaseLost, "__init__", told)
    Candidate.objects.filter(stage=Stage.CONFIRMING).update(patch_set=None)  # those of this world have no runs to confirm with
    before = list(Candidate.objects.order_by("pk").values_list("stage", flat=True))
    for name, model in TASKS.items():
        if name not in OUTSIDE:
            for pk in model._default_manager.values_list("pk", flat=True):
                getattr(tasks, name)(pk)
    assert {"Candidate", "Landing", "Ablation"} <= {model for model, _ in taken_over}
    assert len(lost) > 5
    assert list(Candidate.objects.order_by("pk").values_list("stage", flat=True)) == before
