"""Executes one training run, from its exported source tree to its score, and says in plain words how it ended."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from training.account import ControlGroup, Sampling, settle, so_far
from training.checkpoint import read_header
from training.device_account import DeviceAccount
from training.failure import Failure, may_pass_by_itself
from training.launch import filled, hidden_by_sandbox, prepare, program, read_folders, variables
from training.left_out import is_number
from training.process import Process, clean_environment, clean_text, says_out_of_memory
from training.progress import OnPoints, Progress
from training.said import MEASURED_HERE
from training.sandbox import Confinement, Level, best_level, confined
from training.sandbox.confinement import SYSTEM, interpreter
from training.sandbox.packages import places_of
from training.sandbox.scratch import use_of
from training.sandbox.seccomp import NO_PROCESSES
from training.scorer import CHECKPOINT_LIMIT, NoScore, Scorer, ShouldStop
from training.series import CHECKPOINT, SERIES, Outputs, UnsafeOutput
from training.spec import LARGEST_SCORE, Outcome, RunResult, RunSpec, Scored, SelfReported
from training.text import TRAIN, Drawn, TextServer

POLL_SECONDS = 0.2  # between two looks at the run, its limits and whether it should stop
OF_THE_SANDBOX = 2  # processes of bubblewrap's own that hold a run at the level strong
SOURCE_LIMIT = 16 << 20  # bytes of source kept for scoring
SCRATCH_EVERY = 1.0  # seconds between two looks at what the run has written, which take time themselves

ASK_FOR_PROCESSES = (
    "It tried to start another process, and runs of this project have one, with threads. Where its code needs more "
    "(torch.compile, DataLoader workers, torchrun), write how many at most into the project file: [train] processes = 8. "
)

logger = logging.getLogger(__name__)


@dataclass
class _Ending:
    """How a run ended, filled in as it becomes known."""

    outcome: Outcome = Outcome.completed
    reason: str = "Trained and scored."
    score: float | None = None
    score_by_source: dict[str, float] = field(default_factory=dict)
    hidden_score: float | None = None
    hidden_score_by_source: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    def fail(self, outcome: Outcome, reason: str) -> None:
        self.outcome, self.reason = outcome, clean_text(reason.encode(errors="replace"))

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """A step of ours: where it fails, that is kept, the first one alone, and what the run produced is kept too."""
        try:
            yield
        except Exception as error:
            logger.exception("Handling a run failed: %s", step)
            self.failure = self.failure or Failure.of(step, error)

    @property
    def failed(self) -> bool:
        return self.failure is not None


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


def run_training(spec: RunSpec, on_points: OnPoints, should_stop: ShouldStop) -> RunResult:
    """Train `spec`, score the result, and return how it went. Blocks until nothing of the run is left running.

    `on_points` gets new points at most once a second and the rest at the end; `should_stop` is asked about five times a
    second and returns a reason to kill the run, or None. What goes wrong inside the run is an outcome, never an exception.
    What goes wrong on our side once it was started, in either callback too, ends it and is the result's `failure`, beside
    all that it produced. Raises NoSandbox when this machine cannot keep the run apart as well as `spec` demands, OSError
    when `tree` or `scratch` is unusable, FormatError when a self-reported format is.
    """
    started_at = time.time()
    level = spec.level or best_level(spec.minimum_level)
    confinement = confinement_of(spec, level)
    source = read_source(spec.tree / spec.launch.directory) if isinstance(spec.scoring, Scored) else {}
    with _tidied() as stack:
        outputs = stack.enter_context(Outputs(spec.scratch))
        outputs.clear(SERIES, CHECKPOINT)
        progress = stack.enter_context(Progress(spec.scoring, outputs, on_points))
        group = stack.enter_context(ControlGroup())
        text = stack.enter_context(TextServer(spec.data, spec.seed, spec.drawn)) if spec.served else None
        process = stack.enter_context(_start(spec, confinement, progress, group, text))
        sampling, devices = Sampling(), stack.enter_context(DeviceAccount(spec.device))

        def look() -> None:
            """What the run uses now, where that is not added up by itself."""
            devices.look()
            if not confinement.threads_only:
                sampling.look(process)

        if text is not None:
            text.cpu = lambda: so_far(process, group)

        @cache
        def scorer() -> Scorer:
            """Started with the first point: ready when the run ends, and never there for a run that crashed at once."""
            return stack.enter_context(
                Scorer(
                    source,
                    spec.scratch.parent,
                    device=one_of(spec.device),
                    memory_limit=spec.memory_limit,
                    level=level,
                    unreadable=confinement.hidden,
                    settings=spec.settings,
                )
            )

        ending = _Ending()
        with ending.during("following it"):
            _follow(ending, spec, process, progress, should_stop, scorer, sampling, look)
        cut_short = ending.failed
        with ending.during("ending it"):
            process.kill()
        train_seconds = process.seconds
        with ending.during("reading what it left"):
            try:
                progress.finish()
            except UnsafeOutput as error:
                ending.fail(Outcome.no_score, f"The run's output was refused: {error}.")
        with ending.during("reading what it measured"):
            _add_facts(ending, spec, progress, process, train_seconds)
            if used := settle(process, group, sampling, one_process=confinement.threads_only):
                ending.facts |= {"cpu_seconds": used.cpu_seconds, "peak_memory_bytes": used.peak_memory_bytes}
                ending.facts["account"] = str(used.account)
            ending.facts |= devices.facts()
            if text is not None:
                _add_drawn(ending.facts, text.end())
            _add_stored(ending.facts, outputs)
        if ending.outcome is Outcome.completed and not cut_short:
            _judge_exit(ending, process, progress, confinement, spec)
        if ending.outcome is Outcome.completed and not cut_short and not progress.unreadable:
            with ending.during("scoring it"):
                _score(ending, spec, outputs, progress, should_stop, scorer)
    if ending.failure is not None and ending.score is None and ending.outcome is Outcome.completed:
        ending.fail(Outcome.no_score, f"{ending.failure}.")
    return RunResult(
        outcome=ending.outcome,
        reason=ending.reason,
        score=ending.score,
        score_by_source=ending.score_by_source,
        self_reported=isinstance(spec.scoring, SelfReported),
        facts=ending.facts,
        log=process.log.text(),
        sandbox_level=level,
        started_at=started_at,
        finished_at=time.time(),
        train_seconds=train_seconds,
        exit_code=process.ended.exit_code if process.ended else None,
        hidden_score=ending.hidden_score,
        hidden_score_by_source=ending.hidden_score_by_source,
        failure=ending.failure,
        left_out=progress.left_out(process.log),
    )


def command_line(spec: RunSpec) -> list[str]:
    """The command with its interpreter and what its places stand for; the sandbox wraps this. Raises CannotLaunch."""
    values = places(spec)
    return [filled(word, values) for word in program(spec.command, spec.launch)]


def places(spec: RunSpec) -> dict[str, str]:
    """What the places of commands and variables stand for in this run."""
    amount = spec.budget.amount
    whole = f"{amount:.0f}" if amount >= 1 and amount == int(amount) else repr(amount)
    own = {"out": str(spec.scratch), "data": str(spec.data)}
    return {**own, "seed": str(spec.seed), "device": own_device(spec), "budget": whole}


def own_device(spec: RunSpec) -> str:
    """The device as the run calls it; of several, its launcher gives each process one."""
    return spec.device.partition(":")[0] if several(spec.device) else spec.device


def confinement_of(spec: RunSpec, level: Level) -> Confinement:
    """What the training command may reach."""
    return Confinement(
        level=level,
        readable=(spec.tree, spec.data, *spec.readable, *read_folders(spec.launch)),
        writable=spec.scratch,
        device=one_of(spec.device),
        memory_limit=spec.memory_limit,
        processes=spec.process_limit,
        file_size=spec.scratch_limit,
        scratch_size=spec.scratch_limit,
        hidden=(
            *(places_of(corpus_packages(spec.data)) if isinstance(spec.scoring, Scored) else ()),
            *((spec.data / TRAIN,) if spec.served else ()),
        ),
        loopback=several(spec.device) or (level is Level.strong and spec.command[0] == "torchrun"),  # its processes meet there
        threads_only=level is not Level.none and spec.processes == 1 and not several(spec.device),
    )


def corpus_packages(visible: Path) -> list[str]:
    """The installed packages that the held-out text beside this folder was taken from, if it was."""
    record = visible.parent / "corpus.json"
    if not record.is_file():
        return []
    recipe = json.loads(record.read_text())["recipe"]
    return [name for names in recipe.values() for name in names if name.isidentifier()]


def run_environment(spec: RunSpec) -> dict[str, str]:
    """All that the training command sees of the environment: the clean one and the contract with prepare.py."""
    return clean_environment(
        spec.scratch,
        SIGNOFF_SEED=str(spec.seed),
        SIGNOFF_BUDGET_KIND=spec.budget.kind,
        SIGNOFF_BUDGET=repr(spec.budget.amount),
        SIGNOFF_DATA=str(spec.data),
        SIGNOFF_OUT=str(spec.scratch),
        SIGNOFF_DEVICE=own_device(spec),
        SIGNOFF_SCALE=spec.scale,
        **({"SIGNOFF_CHECKPOINT_SECONDS": f"{spec.checkpoint_seconds:g}"} if spec.checkpoint_seconds else {}),
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
        **({} if spec.device == "cpu" else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        **({"CUDA_VISIBLE_DEVICES": spec.device.partition(":")[2]} if several(spec.device) else {}),
        **spec.settings,
        **variables(spec.launch, places(spec)),
    )


def several(device: str) -> bool:
    """Whether a run gets more than one device: then its own launcher starts a process for each."""
    return "," in device


def one_of(device: str) -> str:
    """The first of a run's devices, as PyTorch calls it."""
    return "cpu" if device.startswith("cpu") else device.partition(",")[0]


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


