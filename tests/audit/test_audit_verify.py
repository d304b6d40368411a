"""`audit verify` finds whatever was tampered with, says what kind of tampering it is, and where."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from research_app.audit.checkpoints import local_file
from research_app.audit.report import Fault, Kind, Report
from research_app.loop.review.review import Seen
from research_app.models import (
    BaselineVersion,
    Candidate,
    Comment,
    Event,
    Evidence,
    Landing,
    Note,
    PatchSet,
    ProgramVersion,
    Project,
    Review,
    Run,
    RunLog,
    Series,
    Stage,
    TaskLease,
    Verdict,
    append_only,
)
from research_app.models.append_only import TABLE
from research_app.models.event_kinds import EventKind
from tests.audit_samples import World, audit, empty, make_world, rechain, run_sql, swap_rows
from tests.small_project import git

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Made once: its tests take back what they do."""
    with django_db_blocker.unblock():
        empty()
        try:
            yield make_world(tmp_path_factory.mktemp("audit"))
        finally:
            empty()


Tampering = Callable[[World], str]
TAMPERINGS: dict[str, tuple[Kind, Tampering]] = {}


def tampering(kind: Kind) -> Callable[[Tampering], Tampering]:
    """One way to tamper: does it, and returns where the audit must say that something is wrong."""

    def keep(function: Tampering) -> Tampering:
        TAMPERINGS[function.__name__.replace("_", " ")] = kind, function
        return function

    return keep


# The log.


@tampering(Kind.LOG_TRUNCATED)
def the_last_events_deleted(world: World) -> str:
    first = world.checkpointed[-1] - 3
    run_sql(f"DELETE FROM {TABLE} WHERE sequence >= %s", first)
    return f"events {first} to {world.checkpointed[-1]}"


@tampering(Kind.ROW_FORGED)
def events_after_the_last_checkpoint_deleted(world: World) -> str:
    """No head names them; the rows that they told of do."""
    run_sql(f"DELETE FROM {TABLE} WHERE sequence > %s", world.checkpointed[-1])
    return f"note {Note.objects.order_by('pk')[1].pk} (audited)"


@tampering(Kind.LOG_EMPTIED)
def all_events_deleted(world: World) -> str:
    run_sql(f"DELETE FROM {TABLE}")
    return "event 1"


@tampering(Kind.EVENT_ALTERED)
def an_event_edited(world: World) -> str:
    vote = world.event("vote")
    run_sql(f"UPDATE {TABLE} SET actor = 'mallory' WHERE sequence = %s", vote.sequence)
    return f"event {vote.sequence}"


@tampering(Kind.EVENT_ALTERED)
def the_data_of_an_event_edited(world: World) -> str:
    run = world.event("run finished")
    data = json.dumps(run.data | {"score": 0.5})
    run_sql(f"UPDATE {TABLE} SET data = %s WHERE sequence = %s", data, run.sequence)
    return f"event {run.sequence}"


@tampering(Kind.EVENT_ALTERED)
def the_time_of_an_event_moved(world: World) -> str:
    vote = world.event("vote")
    Event.objects.filter(pk=vote.pk).update(at=vote.at.replace(year=2020))
    return f"event {vote.sequence}"


@tampering(Kind.EVENT_ALTERED)
def an_event_moved_to_another_project(world: World) -> str:
    vote = world.event("vote")
    Event.objects.filter(pk=vote.pk).update(project_id=None)
    return f"event {vote.sequence}"


@tampering(Kind.EVENT_DELETED)
def an_event_deleted(world: World) -> str:
    vote = world.event("vote")
    run_sql(f"DELETE FROM {TABLE} WHERE sequence = %s", vote.sequence)
    return f"event {vote.sequence}"


@tampering(Kind.EVENT_DELETED)
def three_events_deleted(world: World) -> str:
    run_sql(f"DELETE FROM {TABLE} WHERE sequence IN (5, 6, 7)")
    return "events 5 to 7"


@tampering(Kind.EVENTS_SWAPPED)
def two_neighbours_swapped(world: World) -> str:
    swap_rows(6, 7)
    return "events 6 and 7"


@tampering(Kind.EVENTS_SWAPPED)
def two_events_swapped(world: World) -> str:
    swap_rows(4, 9)
    return "events 4 and 9"


