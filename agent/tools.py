"""The tools of a conversation: what a model can do, which is to look, to edit its own change, to try it, and to hand it in.

Every tool works on this conversation's own proposal and on nothing else: there is none that reads the machine, the network,
the environment, or that votes. What a tool returns from elsewhere is quoted (agent/quote.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.diff import lines_of
from agent.proposal import CATEGORIES, Edit, Tried
from agent.quote import cut, one_line, quoted
from agent.title import MOST
from research_app.wording import counted

LONGEST_RESULT = 16_000  # characters
MOST_EDITS = 60
MOST_SMOKES = 6
KEPT = "It stays as it is."
Category = Literal[
    "architecture", "optimiser", "schedule", "data", "initialisation", "regularisation", "systems", "simplification"
]
assert set(Category.__args__) == set(CATEGORIES)  # type: ignore[attr-defined]
Text = Annotated[str, Field(min_length=1, max_length=4000)]


class Refused(Exception):
    """A tool did not do what was asked; the message goes to the model and says what to do instead."""


@dataclass(frozen=True)
class Examined:
    """What is to be said of a change before any device is used."""

    problems: Sequence[str]  # why it would be refused
    cautions: Sequence[str]  # what a reviewer will be shown at its lines
    diff: str
    constants: Sequence[str]  # "WIDTH: 32 → 48"


@dataclass(frozen=True)
class Smoked:
    """How a short run of a change went. No score: the held-out text is not shown to agents."""

    outcome: str
    reason: str
    facts: Sequence[tuple[str, str, str]]  # name, of the baseline, of the change
    log: str


class Workspace(Protocol):
    """What the tools work with, of one project at one commit. Whoever implements it keeps to the proposal's own bounds."""

    def files(self) -> Mapping[str, str]:
        """Every text file of the tree that the proposal starts from."""
        ...

    def edited(self, edits: Sequence[Edit]) -> Mapping[str, str]:
        """The new texts of the files that some edits change. Raises Refused: not applicable, not editable."""
        ...

    def history(self) -> Sequence[Tried]:
        """What was tried in this project."""
        ...

    def record(self, number: int) -> Mapping[str, str]:
        """One candidate in full: name of a part → its text, each from somebody else. Raises Refused."""
        ...

    def examine(self, edits: Sequence[Edit]) -> Examined:
        """What the checks would say of a change."""
        ...

    def smoke(self, edits: Sequence[Edit]) -> Smoked:
        """Train it for a moment in the sandbox. Raises Refused where this machine cannot."""
        ...


@dataclass(frozen=True)
class Result:
    """What goes back to the model."""

    text: str
    failed: bool = False


@dataclass(frozen=True)
class Submission:
    """A change that is submitted."""

    title: str
    hypothesis: str
    category: str
    expected_effect: str
    how_it_could_be_wrong: str
    answer: str  # to the reviewers, where they asked for changes
    answers: Sequence[Mapping[str, Any]] = ()  # thread, answer, done
    kept: bool = False  # no new change: what was submitted before should stay


class GaveUp(Exception):
    """The model says that it has nothing to submit; the message is its reason."""


class Input(BaseModel):
    """What a tool takes: nothing that it does not know."""

    model_config = ConfigDict(extra="forbid")


class ReadFile(Input):
    """Read a file as it is now, with your edits in it. Each line stands behind "| " and its number; neither is part of it."""

    path: str = Field(max_length=400)
    first_line: Annotated[int, Field(ge=1)] = 1
    lines: Annotated[int, Field(ge=1, le=600)] = 400


class Search(Input):
    """Find a text in the files as they are now, with your edits in them. It is taken literally; case does not matter."""

    text: str = Field(min_length=1, max_length=200)
    path: str = Field("*", max_length=400, description="Only in files whose path fits this pattern")


class History(Input):
    """What was tried before, as a table. Effects are rounded; positive is better."""

    category: Category | None = None
    text: str = Field("", max_length=200, description="Only those whose title or hypothesis holds this text")
    order: Literal["newest", "best", "worst"] = "newest"
    limit: Annotated[int, Field(ge=1, le=40)] = 20


class Look(Input):
    """Everything about one earlier candidate: its diff, evidence, why it was rejected, what reviewers said."""

    candidate: Annotated[int, Field(ge=1)]


class EditFile(Input):
    """Replace a text by another. The old text must occur exactly once; an empty old text creates the file."""

    path: str = Field(max_length=400)
    old: str = Field(max_length=100_000)
    new: str = Field(max_length=100_000)


class Undo(Input):
    """Take back your latest edits."""

    edits: Annotated[int, Field(ge=1, le=MOST_EDITS)] = 1


class Check(Input):
    """What the checks say of your change: whether it would be taken in, its diff, and which constants really changed."""


class SmokeTest(Input):
    """Train your change for a few seconds in the sandbox, beside the same short run of the baseline: whether it runs, what it
    changes in size, cost and speed, its log. It tells no score, and too little was trained to judge a schedule by its loss."""


