"""The workspace of a conversation: one project at one baseline, as far as an agent may see and try it.

Everything here is bounded by the proposal: it reads this project's tree and this project's candidates, it writes nothing but
git objects of drafts, and it trains in the same sandbox as every run. Effects are rounded as for all agents.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from django.conf import settings

from agent.constants import find_constants
from agent.proposal import Edit, Tried
from agent.tools import Examined, Refused, Smoked
from research_app.evidence.digits import number
from research_app.loop.check.check import CheckFailed, build, examine
from research_app.loop.check.examine import flags_of
from research_app.loop.disclosure import reasons_for, speaker
from research_app.loop.propose.propose import tried
from research_app.loop.train.idle_gpus import idle_device
from research_app.loop.train.launched import command_in
from research_app.loop.train.train import environment_for
from research_app.machine.fleet import gpus
from research_app.models import BaselineVersion, Candidate, Project
from research_app.project_file.ladder import SMALLEST
from research_app.repository import PatchError, RepositoryError, matches
from research_app.repository.edits import apply_edits
from training.reported_by_run import SAID, said_by_run
from training.runner import run_training
from training.sandbox import Level, NoSandbox
from training.sandbox.scratch import remove
from training.spec import GIB, KIB, Outcome, RunResult, RunSpec, Scored

SMOKE_SHARE = 0.04  # of the budget of a run
SMOKE_SEED = 1
BUSIEST = 4.0  # times as long may a smoke test take on a machine that does other work
LOG_SHOWN = 8_000  # characters
FACTS = {
    "parameters": "parameters",
    "flops_per_token": "FLOPs per token",
    "peak_memory_bytes": "peak memory of this short run, bytes",
    "tokens_per_second": "tokens per second (a rough figure: the machine does other work)",
}


class ProjectWorkspace:
    """Implements `agent.tools.Workspace`. `but` is the candidate that is being revised, which is no duplicate of itself."""

    def __init__(self, project: Project, base: BaselineVersion, but: Candidate | None = None) -> None:
        self.project = project
        self.base = base
        self.but = but

    @cached_property
    def _files(self) -> dict[str, str]:
        return self.project.repository.texts(self.base.commit, ["**"])

    def files(self) -> Mapping[str, str]:
        return self._files

    def edited(self, edits: Sequence[Edit]) -> Mapping[str, str]:
        edit = self.project.file.edit
        for each in edits:
            if matches(each.path, edit.protected, protecting=True):
                raise Refused(f"{each.path} is protected: a change of this project may not touch it.")
            if not matches(each.path, edit.editable):
                raise Refused(f"{each.path} is not among the files that you may change: {', '.join(edit.editable)}.")
        if not edits:
            return {}
        try:
            return apply_edits([(each.path, each.old, each.new) for each in edits], self._text)
        except PatchError as problem:
            raise Refused(problem.reason) from None

    def _text(self, path: str) -> str | None:
        """A file as it is in the tree. Raises PatchError for one that cannot be changed, as it is not text or too large."""
        return self._files[path] if path in self._files else self.project.repository.text(self.base.commit, path)

    @cached_property
    def _history(self) -> tuple[Tried, ...]:
        return tried(self.project)

    def history(self) -> Sequence[Tried]:
        return self._history

    def record(self, number: int) -> Mapping[str, str]:
        candidate = self.project.candidates.with_evidence().filter(number=number).first()
        if candidate is None:
            raise Refused(f"There is no candidate C-{number} in this project; the newest is C-{self.project.last_number}.")
        return record_of(candidate)

    def examine(self, edits: Sequence[Edit]) -> Examined:
        proposed = {"edits": [[each.path, each.old, each.new] for each in edits]}
        try:
            change = build(self.project, self.base, proposed, "draft", "agent")
        except PatchError as problem:
            return Examined([problem.reason], [], "", [])
        try:
            examine(self.project, self.base, change, but=self.but)
            problems = []
        except CheckFailed as failed:
            problems = str(failed).split("\n")
        cautions = [flag.sentence for flag in flags_of(self.project, change)]
        paths = [file.path for file in change.files]
        repository = self.project.repository
        before, after = repository.texts(self.base.commit, paths), repository.texts(change.commit, paths)
        return Examined(problems, cautions, change.diff, constants_that_differ(before, after))

    def smoke(self, edits: Sequence[Edit]) -> Smoked:
        file = self.project.file
        if not file.agents.smoke_seconds:
            raise Refused("Smoke tests are switched off in this project.")
        if file.train.device == "cuda" and not gpus():
            raise Refused(
                "This machine has no GPU, so nothing of this project can be trained here. Check your change by reading."
            )
        texts = self.edited(edits)
        return self._told(self._baseline(), self._trained(texts))

    def _baseline(self) -> RunResult:
        """The same short run of the unchanged tree, once in this process: what a change is compared with."""
        key = (self.project.pk, self.base.commit)
        if result := _short_runs.get(key):
            return result
        result = self._trained({})
        if result.outcome == Outcome.completed:
            _short_runs.clear()  # of one baseline at a time
            _short_runs[key] = result
        return result

    def _trained(self, texts: Mapping[str, str]) -> RunResult:
        """A short run of the tree with some files replaced. Raises Refused where this machine cannot."""
        folder = Path(settings.HOME) / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="smoke-", dir=folder))
        place.chmod(0o755)
        try:
            self.project.repository.export(self.base.commit, place / "tree")
            write_over(place / "tree", texts)
            (place / "scratch").mkdir()
            with idle_device(self.project.file.train.device) as device:
                return run_training(self._spec(place, device), lambda points: None, lambda: None)
        except (NoSandbox, OSError, RepositoryError, ValueError) as problem:
            raise Refused(f"This machine cannot train it now: {problem}") from None
        finally:
            remove(place)

    def _spec(self, place: Path, device: str) -> RunSpec:
        project, file = self.project, self.project.file
        visible = project.corpus / "visible" if project.corpus else place / "scratch"
        return RunSpec(
            run=0,
            tree=place / "tree",
            scratch=place / "scratch",
            command=command_in(place / "tree", file.train.command, file),
            seed=SMOKE_SEED,
            device=device,
            budget=file.run_budget(SMOKE_SHARE),
            wall_limit=min(file.agents.smoke_seconds * crowding(), file.wall_seconds),
            data=visible,
            # Scored on text that the run may read anyway: it tries the way to a score, and tells nothing about the gate.
            scoring=file.scoring(visible / "watch.bin"),
            memory_limit=file.memory_mb * GIB // 1024,
            log_limit=min(file.train.log_limit_kb * KIB, 64 * KIB),
            processes=file.processes(file.rung(SMALLEST)),
            served=file.data.served and file.metric.scored,
            minimum_level=Level(file.sandbox.minimum),
            launch=file.launch(environment_for(project, place / "tree") if file.train.python == "uv" else None),
            scratch_limit=round(file.limits.files_gb * GIB),
        )

    def _told(self, before: RunResult, result: RunResult) -> Smoked:
        facts = [("seconds of this short run", _number(before.train_seconds), _number(result.train_seconds))]
        for key, words in FACTS.items():
            if key in result.facts:
                mark = f" ({SAID})" if said_by_run(result.facts, key) else ""
                at_first = _number(before.facts[key]) if key in before.facts else "unknown"
                facts.append((words + mark, at_first, _number(result.facts[key])))
        outcome, reason = str(result.outcome), result.reason
        if result.outcome == Outcome.timed_out:
            outcome, reason = "not finished", f"It was stopped without having failed. {how_busy()}"
        elif result.outcome == Outcome.completed and isinstance(self.project.file.scoring(Path()), Scored):
            reason = "It trained, and its model could be loaded and asked."
        return Smoked(outcome, reason, facts, result.log[-LOG_SHOWN:])


_short_runs: dict[tuple[int, str], RunResult] = {}


def crowding() -> float:
    """How much longer a short run may take because this machine does other work: its load for each core, from 1 to 4."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), BUSIEST)