@tampering(Kind.LOG_REWRITTEN)
def an_event_edited_and_all_hashes_computed_anew(world: World) -> str:
    vote = world.event("vote")
    run_sql(f"UPDATE {TABLE} SET actor = 'mallory' WHERE sequence = %s", vote.sequence)
    rechain(vote.sequence)
    return f"events 1 to {world.checkpointed[0]}"


@tampering(Kind.LOG_REWRITTEN)
def an_event_deleted_and_the_rest_moved_up_and_chained_anew(world: World) -> str:
    after = world.checkpointed[0] + 2
    rows = list(Event.objects.filter(sequence__gt=after).order_by("sequence").values_list("sequence", flat=True))
    run_sql(f"DELETE FROM {TABLE} WHERE sequence = %s", after)
    for sequence in rows:
        run_sql(f"UPDATE {TABLE} SET sequence = %s WHERE sequence = %s", sequence - 1, sequence)
    rechain(after)
    return f"events {world.checkpointed[0] + 1} to {world.checkpointed[1]}"


@tampering(Kind.EVENT_ALTERED)
def an_event_replaced_with_a_hash_of_its_own(world: World) -> str:
    """INSERT OR REPLACE, or another way to take a row's place: its content has its hash, and the next one does not follow."""
    vote = world.event("vote")
    vote.actor = "mallory"
    hashed = vote.compute_hash()
    if connection.vendor == "sqlite":
        names = "sequence, at, project_id, kind, actor, subject_type, subject_id, data, previous_hash, hash"
        values = names.replace("actor", "'mallory'").replace(" hash", " %s")
        where = f"FROM {TABLE} WHERE sequence = %s"
        run_sql(f"INSERT OR REPLACE INTO {TABLE} ({names}) SELECT {values} {where}", hashed, vote.sequence)
    else:
        run_sql(f"UPDATE {TABLE} SET actor = 'mallory', hash = %s WHERE sequence = %s", hashed, vote.sequence)
    return f"event {vote.sequence}"


@tampering(Kind.LOG_TRUNCATED)
def events_deleted_and_others_written_in_their_place(world: World) -> str:
    """The log is shorter than its checkpoint, and goes on."""
    first = world.checkpointed[-1] - 8
    run_sql(f"DELETE FROM {TABLE} WHERE sequence >= %s", first)
    Event.objects.record(EventKind.TRIED, TaskLease.objects.latest("pk"), "mallory", None)
    return f"events {first + 1} to {world.checkpointed[-1]}"


@tampering(Kind.CHECKPOINT_FORGED)
def a_checkpoint_edited(world: World) -> str:
    text = local_file().read_text().splitlines()
    told = json.loads(text[0])
    text[0] = json.dumps(told | {"sequence": told["sequence"] - 1})
    local_file().write_text("\n".join(text) + "\n")
    return f"{local_file()}, line 1"


@tampering(Kind.CHECKPOINT_MISSING)
def a_checkpoint_taken_out(world: World) -> str:
    local_file().write_text("".join(local_file().read_text().splitlines(keepends=True)[:1] * 2))
    return f"{local_file()}, line 2"


@tampering(Kind.CHECKPOINT_MISSING)
def all_checkpoints_deleted(world: World) -> str:
    local_file().write_text("")
    return "checkpoints"


# Rows that events vouch for.


def candidate(number: int) -> Candidate:
    return Candidate.objects.with_evidence().get(number=number)


def of(number: int) -> str:
    return f"(audited C-{number})"


@tampering(Kind.EVIDENCE_ALTERED)
def evidence_set_to_solid(world: World) -> str:
    row = candidate(3).evidence
    assert row is not None
    Evidence.objects.filter(pk=row.pk).update(verdict=Verdict.SOLID)
    return f"evidence {row.pk} {of(3)}"


@tampering(Kind.ROW_ALTERED)
def evidence_set_to_solid_with_a_hash_of_its_own(world: World) -> str:
    row = candidate(3).evidence
    assert row is not None
    row.verdict = Verdict.SOLID
    row.content_hash = row.compute_hash()
    row.save()
    return f"evidence {row.pk} {of(3)}"


@tampering(Kind.ROW_ALTERED)
def evidence_swapped_between_candidates(world: World) -> str:
    one, other = candidate(1).evidence, candidate(3).evidence
    assert one and other
    one.patch_set, other.patch_set = other.patch_set, one.patch_set
    for row in (one, other):
        row.content_hash = row.compute_hash()
        row.save()
    return f"evidence {one.pk} {of(3)}"


