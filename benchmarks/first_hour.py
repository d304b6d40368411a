"""The first hour of a new installation: how long until a person sees something, and until they are asked for something.

    make first-hour ARGS="[--tree FOLDER] [--limit 900] [--out var/first_hour.json] [--home FOLDER] [--pictures FOLDER]"

Clones the commit that is checked out in a tree, starts `manage.py up` in it as `make up` does once everything is installed,
and follows the database and the inbox of a signed-in administrator until the first candidate is at a gate. Writes the moments
in seconds, what the inbox said at each, the load of the machine, and every run with its device, so that the wait can be told
in device seconds and CPU seconds too, which a busy machine bends less. Exits with 1 when no candidate came to a gate within the
limit. With --pictures a Chromium takes those of docs/tutorial/first-hour.md at the same moments, and follows it to its end;
that costs time, so leave it out to measure.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.first_hour_pictures import Photographer
from research_app.home import CODE
from tests.html import text_of
from tests.installation import Installation
from tests.tutorial import commands
from tests.tutorial import follow as follow_block
from tests.walk.visitor import Visitor

EVERY = 0.5  # seconds between two looks
PAGE, RUN, LOOK, VERDICT, CONFIRMING, GATE = (
    "page", "first finished run", "first look at a candidate", "first verdict", "first candidate confirming",
    "first candidate at a gate",
)  # fmt: skip
MOVED = "SELECT min(at) FROM research_app_event WHERE kind = 'stage changed' AND json_extract(data, '$.to') IN "
MOMENTS = {
    RUN: "SELECT min(finished_at) FROM research_app_run WHERE state = 'finished'",
    LOOK: "SELECT min(frozen_at) FROM research_app_evidence",
    VERDICT: "SELECT min(frozen_at) FROM research_app_evidence WHERE verdict != 'more_runs_needed'",
    CONFIRMING: f"{MOVED} ('confirming')",
    GATE: f"{MOVED} ('shortlisted', 'ready')",
}
RUNS = """
    SELECT r.id, r.purpose, r.seed, r.budget_share, c.number, d.name, r.state, r.outcome, r.created_at, r.started_at,
           r.finished_at, r.train_seconds, json_extract(r.facts, '$.cpu_seconds')
    FROM research_app_run r LEFT JOIN research_app_patchset s ON s.id = r.patch_set_id
    LEFT JOIN research_app_candidate c ON c.id = s.candidate_id LEFT JOIN research_app_device d ON d.id = r.device_id
    ORDER BY r.started_at
"""


@dataclass(frozen=True)
class Moment:
    """Something that happened for the first time. `device_seconds`: what runs had trained on all devices by then."""

    what: str
    seconds: float
    device_seconds: float
    load: float  # of the last minute
    inbox: str


@dataclass(frozen=True)
class Trained:
    """One run: what for, of which candidate, where, and when in seconds since the start."""

    id: int
    purpose: str
    seed: int
    budget_share: float
    candidate: int | None
    device: str | None
    state: str
    outcome: str
    created: float
    started: float | None
    finished: float | None
    train_seconds: float | None
    cpu_seconds: float | None  # of its process, whatever else the machine did

    def trained_by(self, until: float) -> float:
        """Seconds that it had trained by a moment."""
        if self.started is None or self.started > until:
            return 0.0
        return (self.train_seconds or 0.0) if self.finished and self.finished <= until else until - self.started


@dataclass
class Story:
    """What was seen so far."""

    commit: str
    begun: datetime
    load_before: float
    moments: list[Moment] = field(default_factory=list)

    def since(self, stored: str | None) -> float | None:
        """Seconds from the start to a moment as the database writes it."""
        if not stored:
            return None
        at = datetime.fromisoformat(stored)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - self.begun).total_seconds()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tree", type=Path, default=CODE, help="checkout whose commit is tried (default: this one)")
    options.add_argument("--limit", type=float, default=900.0, help="seconds to wait at most")
    options.add_argument("--out", type=Path, default=CODE / "var" / "first_hour.json")
    options.add_argument("--home", type=Path, help="folder for the clone and its state (default: a new one)")
    options.add_argument("--pictures", type=Path, help="take pictures into this folder")
    chosen = options.parse_args()
    folder = chosen.home or Path(tempfile.mkdtemp(prefix="first-hour-"))
    signoff = installation(chosen.tree, folder)
    story = Story(commit_of(signoff.code), datetime.now(UTC), os.getloadavg()[0])
    try:
        runs = follow(signoff, story, chosen.limit, chosen.pictures)
    finally:
        signoff.end()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(report(story, runs), indent=1))
    print(table(story, runs))
    print(f"\n{chosen.out}")
    sys.exit(0 if story.moments[-1].what == GATE else 1)


def installation(tree: Path, folder: Path) -> Installation:
    """A fresh clone of a tree's commit with a home of its own; what is installed is shared with the tree."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(tree), str(clone)], check=True)
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    subprocess.run(["git", "-C", str(clone), "checkout", "--quiet", "--detach", head.stdout.strip()], check=True)
    signoff = Installation(folder / "var")
    signoff.code = clone
    return signoff