def how_busy() -> str:
    """Why a short run may not have come to its end, as far as the machine's load says."""
    if crowding() < 1.5:
        return "The machine was free: it is much slower than the baseline, or waits for something."
    return f"The machine is busy (load {crowding():.1f} for each core), so this says nothing of its speed."


def record_of(candidate: Candidate) -> dict[str, str]:
    """One candidate as agents may know it: nothing of the hidden text, effects to half a sigma."""
    [row] = tried(candidate.project, candidate)
    verdict = candidate.evidence.get_verdict_display() if candidate.evidence else "none"
    comments = [
        f"{thread.place} ({'resolved' if thread.resolved else 'open'}): {speaker(comment)} says: {comment.text}"
        for thread in candidate.threads.of(candidate)
        for comment in thread.comments.all()
    ]
    return {
        "words of its author": f"{candidate.hypothesis}\nExpected: {candidate.expected_effect or 'not said'}",
        "state": f"{candidate.get_stage_display()}: {row.why}\nverdict: {verdict}; gain {row.gain}",
        "reasons": "\n".join(reasons_for(candidate)),
        "comments": "\n".join(comments),
        "diff": candidate.patch_set.diff if candidate.patch_set else candidate.proposal.patch,
    }


def write_over(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files beneath a folder, over those that are there. Their paths were checked before."""
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="")


def constants_that_differ(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Constants whose value is another, is new or is gone: what an edit resolves to, whatever its author says of it."""
    old, new = _constants(before), _constants(after)
    differences = [f"{name}: {old.get(name, 'absent')} → {new.get(name, 'absent')}" for name in sorted({*old, *new})]
    return [line for name, line in zip(sorted({*old, *new}), differences, strict=True) if old.get(name) != new.get(name)]


def _constants(texts: Mapping[str, str]) -> dict[str, str]:
    constants: dict[str, str] = {}
    for path, text in texts.items():
        if path.endswith(".py"):
            try:
                constants |= {constant.name: constant.literal for constant in find_constants(path, text)}
            except SyntaxError:
                continue  # the check says so
    return constants


def _number(value: Any) -> str:
    return number(value, 6) if isinstance(value, int | float) else str(value)[:80]
