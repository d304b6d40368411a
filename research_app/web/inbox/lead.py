"""What leads the inbox while nothing waits for its reader: how far the loop is, how long that takes, and what is asked then."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Max

from research_app.access import Role
from research_app.loop.runs import CURVE_SHARES
from research_app.models import BaselineVersion, Candidate, Gate, Project, Purpose, Run, State
from research_app.project_file.ladder import SMALLEST
from research_app.web.inbox.eta import UNFINISHED, Work, calm
from research_app.web.shared import figures
from research_app.web.shared.live_runs import Training, with_curves
from research_app.wording import counted

CURVES = 4  # runs whose curve is shown, of all projects together
QUESTION = {
    Gate.SHORTLIST: "is a candidate that held on fresh seeds worth its runs at the next scale?",
    Gate.BASELINE: "does a candidate that held on fresh seeds become part of the baseline?",
}


@dataclass(frozen=True)
class Reference:
    """The runs of a project's newest baseline version that candidates are compared with."""

    ended: int = 0
    wanted: int = 0
    left: float = 0.0  # in runs


@dataclass(frozen=True)
class Goal:
    """What the loop works towards: how many of the runs that it takes have ended, and how long the others take."""

    words: str
    ended: int
    wanted: int
    left: str


@dataclass(frozen=True)
class Lead:
    """One project: the curves of what trains, the next thing to expect, and what will be asked of whom."""

    goal: Goal | None
    request: str
    training: Sequence[Training] = field(default_factory=list)


def leads(projects: Sequence[Project], work: Mapping[int, Work], blocked: set[int], role: Role | None) -> dict[int, Lead]:
    """The lead of every project. At most six queries, however many there are."""
    references, judged, training = references_of(projects), judged_of(projects), training_now()
    leads_by_project = {}
    for project in projects:
        numbers = work[project.pk]
        going = project.pk not in blocked and numbers.devices > 0
        goal = goal_of(numbers, references.get(project.pk, Reference()), judged[project.pk]) if going else None
        request_text = asked_of(project, numbers, role) if going and not project.paused and is_going(numbers) else ""
        leads_by_project[project.pk] = Lead(goal, request_text, training.get(project.pk, []))
    return leads_by_project


def is_going(work: Work) -> bool:
    """Whether anything is under way that may come to a gate."""
    return bool(work.under_way or work.rounds)


def goal_of(work: Work, reference: Reference, judged: int) -> Goal | None:
    """The nearest thing to expect; None where nothing that can be counted is under way. No query."""
    if soonest := work.soonest():
        words, ended, wanted, left = f"to the verdict on C-{soonest.number}", soonest.ended, soonest.wanted, soonest.left
    elif judged or not reference.wanted:
        return None
    elif is_going(work):  # the first verdict takes the baseline's runs and one of a candidate
        words, ended, wanted, left = "to the first verdict", reference.ended, reference.wanted + 1, reference.left + 1
    elif reference.left:
        words, ended, wanted, left = "to a measured baseline", reference.ended, reference.wanted, reference.left
    else:
        return None
    return Goal(words, ended, wanted, left_of(work, wanted - ended, left))


def left_of(work: Work, runs: int, left: float) -> str:
    """How long so many runs take, of which `left` is still to be trained, and why."""
    if not runs:
        return "Its judgement is due."
    seconds = work.seconds_for(left)
    if seconds is None or work.pace is None:
        return "How long it takes can be told once a run has trained for a few seconds."
    each = figures.duration(work.usual) if work.usual else calm(work.pace)
    at_once = f", {work.devices} at a time" if work.devices > 1 else ""
    return f"About {calm(seconds)}: {counted(runs, 'more run', 'more runs')} of about {each}{at_once}."


def asked_of(project: Project, work: Work, role: Role | None) -> str:
    """What will be asked at the first gate, of whom, and how soon that can be. No query."""
    gate = Gate.SHORTLIST if project.file.upper_rungs else Gate.BASELINE
    roles = [Role(name) for name in project.gate_policy(gate).roles]
    who = "you" if role and any(role.holds(each) for each in roles) else f"somebody with the role {' or '.join(roles)}"
    question = f"At gate {gate.value} {who} will be asked: {QUESTION[gate]}"
    return question if work.confirming else f"{question} {soonest_of(project, work)}"


def soonest_of(project: Project, work: Work) -> str:
    """What lies between the first look at a candidate and a gate."""
    each = project.file.policy.confirm_runs
    seconds = work.seconds_for(2 * each + sum(CURVE_SHARES))
    time = f", which takes about {calm(seconds)}" if seconds is not None else ""
    runs = 2 * each + len(CURVE_SHARES)
    return f"First one has to look real, and nobody can tell when; then up to {runs} runs confirm it{time}."


def references_of(projects: Sequence[Project]) -> dict[int, Reference]:
    """By project: the reference runs of its newest baseline version. Two queries."""
    newest = BaselineVersion.objects.filter(project__in=[p.pk for p in projects]).order_by().values_list("project_id")
    versions = {pk: project for project, pk in newest.annotate(Max("pk"))}
    runs = Run.objects.of_baseline().filter(baseline__in=versions, purpose=Purpose.REFERENCE, budget_share=1.0)
    ended, wanted, left = Counter[int](), Counter[int](), Counter[int]()
    for version, state, progress in runs.values_list("baseline_id", "state", "progress"):
        project = versions[version]
        wanted[project] += 1
        ended[project] += state == State.FINISHED
        left[project] += (1 - progress if state == State.RUNNING else 1) if state in UNFINISHED else 0  # type: ignore[assignment]
    return {project: Reference(ended[project], count, float(left[project])) for project, count in wanted.items()}


def judged_of(projects: Sequence[Project]) -> Counter[int]:
    """By project: how many of its candidates have a verdict. One query."""
    judged = Candidate.objects.filter(project__in=[p.pk for p in projects], evidence__isnull=False)
    return Counter(dict(judged.order_by().values_list("project_id").annotate(Count("pk"))))


def training_now() -> dict[int, list[Training]]:
    """By project: the first runs that train now, the baseline's before others, with their curves. Three queries."""
    running = Run.objects.training().filter(scale=SMALLEST).select_related("project", "baseline", "patch_set__candidate")
    training: dict[int, list[Training]] = {}
    for each in with_curves(list(running.defer("patch_set__diff", "facts").order_by("priority", "pk")[:CURVES])):
        training.setdefault(each.run.project_id, []).append(each)
    return training