def _start(
    spec: RunSpec, confinement: Confinement, progress: Progress, group: ControlGroup, text: TextServer | None
) -> Process:
    fds = (text.theirs.fileno(),) if text and text.theirs else ()
    process = Process(
        confined(command_line(spec), replace(confinement, keep_fds=fds)),
        cwd=prepare(spec.launch, spec.tree, spec.scratch, spec.seed),
        environment=run_environment(spec) | ({"SIGNOFF_TEXT": str(fds[0])} if fds else {}),
        pass_fds=fds,
        memory_limit=spec.memory_limit,
        heap_limit=spec.memory_limit if one_of(spec.device) == "cpu" else 0,  # CUDA reserves far more than it uses
        log_limit=spec.log_limit,
        on_output=progress.printed,
        group=group.folder,
    )
    if text is not None:
        text.handed_over()
    return process


def _follow(
    ending: _Ending,
    spec: RunSpec,
    process: Process,
    progress: Progress,
    should_stop: ShouldStop,
    scorer: Callable[[], Scorer],
    sampling: Sampling,
    look: Callable[[], None],
) -> None:
    """Watch the process until it ends or has to be ended."""
    looked, warm = time.monotonic(), not isinstance(spec.scoring, Scored)
    stepped: float | None = None  # seconds to the first step
    while ending.outcome is Outcome.completed and not process.wait(POLL_SECONDS):
        look()
        try:
            progress.hand_on()
        except UnsafeOutput as error:
            ending.fail(Outcome.no_score, f"The run's output was refused: {error}.")
        if progress.alive and stepped is None:
            stepped = process.seconds
        if progress.alive and not warm:
            warm = True
            _start_early(scorer)
        if progress.parser is not None and progress.parser.not_finite:
            break  # nothing that follows can be scored; code with prepare.py ends itself
        if progress.watch.catastrophe:
            ending.fail(Outcome.diverged, f"Stopped early: {progress.watch.catastrophe}. A run does not come back from that.")
        elif reason := should_stop():
            ending.fail(Outcome.cancelled, reason)
        elif late := _too_late(spec, process.seconds, stepped):
            ending.fail(Outcome.timed_out, f"{late} {_last_lines(process)}")
        elif process.over_memory():
            ending.fail(
                Outcome.out_of_memory,
                f"Used more than {spec.memory_limit / 2**30:.3g} GiB of memory, so it was killed. {_last_lines(process)}",
            )
        elif 1 < spec.processes < sampling.most - OF_THE_SANDBOX:
            ending.fail(
                Outcome.crashed,
                f"Had {sampling.most - OF_THE_SANDBOX} processes at once, and its project file allows {spec.processes} "
                f"([train] processes), so it was killed. {_last_lines(process)}",
            )
        elif time.monotonic() - looked >= SCRATCH_EVERY:
            if excess := use_of(spec.scratch, process.pids()).excess(spec.scratch_limit):
                ending.fail(Outcome.crashed, f"It {excess}, so it was killed. {_last_lines(process)}")
            looked = time.monotonic()


