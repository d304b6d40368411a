"""The project file: a TOML file that says how a repository is trained, what may be edited, and how it is measured.

Every mistake is named with its line: unknown keys, bad values, TOML that does not parse.
"""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from research_app.evidence.policy import Policy
from research_app.plain_text import problem_in, strings_in
from research_app.project_file.agents_section import Agents
from research_app.project_file.budget_section import BudgetSection
from research_app.project_file.gates_section import Gates
from research_app.project_file.knobs_section import KnobsSection
from research_app.project_file.ladder import CUDA_SIZES, DEFAULT_LADDER, SMALLEST, Rung, ScaleUpSection, check_ladder
from research_app.project_file.metric_section import Metric, SeedSection
from research_app.project_file.mistakes import line_of, mistake
from research_app.project_file.section import Section, stored
from research_app.project_file.train_section import Limits, Train
from research_app.repository import Signing, matches
from research_app.scorer_section import ScorerSection
from training.launch import Launch, has_place
from training.spec import Budget, Builder, Scored, SelfReported
from training.uv_environment import environment_files


class ProjectFileError(ValueError):
    """The project file has mistakes; the message has one line for each."""


MANY = 256
"""Processes of a run whose command is no plain Python, where the project file names no number."""


class Edit(Section):
    """What a candidate may touch. Patterns as in shells; a protected path wins over an editable one."""

    editable: Annotated[tuple[str, ...], Field(min_length=1)] = ("train.py",)
    protected: tuple[str, ...] = ("prepare.py", "program.md")
    program: str = "program.md"
    max_files: Annotated[int, Field(ge=1)] = 20
    max_changed_lines: Annotated[int, Field(ge=1)] = 2000


class LandingSection(Section):
    """How the baseline branch is written: how many at once, signed with what, pushed where."""

    batch: Annotated[int, Field(ge=1, le=32)] = 1
    sign: Literal["", "ssh", "openpgp"] = ""
    signing_key: str = ""
    gnupg_home: str = ""
    remote: str = ""
    remote_branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._/-]{0,99})?$")] = ""

    @model_validator(mode="after")
    def _key_given(self) -> "LandingSection":
        if self.sign and not self.signing_key:
            raise ValueError(f'sign = "{self.sign}" needs signing_key: the path of an ssh key, or the fingerprint of another')
        return self

    @property
    def signing(self) -> Signing | None:
        """What landing commits are signed with, where they are."""
        return Signing(self.sign, self.signing_key, self.gnupg_home) if self.sign else None


class Baseline(Section):
    """The branch that landings go to, and the number of its reference runs."""

    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")] = "baseline"
    runs: Annotated[int, Field(ge=2, le=64)] = 4


class PolicySection(Section):
    """How candidates are decided, see docs/explanation/statistics.md. Changing it makes a new policy version."""

    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    n_max: Annotated[int, Field(ge=1, le=64)] = 8
    first_drop: Annotated[float, Field(ge=0.01, le=10)] = 0.8
    drop: Annotated[float, Field(ge=0.01, le=10)] = 0.9
    confirm_runs: Annotated[int, Field(ge=1, le=64)] = 5
    confirm_alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.07
    shape: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    sigma_weight: Annotated[float, Field(ge=1)] = 8.0
    calibration_runs: Annotated[int, Field(ge=2, le=64)] = 8
    plausible_gain: Annotated[float, Field(gt=0, le=1)] = 0.10
    aa_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    screening_share: Annotated[float, Field(ge=0, le=1)] = 0.25


class Guards(Section):
    """By which share each guard metric may get worse."""

    peak_memory: Annotated[float, Field(ge=0)] = 0.10
    tokens_per_second: Annotated[float, Field(ge=0)] = 0.10
    parameters: Annotated[float, Field(ge=0)] = 0.10
    checkpoint: Annotated[float, Field(ge=0)] = 0.25
    flops_per_token: Annotated[float, Field(ge=0)] = 0.10
    source: Annotated[float, Field(ge=0)] = 0.01


class Sandbox(Section):
    """The least that must hold between agent-written code and everything else. `none` marks every run that it allows."""

    minimum: Literal["strong", "basic", "none"] = "basic"


