"""What goes over the wire. Scores and effects are rounded to half a sigma, or proposals could be fitted to the gate text."""

from datetime import datetime
from typing import Annotated, Literal, Self

from ninja import Field, Schema
from pydantic import model_validator

from agent.proposal import CATEGORIES
from agent.title import MOST
from research_app.door.text import Code, Prose

MOST_HYPOTHESIS, MOST_CODE, MOST_EDITS = 10_000, 2_000_000, 200
TITLE = "The change in one short line, for lists and commits; without one it is cut from the hypothesis"
Category = Literal[CATEGORIES]  # type: ignore[valid-type]
Text = Annotated[Code, Field(max_length=MOST_CODE)]


class ProjectOut(Schema):
    """A project: what is measured, which way is better, what may be edited, and the tip that changes are based on."""

    project: str
    paused: bool
    metric: str
    better: Literal["lower", "higher"]
    self_reported: bool
    sigma: float | None = Field(description="Standard deviation of the score over seeds; null before calibration")
    budget: str
    editable: list[str]
    protected: list[str]
    baseline: int
    baseline_commit: str
    candidates: int
    address: str


class SourceOut(Schema):
    """The editable files at the baseline's tip, and the researchers' instructions."""

    commit: str
    files: dict[str, str]
    program: str


class TriedOut(Schema):
    """One row of the history. `effect`, `low` and `high` are rounded to half a sigma; positive is better.

    `stage` is `duplicate of C-7` for what was refused because it was tried before.
    """

    number: int
    author: str
    category: str
    title: str
    hypothesis: str
    stage: str
    outcome: str
    effect: float | None
    low: float | None
    high: float | None
    why: str


class HistoryOut(Schema):
    """A page of the history, newest first. `before` of the next page, or null at the end."""

    items: list[TriedOut]
    before: int | None


class FileOut(Schema):
    path: str
    kind: str
    added: int
    removed: int


class PatchSetOut(Schema):
    number: int
    base_commit: str
    commit: str
    diff_hash: str
    files: list[FileOut]
    flags: list[str]


class CandidateOut(TriedOut):
    """One candidate: where it stands, whether a machine still works on it, and what waits for whom."""

    stage_since: datetime
    idle: bool = Field(description="No machine works on it or will")
    resting: bool = Field(description="The same as `idle`, by its name of before", deprecated=True)
    waits_for_person: bool
    needs_attention: str
    device_seconds: float = Field(description="Of all its runs: lost attempts and all devices counted")
    patch_set: PatchSetOut | None
    address: str


class FindingOut(Schema):
    rule: str
    sentence: str


class EvidenceOut(Schema):
    """The frozen comparison with the baseline. Effect and interval are rounded to half a sigma."""

    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    sigma: float | None
    baseline_n: int
    candidate_n: int
    scale: str
    health: str
    findings: list[FindingOut]
    contradictions: list[str]
    failed_guards: list[str] = Field(description="What it makes worse than the margins allow: part of the verdict")
    policy_version: int
    content_hash: str
    frozen_at: datetime


class RunOut(Schema):
    """One training. `score` is rounded to half a sigma; null before there is a sigma, and of a candidate's runs that are scored
    on text that their code cannot see: the evidence tells one effect of all of them."""

    id: int
    group: str
    purpose: str
    scale: str
    seed: int
    state: str
    outcome: str
    reason: str
    progress: float
    score: float | None
    self_reported: bool
    sandbox: str
    started_at: datetime | None
    finished_at: datetime | None
    train_seconds: float | None
    device_seconds: float = Field(description="Of all its attempts, on all its devices")
    facts: dict[str, float | int | str]
    said_by_the_run: list[str] = Field(description="Facts that only the run itself knows; the others were measured outside it")
    left_out: list[str] = Field(description="How many of its values were not kept, and by which limit")


class RunsOut(Schema):
    items: list[RunOut]


class CurveOut(Schema):
    """At most 1,000 points; where there were more, each bucket keeps its lowest and its highest."""

    steps: list[float]
    values: list[float]
    points: int = Field(description="How many were logged")


class SeriesOut(Schema):
    series: dict[str, CurveOut]


class TextOut(Schema):
    text: str


class RemarkOut(Schema):
    by: str
    at: datetime
    text: str


class ThreadOut(Schema):
    """What was said about a line; answer an open thread with a new patch set."""

    place: str
    quoted: str
    resolved: bool
    comments: list[RemarkOut]


class ThreadsOut(Schema):
    items: list[ThreadOut]


class EditIn(Schema):
    """An exact replacement: `old` stands exactly once in the file; an empty `old` makes the file."""

    path: Annotated[Prose, Field(min_length=1, max_length=1000)]
    old: Text
    new: Text


class ChangeIn(Schema):
    """Either `edits` or `patch`, a unified diff against the baseline's tip."""

    edits: Annotated[list[EditIn], Field(max_length=MOST_EDITS)] = []
    patch: Text = ""

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if bool(self.edits) == bool(self.patch.strip()):
            raise ValueError("Send either `edits` or `patch`, not both and not neither.")
        return self


class ProposalIn(ChangeIn):
    """A change with what it should do, and why."""

    title: Annotated[Prose, Field(max_length=MOST, pattern=r"^[^\r\n]*$", description=TITLE)] = ""
    hypothesis: Annotated[Prose, Field(min_length=1, max_length=MOST_HYPOTHESIS, pattern=r"\S")]
    category: Category
    expected_effect: Annotated[Prose, Field(max_length=500)] = ""


class RevisionIn(ChangeIn):
    """The next patch set. `message` says what changed."""

    message: Annotated[Prose, Field(max_length=MOST_HYPOTHESIS)] = ""


class EnteredOut(Schema):
    """The candidate that was entered, or got a new patch set. Ask its address for its outcome."""

    number: int
    address: str
    api: str