def _too_late(spec: RunSpec, seconds: float, stepped: float | None) -> str:
    """What a run has exceeded after so many seconds, `stepped` of which went by before its first step; empty for nothing."""
    if spec.first_step_limit and stepped is None:
        if seconds <= spec.first_step_limit:
            return ""
        limit = f"{spec.first_step_limit:g} s ([limits] first_step_seconds)"
        return f"It logged no step within {limit}, so it was killed. It hung, or it compiles for longer."
    before = stepped or 0.0 if spec.first_step_limit else 0.0
    if seconds - before <= spec.wall_limit:
        return ""
    limit = f"{spec.wall_limit:g} s{' from its first step' if before else ''}"
    return f"Still running after its limit of {limit}, so it was killed. It hung, or it is much slower than the baseline."


def _start_early(scorer: Callable[[], Scorer]) -> None:
    """The scorer, while the run trains. What is in its way now may be gone when it is needed, and is said then."""
    try:
        scorer()
    except OSError as error:
        if not may_pass_by_itself(error):
            raise
        logger.warning("The scorer could not be started yet: %s", error)


def _judge_exit(ending: _Ending, process: Process, progress: Progress, confinement: Confinement, spec: RunSpec) -> None:
    """Name the outcome of a run that ended by itself."""
    code = process.ended.exit_code if process.ended else None
    last = _last_lines(process)
    if progress.not_finite:
        ending.fail(Outcome.diverged if progress.ran_away else Outcome.not_finite, f"Training diverged: {progress.not_finite}.")
    elif code == 0:
        return
    elif code == -9:
        outcome, why = killed_by(process)
        ending.fail(outcome, f"{why} {last}")
    elif code is None:
        ending.fail(Outcome.crashed, f"The run and its launcher were killed from outside, by whom is not known. {last}")
    elif says_out_of_memory(process.log.last_lines(40, 8000)):
        ending.fail(Outcome.out_of_memory, f"Ran out of memory. {last}")
    else:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        refused = confinement.threads_only and os.strerror(NO_PROCESSES) in process.log.last_lines(40, 8000)
        said = ASK_FOR_PROCESSES if refused else _what_was_hidden(process, confinement, spec)
        ending.fail(Outcome.crashed, f"The training command failed with {how}. {said}{last}")


