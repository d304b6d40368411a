"""Try a project before it is one: its repository is copied aside, and runs of two seeds and a repeat go through the sandbox."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from research_app.evidence import digits
from research_app.loop.project.projects import ProjectRefused, check_target, require_reach, text_of
from research_app.loop.project.try_report import TryReport, report_on, series_of, tried_run
from research_app.loop.train.idle_gpus import GpusAtWork, idle_device
from research_app.models import Trial
from research_app.project_file.ladder import SMALLEST
from research_app.project_file.project_file import ProjectFile
from research_app.repository import Repository, RepositoryError
from research_app.wording import counted
from training.corpus import CorpusError
from training.device_lock import StillHeld
from training.failure import StepFailed, in_words
from training.launch import CannotLaunch
from training.runner import run_training
from training.sandbox import Level, NoSandbox
from training.sandbox.scratch import remove
from training.spec import GIB, KIB, Outcome, Point, RunSpec
from training.uv_environment import environment_of

RUNS = ((1, "seed 1"), (2, "seed 2"), (1, "seed 1 again"))

Say = Callable[[str], None]
"""Told what is being done, and what is being trained, line by line."""


@dataclass(frozen=True)
class Place:
    """Where one trial works: a copy of the repository, and a folder for each run."""

    folder: Path
    repository: Repository
    commit: str
    data: Path | None
    device: str
    missing: tuple[str, ...]  # sentences about what of the repository runs will not have


def try_out(
    source: str,
    file: ProjectFile,
    *,
    say: Say = lambda line: None,
    so_far: Callable[[TryReport], None] = lambda report: None,
    should_stop: Callable[[], str | None] = lambda: None,
    trial: Trial | None = None,
) -> TryReport:
    """Run two seeds and the first again, and report the outcome. What stands in the way is in the report; raised is only that
    every device is at work (GpusAtWork, StillHeld).

    The first run that does not end with a score ends the trial: the others would not either.
    """
    with tempfile.TemporaryDirectory(prefix="try-", dir=_folder()) as name:
        try:
            with idle_device(file.train.device, file.rung(SMALLEST).devices, trial) as idle:
                place = prepared(Path(name), source, file, idle, say)
                return _runs(place, file, say, so_far, should_stop)
        except (ProjectRefused, RepositoryError, CorpusError, NoSandbox, CannotLaunch, StepFailed) as error:
            return TryReport(failed=str(error))
        except (GpusAtWork, StillHeld):
            raise
        except OSError as error:
            return TryReport(failed=f"This machine cannot try it: {in_words(error)}")
        finally:
            for left in Path(name).iterdir():  # a run may have left what only this removes
                remove(left)


def _folder() -> Path:
    folder = Path(settings.HOME) / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # runs have a user of their own
    return folder


def prepared(folder: Path, source: str, file: ProjectFile, device: str, say: Say) -> Place:
    """The repository beside, checked as at creation. Raises ProjectRefused, RepositoryError, CorpusError."""
    folder.chmod(0o755)
    require_reach(file)
    say(f"Copying {source}")
    repository = Repository.mirror(folder / "repository.git", source, file.baseline.branch, depth=1)
    missing = tuple(check_target(repository, file))
    for line in missing:
        say(line)
    data_hash = text_of(repository, source, file)
    data = Path(settings.HOME) / "corpus" / data_hash if data_hash else None
    return Place(folder, repository, repository.tip(), data, device, missing)


def _runs(
    place: Place,
    file: ProjectFile,
    say: Say,
    so_far: Callable[[TryReport], None],
    should_stop: Callable[[], str | None],
) -> TryReport:
    scoring = file.scoring(place.data / "visible" / "watch.bin" if place.data else Path())
    runs, series, report = [], [], TryReport()
    for number, (seed, words) in enumerate(RUNS):
        spec = spec_of(place, file, number, seed, say)
        say(f"Training {words}")
        points: list[Point] = []

        def took(new: Sequence[Point], points: list[Point] = points) -> None:
            points.extend(new)
            say(f"  {counted(len(points), 'point')}, step {new[-1].step}: {_values(new[-1])}")

        result = run_training(spec, took, should_stop)
        series.append(series_of(points))
        runs.append(tried_run(words, seed, result, series[-1], scoring, file))
        say(f"  {result.outcome}: {result.reason}")
        report = report_on(file, runs, series, place.missing)
        so_far(report)
        remove(spec.scratch)
        remove(spec.tree)
        if result.outcome != Outcome.completed:
            break
    return report


def spec_of(place: Place, file: ProjectFile, number: int, seed: int, say: Say) -> RunSpec:
    """One run of it, its tree exported. Raises CannotLaunch, OSError, RepositoryError."""
    tree, scratch = place.folder / f"run-{number}" / "tree", place.folder / f"run-{number}" / "scratch"
    scratch.mkdir(parents=True)
    place.repository.export(place.commit, tree)
    launch = file.launch()
    if file.train.python == "uv":
        if number == 0:
            say("Making the environment of its uv.lock, once")
        kept = Path(settings.HOME) / "environments"
        launch = file.launch(environment_of(tree, file.train.directory, kept, file.train.extras))
    rung = file.rung(SMALLEST)
    visible = place.data / "visible" if place.data else scratch
    return RunSpec(
        run=0,
        tree=tree,
        scratch=scratch,
        command=rung.command,
        seed=seed,
        device=place.device,
        budget=file.run_budget(),
        wall_limit=rung.wall_limit_seconds,
        data=visible,
        # Scored on text that the run may read anyway: it tries the way to a score, and tells nothing about the gate.
        scoring=file.scoring(visible / "watch.bin"),
        memory_limit=rung.memory_limit_mb * GIB // 1024,
        device_memory_limit=round((file.limits.device_memory_gb or 0) * GIB),
        log_limit=file.train.log_limit_kb * KIB,
        processes=file.processes(rung),
        served=file.data.served and file.metric.scored,
        drawn=scratch.parent / "drawn.json",
        minimum_level=Level(file.sandbox.minimum),
        settings=rung.environment,
        launch=launch,
        first_step_limit=file.limits.first_step_seconds,
        scratch_limit=round(file.limits.files_gb * GIB),
        explain=True,
    )


def _values(point: Point) -> str:
    return ", ".join(f"{name} {digits.number(value, 6)}" for name, value in list(point.values.items())[:4])
