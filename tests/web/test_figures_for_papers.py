"""Figures for papers: what goes out draws itself again elsewhere, says what it rests on, and keeps text as text."""

import csv
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client

from research_app.models import Candidate, Project
from research_app.web.figure.drawing import MOST_GROUPS, Line, NoFigure, Point, table_of
from research_app.web.shared.quoting import latex, markdown_text
from tests.factories import make_candidate, make_user

pytestmark = pytest.mark.django_db
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = r"\input{/etc/passwd} $x^2$ <script> 50% & #1_a"


@pytest.fixture
def candidate(project: Project) -> Candidate:
    return make_candidate(project, runs=3, title=HOSTILE)


@pytest.fixture
def tess(client: Client) -> Client:
    client.force_login(make_user("tess"))
    return client


def content(answer: Any, status: int = 200) -> bytes:
    assert answer.status_code == status, answer.content[:300]
    return bytes(answer.content)


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def seen(svg: bytes) -> tuple[list[str], list[str]]:
    """The texts of a drawing and the points of its lines and bands."""
    root = ElementTree.fromstring(svg)
    return [each.text or "" for each in root.iter(f"{SVG}text")], [each.get("d", "") for each in root.iter(f"{SVG}path")]


def test_the_script_draws_the_same_figure_in_a_clean_process_and_the_files_say_what_it_rests_on(
    tess: Client, candidate: Candidate, tmp_path: Path
) -> None:
    address = f"{candidate.get_absolute_url()}figure/figure.zip?series=train_loss"
    files = unzipped(content(tess.get(address)))
    assert set(files) == {"figure.svg", "figure.pdf", "figure.py", "figure.csv", "caption.txt", "table.tex"}
    for name in ("figure.py", "figure.csv"):
        (tmp_path / name).write_bytes(files[name])
    subprocess.run([sys.executable, "-I", tmp_path / "figure.py"], env={"HOME": str(tmp_path)}, cwd="/", check=True)
    assert seen((tmp_path / "figure.svg").read_bytes()) == seen(files["figure.svg"])
    texts, _ = seen(files["figure.svg"])
    assert {"Train loss (nats per token)", "step", str(candidate), "baseline 0"} <= set(texts)
    assert b'width="234pt"' in files["figure.svg"] and files["figure.pdf"].startswith(b"%PDF")
    assert candidate.patch_set and candidate.evidence
    caption = files["caption.txt"].decode()
    for words in ("n = 3, seeds 1–3", candidate.patch_set.commit, f"sha256:{candidate.evidence.content_hash}", "95% interval"):
        assert words in caption
    drawn = list(csv.DictReader(io.StringIO(files["figure.csv"].decode())))
    curves = tess.get(f"{candidate.get_absolute_url()}curves.json?series=train_loss&band=interval").json()
    for trace in curves["traces"]:
        mine = [row for row in drawn if row["group"] == trace["name"]]
        assert [float(row["y"]) for row in mine] == trace["y"] and [float(row["high"]) for row in mine] == trace["high"]
    assert rf"{candidate} & 3 & " in files["table.tex"].decode() and r"\toprule" in files["table.tex"].decode()


def test_the_page_shows_the_figure_with_its_options_and_an_unknown_file_is_not_found(
    tess: Client, candidate: Candidate
) -> None:
    page = content(tess.get(f"{candidate.get_absolute_url()}figure/?width=6.75&log=x&inset=off")).decode()
    assert 'src="figure.svg?width=6.75' in page and "caption.txt" in page and "<script> 50%" not in page
    assert content(tess.get(f"{candidate.get_absolute_url()}figure/passwd"), 404)
    assert b"can be drawn" not in content(tess.get(f"/projects/demo/compare/figure/caption.txt?c={candidate.number}"))
    assert "neither a candidate" in content(tess.get("/projects/demo/compare/figure/?items=nonsense")).decode()
    assert b"baseline & " in content(tess.get("/projects/demo/baseline/figure/table.tex")).replace(b"baseline 0", b"baseline")


def test_lines_that_cannot_be_told_apart_are_refused_and_so_is_nothing() -> None:
    one = Line("C-1", "candidate", 1, [Point(1.0, 2.0, None, None)])
    assert table_of([one] * MOST_GROUPS).count("\n") == MOST_GROUPS + 1
    for lines in ([one] * (MOST_GROUPS + 1), []):
        with pytest.raises(NoFigure):
            table_of(lines)


def test_latex_and_markdown_keep_text_as_text() -> None:
    assert latex(HOSTILE) == (r"\textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}2\$ <script> 50\% \& \#1\_a")
    assert latex("−0.01 ± 2×10⁻⁹") == r"$-$0.01 $\pm$ 2$\times$10$^{-9}$"
    assert not re.search(r"(?<!\\)[<\[(!`*]", markdown_text("![x](javascript:1) <b> `c` **d**"))