def _what_was_hidden(process: Process, confinement: Confinement, spec: RunSpec) -> str:
    """A sentence on what the run missed although it is there; of code that people brought alone."""
    if not spec.explain or confinement.level is Level.none:
        return ""
    seen = (*confinement.readable, *SYSTEM, *interpreter())
    hidden = hidden_by_sandbox(process.log.last_lines(40, 8000), spec.command, seen, spec.scratch)
    return f"{hidden} " if hidden else ""


def killed_by(process: Process) -> tuple[Outcome, str]:
    """The outcome of a process that SIGKILL ended, and in words what is known of who sent it: it was not Signoff."""
    kernel, peak = process.killed_for_memory(), process.ended.peak_memory_bytes if process.ended else 0
    held = f"its largest process had held {peak / 2**20:,.0f} MiB"
    if kernel:
        return Outcome.out_of_memory, f"Killed (SIGKILL) while the kernel ran out of memory and ended processes; {held}."
    unknown = "The kernel does not say here whether it ended anything for want of memory, so by whom is not known"
    if kernel is False:
        unknown = "The kernel ended nothing for want of memory meanwhile, so by whom is not known"
    return Outcome.crashed, f"Killed from outside (SIGKILL). {unknown}; {held}."


def _last_lines(process: Process) -> str:
    last = process.log.last_lines()
    return f"Last output: {last}" if last else "It printed nothing."