class Data(Section):
    """Where the text comes from. Empty: the corpus of the default target; none: the code brings its own.

    `served`: runs ask for their training text and cannot read it, so that what they draw is counted outside.
    """

    corpus: Literal["default", "none"] = "default"
    folder: str = ""
    served: bool = False


class ProjectFile(Section):
    """The whole file, validated. `ProjectFile()` is the default target's, without its ladder (`default_target`)."""

    train: Train = Train()
    limits: Limits = Limits()
    edit: Edit = Edit()
    seed: SeedSection = SeedSection()
    metric: Metric = Metric()
    scorer: ScorerSection = ScorerSection()
    budget: BudgetSection = BudgetSection()
    baseline: Baseline = Baseline()
    data: Data = Data()
    sandbox: Sandbox = Sandbox()
    policy: PolicySection = PolicySection()
    guards: Guards = Guards()
    gate: Gates = Gates()
    landing: LandingSection = LandingSection()
    agents: Agents = Agents()
    knobs: KnobsSection = KnobsSection()
    ladder: tuple[Rung, ...] = ()
    scale_up: ScaleUpSection = ScaleUpSection()

    @field_validator("ladder")
    @classmethod
    def _is_a_ladder(cls, ladder: tuple[Rung, ...]) -> tuple[Rung, ...]:
        check_ladder(ladder)
        return ladder

    @model_validator(mode="after")
    def _seed_is_passed_on(self, info: ValidationInfo) -> "ProjectFile":
        words = (*self.train.command, *self.train.env.values(), *(word for rung in self.ladder for word in rung.command))
        if self.seed.how == "argument" and not has_place(words, "seed") and not stored(info):
            raise ValueError(
                '[seed] how = "argument", and no word of [train] command or env holds {seed}: write for example "--seed={seed}"'
            )
        return self

    @model_validator(mode="after")
    def _budget_is_known_where_it_is_put(self, info: ValidationInfo) -> "ProjectFile":
        if not self.budget.own or stored(info):
            return self
        words = (*self.train.command, *self.train.env.values(), *(word for rung in self.ladder for word in rung.command))
        if not self.budget.amount and has_place(words, "budget"):
            raise ValueError('{budget} stands in [train] command or env, and [budget] kind = "own" has no amount: write one')
        for rung in self.ladder[1:]:
            if not rung.command and not rung.settings:
                raise ValueError(
                    f'with [budget] kind = "own" the rung {rung.name} would train just what {SMALLEST} does: give it a command '
                    "or settings with a larger budget"
                )
        return self

    @model_validator(mode="after")
    def _held_out_text_is_hidden(self, info: ValidationInfo) -> "ProjectFile":
        brings_data = self.data.corpus == "none" and not self.data.served
        if not stored(info) and (problem := self.scorer.problem(self.metric.scored, self.sandbox.minimum, brings_data)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _environment_is_peoples(self, info: ValidationInfo) -> "ProjectFile":
        if self.train.python == "uv" and not stored(info):
            for path in environment_files(self.train.directory):
                if matches(path, self.edit.editable) and not matches(path, self.edit.protected, protecting=True):
                    raise ValueError(
                        f"[edit] lets candidates change {path}, from which the environment of all runs is made, outside the "
                        f'sandbox: add "{path}" to protected'
                    )
        return self

    @model_validator(mode="after")
    def _what_is_linked_is_peoples(self, info: ValidationInfo) -> "ProjectFile":
        for place in () if stored(info) else self.train.links:
            if not matches(place, self.edit.protected, protecting=True):
                raise ValueError(
                    f"[train] links shows runs what is outside at {place}, and a candidate could put a file of its own there: "
                    f'add "{place}" to protected'
                )
        return self

    @classmethod
    def default_target(cls, device: str = "cpu", memory: int = 0) -> "ProjectFile":
        """The file of a project that trains the default target, with its ladder: on cores, or on a GPU with so many bytes."""
        data, scale_up = Data(served=True), ScaleUpSection(budget_hours=24)
        if device != "cuda":
            return cls(data=data, ladder=DEFAULT_LADDER, scale_up=scale_up)
        size = next(size for size in CUDA_SIZES if memory >= size.memory)
        return cls(
            train=Train(device="cuda", wall_limit_seconds=1800, cache=("~/.triton", "~/.cache/torchinductor")),
            limits=Limits(first_step_seconds=600, host_memory_gb=32),
            budget=BudgetSection(amount=size.flops),
            data=data,
            ladder=size.ladder,
            scale_up=scale_up,
        )

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder, smallest rung first, with what its rungs leave open filled in; without a ladder, one rung."""
        return tuple(self._filled(rung) for rung in self.ladder or (Rung(name=SMALLEST),))

    @property
    def upper_rungs(self) -> tuple[Rung, ...]:
        """The rungs that a scale-up can go to. Empty: gate 1 is skipped."""
        return self.rungs[1:]

    def rung(self, name: str) -> Rung:
        """One rung by its name. Raises KeyError for a rung that the ladder does not have (any more)."""
        return {rung.name: rung for rung in self.rungs}[name]

    def processes(self, rung: Rung) -> int:
        """How many processes a run of a rung may have at once: what the file says, else one where Python is the command.

        A command of another kind (`torchrun`, `uv`, a shell), several devices, and compilers of kernels for a GPU start
        processes as a matter of course.
        """
        plain = (
            rung.devices == 1 and rung.device != "cuda" and rung.command[0] in ("python", "python3") and not self.train.launcher
        )
        return self.train.processes or (1 if plain else MANY)

    @property
    def wall_seconds(self) -> float:
        """How long a run of the smallest rung may take, hard."""
        return self.limits.wall_seconds or self.train.wall_limit_seconds

    @property
    def memory_mb(self) -> int:
        """Memory of a run with all its children, in MiB."""
        return round(self.limits.host_memory_gb * 1024) if self.limits.host_memory_gb else self.train.memory_limit_mb

    def launch(self, environment: Path | None = None) -> Launch:
        """How a run is started; `environment` is that of uv.lock, where the file asks for it."""
        train = self.train
        own = None if train.python in ("worker", "uv") else Path(train.python).expanduser()
        return Launch(
            train.directory,
            environment or own,
            train.env,
            train.read,
            train.writable_tree,
            self.seed.place,
            train.cache,
            train.launcher,
            train.links,
        )

    def _filled(self, rung: Rung) -> Rung:
        train = self.train
        device, devices = rung.device or train.device, rung.devices or train.devices
        return rung.model_copy(
            update={
                "command": rung.command or train.command,
                "device": device,
                "devices": devices,
                "queue": rung.queue or (f"train.{device}" if devices == 1 else "scale_up"),
                "wall_limit_seconds": rung.wall_limit_seconds or self.wall_seconds * max(1.0, rung.budget),
                "memory_limit_mb": rung.memory_limit_mb or self.memory_mb,
            }
        )

    def decision_policy(self) -> Policy:
        """The settings that decisions are made by; evidence keeps a copy of them."""
        known = {field.name for field in fields(Policy)}
        given = {name: value for name, value in self.policy.model_dump().items() if name in known}
        return Policy(reference_runs=self.baseline.runs, **given)

    def run_budget(self, share: float = 1.0, scale: str = SMALLEST) -> Budget:
        """The budget of a run at one rung as the runner takes it, or a share of it."""
        return self.budget.of(self.rung(scale).budget * share)

    def curve(self, scale: str) -> tuple[float, ...]:
        """The shares of its budget at which the baseline is run on a rung too; none where the code keeps its budget itself."""
        return () if self.budget.own else self.rung(scale).curve

    def scoring(self, shard: Path, hidden: Path | None = None) -> Scored | SelfReported:
        """How a run is scored; the shards are the held-out text of a scored project, `hidden` for confirming runs alone."""
        if self.metric.scored:
            scorer = self.scorer
            builder = Builder(scorer.module, scorer.file, bool(scorer.checkpoint)) if scorer.held_out else Builder()
            return Scored(shard, hidden, builder, scorer.series)
        return self.metric.self_reported(self.train.directory)


def read_project_file(text: str, name: str = "project file") -> ProjectFile:
    """Parse and validate. Raises ProjectFileError, naming each mistake with its line."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectFileError(f"{name}: {error}") from error
    for where, value in strings_in(content):
        if character_problem := problem_in(value):
            raise ProjectFileError(f"{name}, line {line_of(where.split('.'), text)}: {where} {character_problem}.")
    try:
        return ProjectFile.model_validate(content)
    except ValidationError as error:
        raise ProjectFileError("\n".join(mistake(problem, text, name, ProjectFile) for problem in error.errors())) from error
