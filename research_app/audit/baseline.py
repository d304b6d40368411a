"""Baseline versions against git: what every landing's commit says, commits that no landing made, and versions that are gone."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from research_app.audit.chain import Head
from research_app.audit.report import Kind, Report
from research_app.audit.repositories import repository_of
from research_app.models import BaselineVersion, Decision, Evidence, Gate, Landing, LandingState, Project, Review
from research_app.models.landing import ACTIVE
from research_app.repository import LogEntry, Repository, RepositoryError
from research_app.repository.inspection import commits_between, trees_of
from research_app.repository.trailers import AUDIT_HEAD, CANDIDATE, EVIDENCE, REVIEWER, history

BEFORE_SIGNOFF = 2000  # commits of a repository without a project that are looked through for heads


def heads_of_landings(report: Report) -> Iterator[Head]:
    """The heads of the audit log that commits of landings carry, in every repository that there is."""
    known = set()
    for project in Project.objects.order_by("slug"):
        known.add(project.slug)
        try:
            commits = {version.commit for version in project.baseline_versions.all()}
            for entry in history(
                repository_of(project).path, repository_of(project).tip(), limit=BEFORE_SIGNOFF + len(commits)
            ):
                if entry.commit in commits:
                    yield from _heads(project.slug, entry)
        except RepositoryError as error:
            report.cannot(f"heads in the landings of {project.slug}: {error}")
    for folder in sorted(Path(settings.HOME, "projects").glob("[!.]*/repository.git")):
        if folder.parent.name not in known:
            yield from _heads_without_project(report, folder)


def _heads(slug: str, entry: LogEntry) -> Iterator[Head]:
    for value in entry.values(AUDIT_HEAD):
        what = ", ".join(entry.values(CANDIDATE)) or entry.subject
        yield Head(value, f"the landing of {what} (commit {entry.commit[:12]} of {slug})")


def _heads_without_project(report: Report, folder: Path) -> Iterator[Head]:
    """A repository that no project is known for: its project's row is gone, if anything landed there."""
    try:
        tips = [
            Repository(folder, name).tip() for name in ("baseline", "main", "master") if (folder / "refs/heads" / name).exists()
        ]
        for tip in tips:
            for entry in history(folder, tip, limit=BEFORE_SIGNOFF):
                yield from _heads(folder.parent.name, entry)
    except RepositoryError as error:
        report.cannot(f"the repository {folder}, which no project is known for: {error}")


def check_baselines(report: Report) -> None:
    """Every project's versions, and every commit on its branch since it began."""
    for project in Project.objects.order_by("slug"):
        versions = list(project.baseline_versions.order_by("number"))
        try:
            _check_versions(report, project, versions)
            for start, segment, tip in _segments(project, versions):
                _check_segment(report, project, start, segment, tip)
        except RepositoryError as error:
            report.cannot(f"baseline of {project.slug} against git: {error}")


def _check_versions(report: Report, project: Project, versions: Sequence[BaselineVersion]) -> None:
    trees = trees_of(repository_of(project), {version.commit for version in versions})
    for place, version in enumerate(versions):
        report.checked["baseline versions against git"] += 1
        where = f"{project.slug} baseline {version.number}"
        if version.number != place:
            report.fault(Kind.BASELINE_ALTERED, where, f"Baseline {place} is missing.")
        if version.commit not in trees:
            report.fault(Kind.BASELINE_ALTERED, where, f"The repository has no commit {version.commit[:12]}.")
        elif trees[version.commit] != version.tree:
            report.fault(Kind.BASELINE_ALTERED, where, f"The tree of its commit {version.commit[:12]} is another one.")


Segment = tuple[BaselineVersion, Sequence[BaselineVersion], str]


def _segments(project: Project, versions: Sequence[BaselineVersion]) -> Iterator[Segment]:
    """From each version that a person took over, or the first one, the landings that followed, and where that ends in git."""
    starts = [place for place, version in enumerate(versions) if place == 0 or version.moved_outside]
    for start, end in zip(starts, [*starts[1:], len(versions)], strict=True):
        followed = versions[start + 1 : end]
        tip = repository_of(project).tip() if end == len(versions) else (followed[-1].commit if followed else "")
        if tip:
            yield versions[start], followed, tip


