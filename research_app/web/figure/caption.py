"""What stands beside a figure: a caption that says what it rests on, and a booktabs table of the scores."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from research_app.evidence.averages import deviation, mean
from research_app.evidence.difference import t_quantile
from research_app.evidence.digits import CONVENTION, UNKNOWN, score
from research_app.version import VERSION
from research_app.web.shared.effects import Effect
from research_app.web.shared.quoting import latex

BAND = "Lines are means over runs, bands the 95% interval of the mean (Student's t)."
MOST_SEEDS = 12  # that are named one by one


@dataclass(frozen=True)
class Source:
    """What one line rests on. Scores and effect are left out where health hides them."""

    name: str
    title: str
    n: int
    seeds: Sequence[int]
    commit: str
    evidence: str
    scores: Sequence[float]
    effect: Effect | None
    hidden: bool = False

    @property
    def words(self) -> str:
        """One line of the caption."""
        parts = [f"n = {self.n}", f"seeds {numbers(self.seeds)}" if self.seeds else "", f"commit {self.commit}"]
        parts += [f"evidence sha256:{self.evidence}"] if self.evidence else []
        if self.hidden:
            parts.append("not comparable: health check failed")
        elif self.effect:
            parts.append(f"gain {self.effect.gain.sentence}, {CONVENTION}")
        return f"{self.name}{f' ({self.title})' if self.title else ''}: {', '.join(filter(None, parts))}."


def numbers(seeds: Sequence[int]) -> str:
    """1–5, or 1, 3, 8 where they are not in a row."""
    known = sorted(set(seeds))
    if len(known) > 2 and known[-1] - known[0] == len(known) - 1:
        return f"{known[0]}–{known[-1]}"
    return ", ".join(map(str, known[:MOST_SEEDS])) + (" and more" if len(known) > MOST_SEEDS else "")


def caption_of(what: str, sources: Iterable[Source], notes: Iterable[str] = ()) -> str:
    """The caption file."""
    return "\n".join([what, *(source.words for source in sources), *filter(None, notes), f"Drawn by Signoff {VERSION}.", ""])


def interval_of_mean(scores: Sequence[float]) -> tuple[float | None, float | None]:
    """(mean, half width of its 95% interval by Student's t); None where there are too few scores."""
    spread = deviation(scores)
    half = None if spread is None else t_quantile(len(scores) - 1) * spread / math.sqrt(len(scores))
    return mean(scores), half


def table_tex(sources: Sequence[Source], metric: str) -> str:
    """A table for the packages booktabs and nothing else."""
    rows = [r"\begin{tabular}{lrrr}", r"\toprule", rf" & $n$ & {latex(metric)} & gain (95\% interval) \\", r"\midrule"]
    for source in sources:
        middle, half = interval_of_mean(source.scores)
        written = score(middle, half and half / 2) if middle is not None else UNKNOWN
        around = f" ± {score(half, half / 2)}" if half else ""
        gain = f"{source.effect.text} [{source.effect.interval}]" if source.effect and source.effect.interval else UNKNOWN
        rows.append(rf"{latex(source.name)} & {len(source.scores)} & {latex(written + around)} & {latex(gain)} \\")
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}", ""])
