"""The fast lane, and the measurements that it rests on.

Time is that of the processor, of a test's process and of those that it waited for: a busy machine alters it little.
`tests/times.tsv` says what the tests of a file took when they were last measured, `--record-times` measures anew. Files
whose tests take long on average are marked `slow` by it, single tests by themselves. `--fast` leaves both out; what is
not marked and takes long is an error there, so that a new slow test is found, and a line at the end of any other run.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests" / "times.tsv"
FAST_ON_AVERAGE = 0.08
"""Seconds that the tests of a file that belongs to the fast lane may take on average."""
LIMIT = float(os.environ.get("FAST_SECONDS", "3"))
"""Seconds that one test of the fast lane may take; several times what is usual, for slow machines."""
PROPERTY = "seconds of processor"
BEGUN = pytest.StashKey[float]()


@dataclass
class FileTime:
    """How many tests of a file ran, and how long they took with their fixtures."""

    tests: int = 0
    seconds: float = 0.0

    @property
    def slow(self) -> bool:
        return self.seconds > FAST_ON_AVERAGE * self.tests


def read_times(table: Path | None = None) -> dict[str, FileTime]:
    """The measured files by their paths from the root of the checkout."""
    rows = [line.split("\t") for line in (table or TABLE).read_text().splitlines() if line and not line.startswith("#")]
    return {path: FileTime(int(tests), float(seconds)) for path, tests, seconds in rows}


def write_times(times: dict[str, FileTime]) -> None:
    """Keep what was measured, without files that are gone."""
    lines = [f"{path}\t{time.tests}\t{time.seconds:.1f}" for path, time in sorted(times.items()) if (ROOT / path).is_file()]
    TABLE.write_text("\n".join(["# file, tests, seconds of processor time; written by: make test-times", *lines]) + "\n")


def processor_time() -> float:
    """Of this process and of the children that it waited for."""
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("lanes")
    group.addoption("--fast", action="store_true", help="leave out what is marked slow; what is not may not take long")
    group.addoption("--record-times", action="store_true", help=f"write {TABLE.name} from this run")


class Lanes:
    """Marks slow files, measures every test, and says which are not marked and slow."""

    def __init__(self, config: pytest.Config) -> None:
        self.fast: bool = config.getoption("--fast")
        self.recording: bool = config.getoption("--record-times")
        self.leads = not hasattr(config, "workerinput")  # no worker of pytest-xdist
        self.slow_files = {path for path, time in read_times().items() if time.slow}
        self.measured: dict[str, FileTime] = defaultdict(FileTime)
        self.limit = LIMIT
        self.too_slow: list[str] = []
        if self.fast:
            config.option.markexpr = "not slow"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            if item.location[0] in self.slow_files:
                item.add_marker("slow")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[BEGUN] = processor_time()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        item.stash[BEGUN] = processor_time()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        item.stash[BEGUN] = processor_time()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        taken = processor_time() - item.stash.get(BEGUN, processor_time())
        report.user_properties.append((PROPERTY, round(taken, 4)))
        if report.when == "call" and taken > self.limit and not item.get_closest_marker("slow"):
            report.user_properties.append(("too slow", True))
            if self.fast and report.passed:
                report.outcome = "failed"
                report.longrepr = (
                    f"{item.nodeid} took {taken:.1f} s of processor time, and the fast lane allows {self.limit:g}: make it "
                    "faster, or mark it with @pytest.mark.slow"
                )
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = dict(report.user_properties)
        time = self.measured[report.location[0]]
        time.seconds += float(str(facts.get(PROPERTY, 0)))
        time.tests += report.when == "call"
        if "too slow" in facts:
            self.too_slow.append(f"{report.nodeid}: {facts[PROPERTY]:.1f} s")

    def pytest_sessionfinish(self) -> None:
        if self.recording and self.leads:
            write_times({**read_times(), **self.measured})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.too_slow:
            terminalreporter.section(f"not marked slow, and longer than {self.limit:g} s of processor time")
            terminalreporter.write_line("\n".join(sorted(self.too_slow)))
