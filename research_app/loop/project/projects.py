"""How a project begins: repository, corpus, baseline version 0 and its reference runs."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from research_app.home import CODE
from research_app.loop.project.held_out import held_out_corpus
from research_app.loop.review.votes import unsatisfiable, void_undecided
from research_app.loop.runs import cancel, ensure_reference_runs, request_anew
from research_app.machine.fleet import UnknownDevice, gpus, local_devices
from research_app.models import BaselineVersion, Event, Priority, Project
from research_app.models.event_kinds import EventKind
from research_app.models.project import SLUG
from research_app.project_file.gates_section import Gates
from research_app.project_file.ladder import SMALLEST
from research_app.project_file.project_file import ProjectFile
from research_app.repository import Repository, left_out
from training.corpus import build_corpus

DEFAULT_TARGET = CODE / "training" / "targets" / "default"


MEASURED_BY = ("train", "seed", "metric", "scorer", "budget", "data")
"""Tables of the file that runs must share to be compared."""


class ProjectRefused(Exception):
    """The project cannot be created as asked; the message says what to do."""


def create_project(slug: str, *, source: str = "", file: ProjectFile | None = None, actor: str = "signoff") -> Project:
    """Create a project with its bare repository and queue its reference runs.

    `source` is a path or URL to copy; empty means the default target. Raises ProjectRefused, RepositoryError
    (unreachable source, missing branch), CorpusError, or ValidationError for the name. Nothing is left behind on failure.
    """
    SLUG(slug)
    file = file or (ProjectFile() if source else default_target_here())
    if file.gate != Gates() and (problems := unsatisfiable(file.gate)):
        raise ProjectRefused("\n".join(problems))
    require_reach(file)
    if Project.objects.filter(slug=slug).exists():
        raise ProjectRefused(f"A project {slug!r} exists already. Choose another name, or use that one.")
    folder = Path(settings.HOME) / "projects" / slug
    _set_aside(folder)
    folder.mkdir(parents=True)
    try:
        repository = _repository(folder / "repository.git", source, file)
        missing = check_target(repository, file)
        data_hash = text_of(repository, source, file)
        return _record(slug, source, file, data_hash, repository, actor, missing)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def default_target_here() -> ProjectFile:
    """The default target's file for what this machine trains on: where no core trains, for its smallest GPU."""
    try:
        kinds = {worker.kind for worker in local_devices()}
    except UnknownDevice:
        kinds = {"cpu"}
    if "cpu" in kinds or "cuda" not in kinds:
        return ProjectFile.default_target()
    return ProjectFile.default_target("cuda", min(gpu.memory for gpu in gpus()))


def configure(project: Project, file: ProjectFile, actor: str) -> None:
    """Give a project new settings. A changed policy is a new version: old evidence keeps its own and says so.

    Raises ProjectRefused where runs could not be compared any more; such a change needs a project of its own.
    """
    require_reach(file)
    old = project.file
    measured = any(getattr(old, name) != getattr(file, name) for name in MEASURED_BY)
    if measured and not project.runs.filter(score__isnull=False).exists():
        _begin_anew(project, file, actor)
        return
    for name in MEASURED_BY:
        if getattr(old, name) != getattr(file, name):
            raise ProjectRefused(
                f"[{name}] cannot change once runs were scored under it: they could not be compared. Create a new project."
            )
    if old.baseline.branch != file.baseline.branch:
        raise ProjectRefused("[baseline] branch cannot change: landings go there.")
    _check_rungs(project, file)
    if file.gate != old.gate and (problems := unsatisfiable(file.gate)):
        raise ProjectRefused("\n".join(problems))
    with transaction.atomic():
        row = _locked(project)
        before = row.file
        statistics = before.decision_policy() != file.decision_policy() or before.guards != file.guards
        changed = statistics or before.gate != file.gate
        if changed:  # what was decided before is counted under its own policy
            row.former_gates[str(row.policy_version)] = before.gate.model_dump(mode="json")
            row.policy_version += 1
        row.config = file.model_dump(mode="json")
        row.save(update_fields=["config", "policy_version", "former_gates"])
        event_data = {
            "policy_version": row.policy_version,
            "policy": file.policy.model_dump(),
            "guards": file.guards.model_dump(),
        }
        event_data["gates"] = file.gate.model_dump(mode="json")
        Event.objects.seal([row], EventKind.PROJECT_CONFIGURED, row, actor, row, **event_data)
        if changed:
            void_undecided(row, f"The policy changed to version {row.policy_version}: votes at the gates start afresh.")


def require_reach(file: ProjectFile) -> None:
    """Raises ProjectRefused where what runs may read holds Signoff's own files, or lies among them."""
    own = Path(settings.HOME).resolve()
    environment = () if file.train.python in ("worker", "uv") else (file.train.python,)
    for name in (*file.train.read, *file.train.links.values(), *environment):
        path = Path(name).expanduser().resolve()
        if path.is_relative_to(own) or own.is_relative_to(path):
            raise ProjectRefused(
                f"[train] read, links or python names {name}, and Signoff's own files ({own}), held-out text among them, are "
                "there. Name folders that hold nothing of them."
            )


def _locked(project: Project) -> Project:
    """The project's row, for this transaction alone. Raises ProjectRefused where it was deleted in the meantime."""
    row = Project.objects.select_for_update().filter(pk=project.pk).first()
    if row is None:
        raise ProjectRefused(f"{project.slug} was deleted in the meantime.")
    return row


