"""A survey of a repository that is somewhere else: a folder or an address."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from research_app.repository import Repository
from research_app.repository.mirror import default_branch
from research_app.survey.draft import project_file_for
from research_app.survey.sources import Sources


def inspect(source: str, branch: str = "", words: Sequence[str] = ()) -> str:
    """The text of a project file for a repository, its command ending with `words`. Raises RepositoryError, NothingTrains.

    What is looked at is what is committed on the branch, as it will be copied; nothing of it is imported or run.
    """
    branch = branch or default_branch(source)
    with tempfile.TemporaryDirectory(prefix="signoff-inspect-") as place:
        repository = Repository.mirror(Path(place) / "repository.git", source, branch, depth=1)
        folder = Path(source).expanduser()
        sources = Sources.of(repository, repository.tip(), folder if folder.is_dir() else None)
        return project_file_for(sources, branch, words)