def _check_segment(
    report: Report, project: Project, start: BaselineVersion, followed: Sequence[BaselineVersion], tip: str
) -> None:
    """The commits of a segment are its landings, in order, and nothing else."""
    by_commit = {version.commit: version for version in followed}
    before = start.commit
    for entry in commits_between(repository_of(project), start.commit, tip):
        version = by_commit.pop(entry.commit, None)
        if version is None:
            _by_hand(report, project, entry)
            continue
        if entry.parents != (before,):
            where = f"{project.slug} baseline {version.number}"
            report.fault(Kind.BASELINE_ALTERED, where, f"Its commit {entry.commit[:12]} does not stand on {before[:12]}.")
        before = entry.commit
        _check_landing(report, project, version, entry)
    for version in by_commit.values():
        where, why = f"{project.slug} baseline {version.number}", f"Its commit {version.commit[:12]} is not on the branch."
        report.fault(Kind.BASELINE_ALTERED, where, why)


def _by_hand(report: Report, project: Project, entry: LogEntry) -> None:
    """A commit on the branch that no version is known for: somebody's, unless a landing is at this step right now."""
    if Landing.objects.filter(project=project, commit=entry.commit, state__in=ACTIVE).exists():
        report.cannot(f"{project.slug}: a landing that is under way")
        return
    where = f"{project.slug} commit {entry.commit[:12]}"
    sentence = f"“{entry.subject[:80]}” by {entry.author}, {entry.time:%Y-%m-%d %H:%M}: no landing made it."
    report.fault(Kind.COMMIT_BY_HAND, where, sentence)
    for name in entry.values(CANDIDATE):
        landed = Landing.objects.filter(project=project, state=LandingState.LANDED, candidate__number=_number(name)).first()
        truth = f"which landed as {landed.commit[:12]}" if landed else "which never landed"
        report.fault(Kind.TRAILERS_FORGED, where, f"It says that it is the landing of {name}, {truth}.")


def _number(name: str) -> int:
    """The candidate's number in a trailer's value, such as demo/12; 0 where there is none."""
    digits = name.rpartition("/")[2]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def _check_landing(report: Report, project: Project, version: BaselineVersion, entry: LogEntry) -> None:
    """A landing's commit says what the database says: candidates, reviewers, evidence, tree."""
    where = f"{project.slug} baseline {version.number} (commit {entry.commit[:12]})"
    rows = Landing.objects.filter(version=version, state=LandingState.LANDED).select_related("candidate", "patch_set")
    landings = list(rows.defer("patch_set__diff"))
    report.checked["landings against git"] += 1
    whole = next((row for row in landings if row.batch_id is None), None)
    if whole is None:
        report.fault(Kind.BASELINE_ALTERED, where, "No landing in the database made it.")
        return
    for problem in _trailer_problems(project, whole, landings, entry):
        report.fault(Kind.TRAILERS_FORGED, where, problem)
    for row in landings:
        if row.commit != entry.commit:
            report.fault(Kind.BASELINE_ALTERED, where, f"The landing of {row.candidate} names the commit {row.commit[:12]}.")
    if whole.patch_set.tree != entry.tree:
        report.fault(Kind.BASELINE_ALTERED, where, f"Its tree is not the one that {whole.patch_set} was judged with.")


def _trailer_problems(project: Project, whole: Landing, landings: Sequence[Landing], entry: LogEntry) -> Iterator[str]:
    named, made = set(entry.values(CANDIDATE)), {f"{project.slug}/{row.candidate.number}" for row in landings}
    if named != made:
        landed, says = ", ".join(sorted(made)), ", ".join(sorted(named)) or "no candidate"
        yield f"It names {says}; the database has the landing of {landed}."
    for value in entry.values(EVIDENCE):
        if not Evidence.objects.filter(patch_set=whole.patch_set, content_hash=value).exists():
            yield f"Its evidence {value[:12]} is none of {whole.patch_set}."
    approved = set(_approvals([row.candidate_id for row in landings], entry))
    for name in entry.values(REVIEWER):
        if name not in approved:
            yield f"It names {name} as its reviewer, of whom there is no approving vote that stood then."
    if not entry.values(REVIEWER):
        yield "It names nobody who approved it."


def _approvals(candidates: Sequence[int], entry: LogEntry) -> Iterator[str]:
    """Who approved one of these candidates for the baseline by the time of a commit, and had not taken it back."""
    then = entry.time + timedelta(seconds=1)  # git keeps whole seconds
    votes = Review.objects.filter(
        candidate__in=candidates, gate=Gate.BASELINE, decision=Decision.APPROVE, created_at__lte=then
    ).select_related("reviewer")
    for vote in votes:
        if vote.voided_at is None or vote.voided_at > entry.time:
            yield vote.reviewer.get_username()
