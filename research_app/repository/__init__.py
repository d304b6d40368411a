"""The only code that touches git: reading a project's repository, taking changes in, landing them."""

from .change import Change, FileChange, Limits, diff_hash
from .errors import (
    ConflictError,
    OvertakenError,
    PatchError,
    RejectedError,
    RepositoryError,
    StaleTipError,
    TroubleError,
)
from .git import MINIMUM_VERSION, git_version
from .left_out import LeftOut, left_out
from .patch import patch_text
from .paths import check_paths, matches
from .store import Repository
from .syntax import normalised_syntax_hash
from .trailers import LogEntry, message_with_trailers
from .writing import Signing

__all__ = [
    "MINIMUM_VERSION",
    "Change",
    "ConflictError",
    "FileChange",
    "LeftOut",
    "Limits",
    "LogEntry",
    "OvertakenError",
    "PatchError",
    "RejectedError",
    "Repository",
    "RepositoryError",
    "Signing",
    "StaleTipError",
    "TroubleError",
    "check_paths",
    "diff_hash",
    "git_version",
    "left_out",
    "matches",
    "message_with_trailers",
    "normalised_syntax_hash",
    "patch_text",
]
