"""A headline number as it is pasted elsewhere: Markdown, LaTeX or a link, never without its interval and n."""

from dataclasses import dataclass

from django.conf import settings

from research_app.evidence.digits import CONVENTION
from research_app.web.shared.effects import Effect
from research_app.web.shared.quoting import latex, markdown_text


@dataclass(frozen=True)
class Quote:
    """What is quoted, in which unit, and where it stands. `name` may come from an agent."""

    name: str
    effect: Effect
    unit: str
    address: str  # from the root of this site

    @property
    def link(self) -> str:
        return settings.SITE_URL.rstrip("/") + self.address

    @property
    def _n(self) -> str:
        return f"n = {self.effect.candidate_n} / {self.effect.baseline_n}"

    @property
    def markdown(self) -> str:
        """`[C-3](https://…): +0.0144 bits per byte, 95% interval +0.0091 … +0.0197, n = 5 / 5, positive is better`"""
        return f"[{markdown_text(self.name)}]({self.link}): {self.effect.gain.in_unit(self.unit)}, {self._n}, {CONVENTION}"

    @property
    def latex(self) -> str:
        r"""`C-3: $+0.0144$ bits per byte (95\% interval $[+0.0091, +0.0197]$, $n = 5 / 5$)`, without a package."""
        interval = f"95\\% interval $[{latex_bounds(self.effect)}]$, " if self.effect.interval else "no interval, "
        return f"{latex(self.name)}: ${self.effect.text.replace('−', '-')}$ {latex(self.unit)} ({interval}${self._n}$)"


def latex_bounds(effect: Effect) -> str:
    """Both bounds, for the inside of a formula."""
    return effect.interval.replace("−", "-").replace(" … ", ", ")