def _begin_anew(project: Project, file: ProjectFile, actor: str) -> None:
    """Nothing was scored yet, so everything may change: the runs that there are begin again under the new settings."""
    if project.file.baseline.branch != file.baseline.branch:
        raise ProjectRefused("[baseline] branch cannot change: landings go there.")
    if file.gate != project.file.gate and (problems := unsatisfiable(file.gate)):
        raise ProjectRefused("\n".join(problems))
    data_hash = project.data_hash
    if file.scorer.held_out or (project.file.data, project.file.scorer) != (file.data, file.scorer):
        data_hash = text_of(project.repository, project.source, file)
    with transaction.atomic():
        row = _locked(project)
        if row.runs.filter(score__isnull=False).exists():
            raise ProjectRefused("A run was scored in the meantime: look at the file again.")
        cancel(row.runs.all(), f"{actor} changed how the project is trained.")
        row.former_gates[str(row.policy_version)] = row.file.gate.model_dump(mode="json")
        row.policy_version, row.data_hash, row.config = row.policy_version + 1, data_hash, file.model_dump(mode="json")
        row.save(update_fields=["config", "policy_version", "former_gates", "data_hash"])
        event_data = {
            "policy_version": row.policy_version,
            "policy": file.policy.model_dump(),
            "guards": file.guards.model_dump(),
        }
        Event.objects.seal(
            [row], EventKind.PROJECT_CONFIGURED, row, actor, row, **event_data, gates=file.gate.model_dump(mode="json")
        )
        for run in row.runs.select_related("patch_set__candidate", "baseline"):
            request_anew(run, row, actor)


def _check_rungs(project: Project, file: ProjectFile) -> None:
    """A rung that runs were trained on stays what it is; seeds, queue and price may change. Raises ProjectRefused."""
    before, after = ({rung.name: rung for rung in each.rungs} for each in (project.file, file))
    used = set(project.runs.exclude(scale=SMALLEST).values_list("scale", flat=True).distinct())
    for name in sorted(used & set(before)):
        if name not in after or not after[name].trains_like(before[name]):
            raise ProjectRefused(
                f"The rung {name} has runs, and they could not be compared with runs of another {name}. Keep it as it is "
                "(seeds, queue, price, curve and checkpoint_seconds may change) and give the new rung a name of its own."
            )


def text_of(repository: Repository, source: str, file: ProjectFile) -> str:
    """The content hash of the text that runs are scored on, the owner's or the corpus; made where it is not there yet.

    Raises CorpusError.
    """
    return held_out_corpus(repository, source, file) if file.scorer.held_out else corpus_of(file)


def corpus_of(file: ProjectFile) -> str:
    """Build the corpus where there is none yet and return its content hash; empty when the code brings its own data."""
    if file.data.corpus == "none":
        return ""
    building = Path(settings.HOME) / "corpus" / "building"
    sources = {path.name: [path] for path in sorted(Path(file.data.folder).iterdir())} if file.data.folder else None
    corpus = build_corpus(building, sources)
    kept = Path(settings.HOME) / "corpus" / corpus.data_hash
    if not kept.exists():
        shutil.copytree(building, kept)
    return corpus.data_hash


def _set_aside(folder: Path) -> None:
    """A folder without a project row was left by a start that was killed: keep it, out of the way."""
    if folder.exists():
        folder.rename(Path(tempfile.mkdtemp(prefix=f".left-{folder.name}-", dir=folder.parent)) / folder.name)


def _repository(path: Path, source: str, file: ProjectFile) -> Repository:
    if source:
        return Repository.mirror(path, source, file.baseline.branch)
    files = {item.name: item.read_bytes() for item in sorted(DEFAULT_TARGET.iterdir()) if item.is_file()}
    return Repository.create(path, file.baseline.branch, files, "Begin with Signoff's default target")


def check_target(repository: Repository, file: ProjectFile) -> list[str]:
    """Something must be editable, and what the command runs should be there. Raises ProjectRefused.

    Returns sentences about what of the repository runs will not have, or not as it is there.
    """
    tip = repository.tip()
    names = repository.files(tip)
    directory = Path(file.train.directory)
    if not any(Path(name).is_relative_to(directory) for name in names):
        raise ProjectRefused(f"[train] directory is {directory}, and the branch {file.baseline.branch!r} has no such folder.")
    if (place := file.seed.place) and (problem := place.problem(repository.text(tip, place.file))):
        raise ProjectRefused(f"{problem}.")
    for linked in file.train.links:
        if linked in names:
            raise ProjectRefused(
                f"[train] links names {linked}, and a file of the repository stands there: runs have that one."
            )
    if not repository.texts(tip, file.edit.editable):
        raise ProjectRefused(
            f"No file of the branch {file.baseline.branch!r} matches the editable paths "
            f"{', '.join(file.edit.editable)}. Name some under [edit] editable in the project file. "
            f"Files there: {', '.join(names[:20])}"
        )
    return left_out(repository, tip).sentences


def _record(
    slug: str, source: str, file: ProjectFile, data_hash: str, repository: Repository, actor: str, missing: Sequence[str]
) -> Project:
    tip = repository.tip()
    tree = repository.tree_of(tip)
    try:
        with transaction.atomic():
            project = Project.objects.create(slug=slug, source=source, config=file.model_dump(mode="json"), data_hash=data_hash)
            baseline = BaselineVersion.objects.create(project=project, number=0, commit=tip, tree=tree)
            event_data: dict[str, object] = {"commit": tip, "source": source, "data_hash": data_hash}
            event_data |= {"left_out": list(missing)} if missing else {}
            Event.objects.seal([project, baseline], EventKind.PROJECT_CREATED, project, actor, project, **event_data)
            ensure_reference_runs(baseline, max(file.baseline.runs, file.policy.calibration_runs), Priority.BASELINE)
    except IntegrityError as error:
        raise ProjectRefused(f"A project {slug!r} was created at the same moment.") from error
    return project
