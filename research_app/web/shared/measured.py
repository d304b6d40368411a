"""How versions of the baseline compare: by the means of their own reference runs, never by a sum of single effects."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from research_app.evidence.difference import compare, effect_between
from research_app.evidence.digits import Gain
from research_app.evidence.noise import Noise
from research_app.models import BaselineVersion, Project, Purpose, Run
from research_app.web.shared.effects import Effect


def reference_scores(versions: Iterable[BaselineVersion]) -> dict[int, list[float]]:
    """Scores of the reference runs of some versions at the smallest scale. One query."""
    scores: dict[int, list[float]] = defaultdict(list)
    reference = Run.objects.of_baseline().filter(baseline__in=versions, purpose=Purpose.REFERENCE, budget_share=1.0)
    for pk, score in reference.scored().values_list("baseline_id", "score"):
        if score is not None:
            scores[pk].append(score)
    return scores


def difference(before: Sequence[float], after: Sequence[float], noise: Noise | None, sign: float) -> Effect | None:
    """Gain in the mean of runs, with its 95% interval from the pooled sigma; None where one side has no runs.

    `sign` is Project.sign.
    """
    if not before or not after:
        return None
    if noise is None:
        return Effect(Gain(effect_between(before, after, sign > 0)), None, len(after), len(before))
    difference_ = compare(before, after, noise, lower_is_better=sign > 0)
    return Effect(difference_.gain, difference_.effect / noise.sigma, len(after), len(before))


def measured_in_all(project: Project, noise: Noise | None) -> Effect | None:
    """The newest baseline against the first: means of their own runs, never a sum of single effects. Two queries."""
    versions = list(project.baseline_versions.order_by("number"))
    if len(versions) < 2:
        return None
    first, newest = versions[0], versions[-1]
    scores = reference_scores([first, newest])
    return difference(scores[first.pk], scores[newest.pk], noise, project.sign)
