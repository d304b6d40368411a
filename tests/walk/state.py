"""What the database holds now: candidates, runs and projects, as plain rows. Read only, by a connection of its own."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANDIDATES = """
    SELECT c.id, p.slug, c.number, c.stage, c.needs_attention != '' AS stuck, c.archived_at IS NOT NULL AS archived, c.why,
           c.needs_attention, c.hypothesis, coalesce(json_extract(e.numbers, '$.health.state'), '') AS health, c.kind
    FROM research_app_candidate c JOIN research_app_project p ON p.id = c.project_id
    LEFT JOIN research_app_evidence e ON e.id = c.evidence_id ORDER BY c.id
"""
RUNS = """
    SELECT r.id, p.slug, r.state, r.outcome, r.purpose, r.scale, r.patch_set_id, r.leased_by, c.number, r.attempts
    FROM research_app_run r JOIN research_app_project p ON p.id = r.project_id
    LEFT JOIN research_app_patchset s ON s.id = r.patch_set_id LEFT JOIN research_app_candidate c ON c.id = s.candidate_id
"""
PROJECTS = "SELECT id, slug, paused FROM research_app_project ORDER BY slug"


@dataclass(frozen=True)
class Candidate:
    """One candidate, as it stands now."""

    id: int
    slug: str
    number: int
    stage: str
    stuck: bool
    archived: bool
    why: str
    attention: str
    hypothesis: str
    health: str
    kind: str

    @property
    def address(self) -> str:
        return f"/projects/{self.slug}/candidates/{self.number}/"


@dataclass(frozen=True)
class Run:
    """One run. `number`: of its candidate."""

    id: int
    slug: str
    state: str
    outcome: str
    purpose: str
    scale: str
    patch_set: int | None
    leased_by: str
    number: int | None
    attempts: int


@dataclass(frozen=True)
class Project:
    """One project."""

    id: int
    slug: str
    paused: bool


@dataclass(frozen=True)
class Snapshot:
    """All of it at one moment."""

    candidates: Sequence[Candidate]
    runs: Sequence[Run]
    projects: Mapping[str, Project]

    def candidate(self, slug: str, number: int) -> Candidate:
        """Raises StopIteration for one that there is not."""
        return next(c for c in self.candidates if (c.slug, c.number) == (slug, number))

    def of(self, slug: str) -> list[Candidate]:
        return [c for c in self.candidates if c.slug == slug]


class Database:
    """The tables of an installation. To be used from one thread."""

    def __init__(self, home: Path) -> None:
        self.path = home / "signoff.sqlite3"
        self.connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20, isolation_level=None)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(query, values).fetchone()
        return row[0] if row else None

    def candidates(self) -> list[Candidate]:
        return [Candidate(*row) for row in self.rows(CANDIDATES)]

    def snapshot(self) -> Snapshot:
        """Three queries, at about one moment."""
        projects = {slug: Project(pk, slug, bool(paused)) for pk, slug, paused in self.rows(PROJECTS)}
        return Snapshot(self.candidates(), [Run(*row) for row in self.rows(RUNS)], projects)

    def document(self, query: str, *values: Any) -> Any:
        """A JSON column."""
        text = self.one(query, *values)
        return json.loads(text) if text else None
