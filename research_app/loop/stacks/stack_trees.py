"""The trees of an ablation: the baseline with some landed changes taken back and some waiting ones put in."""

from collections.abc import Iterable, Mapping, Sequence

from research_app.evidence.ablation_design import Point, Stack
from research_app.loop.land.on_baseline import landings_on_baseline
from research_app.loop.runs import request_run
from research_app.models import Ablation, Candidate, DesignPoint, Purpose, Run
from research_app.repository import ConflictError

FIRST_SEED = 5_000_000
SEEDS = 10_000  # that one check may use, so that no two share any


def members_of(check: Ablation) -> list[Candidate]:
    """The changes of a check in the order in which they go onto the baseline: what landed last is taken back first, then what
    waits is put in (three queries)."""
    rows = list(check.candidates.with_evidence().select_related("undone_by"))
    landed = landed_members(check, rows)
    taken_back = sorted((row for row in rows if row.pk in landed), key=lambda row: landed[row.pk], reverse=True)
    return taken_back + sorted((row for row in rows if row.pk not in landed), key=lambda row: row.number)


def landed_members(check: Ablation, rows: Iterable[Candidate]) -> dict[int, tuple[int, int]]:
    """Those that were on the baseline which the check is made on, with the order of their landing (two queries)."""
    landings = landings_on_baseline(rows, check.version)
    return {pk: (landing.version.number, landing.pk) for pk, landing in landings.items() if landing.version}


def stack_of(check: Ablation, members: Sequence[Candidate]) -> Stack:
    """The changes as the design names them, by their numbers."""
    landed = landed_members(check, members)
    numbers = sorted(member.number for member in members)
    return Stack(tuple(map(str, numbers)), Point(str(member.number) for member in members if member.pk in landed))


def commit_of(check: Ablation, members: Sequence[Candidate], landed: Point, on: Point) -> str:
    """The baseline with just these changes on. Raises ConflictError, whose part counts in `members`."""
    parts, which = [], []
    for place, member in enumerate(members):
        patch_set, name = member.revision, str(member.number)
        if name in landed and name not in on:
            parts.append((patch_set.commit, patch_set.base_commit))  # swapped ends take it back
            which.append(place)
        elif name not in landed and name in on:
            parts.append((patch_set.base_commit, patch_set.commit))
            which.append(place)
    try:
        return check.project.repository.combined(check.version.commit, parts)
    except ConflictError as conflict:
        raise ConflictError(str(conflict), conflict.paths, part=which[conflict.part]) from None


def commits_of(check: Ablation, members: Sequence[Candidate], points: Iterable[Point]) -> dict[Point, str]:
    """Make the tree of every point and keep its commit. Outside any transaction. Raises ConflictError as above."""
    landed = stack_of(check, members).landed
    commits = {point: commit_of(check, members, landed, point) for point in points}
    for point, commit in commits.items():
        check.project.repository.keep(f"stacks/{check.pk}/{'-'.join(sorted(point, key=int)) or 'none'}", commit)
    return commits


def queue_points(check: Ablation, commits: Mapping[Point, str], runs: Mapping[Point, int], *, fresh: bool) -> int:
    """Queue runs of some points on seeds of their own. Returns how many. In a transaction."""
    row = DesignPoint.objects.filter(check_of=check).count()
    seed = FIRST_SEED + SEEDS * check.pk + Run.objects.filter(cell__check_of=check).count()
    for place, (point, count) in enumerate(runs.items()):
        on = sorted(int(name) for name in point)
        cell = DesignPoint.objects.create(check_of=check, row=row + place, on=on, commit=commits[point], fresh=fresh)
        for _ in range(count):
            request_run(check.project, check.version, None, Purpose.STACK, seed, cell=cell)
            seed += 1
    return sum(runs.values())