@tampering(Kind.EVIDENCE_MOVED)
def a_candidate_led_to_the_evidence_of_another(world: World) -> str:
    one, other = candidate(1), candidate(3)
    mine, theirs = one.evidence_id, other.evidence_id
    Candidate.objects.filter(pk=one.pk).update(evidence=None)
    Candidate.objects.filter(pk=other.pk).update(evidence=mine)
    Candidate.objects.filter(pk=one.pk).update(evidence=theirs)
    return f"candidate {other.pk} {of(3)}"


@tampering(Kind.ROW_DELETED)
def evidence_deleted(world: World) -> str:
    row = Evidence.objects.filter(current_of=None).order_by("pk").first()
    assert row
    row.delete()
    return f"evidence {row.pk or ''}".strip() if row.pk else f"evidence {min(_gaps(Evidence))}"


def _gaps(model: type[Evidence]) -> set[int]:
    there = set(model.objects.values_list("pk", flat=True))
    return set(range(1, max(there))) - there


def run_of(number: int, **where: object) -> Run:
    found = Run.objects.filter(patch_set__candidate__number=number, score__isnull=False, **where).order_by("pk").first()
    assert found
    return found


@tampering(Kind.ROW_ALTERED)
def a_runs_score_edited(world: World) -> str:
    run = run_of(3)
    Run.objects.filter(pk=run.pk).update(score=0.5)
    return f"run {run.pk} {of(3)[:-1]} seed {run.seed})"


@tampering(Kind.ROW_ALTERED)
def a_runs_hidden_score_edited(world: World) -> str:
    run = run_of(1)
    Run.objects.filter(pk=run.pk).update(hidden_score=0.5)
    return f"run {run.pk} {of(1)[:-1]} seed {run.seed})"


@tampering(Kind.ROW_ALTERED)
def a_baseline_runs_score_edited(world: World) -> str:
    run = Run.objects.filter(patch_set=None, score__isnull=False).earliest("pk")
    Run.objects.filter(pk=run.pk).update(score=9.0)
    return f"run {run.pk} (audited baseline 0 seed {run.seed})"


@tampering(Kind.ROW_ALTERED)
def a_runs_facts_edited(world: World) -> str:
    run = run_of(1)
    Run.objects.filter(pk=run.pk).update(facts=run.facts | {"flops": 1})
    return f"run {run.pk} {of(1)[:-1]} seed {run.seed})"


@tampering(Kind.ROW_ALTERED)
def the_times_of_a_run_moved(world: World) -> str:
    run = run_of(1)
    assert run.started_at
    Run.objects.filter(pk=run.pk).update(started_at=run.started_at.replace(year=2020))
    return f"run {run.pk} {of(1)[:-1]} seed {run.seed})"


@tampering(Kind.ROW_ALTERED)
def a_runs_log_edited(world: World) -> str:
    log = RunLog.objects.earliest("pk")
    RunLog.objects.filter(pk=log.pk).update(text="nothing happened")
    return f"log of run {log.pk} (audited)"


@tampering(Kind.ROW_ALTERED)
def a_runs_curve_edited(world: World) -> str:
    curve = Series.objects.earliest("run_id")
    Series.objects.filter(pk=curve.pk).update(values=bytes(len(curve.values)))
    return f"curves of run {curve.run_id}"


@tampering(Kind.ROW_FORGED)
def a_run_forged(world: World) -> str:
    run = run_of(3)
    run.pk, run.seed = None, 77
    run.save(force_insert=True)
    return f"run {run.pk} {of(3)[:-1]} seed 77)"


@tampering(Kind.DIFF_ALTERED)
def a_diff_edited(world: World) -> str:
    row = candidate(1).revision
    PatchSet.objects.filter(pk=row.pk).update(diff=row.diff.replace("0.02", "0.03"))
    return f"patch set {row.pk} (audited C-1/1)"


@tampering(Kind.DIFF_ALTERED)
def a_diff_edited_with_a_hash_of_its_own(world: World) -> str:
    from research_app.repository import diff_hash

    row = candidate(1).revision
    diff = row.diff.replace("0.02", "0.03")
    PatchSet.objects.filter(pk=row.pk).update(diff=diff, diff_hash=diff_hash(diff))
    return f"patch set {row.pk} (audited C-1/1)"


