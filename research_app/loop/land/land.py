"""Land: take approved candidates onto the baseline, one at a time, in order. The only place where the branch moves.

The protocol, each step safe to repeat after a crash at any instant:
  1. raise the fence, so that a worker that lost its lease cannot advance the branch any more; 2. read the tip; 3. look for
  this candidate's trailer in *that* tip; 4. build the commit on it; 5. compare-and-swap the branch from that tip, behind the
  fence; 6. write the new baseline version down.
A crash before 5 leaves the old tip, a crash after it the new one, and step 3 of the next attempt finds it and goes to 6.
"""

import logging
import time

from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from research_app.evidence.digits import gain
from research_app.loop.attention.attention import UNKNOWN
from research_app.loop.disclosure import effect_told
from research_app.loop.land import batch
from research_app.loop.land.external_moves import BaselineMoved, version_at
from research_app.loop.land.landing_queue import (
    TRAILER,
    entries_of,
    give_back,
    head_of,
    hold,
    name_of,
    not_held,
    standing_approvals,
)
from research_app.loop.land.push import ask_for_push
from research_app.loop.land.rejudge import judge_again, judge_here
from research_app.loop.land.undone import note_landed
from research_app.loop.runs import ensure_reference_runs
from research_app.models import (
    BaselineVersion,
    Candidate,
    Event,
    Kind,
    Landing,
    LandingState,
    Lease,
    LeaseLost,
    Message,
    Project,
    Review,
    Stage,
)
from research_app.models.candidate import WAITING
from research_app.models.event_kinds import EventKind
from research_app.models.lease import MAX_ATTEMPTS
from research_app.project_file.ladder import SMALLEST
from research_app.repository import OvertakenError, RepositoryError, StaleTipError, message_with_trailers
from research_app.repository.trailers import AUDIT_HEAD, EVIDENCE, REVIEWER

logger = logging.getLogger(__name__)

SEARCH_DEPTH = 1000


def land(project_id: int, worker: str) -> None:
    """Take the head of a project's queue one step further. A repeated or parallel call does nothing harmful."""
    head = head_of(project_id)
    lease = Landing.claim(head.pk, worker, Q(state=LandingState.QUEUED), not_held()) if head else None
    began = time.monotonic()
    if lease is None:
        return
    landing = Landing.objects.select_related("project", "candidate__evidence", "candidate__project", "patch_set").get(
        pk=lease.pk
    )
    with lease.attempt(), lease.heartbeat():
        try:
            take_on(landing, lease)
        except (StaleTipError, OvertakenError, LeaseLost) as moved:
            logger.warning("%s: %s", landing, moved)
            lease.release()
            return  # whoever moved it goes on; the reconciler asks again
        except BaselineMoved as outside:
            hold(landing, lease, str(outside), time.monotonic() - began)
            return  # a person decides
        except (RepositoryError, OSError, OperationalError) as trouble:
            logger.exception("%s is held up", landing)
            hold(landing, lease, str(trouble), time.monotonic() - began)
            return  # the reconciler tries again
    Message.objects.enqueue("land", project_id)


def take_on(landing: Landing, lease: Lease) -> None:
    """One step, unless too many attempts were lost: then it goes back with the reason, and the queue goes on."""
    repository = landing.project.repository
    fence = repository.raise_fence(f"landing {landing.pk}, claim {lease.token}")
    tip = repository.tip()
    if recovered(landing, lease, tip):
        return
    if landing.attempts <= MAX_ATTEMPTS:
        step(landing, lease, tip, fence)
        return
    why = f"Landing failed {MAX_ATTEMPTS} times; the last time: {landing.last_error or UNKNOWN}"
    if batch.is_batch(landing):
        batch.dissolve(landing, Stage.INCONCLUSIVE, why, smaller=True, lease=lease)
    else:
        give_back(landing, lease, Stage.READY, why)


def recovered(landing: Landing, lease: Lease, tip: str) -> bool:
    """Where an attempt before this one advanced the branch and then was lost: write down that it landed."""
    repository = landing.project.repository
    landed = repository.find_landed(tip, TRAILER, name_of(landing.candidate), SEARCH_DEPTH)
    # A commit that somebody else made with such a trailer is not ours: ours was written down before the branch moved.
    if landed is None or landed != landing.commit or repository.tree_of(landed) != landing.patch_set.tree:
        return False
    record(landing, lease, landed, landing.patch_set.tree)
    return True


def step(landing: Landing, lease: Lease, tip: str, fence: str) -> None:
    """Land on this tip, or send to be judged again where it moved, or give back with the reason."""
    project, patch_set, repository = landing.project, landing.patch_set, landing.project.repository
    version = version_at(project, tip)
    entries = entries_of(landing)
    if patch_set.base_commit != tip:
        judge_again(landing, lease, version)
        return
    if not is_judged(landing):
        judge_here(landing, lease, version)
        return
    votes: list[Review] = []
    for entry in entries:
        given = standing_approvals(entry)
        if not given and entry.pk != landing.pk:
            batch.dissolve(landing, Stage.INCONCLUSIVE, f"{entry.candidate} lost its approval.", smaller=False, lease=lease)
            return
        if not given:
            give_back(landing, lease, Stage.READY, "No approving vote stands any more: it needs a new one.")
            return
        votes += given
    message, author = message_of(landing, entries, votes), landing.candidate.author
    commit = repository.commit_landing(patch_set.tree, tip, message, author, timezone.now(), project.file.landing.signing)
    lease.write(commit=commit)
    repository.advance(tip, commit, fence)
    record(landing, lease, commit, patch_set.tree)


