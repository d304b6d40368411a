"""/projects/<slug>/candidates/<number>/similar/ : what was tried before that is like this candidate, and its outcome."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agent.diff import places_of
from research_app.models import Candidate, PatchSet
from research_app.models.candidate import CandidateQuerySet
from research_app.web.candidate.resources import Constant, constants_in
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.effects import Row, rows

SHOWN = 6
MAX_CONSTANTS = 8  # of one candidate
MAX_NAMES = 50  # of this one: more would be a table, not knobs
LOOKED_AT = 200  # newest ones, of all that share something
# Of what git names after the @@ of a hunk only functions and classes tell that two changes are about the same thing.
_PART = re.compile(r"(?:async )?(?:def|class) ")


@dataclass(frozen=True)
class Similar:
    """An earlier candidate with what it shares with this one."""

    row: Row
    same_code: bool
    shared: Sequence[str]  # constants that both touch
    parts: Sequence[str]  # functions and classes that both change, where they share no constant

    @property
    def weight(self) -> tuple[bool, int, int]:
        return self.same_code, len(self.shared[:MAX_CONSTANTS]), len(self.parts)

    @cached_property
    def moved(self) -> Sequence[Constant]:
        """The shared constants as the other one set them. Reads its diff: asked of those that are shown."""
        return constants_in(self.row.candidate.revision.diff, self.shared[:MAX_CONSTANTS])


@researcher
@require_safe
def similar(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Candidates with the same code, the same constants or changes to the same functions, the most alike first."""
    candidate = get_candidate(request, slug, number)
    candidates = alike(candidate)
    context = {"project": candidate.project, "candidate": candidate, "found": candidates[:SHOWN], "more": candidates[SHOWN:]}
    context["similar_count"] = len(candidates)
    context["constants"] = candidate.patch_set.touched.split() if candidate.patch_set else []
    response = render(request, "candidate/_similar.html", context)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def alike(candidate: Candidate) -> list[Similar]:
    """Others of the project that share something with it, the most alike first, then the newest. Three queries.

    Their diffs may be large: they are read one by one, those alone that share no constant, and are not kept.
    """
    mine = candidate.patch_set
    if mine is None:
        return []
    names, parts = set(mine.touched.split()[:MAX_NAMES]), set(sorted(parts_of(mine.diff))[:MAX_NAMES])
    shares = Q(patch_set__syntax_hash=mine.syntax_hash)
    for name in names:
        shares |= Q(patch_set__touched__contains=f"\n{name}\n")
    for part in parts:
        shares |= Q(patch_set__diff__contains=f"@@ {part}")
    others: CandidateQuerySet = Candidate.objects.filter(shares, project=candidate.project_id).exclude(pk=candidate.pk)
    others = others.with_evidence().defer("patch_set__diff", "proposed", "details", "evidence__numbers")
    listed = rows(others.order_by("-number")[:LOOKED_AT])
    shared = {row.candidate.pk: [name for name in row.candidate.revision.touched.split() if name in names] for row in listed}
    without = [row.candidate.revision.pk for row in listed if not shared[row.candidate.pk]] if parts else []
    diffs = PatchSet.objects.filter(pk__in=without).values_list("candidate_id", "diff").iterator(chunk_size=1)
    same_parts = {pk: sorted(parts & parts_of(diff)) for pk, diff in diffs}
    candidates = [
        Similar(
            row,
            row.candidate.revision.syntax_hash == mine.syntax_hash,
            shared[row.candidate.pk],
            same_parts.get(row.candidate.pk, []),
        )
        for row in listed
    ]
    return sorted(candidates, key=lambda one: one.weight, reverse=True)  # equal ones stay newest first


def parts_of(diff: str) -> set[str]:
    """The functions and classes that a diff changes, as their first lines name them."""
    return {place for place in places_of(diff) if _PART.match(place)}
