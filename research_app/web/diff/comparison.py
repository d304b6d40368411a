"""Which two states of the code stand beside each other, and how: all of it said by the address.

`ps` the patch set on the right (the newest where it is missing), `against` the one on the left (the base where it is
missing), `view` unified or split, `space=ignore`. What the address does not say of the view is as this person had it last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlencode

from django.http import HttpRequest

from research_app.models import Candidate, PatchSet, Side
from research_app.repository import Repository, RepositoryError
from research_app.web.diff.diff import Chunk, Texts, chunks_of, parse
from research_app.web.diff.lines import FileDiff

VIEWS = ("unified", "split")
COOKIE = "diff_view"


@dataclass
class Comparison:
    """Two states of a candidate's code. Reading them costs a git command each where they are no stored diff."""

    candidate: Candidate
    sets: Sequence[PatchSet]  # all, oldest first, without their diffs
    right: PatchSet | None
    left: PatchSet | None  # None: the base of the right one
    split: bool = False
    without_space: bool = False
    problem: str = field(default="", init=False)  # why the repository could not be read

    @classmethod
    def of(cls, request: HttpRequest, candidate: Candidate) -> "Comparison":
        """What the address asks for; what it does not know is left out. One query."""
        sets = list(candidate.patch_sets.select_related("base").defer("diff").order_by("number"))
        for i, patch_set in enumerate(sets):
            patch_set.candidate = candidate  # its name, without a query
            if candidate.patch_set and patch_set.pk == candidate.patch_set_id:
                candidate.patch_set.base, sets[i] = patch_set.base, candidate.patch_set  # has its diff already
        by_number = {str(patch_set.number): patch_set for patch_set in sets}
        newest = next((one for one in sets if one.pk == candidate.patch_set_id), None)
        right = by_number.get(request.GET.get("ps", ""), newest)
        left = by_number.get(request.GET.get("against", ""))
        if left is not None and (right is None or left.number >= right.number):
            left = None
        view = request.GET.get("view") or request.COOKIES.get(COOKIE)
        return cls(candidate, sets, right, left, view == "split", request.GET.get("space") == "ignore")

    @property
    def current(self) -> bool:
        """Whether the right side is what a vote is about."""
        return self.right is None or self.right.pk == self.candidate.patch_set_id

    @property
    def view(self) -> str:
        return VIEWS[self.split]

    @property
    def numbers(self) -> Sequence[int]:
        return [patch_set.number for patch_set in self.sets]

    def query(self, **changes: str | int) -> str:
        """The address's query string, with some of it changed; "" takes a key out."""
        values: dict[str, str | int] = {
            "ps": self.right.number if self.right and not self.current else "",
            "against": self.left.number if self.left else "",
            "view": self.view,
            "space": "ignore" if self.without_space else "",
        }
        return urlencode({key: value for key, value in (values | changes).items() if value != ""})

    def address(self, path: str, name: str = "file/", **more: str | int) -> str:
        """Where one file of this comparison, or a stretch of it, is fetched."""
        return f"{self.candidate.get_absolute_url()}{name}?{self.query(path=path, **more)}"

    @cached_property
    def repository(self) -> Repository | None:
        try:
            return self.candidate.project.repository
        except RepositoryError as error:
            self.problem = str(error)
            return None

    @property
    def before(self) -> str:
        """The commit on the left."""
        assert self.right is not None
        return self.left.commit if self.left else self.right.base_commit

    @cached_property
    def diff(self) -> str:
        """The stored diff against the base; between two patch sets what git finds. "" with `problem` set otherwise."""
        if self.right is None:
            return ""
        if self.left is None:
            return self.right.diff
        return self.git_diff(self.left.commit, self.right.commit)

    def git_diff(self, before: str, after: str) -> str:
        if self.repository is None or before == after:
            return ""
        try:
            return self.repository.diff(before, after)
        except RepositoryError as error:
            self.problem = str(error)
            return ""

    def files(self) -> list[FileDiff]:
        """The files of the diff, parsed anew. Between two patch sets only those that one of them changes."""
        files = parse(self.diff)
        if self.left is not None and self.right is not None:
            own = {file.path for patch_set in (self.left, self.right) for file in patch_set.changed_files}
            files = [file for file in files if file.path in own]
        for number, file in enumerate(files, 1):
            file.number = number
        return files

    @cached_property
    def rebased(self) -> frozenset[Chunk]:
        """What the newer baseline of the right patch set brought, where the two stand on different ones."""
        if self.left is None or self.right is None or self.left.base_commit == self.right.base_commit:
            return frozenset()
        return chunks_of(parse(self.git_diff(self.left.base_commit, self.right.base_commit)))

    def texts(self, path: str) -> Texts:
        """One file on both sides; None where it is not there or cannot be read."""
        assert self.right is not None
        return self.text_at(self.before, path), self.text_at(self.right.commit, path)

    def text_at(self, commit: str, path: str) -> str | None:
        try:
            return self.repository.read(commit, path).decode("utf-8", "backslashreplace") if self.repository else None
        except RepositoryError:
            return None

    def sides(self) -> Iterable[tuple[str, PatchSet, Side]]:
        """What a comment on the left ("old") and on the right ("new") is about."""
        if self.right is not None:
            yield ("old", self.left, Side.NEW) if self.left else ("old", self.right, Side.OLD)
            yield "new", self.right, Side.NEW
