"""No-ops: a change whose runs repeat the baseline's of the same seeds to the last digit does not reach the training.

A constant that a config file or an option of the command overrides is the usual case. Its score differs from the mean of the
baseline's runs by the noise of its seed alone; one run of the candidate is enough to say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from research_app.evidence.evidence_document import NoOpRecord
from research_app.evidence.identical import BELIEVED, Curve, Trajectory, chance_of
from research_app.evidence.noise import Noise
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.build_evidence import begin, frozen
from research_app.models import Evidence, PatchSet, Run, Verdict
from research_app.models.run import arrays_of
from research_app.project_file.ladder import SMALLEST

WORK = ("steps", "tokens", "parameters", "flops", "text_order")  # facts of a run that its device does not change


@dataclass(frozen=True)
class Repeated:
    """Runs of a candidate that are the baseline's own. `arms` holds both, seed by seed; `proven` unless it may be chance."""

    arms: Arms
    points: int
    curves: int
    proven: bool

    @property
    def sentence(self) -> str:
        """What was seen, for people and proposers."""
        seeds = [str(run.seed) for run in self.arms.candidate]
        named = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(seeds)}"
        counted = f"{self.points} points of {self.curves} curve{'s' if self.curves > 1 else ''}"
        compared = f"the score and {counted}" if self.points else "the score"
        sentence = f"with {named} it printed what the baseline printed, to the last digit"
        if self.proven:
            return f"It changes nothing that runs: {sentence} ({compared}; times, speeds and memory are not compared)."
        return f"So far {sentence} ({compared}). So few digits may agree by chance: another seed will tell."


def repeated(patch_set: PatchSet, runs: Sequence[Run], noise: Noise) -> Repeated | None:
    """The candidate's runs beside the baseline's of the same seeds and kind of device, if each repeats its own; else None.

    One query, and two more where the scores alone do not tell them apart.
    """
    theirs = patch_set.base.runs.of_baseline(SMALLEST).scored().filter(budget_share=1.0).order_by("pk")
    reference = list(theirs)
    by_seed = {(run.seed, run.queue): run for run in reference}
    pairs = [(by_seed.get((run.seed, run.queue)), run) for run in runs]
    pairs_alike = [(base, run) for base, run in pairs if base is not None and base.score == run.score]
    if len(pairs_alike) < len(runs):
        return None
    curves = arrays_of([run.pk for run in (*reference, *runs)])
    seeds = [(trajectory(base, curves[base.pk]), trajectory(run, curves[run.pk])) for base, run in pairs_alike]
    if not all(mine.repeats(base) for base, mine in seeds):
        return None
    others, chance = [trajectory(run, curves[run.pk]) for run in reference], 1.0
    for _, mine in seeds:
        chance *= chance_of(mine, others, noise.sigma)
    arms = Arms([base for base, _ in pairs_alike], [run for _, run in pairs_alike])
    points, names = sum(mine.points for _, mine in seeds), {name for _, mine in seeds for name in mine.compared}
    return Repeated(arms, points, len(names), chance <= BELIEVED)


def trajectory(run: Run, curves: Mapping[str, Curve]) -> Trajectory:
    """What a run with a score left behind."""
    work = {name: run.summary.facts[name] for name in WORK if name in run.summary.facts}
    return Trajectory(float(run.score or 0.0), run.source_scores, curves, work)


def evidence_of_no_op(patch_set: PatchSet, seen: Repeated, noise: Noise) -> Evidence:
    """Evidence of a change that does nothing, unsaved: an effect of exactly 0, not estimated, so without an interval."""
    evidence = begin(patch_set, seen.arms, noise, patch_set.candidate.project.file.decision_policy())
    evidence.effect = evidence.standard_error = 0.0
    evidence.verdict = Verdict.DROP if seen.proven else Verdict.MORE_RUNS_NEEDED
    evidence.reason = seen.sentence
    seeds = [run.seed for run in seen.arms.candidate]
    no_op = NoOpRecord(seeds=tuple(seeds), points=seen.points, proven=seen.proven)
    evidence.document = evidence.document.model_copy(update={"looks": (), "no_op": no_op})
    return frozen(evidence)
