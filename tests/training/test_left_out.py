"""Values that are not kept are counted, and the run says how many and which limit: nothing vanishes unsaid."""

import json
import os
from pathlib import Path

import pytest
from django.test import Client

from research_app.api import representations
from research_app.loop.check import check
from research_app.models import Run
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.factories import make_user
from tests.small_project import FILE, drain, patch, small_project
from training import lines as lines_of_files
from training.left_out import MOST_SERIES, LeftOut
from training.line_patterns import FormatError, compiled, groups_of
from training.output import OutputParser
from training.series import SERIES, Outputs, SeriesReader
from training.spec import Point, SelfReported


def read(folder: Path, *records: object, end: str = "\n") -> tuple[list[Point], dict[str, int]]:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / SERIES).write_text("\n".join(lines) + end)
    with Outputs(folder) as outputs:
        reader = SeriesReader(outputs)
        points = reader.finish()
        reader.close()
    return points, dict(reader.left_out.counts)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("NaN", "values that are not finite"),
        ("-Infinity", "values that are not finite"),
        ("1e999", "values that are not finite"),
        ("1" + "0" * 400, "values beyond 1e300"),
        ("1e305", "values beyond 1e300"),
        ('"12"', "values that are no number"),
        ("true", "values that are no number"),
        ("[1]", "values that are no number"),
        ("null", "values that are no number"),
    ],
)
def test_a_value_that_cannot_be_kept_is_counted_by_its_reason(tmp_path: Path, value: str, why: str) -> None:
    points, left_out = read(tmp_path, f'{{"step": 1, "x": {value}, "y": 2}}', f'{{"step": 2, "x": {value}, "y": 3}}')
    assert [point.values for point in points] == [{"y": 2.0}, {"y": 3.0}]
    assert left_out == {why: 2}


@pytest.mark.parametrize("name", ["n" * 65, "\u0007", "a\u202eb", "\ud800", "", " "])
def test_a_name_that_cannot_be_shown_is_counted(tmp_path: Path, name: str) -> None:
    _, left_out = read(tmp_path, {"step": 1, name: 1.0, "y": 2})
    assert list(left_out.values()) == [1] and "longer than 64 characters or cannot be printed" in next(iter(left_out))


def test_a_hundred_series_are_kept_and_those_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    hundred = [{"step": step, **{f"m{i:03}": float(i) for i in range(100)}} for step in range(3)]
    points, left_out = read(tmp_path, *hundred)
    assert len(points[2].values) == 100 and left_out == {}
    many = [{"step": step, **{f"m{i:03}": float(i) for i in range(300)}} for step in range(3)]
    points, left_out = read(tmp_path, *many)
    assert len(points[2].values) == MOST_SERIES
    assert left_out == {f"values of series beyond the first {MOST_SERIES} of a run": 3 * (300 - MOST_SERIES)}


def test_the_limit_counts_series_of_a_run_not_of_a_point(tmp_path: Path) -> None:
    points, left_out = read(tmp_path, *({"step": step, f"at_{step}": 1.0} for step in range(1000)))
    assert len({name for point in points for name in point.values}) == MOST_SERIES
    assert sum(left_out.values()) == 1000 - MOST_SERIES


@pytest.mark.parametrize("line", ["nothing", "[1]", '{"step": -1}', '{"step": "1"}', '{"step": true}', '{"step": 1e400}', "{"])
def test_a_line_that_is_no_point_is_counted(tmp_path: Path, line: str) -> None:
    points, left_out = read(tmp_path, line, {"step": 3, "x": 1})
    assert points == [Point(3, {"x": 1.0})] and left_out == {"lines that are neither a point nor facts": 1}


def test_a_last_line_without_an_end_is_read_too(tmp_path: Path) -> None:
    assert read(tmp_path, {"step": 3, "x": 1}, end="") == ([Point(3, {"x": 1.0})], {})
    points, left_out = read(tmp_path, {"step": 3, "x": 1}, '{"step": 4, "x"', end="")
    assert len(points) == 1 and left_out == {"lines that are neither a point nor facts": 1}


def test_a_point_of_a_thousand_series_with_long_names_costs_the_run_nothing(tmp_path: Path) -> None:
    name = "m{:03}" + "é" * 60  # six bytes each as JSON writes them: 370 kB in all
    points, left_out = read(tmp_path, *({"step": step, **{name.format(i): 1.0 for i in range(1000)}} for step in range(3)))
    assert [len(point.values) for point in points] == [MOST_SERIES] * 3
    assert left_out == {f"values of series beyond the first {MOST_SERIES} of a run": 3 * (1000 - MOST_SERIES)}


@pytest.mark.parametrize("most", [7, 100, 1 << 20])
def test_a_line_that_is_too_long_is_counted_wherever_what_is_read_of_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(lines_of_files, "LINE_LIMIT", 50)
    whole = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: whole(fd, min(size, most)))
    point, long = '{"step": 1, "x": 1}', "x" * 51
    points, left_out = read(tmp_path, point, long, point, long * 20, long, point, long, end="")
    assert len(points) == 3 and left_out == {"lines of more than 1,048,576 bytes": 4}


def test_facts_beyond_their_limits_are_counted() -> None:
    left_out = LeftOut()
    kept = left_out.facts({**{f"f{i}": i for i in range(70)}, "long": "x" * 201, "odd": float("nan"), "list": [1]})
    assert len(kept) == 64
    assert sorted(left_out.counts.values()) == [3, 6]


