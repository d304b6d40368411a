"""Executes one training run, from its exported source tree to its score, and says in plain words how it ended."""

from __future__ import annotations

import logging
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from training.account import ControlGroup, Sampling, settle, so_far
from training.answers import BUILDS
from training.command import command_line, confinement_of, run_environment
from training.device_account import DeviceAccount
from training.devices import kind_of, one_of
from training.ending import Ending, judge_exit, last_lines, too_late
from training.facts import add_drawn, add_facts, add_stored
from training.failure import may_pass_by_itself
from training.launch import prepare
from training.process import Process
from training.progress import OnPoints, Progress
from training.sandbox import Confinement, confined, level_for
from training.sandbox.scratch import use_of
from training.scorer import NoScore, Scorer, ShouldStop
from training.series import CHECKPOINT, SERIES, Outputs, UnsafeOutput
from training.spec import LARGEST_SCORE, Outcome, RunResult, RunSpec, Scored, SelfReported
from training.text import TextServer

POLL_SECONDS = 0.2  # between two looks at the run, its limits and whether it should stop
OF_THE_SANDBOX = 2  # processes of bubblewrap's own that hold a run at the level strong
SOURCE_LIMIT = 16 << 20  # bytes of source kept for scoring
SCRATCH_EVERY = 1.0  # seconds between two looks at what the run has written, which take time themselves

logger = logging.getLogger(__name__)


def run_training(spec: RunSpec, on_points: OnPoints, should_stop: ShouldStop) -> RunResult:
    """Train `spec`, score the result, and return how it went. Blocks until nothing of the run is left running.

    `on_points` gets new points at most once a second and the rest at the end; `should_stop` is asked about five times a
    second and returns a reason to kill the run, or None. What goes wrong inside the run is an outcome, never an exception.
    What goes wrong on our side once it was started, in either callback too, ends it and is the result's `failure`, beside
    all that it produced. Raises NoSandbox when this machine cannot keep the run apart as well as `spec` demands, OSError
    when `tree` or `scratch` is unusable, FormatError when a self-reported format is.
    """
    started_at = time.time()
    level = spec.level or level_for(spec.minimum_level)
    confinement = confinement_of(spec, level)
    source = read_source(spec.tree / spec.launch.directory) if isinstance(spec.scoring, Scored) else {}
    with _tidied() as stack:
        run = _Run(stack, spec, confinement, source, on_points)
        run.follow(should_stop)
        run.measure()
        run.judge(should_stop)
    ending, ended = run.ending, run.process.ended
    return RunResult(
        outcome=ending.outcome,
        reason=ending.reason,
        score=ending.score,
        score_by_source=ending.score_by_source,
        self_reported=isinstance(spec.scoring, SelfReported),
        facts=ending.facts,
        log=run.process.log.text(),
        sandbox_level=level,
        started_at=started_at,
        finished_at=time.time(),
        train_seconds=run.train_seconds,
        exit_code=ended.exit_code if ended else None,
        hidden_score=ending.hidden_score,
        hidden_score_by_source=ending.hidden_score_by_source,
        failure=ending.failure,
        left_out=run.progress.left_out(run.process.log),
    )


