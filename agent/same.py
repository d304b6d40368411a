"""A/A proposals: changes that change nothing, to learn how often the decisions accept nothing."""

from __future__ import annotations

from agent.diff import lines_of
from agent.proposal import Context, Edit, NothingToPropose, Proposal


def propose_nothing(context: Context) -> Proposal:
    """Add a constant that nothing reads to the first editable Python file. Raises NothingToPropose where there is none."""
    for path in sorted(path for path in context.files if path.endswith(".py")):
        text = context.files[path]
        lines = lines_of(text)
        for count in range(1, len(lines) + 1):
            end = "".join(lines[-count:])
            if end.strip() and text.count(end) == 1:
                break
        else:
            continue
        newline = "\r\n" if "\r\n" in (end if "\n" in end else text) else "\n"
        break_after = "" if end.endswith("\n") else newline
        marked = f'{end}{break_after}{newline}REVISION = "{context.attempt}"  # not a knob{newline}'
        return Proposal(
            hypothesis=f"Name the revision of {path}: {context.attempt}.",
            category="simplification",
            edits=(Edit(path, end, marked),),
            expected_effect="None is expected.",
        )
    raise NothingToPropose("No editable Python file has an end that is unlike the rest of it, so nothing can be added there.")
