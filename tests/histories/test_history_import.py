"""`manage.py project import` takes in what another loop reported: every row, once, with what its commit says."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from research_app.audit.verify import verify
from research_app.histories.results_table import MOST_TEXT, TableRefused, read_table
from research_app.models import Candidate, Event, Evidence, ImportedHistory, ImportedResult, Project, Run
from tests.agent.test_shape_of_scripts import ROUNDED_UP
from tests.histories_samples import HEADER, PUBLISHED, commit, git, make_history, make_repository, table


def bring(*words: str) -> str:
    """What the command says."""
    out = StringIO()
    call_command("project", "import", "demo", *words, stdout=out)
    return out.getvalue()


def refusal(results: Path, *words: str) -> str:
    """What it says where it refuses; nothing is left behind."""
    before = ImportedHistory.objects.count(), ImportedResult.objects.count(), Event.objects.count()
    with pytest.raises(CommandError) as refused:
        bring("--results", str(results), *words)
    assert (ImportedHistory.objects.count(), ImportedResult.objects.count(), Event.objects.count()) == before
    return str(refused.value)


def outcomes() -> dict[str, int]:
    rows = ImportedResult.objects.values_list("outcome", flat=True)
    return {outcome: list(rows).count(outcome) for outcome in ("keep", "discard", "crash", "baseline")}


@pytest.mark.skipif(PUBLISHED is None, reason="the published history does not lie beside the checkout")
def test_the_published_history_has_22_keeps_102_discards_a_crash_and_a_baseline(project: Project) -> None:
    said = bring("--results", str(PUBLISHED))
    assert outcomes() == {"keep": 22, "discard": 102, "crash": 1, "baseline": 1}
    assert "22 keep, 102 discard, 1 crash, 1 baseline" in said and "no repository was named" in said
    crashed = ImportedResult.objects.get(outcome="crash")
    assert crashed.reported is None and crashed.extra == {"memory_gb": "0.0"}
    best = ImportedResult.objects.get(commit="438a26e")
    assert best.reported == 0.969686 and best.description == "warmdown 0.7 to 0.75"


@pytest.mark.both_databases
def test_every_row_is_there_with_what_its_commit_says(project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    said = bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    assert outcomes() == {"keep": 2, "discard": 2, "crash": 1, "baseline": 1}
    assert "3 with their diff" in said
    base, wider, lost, seed, crash, faster = ImportedResult.objects.order_by("number")
    assert base.diff == "" and base.author == "Karl" and base.why_no_diff == ""
    assert "+WIDTH = 128" in wider.diff and (wider.added, wider.removed) == (1, 1)
    assert wider.at and wider.at.isoformat() == "2026-03-08T09:06:00+00:00" and wider.message == "Wider"
    assert "+WARMUP = 0.2" in lost.diff and lost.outcome == "discard"  # reset away, and still in the repository's objects
    assert seed.why_no_diff == "The table names no commit." and seed.reported == 0.9869
    assert "has no commit 0000000" in crash.why_no_diff and crash.reported is None
    assert faster.author == "Éva & Söhne" and len(faster.full_commit) == 40


def test_a_change_is_held_against_what_was_kept_before_it(project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Nothing")
    train = folder / "train.py"
    train.write_text(train.read_text().replace("LAYERS = 3", "LAYERS = 4"))
    git(folder, "commit", "-qam", "Deeper, mended")
    last = git(folder, "rev-parse", "--short=7", "HEAD")
    results.write_text(results.read_text() + f"{last}\t0.98\t44\tkeep\tdeeper\n")
    bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    assert "+LAYERS = 4" in ImportedResult.objects.get(commit=last).diff


def test_words_that_the_code_contradicts_are_found(project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    said = {row.number: row.contradictions for row in ImportedResult.objects.all() if row.contradictions}
    assert list(said) == [6]
    assert "“learning rate 3e-3 to 8e-3”" in said[6][0] and "0.004" in said[6][0]


def test_a_width_that_the_code_rounds_up_contradicts_the_words(project: Project, tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "theirs", [("train.py", ROUNDED_UP)])
    deeper = ROUNDED_UP.replace("DEPTH = 8", "DEPTH = 9").replace("ASPECT_RATIO = 64 ", "ASPECT_RATIO = 57 ")
    last = commit(folder, (ROUNDED_UP, deeper), "depth 9 aspect_ratio 57", "2026-03-08T09:06:00+00:00")
    results = tmp_path / "results.tsv"
    results.write_text(
        table("baseline|1.0|44|keep|baseline", f"{last}|0.98|60|keep|depth 9 aspect_ratio 57 (extra layer dim ~512)")
    )
    bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    said = ImportedResult.objects.get(number=2).contradictions
    assert said == ["It says “dim ~512”, but the width is 640 (512 before)."]


def test_nothing_of_it_is_judged(project: Project, tmp_path: Path) -> None:
    runs, noise = Run.objects.count(), project.noise()
    folder, results = make_history(tmp_path / "theirs")
    bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    assert (Candidate.objects.count(), Evidence.objects.count(), Run.objects.count()) == (0, 0, runs)
    assert project.noise() == noise and Project.objects.get(pk=project.pk).last_number == 0


def test_another_import_adds_nothing_and_says_so(project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    words = ("--results", str(results), "--repo", str(folder), "--branch", "exp")
    bring(*words)
    events = Event.objects.count()
    assert "Nothing was added" in bring(*words)
    assert (ImportedHistory.objects.count(), ImportedResult.objects.count(), Event.objects.count()) == (1, 6, events)


def test_a_table_that_grew_brings_its_new_rows_alone(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_text(table("abc1234|0.99|44|keep|baseline", "abc1235|0.98|44|keep|wider"))
    bring("--results", str(results))
    results.write_text(results.read_text() + "abc1236\t0.985\t44\tdiscard\tdeeper\n")
    assert "1 rows added" in bring("--results", str(results))
    assert list(ImportedResult.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]


def test_a_repository_that_is_named_later_fills_in_what_is_known(project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    bring("--results", str(results), "--as", "march")
    assert set(ImportedResult.objects.exclude(outcome="baseline").values_list("why_no_diff", flat=True)) == {
        "It was imported without a repository."
    }
    assert "4 earlier rows" in bring("--results", str(results), "--repo", str(folder), "--branch", "exp", "--as", "march")
    assert ImportedResult.objects.count() == 6 and ImportedResult.objects.exclude(diff="").count() == 3


def test_a_table_that_was_changed_is_refused_by_line(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_text(table("abc1234|0.99|44|keep|baseline", "abc1235|0.98|44|keep|wider"))
    bring("--results", str(results))
    results.write_text(table("abc1234|0.99|44|keep|baseline", "abc1235|0.97|44|keep|wider"))
    said = refusal(results)
    assert "line 3: the val_bpb is not what results has for row 2" in said and "--as NAME" in said
    results.write_text(table("abc1234|0.99|44|keep|baseline"))
    assert "has 2 rows already" in refusal(results)
    assert "--as NAME" in refusal(results, "--direction", "higher")


WRONG = {
    "commas": ("commit,val_bpb,status\na,0.9,keep\n", "line 1: the header has commas; columns are separated by tabs"),
    "empty": ("\n\n", "is empty"),
    "header alone": (HEADER + "\n", "no experiment yet"),
    "no status": ("commit\tval_bpb\nabc1234\t0.9\n", "Name one of them status"),
    "no score": ("commit\tloss_x\tstatus\nabc1234\t0.9\tkeep\n", "--score COLUMN"),
    "two columns alike": ("commit\tval_bpb\tVAL_BPB\tstatus\n1\t2\t3\tkeep\n", "two columns are called val_bpb"),
    "unknown status": (table("abc1234|0.99|44|maybe|x"), "line 2: the status is “maybe”. Write keep, discard"),
    "decimal comma": (table("abc1234|0,99|44|keep|x"), "line 2: val_bpb is “0,99”. Write it with a decimal point"),
    "words": (table("abc1234|good|44|keep|x"), "line 2: val_bpb is “good”. Write it as a plain number"),
    "another script": (table("abc1234|٣|44|keep|x"), "line 2: val_bpb is “٣”"),
    "a keep without a score": (table("abc1234|nan|44|keep|x"), "line 2: val_bpb is “nan” for a keep"),
    "few cells": (table("abc1234|0.99|44", "|0.98|44|keep|y"), "line 2: it has 3 cells where the header has 5"),
    "all keeps are losses": (
        table("a1b2c3d|0.5|1|keep|baseline", "|0.6|1|keep|a", "|0.7|1|keep|b", "|0.8|1|keep|c"), "say --direction higher",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_its_line_and_what_to_do(project: Project, tmp_path: Path, case: str) -> None:
    text, words = WRONG[case]
    results = tmp_path / "results.tsv"
    results.write_text(text)
    assert words in refusal(results)


def test_what_is_no_file_or_no_repository_is_refused(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    assert "There is no file" in refusal(results)
    assert "There is no file" in refusal(tmp_path)
    results.write_text(table("abc1234|0.99|44|keep|baseline"))
    assert "There is no folder" in refusal(results, "--repo", str(tmp_path / "nowhere"))
    folder, _ = make_history(tmp_path / "theirs")
    assert "has no branch main. It has: exp" in refusal(results, "--repo", str(folder), "--branch", "main")


def test_many_wrong_lines_are_counted(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_text(table(*["abc1234|0.99|44|maybe|x"] * 30))
    assert "and 20 more lines like these" in refusal(results)


@pytest.mark.both_databases
def test_text_of_any_encoding_and_size_is_taken_as_it_is(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    rows = [
        HEADER.encode(), b"abc1234\t0.99\t44\tkeep\tbaseline", b"\t0.98\t44\tdiscard\tr\xe9sum\xe9 \x00\x1b[31m",
        "\t0.98\t44\tdiscard\t<script>alert(1)</script> \u202e".encode(), b"\t0.98\t44\tdiscard\t" + b"a" * 50_000,
        b"\t0.98\t44\tdiscard\ta tab\tin the words", b"\t0.98\t44\tcrash",
    ]  # fmt: skip
    results.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(rows))
    bring("--results", str(results))
    words = list(ImportedResult.objects.order_by("number").values_list("description", flat=True))
    assert words[1] == "r\\xe9sum\\xe9 \ufffd\ufffd[31m" and words[2].startswith("<script>")
    assert words[3].endswith(f"and {50_000 - MOST_TEXT:,} more characters") and words[4] == "a tab\tin the words"
    assert words[5] == ""


def test_a_table_in_utf_16_is_read(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_bytes(table("abc1234|0.99|44|keep|baseline", "|0.98|44|keep|größer").encode("utf-16"))
    bring("--results", str(results))
    assert ImportedResult.objects.get(number=2).description == "größer"


def test_other_names_of_columns_and_outcomes_are_known() -> None:
    text = (
        "SHA\tStatus\tloss\ttime\tchange\n1234567\tBaseline\t3.2\t2026-03-08T10:00:00Z\tbegin\nabcdef0\tReverted\t3.1\t0\tx\n"
    )
    read = read_table(text.encode(), "r.tsv", "loss")
    assert [row.outcome for row in read.rows] == ["baseline", "discard"]
    assert read.rows[0].at and read.rows[0].at.isoformat() == "2026-03-08T10:00:00+00:00"
    with pytest.raises(TableRefused, match="no column called val_bpb"):
        read_table(text.encode(), "r.tsv", "val_bpb")


@pytest.mark.both_databases
def test_the_import_is_in_the_audit_log_and_verified(no_earlier_repositories: None, project: Project, tmp_path: Path) -> None:
    folder, results = make_history(tmp_path / "theirs")
    bring("--results", str(results), "--repo", str(folder), "--branch", "exp")
    event = Event.objects.get(kind="history imported")
    assert event.data["keep"] == 2 and event.data["branch"] == "exp" and len(event.data["file_digest"]) == 64  # type: ignore[arg-type]
    assert not [fault for fault in verify().faults if "imported" in fault.where]
    ImportedResult.objects.filter(number=2).update(reported=0.5)
    assert [fault.where for fault in verify().faults if "imported" in fault.where] == [
        f"imported history {ImportedHistory.objects.get().pk} (demo exp)"
    ]