@tampering(Kind.DIFF_ALTERED)
def what_keeps_a_patch_set_moved(world: World) -> str:
    row, other = candidate(1).revision, candidate(3).revision
    git(world.repository, "update-ref", "refs/signoff/candidates/1/1", other.commit)
    return f"patch set {row.pk} (audited C-1/1)"


@tampering(Kind.ROW_ALTERED)
def a_candidates_hypothesis_edited(world: World) -> str:
    row = candidate(1)
    Candidate.objects.filter(pk=row.pk).update(hypothesis="It was always meant so")
    return f"candidate {row.pk} {of(1)}"


@tampering(Kind.STAGE_ALTERED)
def a_candidates_stage_set(world: World) -> str:
    row = candidate(3)
    Candidate.objects.filter(pk=row.pk).update(stage=Stage.READY)
    return f"candidate {row.pk} {of(3)}"


# Votes.


@tampering(Kind.ROW_ALTERED)
def a_vote_edited(world: World) -> str:
    vote = Review.objects.filter(decision="reject").earliest("pk")
    Review.objects.filter(pk=vote.pk).update(reason="I liked it")
    return f"vote {vote.pk} {of(2)}"


@tampering(Kind.VOTE_UNBOUND)
def a_vote_bound_to_another_diff(world: World) -> str:
    vote = Review.objects.earliest("pk")
    Review.objects.filter(pk=vote.pk).update(diff_hash="0" * 64)
    return f"vote {vote.pk} {of(1)}"


@tampering(Kind.VOTE_UNBOUND)
def a_vote_bound_to_other_evidence(world: World) -> str:
    vote = Review.objects.earliest("pk")
    Review.objects.filter(pk=vote.pk).update(evidence_hash="0" * 64)
    return f"vote {vote.pk} {of(1)}"


@tampering(Kind.VOTE_UNBOUND)
def a_vote_under_a_policy_that_never_was(world: World) -> str:
    vote = Review.objects.earliest("pk")
    Review.objects.filter(pk=vote.pk).update(policy_version=9)
    return f"vote {vote.pk} {of(1)}"


@tampering(Kind.ROW_FORGED)
def a_vote_forged(world: World) -> str:
    row, seen = candidate(3), Seen.of(candidate(3))
    grace = Review.objects.earliest("pk").reviewer
    vote = Review.objects.create(
        candidate=row, patch_set=row.revision, gate=2, reviewer=grace, decision="approve", diff_hash=seen.diff_hash,
        base_commit=seen.base_commit, evidence_hash=seen.evidence_hash, policy_version=seen.policy_version,
    )  # fmt: skip
    return f"vote {vote.pk} {of(3)}"


@tampering(Kind.ROW_DELETED)
def a_vote_deleted(world: World) -> str:
    vote = Review.objects.filter(decision="reject").earliest("pk")
    pk = vote.pk
    vote.delete()
    return f"vote {pk}"


@tampering(Kind.VOTE_RESTORED)
def a_withdrawn_vote_restored(world: World) -> str:
    vote = Review.objects.filter(decision="reject").earliest("pk")
    Review.objects.filter(pk=vote.pk).update(voided_at=None)
    return f"vote {vote.pk} {of(2)}"


@tampering(Kind.VOTE_RESTORED)
def a_standing_vote_voided_by_hand(world: World) -> str:
    vote = Review.objects.filter(decision="approve").earliest("pk")
    Review.objects.filter(pk=vote.pk).update(voided_at=vote.created_at)
    return f"vote {vote.pk} {of(1)}"


# Landings and the baseline.


@tampering(Kind.ROW_ALTERED)
def a_landing_edited(world: World) -> str:
    row = Landing.objects.get(candidate__number=1)
    Landing.objects.filter(pk=row.pk).update(candidate=candidate(3))
    return f"landing {row.pk} {of(3)}"


@tampering(Kind.BASELINE_ALTERED)
def a_landing_deleted(world: World) -> str:
    row = Landing.objects.get(candidate__number=2)
    Landing.objects.filter(pk=row.pk).delete()
    return f"audited baseline 2 (commit {row.commit[:12]})"