class ThreadAnswer(Input):
    """What you say in one thread of a review."""

    thread: Annotated[int, Field(ge=1)]
    answer: Text
    done: bool = Field(True, description="Whether your change does what was asked there; false leaves the thread open")


class Submit(Input):
    """Submit your change. It ends the conversation until somebody asks for changes."""

    title: str = Field(
        "", max_length=MOST, description="The change in a few words, for lists and commits; else it is cut from the hypothesis"
    )
    hypothesis: Text = Field(
        description="What the change does and why that should improve the score, for the researcher who decides"
    )
    category: Category
    expected_effect: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="The effect that you expect on the score, with its sign and size, and what it costs"
    )
    how_it_could_be_wrong: Text = Field(description="What would make the hypothesis false, and what one would see then")
    answer: str = Field("", max_length=4000, description="What you answer to reviewers, where they asked for changes")
    answers: list[ThreadAnswer] = Field([], max_length=100, description="To each thread of the reviewers, by its number")


class KeepAsIs(Input):
    """Where researchers asked for changes: say why your change should stay as it is. It goes back to them unchanged."""

    answer: Text
    answers: list[ThreadAnswer] = Field([], max_length=100, description="To each thread of the reviewers, by its number")


class GiveUp(Input):
    """End the conversation without a change, when there is nothing worth a run."""

    reason: Text


TOOLS: Mapping[str, type[Input]] = {
    "read_file": ReadFile,
    "search": Search,
    "history": History,
    "look": Look,
    "edit_file": EditFile,
    "undo": Undo,
    "check": Check,
    "smoke_test": SmokeTest,
    "submit": Submit,
    "keep_as_is": KeepAsIs,
    "give_up": GiveUp,
}


def definitions() -> list[dict[str, Any]]:
    """The tools as the Messages API takes them. The same every time, so that they stay in the prompt cache."""
    made = []
    for name, model in TOOLS.items():
        schema = model.model_json_schema()
        description = schema.pop("description")
        schema.pop("title")
        for part in schema.get("properties", {}).values():
            part.pop("title", None)
        made.append({"name": name, "description": description, "input_schema": schema})
    return made


