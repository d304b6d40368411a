"""The candidate's page and the pages of its runs: honest about what was measured, by whom, and how often."""

import pytest
from django.test import Client

from research_app.models import Author, LandingState, Project, Run, Stage, State, Verdict
from tests.factories import make_candidate, make_landing, make_project, make_run
from training.spec import Outcome

pytestmark = pytest.mark.django_db
PAYLOAD = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def text(client: Client, address: str = "/projects/demo/candidates/1/") -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_one_run_is_said_to_be_one_run(client: Client, project: Project) -> None:
    evidence = make_candidate(project, effect=0.012, runs=1).evidence
    assert evidence
    page = text(client)
    assert "<b>One run</b>" in page
    assert "more runs needed" in page
    assert "n = 1 against 4" in page
    assert f"95% interval {evidence.low:+.4f} … {evidence.high:+.4f}".replace("-", "−") in page


def test_several_runs_show_mean_and_spread_and_no_warning(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.03, runs=3)
    page = text(client)
    assert "<b>One run</b>" not in page
    assert "n = 3 against 4" in page
    for run in Run.objects.filter(patch_set=candidate.patch_set):
        assert f'href="/projects/demo/runs/{run.pk}/"' in page


def test_the_scores_are_those_that_the_evidence_froze(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.012, runs=1)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=77, score=9.9999)
    page = text(client)
    row = page[page.index('swatch candidate hue-c1"></i>C-1') :]
    assert "<td>1</td>" in row[:200]
    assert "9.9999" not in row[: row.index("</table>")]


def test_health_hides_the_effect(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.5, verdict=Verdict.INVALID)
    page = text(client)
    assert candidate.evidence
    assert f"{candidate.evidence.candidate_mean:.4f}" not in page
    assert "The effect is not shown: health comes first." in page
    assert "95% interval" not in page.split('class="card curves"')[0]


def test_a_gain_is_positive_whichever_direction_of_the_metric_is_better(client: Client) -> None:
    make_project("lower")
    make_project("higher", metric={"direction": "higher", "name": "accuracy"})
    for slug in ("lower", "higher"):
        project = Project.objects.get(slug=slug)
        make_candidate(project, effect=0.05)
        page = text(client, f"/projects/{slug}/candidates/1/")
        assert '<span class="big good">+0.0' in page
        assert f"{slug} is better" in page