def commit_of(tree: Path) -> str:
    """The commit that is checked out, in short."""
    return subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def follow(signoff: Installation, story: Story, limit: float, pictures: Path | None) -> list[Trained]:
    """Start it and note the moments until the last of them, or until the time is up. Returns the runs by then."""
    signoff.start()
    visitor = Visitor(signoff.url, "admin")
    visitor.sign_in(next(line.split()[-1] for line in signoff.lines if "Sign in once" in line))
    note(signoff, story, visitor, PAGE, (datetime.now(UTC) - story.begun).total_seconds())
    with contextlib.ExitStack() as stack:
        album = stack.enter_context(Photographer(visitor, pictures)) if pictures else None
        while not any(moment.what == GATE for moment in story.moments):
            if (datetime.now(UTC) - story.begun).total_seconds() > limit:
                break
            noted = {moment.what for moment in story.moments}
            for what, query in MOMENTS.items():
                if what not in noted and (at := story.since(first(signoff.home, query))) is not None:
                    note(signoff, story, visitor, what, at)
                    if album:
                        take(album, what)
            time.sleep(EVERY)
        runs = runs_of(signoff.home, story)
        if album and story.moments[-1].what == GATE:
            finish_tutorial(signoff, album)
    return runs


def note(signoff: Installation, story: Story, visitor: Visitor, what: str, seconds: float) -> None:
    """Write a moment down, and say so."""
    trained = sum(run.trained_by(seconds) for run in runs_of(signoff.home, story))
    said = words_of(visitor.ask("/").text)
    story.moments.append(Moment(what, round(seconds, 1), round(trained, 1), round(os.getloadavg()[0], 2), said))
    print(f"{seconds:6.1f} s  {what}: {said}", flush=True)


def take(album: Photographer, what: str) -> None:
    """The pictures of a moment."""
    if name := {RUN: "noise", CONFIRMING: "confirming", GATE: "decision"}.get(what):
        album.take(name, "/", ("wide", "narrow"))
    if what == VERDICT:
        album.take("candidates", "/projects/demo/candidates/")
    if what == GATE:
        album.window.locator(".decisions a.open").first.click()
        album.window.wait_for_url("**/candidates/*/")
        album.snap("candidate")


def finish_tutorial(signoff: Installation, album: Photographer) -> None:
    """A repository of one's own, as the tutorial brings it, up to its first decision."""
    for block in commands()[:-1]:
        follow_block(block, signoff.home.parent, signoff.home, signoff.code)
    album.window.goto("/projects/mine/candidates/1/")
    album.window.get_by_role("button", name="Approve for baseline").wait_for(timeout=900_000)
    album.take("mine", "/projects/mine/candidates/1/")
    album.take("mine-inbox", "/")


def first(home: Path, query: str) -> str | None:
    """One value of the database, read only."""
    with opened(home) as connection:
        return connection.execute(query).fetchone()[0]


def opened(home: Path) -> sqlite3.Connection:
    """The database of an installation, which is left as it is."""
    return sqlite3.connect(f"file:{home / 'signoff.sqlite3'}?mode=ro", uri=True, timeout=20)


def runs_of(home: Path, story: Story) -> list[Trained]:
    """All runs, with their moments in seconds since the start."""
    with opened(home) as connection:
        rows = connection.execute(RUNS).fetchall()
    return [Trained(*row[:8], *map(story.since, row[8:11]), *row[11:]) for row in rows]


def words_of(html: str) -> str:
    """What the inbox says first, as text."""
    return text_of(html.split('id="waiting"', 1)[-1].split(">", 1)[-1].split("</section>", 1)[0])


def report(story: Story, runs: list[Trained]) -> Mapping[str, Any]:
    """All that was seen."""
    return {
        "commit": story.commit,
        "begun": story.begun.isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(story.load_before, 2),
        "moments": [asdict(moment) for moment in story.moments],
        "device_seconds_by_purpose": dict(by_purpose(story, runs)),
        "runs_by_purpose": dict(Counter(run.purpose for run in runs if run.started is not None)),
        "cpu_seconds_of_ended_runs": round(sum(run.cpu_seconds or 0.0 for run in runs if run.finished), 1),
        "idle": dict(idle(runs)),
        "runs": [asdict(run) for run in runs],
    }


def by_purpose(story: Story, runs: list[Trained]) -> Iterator[tuple[str, float]]:
    """Device seconds until the last moment, by what the runs were for."""
    until = story.moments[-1].seconds
    for purpose in sorted({run.purpose for run in runs}):
        yield purpose, round(sum(run.trained_by(until) for run in runs if run.purpose == purpose), 1)


def idle(runs: list[Trained]) -> Iterator[tuple[str, list[float]]]:
    """Seconds between two runs on each device."""
    for device in sorted({run.device for run in runs if run.device}):
        there = [run for run in runs if run.device == device and run.started is not None]
        yield device, [round(b.started - a.finished, 1) for a, b in itertools.pairwise(there) if a.finished and b.started]


def table(story: Story, runs: list[Trained]) -> str:
    """The moments and the runs, for people."""
    lines = [f"commit {story.commit}, load before {story.load_before:.2f}", ""]
    lines += ["| moment | s | device s | load | the inbox says |", "|---|---|---|---|---|"]
    lines += [f"| {m.what} | {m.seconds:.0f} | {m.device_seconds:.0f} | {m.load:.1f} | {m.inbox} |" for m in story.moments]
    lines += ["", "device seconds until then: " + ", ".join(f"{name} {s:.0f}" for name, s in by_purpose(story, runs))]
    ended = [run.cpu_seconds for run in runs if run.finished and run.cpu_seconds]
    lines.append(
        f"{len(ended)} runs ended, {sum(ended):.0f} s of CPU in their training, {sum(ended) / max(len(ended), 1):.1f} s each"
    )
    for device, gaps in idle(runs):
        lines.append(f"gaps on {device}: {sum(gaps):.1f} s in {len(gaps)}, the longest {max(gaps, default=0):.1f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
