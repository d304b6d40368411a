"""Every way that a run or a step can end, made to happen; `python -m tests.ends` writes the table in docs/reference/ends.md
from it."""
