"""The diff of a candidate's page with everything that stands on it: flags, threads, viewed marks, rows.

Worked out when a template first asks, so that the fragments of a live update, which never show it, cost nothing.
"""

from collections.abc import Sequence
from functools import cached_property

from django.http import HttpRequest
from django.template.loader import render_to_string

from research_app.access import may_review
from research_app.models import Candidate, Thread, ViewedFile
from research_app.web.candidate import findings
from research_app.web.candidate.findings import Flag
from research_app.web.candidate.threads import Placed, Placing, attach, wanted_lines
from research_app.web.diff.comparison import Comparison
from research_app.web.diff.diff import prepare, too_large
from research_app.web.diff.lines import FileDiff, Gap, Line
from research_app.web.diff.rows import Rest, rows
from research_app.web.diff.words import Work

# What comes with the page itself; other files come by one request each. Colouring takes about 2 s per MB, once.
INLINE_LINES, INLINE_CHARACTERS = 1500, 150_000
SMALL_LINES, SMALL_FILES = 24, 3  # changed lines and files that stand below the verdict in the first screen


class ShownDiff:
    """What one person sees of one comparison."""

    def __init__(self, request: HttpRequest, candidate: Candidate) -> None:
        self.request = request
        self.candidate = candidate

    @cached_property
    def comparison(self) -> Comparison:
        """One query."""
        return Comparison.of(self.request, self.candidate)

    @cached_property
    def _work(self) -> Work:
        return Work()

    @cached_property
    def too_large(self) -> bool:
        return too_large(self.comparison.diff)

    @cached_property
    def listed(self) -> list[FileDiff]:
        """Every file, without its lines. One query, for the viewed marks."""
        files = [] if self.too_large else self.comparison.files()
        right = self.comparison.right
        viewed = set(ViewedFile.objects.filter(user=self.request.user.pk, patch_set=right).values_list("path", flat=True))
        for file in files:
            file.viewed = file.path in viewed
            file.address = self.comparison.address(file.path)
        return files

    @cached_property
    def placed(self) -> list[Placed]:
        """All threads that belong here. Three queries; none where there is no patch set."""
        if self.comparison.right is None:
            return []
        return Placing(self.comparison).place(Thread.objects.of(self.candidate))

    @cached_property
    def _worked_out(self) -> tuple[list[FileDiff], list[Flag], list[Placed]]:
        """Every file, of which those that come with the page have their rows; flags; threads on files not shown here."""
        lines = characters = 0
        for file in self.listed:
            if file.viewed or file.heavy or lines + file.added + file.removed > INLINE_LINES:
                continue
            texts = self.comparison.texts(file.path)
            size = sum(len(text or "") for text in texts)
            if characters + size <= INLINE_CHARACTERS:
                lines, characters = lines + file.added + file.removed, characters + size
                self.prepare(file, texts)
        elsewhere, flags = attach(self.placed, self.listed), self.flagged()
        for file in self.listed:
            self.write_rows(file)
        return self.listed, flags, elsewhere

    def prepare(self, file: FileDiff, texts: tuple[str | None, str | None], *, line: int | None = None) -> None:
        """Work out the lines of one file, also those around threads, flags and `line` of the new side."""
        wanted = wanted_lines(self.placed, [file], file.path) | ({line} if line else set())
        right = self.comparison.right
        stored = right.risky_edits if right else ()
        wanted |= {each.line for each in stored if each.path == file.path and each.line and each.level != "info"}
        comparison = self.comparison
        prepare(
            file,
            texts,
            wanted=wanted,
            without_space=comparison.without_space,
            rebased=comparison.rebased,
            work=self._work,
        )

    def one(self, path: str, line: int | None = None) -> FileDiff | None:
        """One file with its rows; None where the comparison has none of that name."""
        file = next((file for file in self.listed if file.path == path), None)
        if file is not None:
            self.prepare(file, self.comparison.texts(path), line=line)
            attach(self.placed, [file])
            self.flagged()
            self.write_rows(file)
        return file

    def flagged(self) -> list[Flag]:
        """The risky edits of the right side, each on its line where that is shown."""
        return findings.flagged(self.comparison.right, self.listed, against_base=self.comparison.left is None)

    def write_rows(self, file: FileDiff) -> None:
        if not file.loaded:
            return
        readable = self.comparison.repository is not None and not self.comparison.problem

        def more(gap: Gap, take: str) -> str:
            return self.comparison.address(file.path, "lines/", first=gap.new, count=gap.count, take=take)

        if readable:
            file.html = rows(file.parts, self.comparison.split, self.talk, more, self.rest_of(file.path))
        else:
            file.html = rows(file.parts, self.comparison.split, self.talk, None)

    def rest_of(self, path: str) -> Rest:
        """Where the end of a long line of a file is fetched."""

        def address(line: Line) -> str:
            side, number = ("old", line.old) if line.kind == "removed" else ("new", line.new)
            return self.comparison.address(path, "line/", side=side, line=number or 0)

        return address

    def talk(self, threads: Sequence[Placed]) -> str:
        """Threads as HTML."""
        context = {"threads": threads, "candidate": self.candidate, "project": self.candidate.project, "shown": self}
        return render_to_string("candidate/_threads.html", context, self.request) if threads else ""

    # What templates ask for

    @property
    def files(self) -> list[FileDiff]:
        return self._worked_out[0]

    @property
    def risky(self) -> list[Flag]:
        return [flag for flag in self._worked_out[1] if flag.level != "info"]

    @property
    def noted(self) -> list[Flag]:
        """Edits near seed, budget, data or evaluation that do no harm."""
        return [flag for flag in self._worked_out[1] if flag.level == "info"]

    @property
    def elsewhere(self) -> str:
        """Threads about files that this comparison does not show."""
        return self.talk(self._worked_out[2])

    @cached_property
    def may_review(self) -> bool:
        """One query."""
        return may_review(self.request.user)

    @property
    def query_of_current(self) -> str:
        return self.comparison.query(ps="", against="")

    @property
    def query_unified(self) -> str:
        return self.comparison.query(view="unified")

    @property
    def query_split(self) -> str:
        return self.comparison.query(view="split")

    @property
    def added(self) -> int:
        return sum(file.added for file in self.listed)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.listed)

    @cached_property
    def large(self) -> bool:
        """Whether the diff wants a column of its own, beside the evidence."""
        return self.too_large or len(self.listed) > SMALL_FILES or self.added + self.removed > SMALL_LINES

    @property
    def viewed(self) -> int:
        return sum(file.viewed for file in self.listed)

    @property
    def open_threads(self) -> int:
        return sum(not one.thread.resolved for one in self.placed)
