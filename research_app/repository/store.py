"""Signoff's own bare repository of a project: what candidates are made from, and where they land."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from . import objects, public, trailers
from .admission import admit, text_of
from .change import Change, Limits, diff_hash
from .edits import Edit, apply_edits
from .errors import ConflictError, OvertakenError, PatchError, RepositoryError, StaleTipError, TroubleError
from .git import Bounds, GitError, Output, run_git
from .line_ends import usual_end
from .mirror import built_at, fetch_branch
from .names import branch_ref, full_hash, kept_ref
from .patch import apply_patch, patch_text
from .paths import matches, path_problem
from .region import altered, follow
from .remote import push_branch
from .trailers import LogEntry
from .writing import Signing, commit_tree, index_tree, private_index, tree_with

STALE_LOCK_SECONDS = 60.0
MOST_LIKE = 20  # files that are asked how lines end
_ABSENT = "0" * 40
_FENCE = kept_ref("fence")


class Repository:
    """A bare repository at `path` whose branch `branch` is the baseline. Commits go by their full hashes."""

    def __init__(self, path: Path, branch: str = "baseline") -> None:
        self.path = Path(path).absolute()
        self.branch = branch
        self._ref = branch_ref(branch)
        if not (self.path / "HEAD").is_file() or not (self.path / "objects").is_dir():
            raise RepositoryError(f"There is no bare git repository at {self.path}. Create the project again.")

    @classmethod
    def create(cls, path: Path, branch: str, files: Mapping[str, bytes], message: str) -> Repository:
        """Make a repository whose first commit holds `files` (path to content); nothing is left of a failure."""
        with built_at(path, branch) as new:
            tree = tree_with(new, {name: ("100644", data) for name, data in files.items()})
            commit = commit_tree(new, tree, (), message, "Signoff", datetime.now(UTC))
            run_git("update-ref", branch_ref(branch), commit, _ABSENT, repository=new)
        return cls(path, branch)

    @classmethod
    def mirror(cls, path: Path, source: str, branch: str, *, depth: int = 0) -> Repository:
        """Copy `branch`, with its history or the newest `depth` commits, of the repository at `source`, a folder or an address.

        Raises RepositoryError that says why not: no repository there, no such branch (naming those there are), empty.
        """
        with built_at(path, branch) as new:
            fetch_branch(new, source, branch, depth=depth)
        return cls(path, branch)

    # Reading

    def tip(self) -> str:
        """The baseline's newest commit. Raises RepositoryError when the branch does not exist."""
        commit = self._resolved(self._ref)
        if commit is None:
            raise RepositoryError(f"The repository {self.path} has no branch {self.branch}.")
        return commit

    def public_tip(self) -> str:
        """The tip as outside agents see it: the same tree, in a history that does not say who reviewed what."""
        return public.publish(self.path, self.branch, self.tip())

    def public_name(self, commit: str) -> str:
        """How outside agents know a commit of the baseline."""
        return public.twins(self.path).get(commit, commit)

    def tree_of(self, commit: str) -> str:
        with objects.opened(self.path, full_hash(commit)) as opened:
            return opened.tree.hexsha

    def read(self, commit: str, path: str) -> bytes:
        """The content of a regular file. Raises RepositoryError when the commit has none at `path`."""
        with objects.opened(self.path, full_hash(commit)) as opened:
            blob = objects.blob_at(opened, path)
            if blob is None:
                raise RepositoryError(f"There is no file {path!r} in {commit[:12]}.")
            return objects.content(blob)

    def files(self, commit: str) -> tuple[str, ...]:
        """The paths of all regular files, sorted. Symbolic links and submodules are left out."""
        with objects.opened(self.path, full_hash(commit)) as opened:
            return tuple(sorted(str(blob.path) for blob in objects.blobs(opened.tree)))

    def text(self, commit: str, path: str) -> str | None:
        """A regular file as text, None where there is none. Raises PatchError where it is not UTF-8, or above Limits' size."""
        with objects.opened(self.path, full_hash(commit)) as opened:
            blob = objects.blob_at(opened, path)
            if blob is None:
                return None
            if blob.size > (largest := Limits().max_file_bytes):
                raise PatchError(f"{path} has {blob.size:,} bytes; files of at most {largest:,} can be changed.")
            return text_of(path, objects.content(blob))

    def texts(self, commit: str, patterns: Iterable[str]) -> dict[str, str]:
        """The files that glob `patterns` cover, as text. What is not UTF-8, or above Limits' file size, is left out."""
        patterns = tuple(patterns)
        return self._texts(commit, lambda path: matches(path, patterns))

    def texts_at(self, commit: str, paths: Iterable[str]) -> dict[str, str]:
        """The files at these very paths, as text. What is not there, not UTF-8, or above Limits' file size, is left out."""
        return self._texts(commit, frozenset(paths).__contains__)

    def _texts(self, commit: str, wanted: Callable[[str], bool]) -> dict[str, str]:
        largest, texts = Limits().max_file_bytes, dict[str, str]()
        with objects.opened(self.path, full_hash(commit)) as opened:
            for blob in objects.blobs(opened.tree):
                if not wanted(str(blob.path)) or blob.size > largest:
                    continue
                try:
                    texts[str(blob.path)] = objects.content(blob).decode()
                except UnicodeDecodeError:
                    continue
        return dict(sorted(texts.items()))

    def diff(self, base: str, commit: str) -> str:
        """What changed from `base` to `commit`, as a unified diff that attributes and configuration cannot alter.

        For people: bytes that are not UTF-8 are shown as escapes. `patch` is for what shall be applied.
        """
        return self._diff(base, commit).decode("utf-8", "backslashreplace")

    def patch(self, base: str, commit: str, bounds: Bounds | None = None) -> str:
        """The same diff, to be applied: it says just what the files say. Raises PatchError where one is not UTF-8 text.

        Raises GitError beyond `bounds`.
        """
        return patch_text(self._diff(base, commit, bounds))

    def _diff(self, base: str, commit: str, bounds: Bounds | None = None) -> bytes:
        return run_git(
            "diff-tree", "-p", "-r", "--text", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
            "--full-index", "--unified=3", "--inter-hunk-context=0", "--diff-algorithm=histogram", "--indent-heuristic",
            "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=none",
            "--end-of-options", full_hash(base), full_hash(commit),
            repository=self.path, bounds=bounds,
        ).stdout  # fmt: skip

    def export(self, commit: str, folder: Path) -> None:
        """Write the commit's regular files beneath `folder`, which must be new or empty.

        Links, submodules and names that mean something to git stay out, so nothing takes the result for a repository.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RepositoryError(f"The folder {folder} is not empty; export a commit into a new one.")
        with objects.opened(self.path, full_hash(commit)) as opened:
            for blob in objects.blobs(opened.tree):
                if path_problem(str(blob.path)):
                    continue
                target = folder / str(blob.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                mode = 0o755 if blob.mode & 0o111 else 0o644
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(objects.content(blob))

    def log(self, limit: int) -> list[LogEntry]:
        """At most `limit` commits of the baseline, newest first, along first parents."""
        return trailers.history(self.path, self.tip(), limit)

    def fsck(self) -> None:
        """Check that every object is there and whole. Raises RepositoryError with what git found."""
        try:
            run_git("fsck", "--full", "--no-dangling", "--no-progress", repository=self.path, timeout=600.0)
        except GitError as error:
            raise RepositoryError(
                f"The repository {self.path} is damaged: {error.errors[:500]}. Restore it from a backup or its source."
            ) from None

    # Making changes

    def change_from_patch(self, base: str, patch: str, message: str, author: str, limits: Limits | None = None) -> Change:
        """Apply a unified diff to the base, with or without a/ and b/, whatever its line ends. Raises PatchError."""
        limits = limits or Limits()
        with private_index(self.path, full_hash(base)) as index:
            apply_patch(self.path, index, patch, limits, partial(self.text, base), partial(self._usual_end, base))
            tree = index_tree(self.path, index)
        return self._change(base, tree, message, author, limits)

    def change_from_edits(
        self, base: str, edits: Sequence[Edit], message: str, author: str, limits: Limits | None = None
    ) -> Change:
        """Apply exact replacements (path, old text, new text); an empty old text makes a file. Raises PatchError."""
        limits = limits or Limits()
        new = apply_edits(edits, partial(self.text, base))
        for path, text in new.items():
            if len(text.encode()) > limits.max_file_bytes:
                raise PatchError(f"{path} would have more than {limits.max_file_bytes:,} bytes.")
        files = {path: (self._mode(base, path), text.encode()) for path, text in new.items()}
        change = self._change(base, tree_with(self.path, files, base), message, author, limits)
        if replaced := {file.path for file in change.files} - new.keys():
            raise PatchError(f"The base has {', '.join(sorted(replaced))} where an edit would need a folder or a file.")
        return change

    def parent_of(self, commit: str) -> str:
        """The one commit that it was made on. Raises RepositoryError where it has none or several."""
        with objects.opened(self.path, full_hash(commit)) as opened:
            parents = [parent.hexsha for parent in opened.parents]
        if len(parents) != 1:
            raise RepositoryError(f"{commit[:12]} has {len(parents)} parents; it takes exactly one to be taken back.")
        return parents[0]

    def change_reverting(self, commit: str, onto: str, message: str, author: str, limits: Limits | None = None) -> Change:
        """Take back what `commit` changed, on top of `onto`. Raises ConflictError when later changes forbid it."""
        tree = self._merged(base=commit, ours=onto, theirs=self.parent_of(commit))
        return self._change(onto, tree, message, author, limits or Limits())

    def rebased(
        self, change_base: str, change_commit: str, onto: str, message: str, author: str, limits: Limits | None = None
    ) -> Change:
        """The same change on another base, by a three-way merge.

        Raises ConflictError with the paths, and PatchError when `onto` holds the change already.
        """
        tree = self._merged(base=change_base, ours=onto, theirs=change_commit)
        return self._change(onto, tree, message, author, limits or Limits())

    def combined(self, onto: str, parts: Sequence[tuple[str, str]]) -> str:
        """A commit with several changes, each (base, commit), one after the other on `onto`; swapped ends take a change back.

        Raises ConflictError, whose `part` says which of them does not go onto the ones before it.
        """
        with objects.opened(self.path, full_hash(onto)) as opened:
            when = opened.committed_datetime
        made = onto
        for number, (base, commit) in enumerate(parts):
            try:
                tree = self._merged(base=full_hash(base), ours=made, theirs=full_hash(commit))
            except ConflictError as conflict:
                raise ConflictError(str(conflict), conflict.paths, part=number) from None
            made = commit_tree(self.path, tree, (onto,), "Several changes", "Signoff", when)
        return made

    def altered_alike(self, base: str, commit: str, later: Sequence[str], paths: Sequence[str]) -> list[tuple[str, ...]]:
        """For each later state, which follows the one before it, the files in which it altered the lines of a change.

        The change goes from `base` to `commit`; the first later state follows `base`. Only these `paths` are looked at, with
        one git command for each of them and each state.
        """
        region, before = altered(self.path, base, commit, paths), base
        conflicts = []
        for state in later:
            region, clashes = follow(self.path, region, before, state)
            conflicts.append(clashes)
            before = state
        return conflicts

    def as_change(self, base: str, commit: str, message: str, author: str, limits: Limits | None = None) -> Change:
        """The tree of any commit as one change on `base`. Raises PatchError when it changes nothing, or too much."""
        return self._change(full_hash(base), self.tree_of(commit), message, author, limits or Limits())

    def keep(self, ref_name: str, commit: str) -> None:
        """Keep a patch set's commit for good, as refs/signoff/<ref_name>.

        Keeping it again is fine; raises RepositoryError when the name keeps another commit.
        """
        ref = kept_ref(ref_name)
        try:
            run_git("update-ref", ref, full_hash(commit), _ABSENT, repository=self.path)
        except GitError as error:
            kept = self._resolved(ref)
            if kept is None:
                raise RepositoryError(f"{ref} could not be written: {error.errors}") from None
            if kept != commit:
                raise RepositoryError(f"{ref} already keeps {kept[:12]}; a patch set never changes.") from None

    # Landing

    def commit_landing(
        self, tree: str, parent: str, message: str, author: str, committed_at: datetime, signing: Signing | None = None
    ) -> str:
        """Commit exactly `tree` on `parent` and return the commit; the baseline stays where it is until `advance`."""
        return commit_tree(self.path, full_hash(tree), (full_hash(parent),), message, author, committed_at, signing)

    def raise_fence(self, token: str) -> str:
        """Keep everybody who raised an earlier fence from advancing the branch; what `advance` wants to see again."""
        blob = run_git("hash-object", "-w", "--stdin", repository=self.path, stdin=token.encode()).stdout.decode().strip()
        try:
            run_git("update-ref", _FENCE, blob, repository=self.path)
        except GitError as error:
            raise TroubleError(self._lock_problem(_FENCE) or error.errors) from None
        return blob

    def find_landed(self, tip: str, trailer_key: str, value: str, limit: int = 1000) -> str | None:
        """The newest commit with the trailer among the last `limit` of `tip`'s first-parent history, or None."""
        for entry in trailers.history(self.path, full_hash(tip), limit):
            if (trailer_key, value.strip()) in entry.trailers:
                return entry.commit
        return None

    def contains(self, commit: str, ancestor: str) -> bool:
        """Whether `ancestor` is `commit` or in its history. False too where it is not in this repository."""
        arguments = ("--is-ancestor", full_hash(ancestor), full_hash(commit))
        return run_git("merge-base", *arguments, repository=self.path, accept=(0, 1, 128)).code == 0

    def push(self, remote: str, branch: str, commit: str) -> None:
        """Bring the branch of a remote to `commit`, never by force. Raises RejectedError, TroubleError."""
        push_branch(self.path, remote, branch, full_hash(commit), lambda old: self.contains(commit, old))

    def advance(self, expected: str, new: str, fence: str = "") -> None:
        """Move the baseline from `expected` to its child `new`, or leave it untouched.

        With a `fence`, only while nobody raised another one. Raises StaleTipError when the branch is elsewhere,
        OvertakenError when the fence is, TroubleError when git's lock or a full disk stands in the way.
        """
        with objects.opened(self.path, full_hash(new)) as opened:
            if [parent.hexsha for parent in opened.parents] != [full_hash(expected)]:
                raise RepositoryError(f"{new[:12]} is not a commit on top of {expected[:12]}; the baseline only grows.")
        guard = f"verify {_FENCE} {full_hash(fence)}\n" if fence else ""
        moves = f"start\n{guard}update {self._ref} {new} {expected}\nprepare\ncommit\n"  # all of it or nothing
        try:
            run_git("update-ref", "--stdin", repository=self.path, stdin=moves.encode())
        except GitError as error:
            actual = self.tip()
            if actual != expected:
                raise StaleTipError(self.branch, expected, actual) from None
            if fence and self._resolved(_FENCE) != fence:
                raise OvertakenError(f"Another worker took the landing on {expected[:12]} over.") from None
            raise TroubleError(self._lock_problem(self._ref, "HEAD", _FENCE) or error.errors) from None

    def _lock_problem(self, *refs: str) -> str | None:
        for lock in (self.path / f"{ref}.lock" for ref in refs):  # of HEAD too: it names the branch
            try:
                age = time.time() - lock.stat().st_mtime
            except FileNotFoundError:
                continue
            if age <= STALE_LOCK_SECONDS:
                return f"Another process is moving the branch {self.branch} ({lock}). Try again in a minute."
            return (
                f"A lock that is {age:.0f} s old keeps the branch {self.branch} from moving: a git process was killed. "
                f"Check that none runs on {self.path}, then delete {lock}."
            )
        return None

    # Shared by the above

    def _mode(self, commit: str, path: str) -> str:
        """How a file is to be kept: executable where it is that already."""
        with objects.opened(self.path, full_hash(commit)) as opened:
            blob = objects.blob_at(opened, path)
            return "100755" if blob is not None and blob.mode & 0o111 else "100644"

    def _usual_end(self, commit: str, path: str) -> str:
        """What ends the lines of files like the one at `path`: of those with its suffix, in its folder where there are any."""
        suffix, folder = PurePosixPath(path).suffix, PurePosixPath(path).parent
        with objects.opened(self.path, full_hash(commit)) as opened:
            alike = [blob for blob in objects.blobs(opened.tree) if PurePosixPath(str(blob.path)).suffix == suffix]
            beside = [blob for blob in alike if PurePosixPath(str(blob.path)).parent == folder]
            read = [objects.content(blob) for blob in (beside or alike)[:MOST_LIKE] if blob.size <= Limits().max_file_bytes]
        return usual_end(b"".join(read).decode("utf-8", "replace"))

    def _resolved(self, ref: str) -> str | None:
        """The commit that a full ref name stands for, or None."""
        result = run_git("rev-parse", "--verify", "--quiet", ref, repository=self.path, accept=(0, 1))
        return result.stdout.decode().strip() or None

    def _change(self, base: str, tree: str, message: str, author: str, limits: Limits) -> Change:
        files = admit(self.path, base, tree, limits)
        with objects.opened(self.path, base) as opened:
            # Dated like its base: a step that is done again makes the very same commit.
            when = opened.committed_datetime
        commit = commit_tree(self.path, tree, (base,), message, author, when)
        diff = self.diff(base, commit)
        return Change(commit, tree, base, diff, diff_hash(diff), files)

    def _changed_paths(self, base: str, commit: str) -> set[str]:
        options = ("-r", "-z", "--name-only", "--no-renames")
        return set(_fields(run_git("diff-tree", *options, "--end-of-options", base, commit, repository=self.path)))

    def _merged(self, base: str, ours: str, theirs: str) -> str:
        """The tree of a three-way merge. Raises ConflictError."""
        # git 2.39 takes the merge base from history alone, so the three trees get a little history of their own.
        when = datetime.fromtimestamp(0, UTC)
        root = commit_tree(self.path, self.tree_of(base), (), "base", "Signoff", when)
        trees = [self.tree_of(side) for side in (ours, theirs)]
        sides = [commit_tree(self.path, tree, (root,), "side", "Signoff", when) for tree in trees]
        merge = run_git(
            "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "--end-of-options", *sides,
            repository=self.path, accept=(0, 1),
        )  # fmt: skip
        tree, *paths = _fields(merge)
        if not merge.code:
            # A merge follows renames. A change that would end up in a file that its author never saw is a conflict too.
            paths = sorted(self._changed_paths(ours, tree) - self._changed_paths(base, theirs))
        if merge.code or paths:
            raise ConflictError(
                f"The change and {ours[:12]} alter the same lines of {', '.join(paths)}. Make it anew on {ours[:12]}.",
                paths,
            )
        return tree


def _fields(output: Output) -> list[str]:
    """What git printed with -z, one string for each field."""
    return [field.decode("utf-8", "backslashreplace") for field in output.stdout.split(b"\0") if field]
