"""What a lost attempt of a run left for the next one: files whose names begin with `resume.`, and its series.

Whoever trains may write such files into its folder (docs/explanation/ladder.md). They are copied as plain files and not read
here; only the same code, in its sandbox, reads them again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from training.series import SERIES, SERIES_LIMIT, Outputs, UnsafeOutput

PREFIX = "resume."
FILES_LIMIT = 1024  # a file for each of a run's processes


def carry_over(before: Path, scratch: Path, limit: int) -> list[str]:
    """Copy what a lost attempt saved in the folder `before` into `scratch`; the names of the files, none where it saved none.

    Files of more than `limit` bytes in all, links and whatever else is no plain file are left behind: then the run begins
    anew. Raises OSError when `scratch` cannot be written.
    """
    try:
        outputs = Outputs(before)
    except OSError:
        return []  # it never began
    with outputs:
        names = sorted(name for name in os.listdir(outputs.folder) if name.startswith(PREFIX) and name.count("partial") == 0)
        names = [name for name in names if name != PREFIX + SERIES]
        if not names or len(names) > FILES_LIMIT:
            return []
        try:
            for name in names:
                limit -= _copy(outputs, name, scratch / name, limit)
            _copy(outputs, SERIES, scratch / (PREFIX + SERIES), SERIES_LIMIT)
        except UnsafeOutput:
            for name in (*names, PREFIX + SERIES):
                (scratch / name).unlink(missing_ok=True)
            return []
    return names


def _copy(outputs: Outputs, name: str, target: Path, limit: int) -> int:
    """Copy one file and return its size; 0 where there is none. Raises UnsafeOutput."""
    fd = outputs.open(name, limit)
    if fd is None:
        return 0
    with os.fdopen(fd, "rb") as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
        target.chmod(0o644)  # the next attempt has a user of its own
        return copy.tell()
