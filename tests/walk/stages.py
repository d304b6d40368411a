"""The stages and ends that a walk must pass, and how each is seen in the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.walk.state import Candidate, Snapshot


@dataclass(frozen=True)
class End:
    """One stage of a candidate, or one state of a project. `brief`: it lasts only until a machine goes on."""

    name: str
    where: Callable[[Snapshot], list[str]]  # addresses of the pages that show it now
    brief: bool = False


def at(stage: str, brief: bool = False) -> End:
    """Candidates at a stage, and nothing else about them."""
    return of_candidates(stage.replace("_", " "), lambda c: c.stage == stage and not c.stuck and not c.archived, brief)


def of_candidates(name: str, holds: Callable[[Candidate], bool], brief: bool = False) -> End:
    return End(name, lambda now: [c.address for c in now.candidates if holds(c)], brief)


def of_projects(name: str, holds: Callable[[Snapshot, str], bool]) -> End:
    return End(name, lambda now: [f"/projects/{slug}/" for slug in now.projects if holds(now, slug)])


def reference(now: Snapshot, slug: str) -> list[str]:
    """How the baseline's own runs of a project stand."""
    return [
        run.outcome or run.state for run in now.runs if run.slug == slug and run.patch_set is None and run.purpose == "bank"
    ]


def failing(now: Snapshot, slug: str) -> bool:
    outcomes = reference(now, slug)
    return "crashed" in outcomes and "completed" not in outcomes


def empty(now: Snapshot, slug: str) -> bool:
    return not now.of(slug) and bool(reference(now, slug)) and set(reference(now, slug)) == {"completed"}


ENDS: Mapping[str, End] = {
    end.name: end
    for end in (
        at("proposed", brief=True),
        at("checking", brief=True),
        at("screening", brief=True),
        at("replicating", brief=True),
        at("confirming", brief=True),
        at("shortlisted"),
        at("scaling_up", brief=True),
        at("ready"),
        at("changes"),
        at("landing", brief=True),
        at("landed"),
        at("invalid"),
        at("crashed"),
        at("dropped"),
        at("inconclusive"),
        at("rejected"),
        at("no_transfer"),
        at("conflict"),
        of_candidates("quarantined", lambda c: c.health == "quarantined"),
        of_candidates("stuck", lambda c: c.stuck),
        of_candidates("archived", lambda c: c.archived),
        of_projects("baseline failing", failing),
        of_projects("paused", lambda now, slug: now.projects[slug].paused),
        of_projects("empty", empty),
    )
}
