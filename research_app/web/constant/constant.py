"""/projects/<slug>/constants/<name>/ : every try of one constant of the code, its value against the gain, and its value now."""

import math
from dataclasses import dataclass

from django.db.models.functions import Length
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.models import Candidate, Project
from research_app.repository import RepositoryError
from research_app.web.candidate.resources import Constant, constants_in
from research_app.web.compare.compare import constants_at
from research_app.web.constant.value_chart import value_chart
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.effects import Row, rows

MOST = 200  # tries, the newest
LONGEST = 20_000  # characters of a diff that is read for a value


@dataclass(frozen=True)
class Try:
    """One candidate that altered the constant: its value before and after, as far as each is a number on one line."""

    row: Row
    constant: Constant | None

    @property
    def candidate(self) -> Candidate:
        return self.row.candidate

    @property
    def value(self) -> float | None:
        """What it was set to, as a number."""
        return as_number(self.constant.after) if self.constant else None


@researcher
@require_safe
def constant(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """The page. Three queries, and one read of git."""
    project = get_project(request, slug)
    tries = tries_of(project, name)
    now = value_now(project, name)
    if not tries and not now:
        raise Http404("No such constant was tried, and the baseline has none of this name.")
    points = [(each.value, each.row.effect, str(each.candidate)) for each in tries]
    drawn = [(value, effect, words) for value, effect, words in points if value is not None and effect is not None]
    context = {"project": project, "name": name, "tries": tries, "now": now, "most": MOST}
    context["chart"] = value_chart(drawn, as_number(now), project.file.metric.name)
    return render(request, "constant/constant.html", context)


def tries_of(project: Project, name: str) -> list[Try]:
    """Newest first, archived ones too. Diffs that are very long are not read for a value. Two queries."""
    touching = project.candidates.filter(patch_set__touched__contains=f"\n{name}\n").with_evidence()
    touching = touching.defer("patch_set__diff", "proposed", "details", "evidence__numbers").order_by("-number")
    listed = list(touching[:MOST])
    short = project.candidates.filter(pk__in=[each.pk for each in listed]).annotate(size=Length("patch_set__diff"))
    diffs = dict(short.filter(size__lte=LONGEST).values_list("pk", "patch_set__diff"))
    return [Try(row, value_in(diffs.get(row.candidate.pk, ""), name)) for row in rows(listed)]


def value_in(diff: str, name: str) -> Constant | None:
    """What a diff sets the constant to; None where it sets it to nothing on one line."""
    return next((each for each in constants_in(diff, [name]) if each.before or each.after), None)


def value_now(project: Project, name: str) -> str:
    """The text of the constant in the newest baseline; empty where it is not there, or stands in several files."""
    try:
        values = constants_at(project, project.tip().commit, project.file.edit.editable)
    except RepositoryError:
        return ""
    mine = [text for label, text in values.items() if label.rpartition(":")[2] == name]
    return mine[0] if len(mine) == 1 else ""


def as_number(text: str) -> float | None:
    """A finite number written as Python writes one; None for all else."""
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