def _add_facts(ending: _Ending, spec: RunSpec, progress: Progress, process: Process, train_seconds: float) -> None:
    """What the run says of itself, and over it what we measured."""
    facts = ending.facts
    if progress.parser is not None:
        facts.update(progress.parser.final)
        if progress.parser.last_step >= 0:
            facts["steps"] = progress.parser.last_step + 1
    else:
        facts.update(progress.reader.facts)
        loop_seconds = facts.get("loop_seconds")
        if isinstance(loop_seconds, float | int) and loop_seconds > 0:
            facts["startup_seconds"] = round(train_seconds - loop_seconds, 3)
            if isinstance(tokens := facts.get("tokens"), float | int):
                facts["tokens_per_second"] = round(tokens / loop_seconds, 1)
    for name, value in list(facts.items()):
        if name in MEASURED_HERE or not (isinstance(value, str) or is_number(value)):
            del facts[name]
    data_hash = spec.data / "data_hash"
    if data_hash.is_file():
        facts["data_hash"] = data_hash.read_text().strip()


def _add_drawn(facts: dict[str, Any], drawn: Drawn) -> None:
    """What was drawn of the training text, as counted here; FLOPs follow at the run's own price for a token."""
    said = facts.get("tokens")
    facts |= {"tokens": drawn.tokens, "tokens_here": drawn.tokens_here, "draws": drawn.draws, "text_order": drawn.order}
    facts["text"] = "served"
    if drawn.cpu_before is not None:
        facts["cpu_seconds_before"] = drawn.cpu_before
    facts.pop("tokens_per_second", None)
    if drawn.seconds > 0:
        facts["tokens_per_second"] = round(drawn.tokens_here / drawn.seconds, 1)
    if is_number(said):
        facts["tokens_said"] = said
        if is_number(flops := facts.get("flops")) and 0 < said < drawn.tokens:
            facts["flops"] = flops * drawn.tokens / said


def _add_stored(facts: dict[str, Any], outputs: Outputs) -> None:
    """How many numbers the checkpoint holds, parameters and buffers alike, and their size, by its header."""
    try:
        fd = outputs.open(CHECKPOINT, CHECKPOINT_LIMIT)
        if fd is None:
            return
        with os.fdopen(fd, "rb") as file:
            stored = read_header(file.fileno())
    except (UnsafeOutput, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return  # it is no checkpoint: the scorer says why
    if is_number(said := facts.get("parameters")):
        facts["parameters_said"] = said
    facts |= {"parameters": stored.values, "checkpoint_bytes": stored.bytes}


def _score(
    ending: _Ending,
    spec: RunSpec,
    outputs: Outputs,
    progress: Progress,
    should_stop: ShouldStop,
    scorer: Callable[[], Scorer],
) -> None:
    """Score a run that trained to its end; one whose score ran away diverged."""
    _measure(ending, spec, outputs, progress, should_stop, scorer)
    for score in (ending.score, ending.hidden_score):
        if score is not None and not abs(score) <= LARGEST_SCORE:
            ending.fail(Outcome.diverged, _ran_away(score, spec))
            ending.score = ending.hidden_score = None
            ending.score_by_source, ending.hidden_score_by_source = {}, {}
            return


def _ran_away(score: float, spec: RunSpec) -> str:
    """The figure only where the run printed it: one of held-out text would tell more of it than agents may know."""
    if isinstance(spec.scoring, SelfReported):
        return f"Training diverged: it ended with a score of {score:g}."
    return f"Training diverged: its score lies beyond {LARGEST_SCORE:g}."


def _measure(
    ending: _Ending,
    spec: RunSpec,
    outputs: Outputs,
    progress: Progress,
    should_stop: ShouldStop,
    scorer: Callable[[], Scorer],
) -> None:
    """Read or measure the score."""
    if isinstance(spec.scoring, SelfReported):
        assert progress.parser is not None
        ending.score = progress.parser.score
        if ending.score is None and progress.parser.no_number:
            said = f"The run printed {spec.scoring.metric} = {progress.parser.no_number}, which is no number."
            ending.fail(Outcome.no_score, said)
        elif ending.score is None:
            printed = ", ".join(progress.parser.final) or "none"
            ending.fail(
                Outcome.no_score,
                f"The run ended without printing its metric {spec.scoring.metric!r} (format {spec.scoring.format}; "
                f"final values found: {printed}).",
            )
        return
    started = time.monotonic()
    try:
        score = scorer().score(outputs, spec.scoring.shard, should_stop, hidden=spec.scoring.hidden)
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