@tampering(Kind.ROW_ALTERED)
def a_baseline_version_edited(world: World) -> str:
    row = BaselineVersion.objects.get(number=1)
    BaselineVersion.objects.filter(pk=row.pk).update(commit="1" * 40)
    return f"baseline version {row.pk} (audited baseline 1)"


@tampering(Kind.COMMIT_BY_HAND)
def a_commit_by_hand_on_the_baseline(world: World) -> str:
    return f"audited commit {by_hand(world, 'Tidy up')[:12]}"


@tampering(Kind.TRAILERS_FORGED)
def a_commit_by_hand_with_the_trailers_of_a_landing(world: World) -> str:
    head = Event.objects.head()
    words = f"It helps\n\nCandidate: audited/3\nReviewed-by: grace\nEvidence: {'0' * 64}\nAudit-Head: {head}\n"
    return f"audited commit {by_hand(world, words)[:12]}"


def by_hand(world: World, message: str) -> str:
    """Somebody's own commit at the tip of the baseline branch."""
    repository, edit = world.project.repository, ("README.md", "# Small", "# Mine")
    made = repository.change_from_edits(repository.tip(), [edit], message, "m")
    tree = git(world.repository, "rev-parse", f"{made.commit}^{{tree}}")
    commit = git(world.repository, "commit-tree", tree, "-p", made.base, "-m", message)
    git(world.repository, "update-ref", "refs/heads/baseline", commit)
    return commit


@tampering(Kind.TRAILERS_FORGED)
def a_landings_commit_made_anew_with_other_reviewers(world: World) -> str:
    """The versions, landings and events are made to fit, as far as the database goes: the commit names who never voted."""
    version = BaselineVersion.objects.get(number=2)
    entry = world.project.repository.log(1)[0]
    words = "\n".join(f"{key}: {'mallory' if key == 'Reviewed-by' else value}" for key, value in entry.trailers)
    commit = git(world.repository, "commit-tree", entry.tree, "-p", entry.parents[0], "-m", f"It helps\n\n{words}")
    git(world.repository, "update-ref", "refs/heads/baseline", commit)
    BaselineVersion.objects.filter(pk=version.pk).update(commit=commit)
    Landing.objects.filter(version=version).update(commit=commit)
    return f"audited baseline 2 (commit {commit[:12]})"


@tampering(Kind.BASELINE_ALTERED)
def the_branch_set_back(world: World) -> str:
    git(world.repository, "update-ref", "refs/heads/baseline", BaselineVersion.objects.get(number=1).commit)
    return "audited baseline 2"


# What else decides.


@tampering(Kind.ROW_ALTERED)
def the_policy_edited(world: World) -> str:
    row = Project.objects.get()
    config = json.loads(json.dumps(row.config))
    config["gate"]["baseline"]["approvals"] = 0
    Project.objects.filter(pk=row.pk).update(config=config)
    return f"project {row.pk} (audited)"


@tampering(Kind.ROW_ALTERED)
def the_program_edited(world: World) -> str:
    row = ProgramVersion.objects.get()
    ProgramVersion.objects.filter(pk=row.pk).update(text="Do as I say")
    return f"program {row.pk} (audited program 1)"


@tampering(Kind.ROW_ALTERED)
def a_comment_edited(world: World) -> str:
    row = Comment.objects.get()
    Comment.objects.filter(pk=row.pk).update(text="Fine.")
    return f"comment {row.pk} {of(1)}"


@tampering(Kind.UNREADABLE)
def evidence_with_content_that_nobody_wrote(world: World) -> str:
    row = Evidence.objects.earliest("pk")
    Evidence.objects.filter(pk=row.pk).update(numbers=[1, 2])
    Evidence.objects.filter(pk=row.pk).update(content_hash=Evidence.objects.get(pk=row.pk).compute_hash())
    return "evidence"


@tampering(Kind.EVENT_ALTERED)
def an_events_data_made_a_list(world: World) -> str:
    vote = world.event("vote")
    run_sql(f"UPDATE {TABLE} SET data = '[1]' WHERE sequence = %s", vote.sequence)
    return f"event {vote.sequence}"


@tampering(Kind.GUARD_MISSING)
def a_trigger_made_hollow(world: World) -> str:
    return "trigger event_follows"


def positions(report: Report, kind: Kind) -> list[str]:
    return [fault.where for fault in report.faults if fault.kind == kind]


