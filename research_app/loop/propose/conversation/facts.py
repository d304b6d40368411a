"""Facts: what a conversation is told of its project: a run of its baseline, how a change is judged, what is tried anyway."""

from collections.abc import Sequence
from statistics import fmean

from agent.briefing import Facts
from research_app.evidence.digits import number
from research_app.loop.propose.near_misses import AUTHOR as COMBINE
from research_app.models import BaselineVersion, Note, Project, Run
from research_app.models.documents.run_summary import RunSummary
from research_app.models.run import arrays_of
from research_app.project_file.project_file import Guards
from research_app.wording import counted
from training.scorer import rounded_for_agents

MOST_RUNS = 8  # of the baseline, whose means are told
MEASURED = {
    "parameters": "parameters",
    "flops_per_token": "FLOPs per token",
    "tokens": "tokens trained on",
    "steps": "steps",
    "train_seconds": "seconds of training",
    "peak_memory_bytes": "bytes of peak memory",
    "tokens_per_second": "tokens per second",
}
"""Facts of a run that are told of the baseline, and their words."""


def facts_of(project: Project, base: BaselineVersion) -> Facts:
    """What every conversation is told of its project. A constant number of queries."""
    file = project.file
    notes = Note.objects.standing().filter(project=project, candidate=None)
    return Facts(
        project=project.slug,
        metric=f"{file.metric.name}, {file.metric.direction} is better"
        + (", printed by the code itself" if project.self_reported else ", measured from outside"),
        budget=f"{file.budget.words.replace('_', ' ')} a run",
        editable=file.edit.editable,
        protected=file.edit.protected,
        notes=[note.text for note in notes],
        baseline=baseline_of(project, base),
        judged=judged_by(project),
        anyway=tried_anyway(project),
    )


def baseline_of(project: Project, base: BaselineVersion) -> Sequence[str]:
    """What a run of the baseline is, in lines: means over its newest runs, the score to half a sigma (two queries)."""
    runs = list(base.runs.completed().of_baseline().filter(budget_share=1.0).order_by("-pk")[:MOST_RUNS])
    if not runs:
        return [f"Baseline {base.number} was not measured yet."]
    lines, noise = [f"Baseline {base.number}, means of {counted(len(runs), 'run')}:"], project.noise()
    scores = [run.score for run in runs if run.score is not None]
    if scores and noise:
        score = rounded_for_agents(fmean(scores), noise.sigma)
        lines.append(f"- score {number(score, 6)} (to half of sigma); sigma, over seeds of one tree: {number(noise.sigma, 2)}")
    summaries = [run.summary for run in runs]
    figures = [text for key, words in MEASURED.items() if (text := figure_of(summaries, key, words))]
    return [*lines, *(f"- {text}" for text in figures), *curve_of(runs)]


def figure_of(summaries: Sequence[RunSummary], key: str, words: str) -> str:
    """The mean of one fact; empty where no run has it."""
    values = [value for summary in summaries if (value := summary.number(key)) is not None]
    return f"{number(fmean(values), 4)} {words}" if values else ""


def curve_of(runs: Sequence[Run]) -> list[str]:
    """The training loss of one run at a few steps, as a line (one query); nothing where it logs none."""
    steps, losses = arrays_of([runs[0].pk], ["train_loss"])[runs[0].pk].get("train_loss", ((), ()))
    points = list(zip(map(int, steps), map(float, losses), strict=False))
    if len(points) < 6:
        return []
    picked = [points[round(share * (len(points) - 1))] for share in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)]
    return ["- training loss by step: " + ", ".join(f"{number(value, 3)} at {step}" for step, value in picked)]


def judged_by(project: Project) -> Sequence[str]:
    """How a change is judged, in sentences with this project's own figures."""
    policy, guards = project.file.policy, project.file.guards
    limits = ", ".join(f"{name.replace('_', ' ')} {getattr(guards, name):.0%}" for name in Guards.model_fields)
    return [
        f"A change gets one run, and is dropped below {policy.first_drop:g} sigma better; then more seeds, up to "
        f"{policy.n_max}, and is dropped below {policy.drop:g} sigma. What surely is better is confirmed on "
        f"{counted(policy.confirm_runs, 'fresh seed')} of both sides, also on text that nobody was told of. Then it is solid, "
        "and a researcher decides.",
        f"Guards show a researcher what a change makes worse by more than: {limits} (source: the score on one source of text).",
        f"A gain above {policy.plausible_gain:.0%} of the score is put into quarantine until a researcher has looked. So is "
        "one with an edit near the seed, the budget, the evaluation or the data, which `check` names. That is no verdict: it "
        "is run and confirmed like any other, and a large gain is welcome. Say in the hypothesis where it comes from.",
    ]


def tried_anyway(project: Project) -> Sequence[str]:
    """What other proposers of this project's open rounds try without a model, in a line each (one query)."""
    rounds = project.rounds.filter(closed_at=None).values_list("proposers", flat=True)
    names = {name for proposers in rounds for name in proposers}
    lines = []
    if "playbook" in names:
        from agent.ideas import IDEAS  # what names a proposer imports nothing of it

        lines.append(f"playbook: {', '.join(idea.name.replace('_', ' ') for idea in IDEAS)}")
    if "knobs" in names:
        lines.append("knobs: other values of the constants that the code names, each by itself")
    return [*lines, f"{COMBINE}: pairs of near misses"] if lines else []