@contextmanager
def _tidied() -> Iterator[ExitStack]:
    """What was opened is closed in the end; what cannot be must not take along what the run produced."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        try:
            stack.close()
        except Exception:
            logger.exception("What a run left could not be tidied up")


class _Run:
    """One run from its start to its score; what it opens is closed with the stack."""

    def __init__(
        self, stack: ExitStack, spec: RunSpec, confinement: Confinement, source: Mapping[str, bytes], on_points: OnPoints
    ) -> None:
        self.stack, self.spec, self.confinement, self.source = stack, spec, confinement, source
        self.ending, self.sampling = Ending(), Sampling()
        self.train_seconds, self.cut_short = 0.0, False
        self.outputs = stack.enter_context(Outputs(spec.scratch))
        self.outputs.clear(
            SERIES, CHECKPOINT, *((spec.scoring.builder.checkpoint,) if isinstance(spec.scoring, Scored) else ())
        )
        self.progress = stack.enter_context(Progress(spec.scoring, self.outputs, on_points))
        self.group = stack.enter_context(ControlGroup())
        self.text = stack.enter_context(TextServer(spec.data, spec.seed, spec.drawn)) if spec.served else None
        self.devices = stack.enter_context(
            DeviceAccount(spec.device, shares=spec.shares_device)
        )  # knows what others hold before the run begins
        self.process = stack.enter_context(self._started())
        if self.text is not None:
            self.text.cpu = lambda: so_far(self.process, self.group)

    def _started(self) -> Process:
        spec, text = self.spec, self.text
        fds = (text.theirs.fileno(),) if text and text.theirs else ()
        process = Process(
            confined(command_line(spec), replace(self.confinement, keep_fds=fds)),
            cwd=prepare(spec.launch, spec.tree, spec.scratch, spec.seed),
            environment=run_environment(spec) | ({"SIGNOFF_TEXT": str(fds[0])} if fds else {}),
            pass_fds=fds,
            memory_limit=spec.memory_limit,
            heap_limit=spec.memory_limit if kind_of(spec.device) == "cpu" else 0,  # CUDA reserves far more than it uses
            log_limit=spec.log_limit,
            on_output=self.progress.printed,
            group=self.group.folder,
        )
        if text is not None:
            text.handed_over()
        return process

    @cached_property
    def scorer(self) -> Scorer:
        """Started with the first point: ready when the run ends, and never there for a run that crashed at once."""
        return self.stack.enter_context(
            Scorer(
                self.source,
                self.spec.scratch.parent,
                device=one_of(self.spec.device),
                memory_limit=self.spec.memory_limit,
                level=self.confinement.level,
                unreadable=self.confinement.hidden,
                settings=self.spec.settings,
                builder=self.spec.scoring.builder if isinstance(self.spec.scoring, Scored) else BUILDS,
            )
        )

    def follow(self, should_stop: ShouldStop) -> None:
        """Watch the process until it ends or has to be ended; then nothing of it is left."""
        with self.ending.during("following it"):
            self._watch(should_stop)
        self.cut_short = self.ending.failed
        with self.ending.during("ending it"):
            self.process.kill()
        self.train_seconds = self.process.seconds

    def _watch(self, should_stop: ShouldStop) -> None:
        looked, warm = time.monotonic(), not isinstance(self.spec.scoring, Scored)
        first_step: float | None = None  # seconds to it
        ending, progress, process = self.ending, self.progress, self.process
        while ending.outcome is Outcome.completed and not process.wait(POLL_SECONDS):
            self._look()
            try:
                progress.hand_on()
            except UnsafeOutput as error:
                ending.fail(Outcome.no_score, f"The run's output was refused: {error}.")
            if progress.alive and first_step is None:
                first_step = process.seconds
            if progress.alive and not warm:
                warm = True
                self._start_scorer_early()
            if progress.parser is not None and progress.parser.not_finite:
                break  # nothing that follows can be scored; code with prepare.py ends itself
            written = time.monotonic() - looked >= SCRATCH_EVERY
            self._hold_to_limits(should_stop, first_step, written=written)
            looked = time.monotonic() if written else looked

    def _look(self) -> None:
        """Note what the run uses now, where that is not added up by itself."""
        self.devices.look(self.process.pids() if self.devices.handles else ())
        if not self.confinement.threads_only:
            self.sampling.look(self.process)

    def _hold_to_limits(self, should_stop: ShouldStop, first_step: float | None, *, written: bool) -> None:
        """End a run that diverged, was called off or went beyond a limit. `written`: look at what it wrote, too."""
        ending, spec, process = self.ending, self.spec, self.process
        if self.progress.watch.catastrophe:
            why = f"Stopped early: {self.progress.watch.catastrophe}. A run does not come back from that."
            ending.fail(Outcome.diverged, why)
        elif reason := should_stop():
            ending.fail(Outcome.cancelled, reason)
        elif late := too_late(spec, process.seconds, first_step):
            ending.fail(Outcome.timed_out, f"{late} {last_lines(process)}")
        elif process.over_memory():
            limit = f"{spec.memory_limit / 2**30:.3g} GiB"
            ending.fail(Outcome.out_of_memory, f"Used more than {limit} of memory, so it was killed. {last_lines(process)}")
        elif beyond := self.devices.beyond(spec.device_memory_limit):
            why = f"It {beyond} ([limits] device_memory_gb), so it was ended."
            ending.fail(Outcome.out_of_memory, f"{why} {last_lines(process)}")
        elif 1 < spec.processes < (most := self.sampling.most - OF_THE_SANDBOX):
            ending.fail(
                Outcome.crashed,
                f"Had {most} processes at once, and its project file allows {spec.processes} "
                f"([train] processes), so it was killed. {last_lines(process)}",
            )
        elif written and (excess := use_of(spec.scratch, process.pids()).excess(spec.scratch_limit)):
            ending.fail(Outcome.crashed, f"It {excess}, so it was killed. {last_lines(process)}")

    def _start_scorer_early(self) -> None:
        """While the run trains. What is in its way now may be gone when it is needed, and is said then."""
        try:
            _ = self.scorer
        except OSError as error:
            if not may_pass_by_itself(error):
                raise
            logger.warning("The scorer could not be started yet: %s", error)

    def measure(self) -> None:
        """Read what the run left, and settle what it used."""
        ending, facts = self.ending, self.ending.facts
        with ending.during("reading what it left"):
            try:
                self.progress.finish()
            except UnsafeOutput as error:
                ending.fail(Outcome.no_score, f"The run's output was refused: {error}.")
        with ending.during("reading what it measured"):
            add_facts(facts, self.spec, self.progress, self.train_seconds)
            if used := settle(self.process, self.group, self.sampling, one_process=self.confinement.threads_only):
                facts |= {"cpu_seconds": used.cpu_seconds, "peak_memory_bytes": used.peak_memory_bytes}
                facts["account"] = str(used.account)
            facts |= self.devices.facts()
            if self.text is not None:
                add_drawn(facts, self.text.end())
            add_stored(facts, self.outputs)

    def judge(self, should_stop: ShouldStop) -> None:
        """Name the outcome, and score what trained to its end."""
        ending = self.ending
        if ending.outcome is Outcome.completed and not self.cut_short:
            judge_exit(ending, self.process, self.progress, self.confinement, self.spec)
        if ending.outcome is Outcome.completed and not self.cut_short and not self.progress.unreadable:
            with ending.during("scoring it"):
                self._score(should_stop)
        if ending.failure is not None and ending.score is None and ending.outcome is Outcome.completed:
            ending.fail(Outcome.no_score, f"{ending.failure}.")

    def _score(self, should_stop: ShouldStop) -> None:
        """Score it; one whose score ran away diverged."""
        if isinstance(self.spec.scoring, SelfReported):
            self._read_score()
        else:
            self._measure_score(self.spec.scoring, should_stop)
        for score in (self.ending.score, self.ending.hidden_score):
            if score is not None and not abs(score) <= LARGEST_SCORE:
                self.ending.fail(Outcome.diverged, _ran_away(score, self.spec))
                self.ending.drop_scores()
                return

    def _read_score(self) -> None:
        parser, ending = self.progress.parser, self.ending
        assert parser is not None
        ending.score = parser.score
        if ending.score is None:
            ending.fail(Outcome.no_score, parser.why_no_score())

    def _measure_score(self, scoring: Scored, should_stop: ShouldStop) -> None:
        ending, started = self.ending, time.monotonic()
        try:
            score = self.scorer.score(self.outputs, scoring.shard, should_stop, hidden=scoring.hidden)
        except NoScore as error:
            reason = str(error)
            ending.fail(error.outcome, reason[0].upper() + reason[1:] + ("" if reason.endswith((".", "?")) else "."))
        else:
            ending.score, ending.score_by_source = score.bits_per_byte, dict(score.by_source)
            ending.hidden_score, ending.hidden_score_by_source = score.hidden, dict(score.hidden_by_source)
            ending.facts |= {
                "scored_bytes": score.scored_bytes,
                "probes": {name: probe.told() for name, probe in score.probes.items()},
                "checkpoint_hash": score.checkpoint_hash,
                "code_hash": score.code_hash,
            }
        ending.facts["score_seconds"] = round(time.monotonic() - started, 3)


def _ran_away(score: float, spec: RunSpec) -> str:
    """The figure only where the run printed it: one of held-out text would tell more of it than agents may know."""
    if isinstance(spec.scoring, SelfReported):
        return f"Training diverged: it ended with a score of {score:g}."
    return f"Training diverged: its score lies beyond {LARGEST_SCORE:g}."


def read_source(tree: Path) -> dict[str, bytes]:
    """The Python files of a tree as they are before the run can change them: relative path to content.

    Raises OSError when together they are larger than SOURCE_LIMIT.
    """
    source: dict[str, bytes] = {}
    size = 0
    for path in sorted(tree.rglob("*.py")):
        if stat.S_ISREG(path.lstat().st_mode):
            source[str(path.relative_to(tree))] = content = path.read_bytes()
            size += len(content)
            if size > SOURCE_LIMIT:
                raise OSError(f"the Python files of {tree} have more than {SOURCE_LIMIT} bytes; is data among them?")
    return source
