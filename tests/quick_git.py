"""Git without its waits for the disk: what tests kill are processes, never the machine."""

from research_app.repository import git

ARGUMENTS_IN_USE = git._CONFIGURATION_ARGUMENTS


def wait_for_no_disk() -> None:
    """From now on git of this process leaves it to the system when what it wrote reaches the disk."""
    git._CONFIGURATION_ARGUMENTS = tuple(
        "core.fsync=none" if part.startswith("core.fsync=") else part for part in ARGUMENTS_IN_USE
    )