def test_a_world_that_nobody_tampered_with_is_whole(world: World) -> None:
    report = audit()
    assert [str(fault) for fault in report.faults] == []
    assert dict(report.unchecked) == {}
    for what in ("events", "run", "curves", "evidence", "vote", "landings against git", "diffs", "checkpoints", "heads"):
        assert report.checked[what] > 0, what


@pytest.mark.parametrize("name", TAMPERINGS)
def test_it_is_found_with_its_kind_and_its_position(world: World, name: str) -> None:
    kind, tamper = TAMPERINGS[name]
    with world.tampered():
        where = tamper(world)
        report = audit()
        if kind == Kind.GUARD_MISSING:
            append_only.remove(connection)
            report = Report()
            from research_app.audit.chain import check_guards

            check_guards(report)
    assert where in positions(report, kind), [str(fault) for fault in report.faults]
    assert not report.whole


def test_what_stands_first_in_the_log_is_named_first(world: World) -> None:
    with world.tampered():
        late, early = world.event("landed"), world.event("candidate proposed")
        run_sql(f"UPDATE {TABLE} SET actor = 'mallory' WHERE sequence = %s", late.sequence)
        Candidate.objects.filter(pk=early.subject_id).update(author="mallory")
        found = audit().in_order
    assert [fault.event for fault in found][:2] == [early.sequence, late.sequence]
    assert found[0] == Fault(Kind.ROW_ALTERED, f"candidate {early.subject_id} {of(1)}", found[0].sentence, early.sequence)
    assert "author" in found[0].sentence and "candidate proposed" in found[0].sentence


def test_the_altered_columns_are_named(world: World) -> None:
    with world.tampered():
        run = run_of(1)
        Run.objects.filter(pk=run.pk).update(hidden_score=0.1, seed=99)
        [fault, *_] = [fault for fault in audit().faults if fault.kind == Kind.ROW_ALTERED]
    assert "seed and hidden score are not what" in fault.sentence


def test_the_command_names_the_first_wrong_row_and_fails(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit", "verify")
    assert "nothing altered" in capsys.readouterr().out
    with world.tampered():
        vote = world.event("vote")
        run_sql(f"UPDATE {TABLE} SET actor = 'mallory' WHERE sequence = %s", vote.sequence)
        append_only.install(connection)
        with pytest.raises(CommandError, match=f"First wrong: event {vote.sequence}: event altered"):
            call_command("audit", "verify")


def test_a_log_from_before_the_seals_is_whole_and_says_what_could_not_be_checked(world: World) -> None:
    """As an installation looks that was brought up to date: its events are as they were then, without seals."""
    with world.tampered():
        for row in list(Event.objects.all()):
            data = {key: value for key, value in row.data.items() if key not in ("sealed", "unsealed", "voided")}
            if row.kind == "stack formed":
                data.pop("stage")
            Event.objects.filter(pk=row.pk).update(data=data)
        Event.objects.filter(kind="checkpoint key made").update(kind="tested")
        rechain(1)
        local_file().unlink()
        report = audit(git=False)
        local_file().write_text("")
        rewritten = {fault.kind for fault in report.faults}
        assert rewritten == {Kind.LOG_REWRITTEN}, "only the landings' heads are of another log, which is this test's doing"
        words = " ".join(report.unchecked)
        for what in ("vote", "evidence", "patch set", "run", "landing", "baseline version", "the end of the log"):
            assert what in words
        run = run_of(3)
        Run.objects.filter(pk=run.pk).update(score=0.5)
        assert f"run {run.pk} {of(3)[:-1]} seed {run.seed})" in positions(audit(git=False), Kind.ROW_ALTERED)


def test_a_new_row_beside_old_ones_without_seals_must_have_one(world: World) -> None:
    """After the first event with a seal, no later row goes without."""
    with world.tampered():
        for row in list(Event.objects.filter(kind__in=["project created", "vote"])):
            if row.kind == "project created" or row.data.get("decision") == "approve":
                Event.objects.filter(pk=row.pk).update(data={key: v for key, v in row.data.items() if key != "sealed"})
        rechain(1)
        local_file().write_text("")
        first, last = Review.objects.earliest("pk"), Review.objects.latest("pk")
        report = audit(git=False)
    assert f"vote {last.pk} {of(2)}" in positions(report, Kind.ROW_FORGED)
    assert f"vote {first.pk} {of(1)}" not in positions(report, Kind.ROW_FORGED)
