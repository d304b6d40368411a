"""/projects/<slug>/candidates/<number>/similar/ : what was tried before that is like this candidate, and what came of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.models import Candidate
from research_app.models.candidate import CandidateQuerySet
from research_app.web.access import get_candidate, researcher
from research_app.web.effects import Row, rows
from research_app.web.resources import Constant, constants_in

SHOWN = 6
MAX_CONSTANTS = 8  # of one candidate
MAX_NAMES = 50  # of this one: more would be a table, not knobs
LOOKED_AT = 200  # newest ones, of all that share something
# What git names after the @@ of a hunk: only functions and classes tell that two changes are about the same thing.
_PART = re.compile(r"^@@ [^@]* @@ ((?:async )?(?:def|class) .+)$", re.MULTILINE)


@dataclass(frozen=True)
class Similar:
    """An earlier candidate with what it shares with this one."""

    row: Row
    same_code: bool
    moved: Sequence[Constant]  # constants that both touch, as the other one set them
    parts: Sequence[str]  # functions and classes that both change, where they share no constant

    @property
    def weight(self) -> tuple[bool, int, int]:
        return self.same_code, len(self.moved), len(self.parts)


@researcher
@require_safe
def similar(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Candidates with the same code, the same constants or changes to the same functions, the most alike first."""
    candidate = get_candidate(request, slug, number)
    found = alike(candidate)
    context = {"project": candidate.project, "candidate": candidate, "found": found[:SHOWN], "more": found[SHOWN:]}
    context["constants"] = candidate.patch_set.touched.split() if candidate.patch_set else []
    response = render(request, "candidate/_similar.html", context)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def alike(candidate: Candidate) -> list[Similar]:
    """Others of the project that share something with it, the most alike first, then the newest. Two queries."""
    mine = candidate.patch_set
    if mine is None:
        return []
    names, parts = set(mine.touched.split()[:MAX_NAMES]), set(_PART.findall(mine.diff)[:MAX_NAMES])
    shares = Q(patch_set__syntax_hash=mine.syntax_hash)
    for name in names:
        shares |= Q(patch_set__touched__contains=f"\n{name}\n")
    for part in parts:
        shares |= Q(patch_set__diff__contains=f"@@ {part}")
    others: CandidateQuerySet = Candidate.objects.filter(shares, project=candidate.project_id).exclude(pk=candidate.pk)
    listed = others.with_evidence().defer("proposed", "details", "evidence__numbers").order_by("-number")[:LOOKED_AT]
    found = [_similar(row, mine.syntax_hash, names, parts) for row in rows(listed)]
    return sorted(found, key=lambda one: one.weight, reverse=True)  # equal ones stay newest first


def _similar(row: Row, syntax_hash: str, names: set[str], parts: set[str]) -> Similar:
    theirs = row.candidate.revision
    shared = [name for name in theirs.touched.split() if name in names]
    same = [] if shared else sorted(parts & set(_PART.findall(theirs.diff)))
    return Similar(row, theirs.syntax_hash == syntax_hash, constants_in(theirs.diff, shared[:MAX_CONSTANTS]), same)
