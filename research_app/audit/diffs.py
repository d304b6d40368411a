"""Patch sets against git: diffs recomputed from what is stored and from the objects, trees, and what keeps the commits."""

from collections.abc import Iterator

from research_app.audit.report import Kind, Report
from research_app.audit.repositories import repository_of
from research_app.models import PatchSet, Project
from research_app.repository import Repository, RepositoryError, diff_hash
from research_app.repository.inspection import kept_commits, trees_of

CHUNK = 200


def check_diffs(report: Report) -> None:
    """Every patch set of every project."""
    for project in Project.objects.order_by("slug"):
        try:
            repository = repository_of(project)
            kept = kept_commits(repository)
        except RepositoryError as error:
            report.cannot(f"diffs of {project.slug} against git: {error}", project.candidates.count())
            continue
        for chunk in _chunks(project):
            trees = trees_of(repository, {commit for row in chunk for commit in (row.commit, row.base_commit)})
            for row in chunk:
                _check_one(report, project, repository, row, trees, kept)
            report.progress(f"{report.checked['diffs']:,} diffs")


def _chunks(project: Project) -> Iterator[list[PatchSet]]:
    rows = PatchSet.objects.filter(candidate__project=project).select_related("candidate").order_by("pk")
    chunk: list[PatchSet] = []
    for row in rows.iterator(chunk_size=CHUNK):
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _check_one(
    report: Report, project: Project, repository: Repository, row: PatchSet, trees: dict[str, str], kept: dict[str, str]
) -> None:
    where = f"patch set {row.pk} ({project.slug} {row})"
    report.checked["diffs"] += 1
    if diff_hash(row.diff) != row.diff_hash:
        report.fault(Kind.DIFF_ALTERED, where, "Its diff does not have its hash.")
    if missing := [commit[:12] for commit in (row.commit, row.base_commit) if commit not in trees]:
        report.fault(Kind.DIFF_ALTERED, where, f"The repository has no commit {' and '.join(missing)}.")
        return
    if trees[row.commit] != row.tree:
        report.fault(Kind.DIFF_ALTERED, where, f"The tree of its commit {row.commit[:12]} is another one.")
    if repository.diff(row.base_commit, row.commit) != row.diff:
        report.fault(Kind.DIFF_ALTERED, where, f"Its diff is not that from {row.base_commit[:12]} to {row.commit[:12]} in git.")
    name = f"candidates/{row.candidate.number}/{row.number}"
    if kept.get(name) != row.commit:
        report.fault(
            Kind.DIFF_ALTERED, where, f"What keeps its commit, refs/signoff/{name}, is not there or keeps another one."
        )