def parse(scoring: SelfReported, text: str) -> tuple[list[Point], OutputParser]:
    parser = OutputParser(scoring)
    points = parser.feed(text.encode()) + parser.finish()
    return points, parser


AUTORESEARCH = SelfReported("autoresearch", "val_bpb")


def test_printed_values_that_are_not_finite_and_long_lines_are_counted() -> None:
    line = "step 1 (0%) | loss: 2.0 | mfu: inf\n" + "x" * 20_000 + "\nstep 2 (0%) | loss: 1.5\n"
    points, parser = parse(AUTORESEARCH, line)
    assert [point.values["train_loss"] for point in points] == [2.0, 1.5]
    assert parser.left_out.counts == {
        "values that are not finite": 1,
        "characters of lines that are too long": 20_000 - (1 << 14),
    }


def test_a_printed_step_that_no_chart_can_hold_is_counted() -> None:
    points, parser = parse(AUTORESEARCH, "step 99999999999999999999 (0%) | loss: 2.0\nstep 2 (0%) | loss: 1.5\n")
    assert [point.step for point in points] == [2] and sum(parser.left_out.counts.values()) == 1


def test_a_closing_block_of_thousands_of_figures_is_bounded() -> None:
    _, parser = parse(AUTORESEARCH, "---\n" + "\n".join(f"figure_{i}: {i}" for i in range(5000)) + "\nval_bpb: 1.0\n")
    assert len(parser.final) <= MOST_SERIES and sum(parser.left_out.counts.values()) > 4000
    assert parser.score == 1.0, "the metric is kept wherever it stands"


@pytest.mark.django_db(transaction=True)
def test_a_run_says_on_its_page_and_in_the_api_what_was_left_out(client: Client) -> None:
    project = small_project()
    noisy = """import json
with open(os.environ["SIGNOFF_OUT"] + "/series.jsonl", "w") as f:
    for s in range(20):
        values = {"bad": float("nan"), "n" * 70: 1.0, **{f"m{i:03d}": float(i) for i in range(300)}}
        f.write(json.dumps({"step": s, **values}) + "\\n")
print("y" * 400_000)
for step in STEPS:
"""
    candidate = check.submit(project, patch(("for step in STEPS:\n", noisy)), "x", category="optimiser", author="ada")
    drain()
    candidate.refresh_from_db()
    run = Run.objects.filter(patch_set=candidate.patch_set).earliest("pk")
    left_out = run.facts["left_out"]
    assert left_out["values that are not finite"] == 20
    assert left_out["values whose name is empty, longer than 64 characters or cannot be printed"] == 20
    assert 20 * 40 < left_out[f"values of series beyond the first {MOST_SERIES} of a run"] < 20 * 50
    [cut] = [number for why, number in left_out.items() if why.startswith("bytes in the middle of the log (at most 262144")]
    assert cut > 100_000
    client.force_login(make_user("ada"))
    for page in (f"runs/{run.pk}/", f"candidates/{candidate.number}/"):
        shown = client.get(f"/projects/{project.slug}/{page}").content.decode()
        assert "Not kept: 20 values that are not finite" in shown, page
        assert f"values of series beyond the first {MOST_SERIES} of a run" in shown, page
    assert "20 values that are not finite" in representations.run(run, None).left_out


# --- patterns


def test_alternatives_may_name_one_group_twice() -> None:
    pattern = r"step=(?P<step>\d+) loss=(?P<loss>\S+)|it (?P<step>\d+): L (?P<loss>\S+)|final (?P<score>\S+)"
    points, parser = parse(SelfReported("pattern", "score", pattern), "step=1 loss=2.5\nit 2: L 2.25\nfinal 0.5\n")
    assert points == [Point(1, {"loss": 2.5}), Point(2, {"loss": 2.25})] and parser.score == 0.5
    assert groups_of(compiled(pattern)) == {"step", "loss", "score"}


def test_a_group_that_is_only_quoted_is_no_second_one() -> None:
    assert groups_of(compiled(r"\(?P<loss>|(?P<loss>\d)")) == {"loss"}


@pytest.mark.parametrize("pattern", ["(?P<loss>", "loss [0-9.]+", "(?P<1a>x)"])
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(FormatError):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("loss [0-9.]+", "has no named group; name the values, as in (?P<val_bpb>[0-9.]+)"),
        ("loss (?P<loss>[0-9.]+)", "the pattern has no group for the metric: key = 'score', groups: loss."),
        ("(?P<score>", "is not a regular expression"),
    ],
)
def test_a_project_with_a_pattern_that_finds_no_metric_is_refused_with_the_line(pattern: str, words: str) -> None:
    text = f'[metric]\nsource = "pattern"\nkey = "score"\npattern = "{pattern}"\n'
    with pytest.raises(ProjectFileError) as refused:
        read_project_file(text, "mine.toml")
    assert words in str(refused.value) and "mine.toml, line" in str(refused.value)


def test_the_patterns_of_projects_that_work_are_taken() -> None:
    assert FILE.metric.pattern
    twice = '[metric]\nsource = "pattern"\nkey = "score"\npattern = "a (?P<score>[0-9.]+)|b (?P<score>[0-9.]+)"\n'
    assert read_project_file(twice).metric.key == "score"