def is_judged(landing: Landing) -> bool:
    """Whether the evidence is of just the patch set that is about to land: nothing lands on stale evidence."""
    evidence = landing.candidate.evidence
    return evidence is not None and evidence.patch_set_id == landing.patch_set_id


def message_of(landing: Landing, entries: list[Landing], approvals: list[Review]) -> str:
    """The landing commit's message: title and hypothesis, then trailers that say what was judged and who approved it."""
    candidate, evidence = landing.candidate, landing.candidate.evidence
    title, words = candidate.title, " ".join(candidate.hypothesis.split())
    trailers = [(TRAILER, name_of(candidate))]
    trailers += [(TRAILER, name_of(entry.candidate)) for entry in entries if entry.pk != landing.pk]
    if candidate.kind == Kind.STACK and entries == [landing]:
        trailers += [("Includes", name_of(member)) for member in candidate.members.select_related("project").order_by("number")]
    if candidate.reverts:
        trailers.append(("Reverts", candidate.reverts.commit))
    trailers += [(REVIEWER, name) for name in dict.fromkeys(vote.reviewer.get_username() for vote in approvals)]
    if evidence:
        trailers += [(EVIDENCE, evidence.content_hash), ("Effect", effect_as_told(candidate))]
    trailers += [
        ("Guard-Failed", f"{name_of(each)}: {name}") for each in judged(landing, entries) for name in guards_told(each)
    ]
    trailers.append((AUDIT_HEAD, Event.objects.head()))
    return message_with_trailers(title if title == words.removesuffix(".") else f"{title}\n\n{words}", trailers)


def judged(landing: Landing, entries: list[Landing]) -> list[Candidate]:
    """What was judged, and what people approved, each once."""
    return list({each.pk: each for each in (landing.candidate, *(entry.candidate for entry in entries))}.values())


def guards_told(candidate: Candidate) -> list[str]:
    """The guards that fail, by name alone: figures of the gate text are not for clones of the baseline (one query)."""
    evidence = candidate.revision.evidence.filter(Q(pk=candidate.evidence_id) | ~Q(scale=SMALLEST)).order_by("pk")
    newest = {each.scale: each.document.failed_guards for each in evidence.only("scale", "numbers")}
    places = {scale: "" if scale == SMALLEST else f" at {scale}" for scale in newest}
    return [f"{each.name}{places[scale]}" for scale, failed in newest.items() for each in failed]


def effect_as_told(candidate: Candidate) -> str:
    """The effect as a clone of the baseline may carry it: what agents are told, to half a sigma; positive is better."""
    effect, evidence = effect_told(candidate, candidate.project.noise()), candidate.evidence
    if effect is None or evidence is None:
        return "unknown"
    side = "better" if effect > 0 else "worse" if effect < 0 else "no difference"
    gain_text = gain(effect, evidence.gain.spread if evidence.gain else None)
    return f"{gain_text} {candidate.project.file.metric.name}, {side} (n={evidence.candidate_n}, to half a sigma)"


def record(landing: Landing, lease: Lease, commit: str, tree: str) -> None:
    """Write down that the branch moved: version, landings, candidates, events, reference runs and push, in one transaction."""
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=landing.project_id)
        number = project.tip().number + 1
        version, created = BaselineVersion.objects.get_or_create(
            project=project, commit=commit, moved_outside=False, defaults={"number": number, "tree": tree}
        )
        ended = {"state": LandingState.LANDED, "version": version, "commit": commit, "ended_at": timezone.now(), "trouble": ""}
        entries = [entry for entry in entries_of(landing) if entry.pk != landing.pk]
        lease.close(**ended)
        Landing.objects.filter(pk__in=[entry.pk for entry in entries]).update(**ended)
        if created:
            event_data = {"commit": commit, "tree": tree, "baseline": version.number}
            Event.objects.seal([version], EventKind.BASELINE_VERSION_MADE, version, "signoff", project, **event_data)
        say_landed(landing.candidate, version, f"Landed as baseline {version.number}.", landing)
        for entry in entries:
            why = f"Landed as baseline {version.number}, in one batch as {landing.candidate}."
            say_landed(entry.candidate, version, why, entry)
        for member in landing.candidate.members.filter(stage__in=WAITING).select_related("project"):
            say_landed(member, version, f"Landed as baseline {version.number}, as part of {landing.candidate}.")
        if created:
            ensure_reference_runs(version, project.file.baseline.runs)
            ask_for_push(version)


def say_landed(candidate: Candidate, version: BaselineVersion, why: str, landing: Landing | None = None) -> None:
    """One candidate has landed, with an entry of the queue or as part of one: its event and its stage. In a transaction."""
    event_data: dict[str, object] = {"commit": version.commit, "baseline": version.number}
    if failed := candidate.failed_guards:
        event_data["guards_failed"] = failed
    kept = [Landing.objects.get(pk=landing.pk)] if landing else []
    Event.objects.seal(kept, EventKind.LANDED, candidate, "signoff", candidate.project, **event_data)
    candidate.move(Stage.LANDED, why)
    note_landed(candidate, version)
