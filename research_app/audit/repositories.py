"""The repository of a project, whatever somebody wrote into the project's row."""

from pydantic import ValidationError

from research_app.models import Project
from research_app.repository import Repository, RepositoryError


def repository_of(project: Project) -> Repository:
    """Raises RepositoryError, also where the project's settings are none."""
    try:
        return project.repository
    except ValidationError as error:
        raise RepositoryError(f"the settings of {project.slug} cannot be read: {error.error_count()} errors") from error
