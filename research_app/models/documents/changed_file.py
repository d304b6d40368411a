"""What a patch set keeps of each file that it changes."""

from typing import Literal

from research_app.documents import Part, Text, Whole


class ChangedFile(Part):
    """repository.FileChange: a path with what was done to it and how many lines that added and removed."""

    path: Text
    kind: Literal["modified", "added", "deleted"]
    added: Whole = 0
    removed: Whole = 0