def test_a_missing_sandbox_is_marked_wherever_the_run_is_shown(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    run = Run.objects.get(patch_set=candidate.patch_set)
    for address in ("/projects/demo/candidates/1/", f"/projects/demo/runs/{run.pk}/"):
        assert "sandbox none" in text(client, address)
    Run.objects.update(sandbox_level="strong")
    assert "sandbox none" not in text(client)


def test_a_self_reported_score_is_marked_wherever_it_stands(client: Client) -> None:
    project = make_project(metric={"source": "nanochat", "name": "val_bpb"})
    candidate = make_candidate(project)
    run = Run.objects.get(patch_set=candidate.patch_set)
    for address in ("", "candidates/", "candidates/1/", f"runs/{run.pk}/"):
        assert "self-reported" in text(client, f"/projects/demo/{address}")
    assert "self-reported" in text(client, "/")


def test_resources_compare_what_both_arms_measured_and_mark_what_only_the_run_says(client: Client, project: Project) -> None:
    make_candidate(project)
    page = text(client)
    row = page[page.index("parameters</th>") :][:160]
    assert row.count("372,864") == 2, "the baseline's and the candidate's"
    assert 'title="said by the run"' in row


def test_the_agents_words_are_marked_as_its_words(client: Client, project: Project) -> None:
    make_candidate(project, author="claude", author_kind=Author.AGENT, expected_effect="About 2% less loss.")
    page = text(client)
    assert "In the words of claude" in page
    assert "claimed, not measured" in page


def test_a_crash_shows_how_it_ended_and_its_log_on_demand(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.CRASHED, effect=None, why="The run crashed.")
    reason = "Exit code 1. RuntimeError: shapes"
    run = make_run(project.tip(), patch_set=candidate.patch_set, outcome=Outcome.crashed, reason=reason, log="line 1\nline 2\n")
    page = text(client)
    assert "RuntimeError: shapes" in page
    assert "line 2" not in page
    log = client.get(f"/projects/demo/runs/{run.pk}/log/", headers={"HX-Request": "true"}).content.decode()
    assert "line 1\nline 2" in log
    plain = client.get(f"/projects/demo/runs/{run.pk}/log/")
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_before_a_patch_set_the_proposal_itself_is_shown(client: Client, project: Project) -> None:
    candidate = make_candidate(project, edits=(), stage=Stage.INVALID, effect=None, why="Does not apply.")
    candidate.proposed = {"edits": [["train.py", "WARMUP = 0.07", "WARMUP = 0.02"]]}
    candidate.save()
    page = text(client)
    assert "WARMUP = 0.07" in page
    assert "Does not apply." in page


def test_a_missing_repository_leaves_the_diff_without_colours(client: Client, project: Project) -> None:
    make_candidate(project)
    project.repository.path.rename(project.folder / "elsewhere.git")
    page = text(client)
    assert "without colours" in page
    assert "WARMUP" in page


def test_the_diff_can_be_downloaded_as_it_is_stored(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    response = client.get("/projects/demo/candidates/1/change.diff")
    assert response.content.decode() == candidate.patch_set.diff  # type: ignore[union-attr]
    assert "attachment" in response.headers["Content-Disposition"]


@pytest.mark.parametrize("more", [" x\n" * 800_000, "x" * (2 << 20)], ids=["many lines", "a long line"])
def test_a_huge_diff_is_offered_as_a_download(client: Client, project: Project, more: str) -> None:
    candidate = make_candidate(project)
    assert candidate.patch_set
    candidate.patch_set.diff += more
    candidate.patch_set.save()
    response = client.get("/projects/demo/candidates/1/")
    assert "larger than 2 MiB" in response.content.decode()
    assert len(response.content) < 100_000
    assert b'class="diff unified"' not in response.content


def test_while_landing_the_bar_says_how_far_it_is(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.LANDING)
    landing = make_landing(candidate)
    page = text(client)
    assert '<li class="now">queued</li>' in page
    assert "Approve for baseline" not in page
    landing.state, landing.reason = LandingState.REJUDGING, "The baseline moved to version 1."
    landing.save()
    assert '<li class="now">judged again on the new baseline</li>' in text(client)


def test_what_landed_names_its_commit_and_how_to_see_it(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.LANDED)
    landing = make_landing(candidate, LandingState.LANDED)
    page = text(client)
    assert f"repository.git show {landing.commit}" in page
    assert "as baseline 1" in page


def test_neighbours_are_the_waiting_candidates_before_and_after(client: Client, project: Project) -> None:
    from datetime import timedelta

    for minutes in (30, 20, 10):
        make_candidate(project, edits=[("train.py", "LAYERS = 3", f"LAYERS = {minutes}")], age=timedelta(minutes=minutes))
    page = text(client, "/projects/demo/candidates/2/")
    assert 'candidates/1/" data-key="k"' in page
    assert 'candidates/3/" data-key="j"' in page


@pytest.mark.parametrize(
    "address", ["", "candidates/", "candidates/1/", "candidates/1/?again", "runs/{run}/", "runs/{run}/log/", "progress.json"]
)
def test_script_in_a_hypothesis_log_name_or_reason_stays_text(client: Client, project: Project, address: str) -> None:
    candidate = make_candidate(
        project, hypothesis=PAYLOAD, author=PAYLOAD[:90], expected_effect=PAYLOAD, why=PAYLOAD,
        edits=[("train.py", "# Linear warm-up, then constant.", f"# {PAYLOAD}"), ("<img src=x>.py", "", f"{PAYLOAD}\n")],
    )  # fmt: skip
    run = Run.objects.get(patch_set=candidate.patch_set)
    run.facts[PAYLOAD] = PAYLOAD
    run.outcome, run.reason = "crashed", PAYLOAD
    run.score_by_source = {PAYLOAD: 1.0}
    run.save()
    run.log.text = PAYLOAD
    run.log.save()
    response = client.get(
        f"/projects/demo/{address.format(run=run.pk)}", headers={"HX-Request": "true"} if "log" in address else {}
    )
    page = response.content.decode()
    if address.endswith(".json"):
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_direction_override_in_a_hypothesis_is_spelled_out(client: Client, project: Project) -> None:
    make_candidate(project, hypothesis="Lower\u202eloss")
    page = text(client)
    assert "U+202E" in page
    assert "<h1>" in page
    assert "\u202e" not in page[page.index("<main") :]


def test_a_running_run_shows_its_progress(client: Client, project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.25)
    assert 'value="0.250"' in text(client)
    assert "No verdict yet" in text(client)
    assert 'value="0.250"' in text(client, f"/projects/demo/runs/{run.pk}/")


def test_the_number_of_queries_does_not_depend_on_the_number_of_runs(client: Client, project: Project) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    candidate = make_candidate(project, effect=0.02, runs=2)
    counts = []
    for more in (0, 30):
        for seed in range(more):
            make_run(project.tip(), patch_set=candidate.patch_set, seed=100 + seed)
        with CaptureQueriesContext(connection) as captured:
            text(client)
        counts.append(len(captured))
        assert not any("serieschunk" in query["sql"].lower() for query in captured.captured_queries)
    assert counts[0] == counts[1] <= 40
