"""Troubles: what needs a person to mend it, for the inbox, the project's page and `manage.py doctor`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from agent.failure import FOR_A_PERSON, PASSING, Failure
from research_app.loop.attention.baseline_trouble import BaselineTrouble, troubles_of_newest
from research_app.models import (
    Ablation,
    AblationState,
    Candidate,
    Conversation,
    ConversationState,
    Device,
    ExternalMove,
    Landing,
    Project,
    Push,
    PushState,
    Round,
    Run,
    Stage,
    State,
    Turn,
    TurnState,
)
from research_app.models.candidate import Cause

MOST = 400  # candidates that are looked at, oldest first
LATELY = timedelta(days=1)  # how long what ended is still said
FAILED_IN_A_ROW = 3  # turns of an open round after which people are told
AGAIN = "They are asked again, less and less often."
LONG_TROUBLE = 6  # stops of a conversation by passing trouble, after which people are told: about a quarter of an hour
UNSERVED = timedelta(minutes=1)
"""How long a run waits for a worker before its absence is trouble: one that starts reports within seconds."""


@dataclass(frozen=True)
class Trouble:
    """One thing to mend: in words, where to look, and what “Try again” is sent to.

    `picks`: numbers of candidates that are tried again; `baseline`: the baseline's runs are. Neither: nothing to send.
    """

    project: Project
    name: str
    address: str
    why: str
    picks: Sequence[int] = ()
    baseline: bool = False
    hint: str = ""  # what else waits for it, or what a person does about it


def troubles(projects: Iterable[Project], baselines: Mapping[int, BaselineTrouble] | None = None) -> list[Trouble]:
    """Everything in some projects that needs a person to mend it. Sixteen queries, however many there are.

    `baselines`: what `troubles_of_newest` says of them, where it was asked already; three queries less.
    """
    by_pk = {project.pk: project for project in projects}
    baselines = troubles_of_newest(by_pk.values()) if baselines is None else baselines
    blocked = blocked_by(baselines)
    return [
        *(of_baseline(trouble, blocked.get(pk, 0)) for pk, trouble in baselines.items()),
        *of_candidates(by_pk, baselines),
        *of_other_runs(by_pk, baselines),
        *of_queues(by_pk),
        *of_moves(by_pk),
        *of_landings(by_pk),
        *of_pushes(by_pk),
        *of_failed_steps(by_pk),
        *of_proposers(by_pk),
        *of_conversations(by_pk),
        *of_ablations(by_pk),
    ]


def of_baseline(trouble: BaselineTrouble, waiting: int) -> Trouble:
    """The newest version cannot be measured, or not well."""
    hint = f"{waiting} candidate{'s'[: waiting != 1]} wait{'s'[: waiting == 1]} for it. " if waiting else ""
    hint += "Nothing is proposed until it can be measured. " if trouble.blocking else ""
    address = f"{trouble.project.get_absolute_url()}baseline/"
    name, again = f"baseline {trouble.version}", trouble.can_be_tried_again
    return Trouble(trouble.project, name, address, trouble.sentence, baseline=again, hint=hint + trouble.mend)


def blocked_by(baselines: Collection[int]) -> dict[int, int]:
    """How many candidates of each of these projects say that they wait for the baseline (one query)."""
    waiting = Candidate.objects.filter(project__in=[0, *baselines], attention_cause=Cause.BASELINE).exclude(needs_attention="")
    return dict(waiting.order_by().values_list("project_id").annotate(Count("pk")))


def of_candidates(projects: Mapping[int, Project], baselines: Collection[int]) -> list[Trouble]:
    """Candidates that a worker failed on, together where they say the same (one query)."""
    rows = Candidate.objects.filter(project__in=projects).exclude(needs_attention="")
    rows = rows.exclude(attention_cause=Cause.BASELINE, project__in=[0, *baselines]).order_by("stage_since")
    groups: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
    for pk, number, stage, why in rows.values_list("project_id", "number", "stage", "needs_attention")[:MOST]:
        groups[pk, why].append((number, stage))
    troubles = []
    for (pk, why), members in groups.items():
        project, numbers = projects[pk], [number for number, _ in members]
        if len(numbers) == 1:
            name = f"C-{numbers[0]}: {Stage(members[0][1]).label}"
            address = f"{project.get_absolute_url()}candidates/{numbers[0]}/"
        else:
            name = f"{len(numbers)} candidates: {', '.join(f'C-{n}' for n in numbers[:5])}{' …' if len(numbers) > 5 else ''}"
            address = f"{project.get_absolute_url()}candidates/?stage=attention"
        troubles.append(Trouble(project, name, address, why, picks=numbers))
    return troubles


def of_other_runs(projects: Mapping[int, Project], baselines: Mapping[int, BaselineTrouble]) -> list[Trouble]:
    """Stuck runs of baselines and ablations that no trouble of a baseline names (one query)."""
    stuck = Run.objects.filter(state=State.STUCK, patch_set=None, project__in=projects)
    stuck = stuck.exclude(project__in=[0, *(pk for pk, trouble in baselines.items() if trouble.kind == "stuck")])
    rows = stuck.order_by().values_list("project_id", "cell__check_of").annotate(Count("pk"), Max("reason"))
    troubles = []
    for pk, check, count, why in rows:
        project, runs = projects[pk], f"{count} run{'s'[: count != 1]}"
        place = f"stacks/{check}/" if check else "baseline/"
        name = f"{runs} of ablation {check}" if check else f"{runs} of the baseline"
        troubles.append(Trouble(project, name, f"{project.get_absolute_url()}{place}", why, baseline=True))
    return troubles


def of_queues(projects: Mapping[int, Project]) -> list[Trouble]:
    """Runs that wait for a kind of device that no worker serves, or whose workers refuse them (two queries)."""
    waiting = Run.objects.queued().filter(project__in=projects, created_at__lt=timezone.now() - UNSERVED)
    rows = list(waiting.order_by().values_list("project_id", "queue").annotate(Count("pk")))
    online = list(Device.objects.online())
    troubles = []
    for pk, queue, count in rows:
        serving = [device for device in online if device.serves(queue)]
        if any(not device.refusal for device in serving):
            continue
        project, runs = projects[pk], f"{count} run{'s'[: count != 1]}"
        why = f"No worker serves the queue {queue}, so nothing of this is trained."
        hint = f"Start one: make up on a machine with such a device, or celery -A research_app worker -Q {queue}."
        if serving:
            why, hint = f"The only worker of the queue {queue} takes no work: {serving[0].refusal}", ""
        troubles.append(Trouble(project, f"{runs} wait{'s'[: count == 1]} for a device", "/fleet/", why, hint=hint))
    return troubles


def of_moves(projects: Mapping[int, Project]) -> list[Trouble]:
    """Baseline branches that somebody moved outside Signoff and nobody took over (one query)."""
    why = "Nothing lands and no agent proposes until somebody takes that over, or puts it back."
    return [
        Trouble(projects[move.project_id], "the branch was moved outside Signoff", move.get_absolute_url(), why)
        for move in ExternalMove.objects.waiting().filter(project__in=projects).select_related("project")
    ]


def of_landings(projects: Mapping[int, Project]) -> list[Trouble]:
    """Entries of landing queues that a machine holds up (one query)."""
    held = Landing.objects.active().exclude(trouble="").filter(project__in=projects).select_related("candidate")
    return [
        Trouble(
            projects[landing.project_id],
            f"landing of {landing.candidate}",
            f"{projects[landing.project_id].get_absolute_url()}candidates/{landing.candidate.number}/",
            landing.trouble,
        )
        for landing in held[:MOST]
    ]


def of_pushes(projects: Mapping[int, Project]) -> list[Trouble]:
    """Landings that did not reach their remote: the newest of each project stands for those before it (one query)."""
    failed = Push.objects.filter(project__in=projects, failures__gt=0).exclude(state=PushState.PUSHED)
    newest = {push.project_id: push for push in failed.select_related("version").order_by("version__number")}
    return [
        Trouble(
            projects[pk],
            f"push of baseline {push.version.number}",
            f"{projects[pk].get_absolute_url()}landings/",
            push.reason,
            hint=f"The landing stands. It is tried again after {push.next_at:%H:%M:%S} UTC, or by “Push now”.",
        )
        for pk, push in newest.items()
    ]


def of_failed_steps(projects: Mapping[int, Project]) -> list[Trouble]:
    """Runs of the last day that have a score although a step of ours failed on them (one query)."""
    runs = Run.objects.filter(state=State.FINISHED, finished_at__gt=timezone.now() - LATELY, project__in=projects)
    rows = runs.exclude(failed_step="").order_by().values_list("project_id", "failed_step").annotate(Count("pk"), Max("pk"))
    return [
        Trouble(
            projects[pk],
            f"{count} run{'s'[: count != 1]} of the last day",
            f"{projects[pk].get_absolute_url()}runs/{newest}/",
            f"Signoff failed while {step}: the newest says how. A gain that rests on it is in quarantine.",
        )
        for pk, step, count, newest in rows
    ]


def of_proposers(projects: Mapping[int, Project]) -> list[Trouble]:
    """Rounds that were closed in the last day because their last proposer failed, and open ones whose last turns all failed
    (one query)."""
    turns = Turn.objects.filter(round=OuterRef("pk")).order_by("-pk")
    fruitful = turns.exclude(state__in=(TurnState.FAILED, TurnState.WORKING, TurnState.WAITING)).values("pk")[:1]
    since = Q(turns__pk__gt=Coalesce(Subquery(fruitful), 0))
    rounds = Round.objects.filter(Q(closed_at=None) | Q(closed_at__gt=timezone.now() - LATELY), project__in=projects)
    failing = rounds.annotate(
        newest=Max("turns__pk"),
        failed=Max("turns__pk", filter=Q(turns__state=TurnState.FAILED)),
        in_a_row=Count("turns__pk", filter=Q(turns__state=TurnState.FAILED) & since),
        last_words=Subquery(turns.filter(state=TurnState.FAILED).values("note")[:1]),
    ).filter(Q(closed_at__isnull=False, newest=F("failed")) | Q(closed_at=None, in_a_row__gte=FAILED_IN_A_ROW))
    rows = failing.order_by("pk").values_list("project_id", "closed_at", "note", "last_words")
    newest = {pk: (note, "") if closed else (last, AGAIN) for pk, closed, note, last in rows}
    return [
        Trouble(
            projects[pk], "proposing", f"{projects[pk].get_absolute_url()}agents/", f"The proposers failed: {why}", hint=hint
        )
        for pk, (why, hint) in newest.items()
    ]


def of_conversations(projects: Mapping[int, Project]) -> list[Trouble]:
    """What keeps models from proposing until a person mends it, or passes and has not passed for long (one query).

    The newest of each project that is in trouble, unless another one had an answer since.
    """
    answered = Conversation.objects.filter(project=OuterRef("project"), changed_at__gt=OuterRef("changed_at"), requests__gt=0)
    mend, passing = Q(failure__in=FOR_A_PERSON), Q(failure__in=PASSING, setbacks__gte=LONG_TROUBLE)
    here = Conversation.objects.filter(mend | passing, project__in=projects)
    here = here.filter(Q(state=ConversationState.STOPPED) | Q(changed_at__gt=timezone.now() - LATELY))
    rows = here.exclude(Exists(answered.exclude(failure__in=FOR_A_PERSON | PASSING))).order_by("changed_at")
    newest = {row.project_id: row for row in rows.select_related("project")}
    return [
        Trouble(projects[pk], f"{row}: {row.get_failure_display()}", row.get_absolute_url(), row.reason, hint=hint_of(row))
        for pk, row in newest.items()
    ]


def hint_of(row: Conversation) -> str:
    """When a conversation in trouble goes on, and what a person does."""
    if row.goes_on_at:
        return f"It is tried again by itself after {row.goes_on_at:%H:%M:%S} UTC, or by “Go on”."
    if row.failure == Failure.BUDGET_SPENT:
        return "Spent for the day, it goes on by itself tomorrow; otherwise raise the budget, then “Go on”."
    return "The next turn tries again, less and less often until it is mended."


def of_ablations(projects: Mapping[int, Project]) -> list[Trouble]:
    """Ablations that failed in the last day (one query)."""
    since = timezone.now() - LATELY
    failed = Ablation.objects.filter(state=AblationState.FAILED, ended_at__gt=since, project__in=projects)
    failed = failed.select_related("project")
    return [Trouble(projects[check.project_id], str(check), check.get_absolute_url(), check.reason) for check in failed]
