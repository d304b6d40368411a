"""A figure for a paper, drawn in a process of its own by the very script that goes out with it: bounded in time and memory.

No web process imports matplotlib. What was drawn last is kept, so that a figure's parts are fetched one by one and drawn once.
"""

import csv
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore

SCRIPT = Path(__file__).with_name("paper_script.py")
LONGEST = 60  # seconds of drawing
MEMORY = 2 << 30  # bytes of address space
LARGEST = 8 << 20  # bytes of a file
MOST_GROUPS = 12  # lines in one figure: more cannot be told apart on paper
KEPT = 8  # figures
WIDTHS = {"3.25": 3.25, "6.75": 6.75}  # inches: one column of a page, both
COLUMNS = ("group", "role", "x", "y", "low", "high", "n", "label")
BUSY = BoundedSemaphore(2)  # drawings at once in one web process


class NoFigure(Exception):
    """Nothing was drawn; the message says why."""


@dataclass(frozen=True)
class Point:
    """One point of a line with its 95% interval, and what is written beside it."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a figure. `n` runs are behind it."""

    group: str
    role: str
    n: int
    points: Sequence[Point]


@dataclass(frozen=True)
class Settings:
    """How a figure is drawn. `clip` is the range of y that leaves out what would flatten the rest."""

    kind: str  # "curves" or "steps"
    x: str
    y: str
    width: float = 3.25
    log_x: bool = False
    inset: bool = False
    clip: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """As the script reads it."""
        height = round(self.width * (0.72 if self.width < 5 else 0.5), 3)
        values = {"kind": self.kind, "x": self.x, "y": self.y, "width": self.width, "height": height, "log_x": self.log_x}
        return json.dumps({**values, "inset": self.inset, "clip": self.clip})


def table_of(lines: Sequence[Line]) -> str:
    """figure.csv: every point that is drawn. Raises NoFigure for none, and for more lines than can be told apart."""
    visible = [line for line in lines if line.points]
    if not visible:
        raise NoFigure("Nothing was logged that could be drawn.")
    if len(visible) > MOST_GROUPS:
        raise NoFigure(f"{len(visible)} lines cannot be told apart on paper: leave at most {MOST_GROUPS}.")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in visible:
        for p in line.points:
            writer.writerow([line.group, line.role, p.x, p.y, _cell(p.low), _cell(p.high), line.n, p.label])
    return file.getvalue()


def _cell(value: float | None) -> object:
    return "" if value is None else value


def script_of(settings: Settings) -> str:
    """figure.py: the script with its settings in it, as a literal."""
    text = SCRIPT.read_text(encoding="utf-8")
    return text.replace('json.loads("{}")', f"json.loads({settings.text!r})", 1)


@lru_cache(maxsize=KEPT)
def draw(table: str, settings: Settings) -> Mapping[str, bytes]:
    """The files of a figure by name: figure.svg, figure.pdf, figure.py, figure.csv. Raises NoFigure."""
    if not BUSY.acquire(timeout=LONGEST):
        raise NoFigure("Other figures are being drawn. Try again in a minute.")
    try:
        with tempfile.TemporaryDirectory(prefix="figure-") as folder:
            return _draw(Path(folder), table, settings)
    finally:
        BUSY.release()


def _draw(folder: Path, table: str, settings: Settings) -> Mapping[str, bytes]:
    (folder / "figure.csv").write_text(table, encoding="utf-8")
    (folder / "figure.py").write_text(script_of(settings), encoding="utf-8")
    environment = {"PATH": os.environ.get("PATH", ""), "MPLCONFIGDIR": str(folder), "HOME": str(folder)}
    try:
        subprocess.run(
            [sys.executable, "-I", "figure.py"], cwd=folder, env=environment, check=True, capture_output=True, timeout=LONGEST,
            preexec_fn=_bounded,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NoFigure(f"Drawing took longer than {LONGEST} s.") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().split("\n")[-1:] or ["it said nothing"]
        raise NoFigure(f"It could not be drawn: {last[0][:200]}") from error
    return {name: (folder / name).read_bytes() for name in ("figure.svg", "figure.pdf", "figure.py", "figure.csv")}


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """All files in one archive, the same bytes for the same files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()
