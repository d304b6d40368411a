"""How a project's code is started, for whoever looks for its knobs; and the options that a tree gives other values."""

from functools import lru_cache
from pathlib import Path

from agent.launched import Launched
from research_app.models import BaselineVersion, Project
from research_app.project_file.project_file import ProjectFile
from research_app.repository import Change, matches
from training.options import FILE, LARGEST, with_options

LOOKED_AT = ("**/*.py", "**/*.yaml", "**/*.yml", "**/*.toml")
MOST_FILES, MOST_CHARACTERS = 2000, 8 << 20  # of a repository whose imports are followed


def launched_of(project: Project, base: BaselineVersion) -> Launched:
    """How runs of a baseline are started, with the files that candidates may not change; read once for each commit."""
    file = project.file
    others, complete = _others(project.pk, base.commit, file.edit.editable, file.edit.protected)
    return Launched(
        commands=commands_of(file),
        directory=file.train.directory,
        others=others,
        complete=complete,
        options_editable=may_be_changed(FILE, file),
        sources=file.knobs.sources,
        never=file.knobs.never,
        also=file.knobs.also,
    )


@lru_cache(maxsize=4)
def _others(pk: int, commit: str, editable: tuple[str, ...], protected: tuple[str, ...]) -> tuple[dict[str, str], bool]:
    """The files that candidates may not change, and whether these and the editable ones are all; none of a huge repository."""
    texts = Project.objects.get(pk=pk).repository.texts(commit, LOOKED_AT)
    if len(texts) > MOST_FILES or sum(map(len, texts.values())) > MOST_CHARACTERS:
        return {}, False
    return {path: text for path, text in texts.items() if not _is_editable(path, editable, protected)}, True


def commands_of(file: ProjectFile) -> tuple[tuple[str, ...], ...]:
    """The commands of all rungs, the smallest first."""
    return tuple(rung.command for rung in file.rungs)


def may_be_changed(path: str, file: ProjectFile) -> bool:
    """Whether a candidate may change this file."""
    return _is_editable(path, file.edit.editable, file.edit.protected)


def _is_editable(path: str, editable: tuple[str, ...], protected: tuple[str, ...]) -> bool:
    return matches(path, editable) and not matches(path, protected, protecting=True)


def problem_of_options(project: Project, change: Change) -> str:
    """What is wrong with the file of options of a change, as a sentence; empty where nothing is."""
    if FILE not in (file.path for file in change.files):
        return ""
    text = project.repository.text(change.commit, FILE)
    if text is None:
        return ""
    commands = commands_of(project.file)
    try:
        for command in commands:
            with_options(command, text, commands)
    except ValueError as error:
        return f"{error}."
    return ""


def command_in(tree: Path, command: tuple[str, ...], file: ProjectFile) -> tuple[str, ...]:
    """The command with the options that a tree gives other values. Raises ValueError for an option that it may not change."""
    options = tree / FILE
    if not options.is_file() or options.is_symlink():
        return command
    with options.open(encoding="utf-8", errors="replace") as text:
        return with_options(command, text.read(LARGEST), commands_of(file))
