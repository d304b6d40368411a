"""Votes against what the reviewer saw, and stages against the events that tell of them."""

import hashlib
from collections.abc import Iterator

from research_app.audit.index import Index
from research_app.audit.report import Kind, Report
from research_app.audit.rows import said_by
from research_app.models import Candidate, Evidence, Review, Stage

CHUNK = 500


def check_votes(report: Report, index: Index) -> None:
    """Each vote binds to its diff, base, evidence and policy, and holds or not as events say (invariant 4)."""
    rows = Review.objects.select_related("candidate__project", "patch_set").defer("patch_set__diff").order_by("pk")
    for vote in rows.iterator(chunk_size=CHUNK):
        where = f"vote {vote.pk} ({vote.candidate.project.slug} {vote.candidate})"
        report.checked["votes against what was seen"] += 1
        for problem in _unbound(vote):
            report.fault(Kind.VOTE_UNBOUND, where, problem)
        _check_void(report, index, vote, where)


def _unbound(vote: Review) -> Iterator[str]:
    """How a vote does not bind to what stands there, in sentences."""
    patch_set = vote.patch_set
    if patch_set.candidate_id != vote.candidate_id:
        yield "Its patch set is of another candidate."
    if vote.diff_hash != patch_set.diff_hash:
        yield f"It was given for another diff than that of {patch_set}."
    if vote.base_commit != patch_set.base_commit:
        yield f"It was given for another base than that of {patch_set}."
    if vote.evidence_hash and vote.evidence_hash not in evidence_hashes(patch_set.pk):
        yield f"No evidence of {patch_set} has the hash that it was given for."
    if not 1 <= vote.policy_version <= vote.candidate.project.policy_version:
        yield f"There is no version {vote.policy_version} of the project's policy."


def evidence_hashes(patch_set_id: int) -> set[str]:
    """All that a vote on a patch set may bind to: an evidence of its candidate, alone or with those of the larger rungs that
    were there by then, as Candidate.evidence_hash puts them together (one query)."""
    same = Evidence.objects.filter(patch_set__candidate__patch_sets=patch_set_id).order_by("pk")
    hashes_of_stages = list(same.values_list("patch_set", "scale", "content_hash"))
    hashes = {content for _, _, content in hashes_of_stages}
    for _, scale, content in hashes_of_stages:
        rungs = [other for owner, rung, other in hashes_of_stages if rung != scale and owner == patch_set_id]
        for count in range(1, len(rungs) + 1):
            hashes.add(hashlib.sha256(" ".join([content, *rungs[:count]]).encode()).hexdigest())
    return hashes


def _check_void(report: Report, index: Index, vote: Review, where: str) -> None:
    """A vote no longer holds exactly where an event says so."""
    voided = index.get("voided", vote.pk)
    if voided and vote.voided_at is None:
        report.fault(Kind.VOTE_RESTORED, where, f"It stands, although {said_by(voided.event)} voids it.", voided.event)
    elif vote.voided_at is not None and not voided:
        if index.get("review", vote.pk):
            report.fault(Kind.VOTE_RESTORED, where, "It is void, and no event says so.")
        else:
            report.cannot("vote: whether it was voided, where that was before events carried seals")


def check_stages(report: Report, index: Index) -> None:
    """Every candidate stands where the newest event about its stage left it."""
    entries = index.of("stage")
    entry = next(entries, None)
    for row in Candidate.objects.order_by("pk").values("pk", "number", "project__slug", "stage").iterator(chunk_size=2000):
        while entry and entry.pk < row["pk"]:
            entry = next(entries, None)
        of_this = entry if entry and entry.pk == row["pk"] else None
        recorded = of_this.value if of_this else Stage.PROPOSED
        if recorded is None:
            report.cannot("candidate: the stage of a stack that was formed before its event told it")
            continue
        report.checked["stages"] += 1
        if row["stage"] not in ({recorded, Stage.CHECKING} if recorded == Stage.PROPOSED else {recorded}):
            where = f"candidate {row['pk']} ({row['project__slug']} C-{row['number']})"
            by = said_by(of_this.event) if of_this else "no event"
            sentence = f"It is at “{row['stage']}”; {by} left it at “{recorded}”."
            report.fault(Kind.STAGE_ALTERED, where, sentence, of_this.event if of_this else None)