@dataclass
class Workbench:
    """The tools at work on one proposal. `edits` is its change so far."""

    workspace: Workspace
    edits: list[Edit] = field(default_factory=list)
    smokes: int = 0
    answering: bool = False  # researchers asked for changes

    def use(self, name: str, given: Mapping[str, Any]) -> Result | Submission:
        """Run one tool. Raises BadCall for what is no call of a tool, GaveUp when the model ends it."""
        if name not in TOOLS:
            raise BadCall(f"There is no tool {one_line(name, 80)!r}; there are: {', '.join(TOOLS)}.")
        try:
            arguments = TOOLS[name].model_validate(given)
        except ValidationError as error:
            raise BadCall(f"{name} cannot be called like this: {mistakes(error)}") from None
        try:
            done: str | Submission = getattr(self, f"_{name}")(arguments)
        except Refused as refusal:
            return Result(cut(str(refusal), LONGEST_RESULT), failed=True)
        return done if isinstance(done, Submission) else Result(done)

    @property
    def now(self) -> dict[str, str]:
        """All files as they are with the edits."""
        return {**self.workspace.files(), **self.workspace.edited(self.edits)}

    def _read_file(self, arguments: ReadFile) -> str:
        lines = self._text(arguments.path).split("\n")
        first = arguments.first_line
        page = _whole_lines(lines[first - 1 : first - 1 + arguments.lines])
        if not page:
            raise Refused(f"{arguments.path} has {counted(len(lines), 'line')}.")
        last, numbered = first + len(page) - 1, (f"{first + i:5d}  {line}" for i, line in enumerate(page))
        part = f"{arguments.path}, lines {first} to {last} of {len(lines)}, each with its number"
        more = f"\nThere are {len(lines) - last} more: read on with first_line={last + 1}." if last < len(lines) else ""
        return quoted(part, "\n".join(numbered), 2 * LONGEST_RESULT) + more

    def _text(self, path: str) -> str:
        texts = self.now
        if path not in texts:
            raise Refused(f"There is no file {one_line(path)!r}; there are: {', '.join(sorted(texts)[:100])}.")
        return texts[path]

    def _search(self, arguments: Search) -> str:
        wanted = arguments.text.casefold()
        matches: list[str] = []
        for path, text in sorted(self.now.items()):
            if fnmatchcase(path, arguments.path):
                matches += (f"{path}:{n}: {line}" for n, line in enumerate(text.split("\n"), 1) if wanted in line.casefold())
        return (
            quoted("lines that hold this text", "\n".join(matches), LONGEST_RESULT) if matches else "Nothing holds this text."
        )

    def _history(self, arguments: History) -> str:
        rows = [row for row in self.workspace.history() if arguments.category in (None, row.category)]
        rows = [row for row in rows if arguments.text.casefold() in f"{row.title}\n{row.hypothesis}".casefold()]
        if arguments.order == "newest":
            rows = rows[::-1]
        else:
            rows = sorted((row for row in rows if row.effect is not None), key=_effect, reverse=arguments.order == "best")
        return (
            quoted("earlier candidates", table(rows[: arguments.limit]), LONGEST_RESULT)
            if rows
            else "Nothing was tried that fits."
        )

    def _look(self, arguments: Look) -> str:
        parts = self.workspace.record(arguments.candidate)
        share = LONGEST_RESULT // max(1, len(parts))
        return "\n\n".join(quoted(f"{name} of C-{arguments.candidate}", text, share) for name, text in parts.items() if text)

    def _edit_file(self, arguments: EditFile) -> str:
        if len(self.edits) >= MOST_EDITS:
            raise Refused(f"A change has at most {MOST_EDITS} edits. Undo some and say the same with fewer.")
        edit = Edit(arguments.path, arguments.old, arguments.new)
        texts = self.workspace.edited([*self.edits, edit])
        self.edits.append(edit)
        return f"Done: {arguments.path} has {len(lines_of(texts[arguments.path]))} lines now. Edits so far: {len(self.edits)}."

    def _undo(self, arguments: Undo) -> str:
        if not self.edits:
            raise Refused("There is no edit to take back.")
        del self.edits[-arguments.edits :]
        return f"Taken back. Edits left: {len(self.edits)}."

    def _check(self, _: Check) -> str:
        self._require_edits()
        report = self.workspace.examine(self.edits)
        parts = [_listed("It would be refused", report.problems) if report.problems else "It would be taken in."]
        if report.cautions:
            parts.append(_listed("A reviewer will be shown", report.cautions))
        parts.append(_listed("Constants that differ from the baseline", report.constants or ["none"]))
        return "\n".join([*parts, quoted("your diff", report.diff, LONGEST_RESULT // 2)])

    def _smoke_test(self, _: SmokeTest) -> str:
        self._require_edits()
        if self.smokes >= MOST_SMOKES:
            raise Refused(f"A conversation has {MOST_SMOKES} smoke tests, and they are used up. Submit, or call `give_up`.")
        self.smokes += 1
        ran = self.workspace.smoke(self.edits)
        rows = [f"{name}: {before} → {after}" for name, before, after in ran.facts]
        parts = [
            f"{ran.outcome}: {one_line(ran.reason, 1000)}",
            _listed("Baseline → your change", rows or ["nothing measured"]),
        ]
        return "\n".join([*parts, quoted("the log of this run", ran.log, LONGEST_RESULT // 2)])

    def _submit(self, arguments: Submit) -> Submission:
        self._require_edits()
        if problems := self.workspace.examine(self.edits).problems:
            raise Refused(_listed("It would be refused", problems))
        return Submission(**arguments.model_dump())

    def _keep_as_is(self, arguments: KeepAsIs) -> Submission:
        if not self.answering:
            raise Refused("Nobody asked for changes yet: call `submit`, or `give_up`.")
        answers = [each.model_dump() for each in arguments.answers]
        return Submission("", KEPT, CATEGORIES[0], "", "", arguments.answer, answers, kept=True)

    def _give_up(self, arguments: GiveUp) -> str:
        raise GaveUp(arguments.reason)

    def _require_edits(self) -> None:
        if not self.edits:
            raise Refused("There is no change yet: edit a file first.")


def _whole_lines(lines: Sequence[str]) -> list[str]:
    """The lines from the first on that fit into a result, at least one."""
    page: list[str] = []
    length = 0
    for line in lines:
        length += len(line) + 9
        if page and length > LONGEST_RESULT:
            break
        page.append(line)
    return page


class BadCall(Exception):
    """The call is not one that a tool takes; the message says why."""


def mistakes(error: ValidationError) -> str:
    """What is wrong with an input, in one sentence for each field."""
    messages = [f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in error.errors(include_url=False)]
    return one_line("; ".join(messages), 1500)


def table(rows: Sequence[Tried]) -> str:
    """Candidates as lines: number, category, outcome, gain with interval, hypothesis, and why it stands where it stands."""
    return "\n".join(map(_line, rows))


def _line(row: Tried) -> str:
    why = f" — {one_line(row.why, 160)}" if row.why else ""
    summary = f"C-{row.candidate} {row.category or '?'} by {one_line(row.author, 40)}, {row.stage.replace('_', ' ')}"
    return f"{summary}, gain {row.gain}: {one_line(row.hypothesis, 200)}{why}"


def _effect(row: Tried) -> float:
    return row.effect if row.effect is not None else 0.0


def _listed(title: str, lines: Sequence[str]) -> str:
    return f"{title}:\n" + "\n".join(f"- {one_line(line, 500)}" for line in lines)
