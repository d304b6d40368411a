"""The fast lane leaves out what is slow, and says what is slow and not marked."""

from pathlib import Path

import pytest

from tests import lanes

pytest_plugins = ["pytester"]
BUSY = "    until = time.process_time() + 0.4\n    while time.process_time() < until:\n        pass\n"
FILE = f"""
import time
import pytest

def test_quick():
    pass

def test_busy():
{BUSY}
@pytest.mark.slow
def test_busy_and_marked():
{BUSY}"""


@pytest.fixture
def checkout(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with tests of its own, and a table that calls one of its files slow."""
    table = pytester.path / "times.tsv"
    table.write_text("# file, tests, seconds\ntest_long.py\t4\t9.0\ntest_file.py\t4\t0.1\n")
    monkeypatch.setattr(lanes, "TABLE", table)
    monkeypatch.setattr(lanes, "ROOT", pytester.path)
    monkeypatch.setattr(lanes, "LIMIT", 0.2)
    pytester.makeconftest(
        "from tests.lanes import Lanes, add_options as pytest_addoption\n\n\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(Lanes(config))\n"
    )
    pytester.makeini("[pytest]\nmarkers = slow\n")
    pytester.makepyfile(test_file=FILE, test_long="def test_of_a_long_file():\n    pass\n")
    return pytester


def run(checkout: pytest.Pytester, *options: str) -> pytest.RunResult:
    return checkout.runpytest_inprocess("-p", "no:django", "-p", "no:xdist", "-p", "no:cacheprovider", *options)


def test_the_fast_lane_leaves_out_slow_tests_and_slow_files_and_fails_what_is_slow_and_not_marked(
    checkout: pytest.Pytester,
) -> None:
    result = run(checkout, "--fast")
    result.assert_outcomes(passed=1, failed=1, deselected=2)
    result.stdout.fnmatch_lines(["test_file.py::test_busy took 0.* s of processor time*mark it with @pytest.mark.slow"])


def test_any_other_run_has_all_tests_and_names_what_is_slow_and_not_marked(checkout: pytest.Pytester) -> None:
    result = run(checkout)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*not marked slow, and longer than 0.2 s*", "test_file.py::test_busy: 0.* s"])
    assert "test_busy_and_marked:" not in result.stdout.str()


def test_times_are_measured_anew_and_those_of_files_that_are_gone_are_dropped(checkout: pytest.Pytester) -> None:
    with lanes.TABLE.open("a") as table:
        table.write("test_gone.py\t1\t5.0\n")
    run(checkout, "--record-times")
    times = lanes.read_times()
    assert set(times) == {"test_file.py", "test_long.py"}
    assert times["test_file.py"].tests == 3 and 0.8 <= times["test_file.py"].seconds < 3
    assert times["test_long.py"].tests == 1 and not times["test_long.py"].slow


def test_a_run_that_records_nothing_leaves_the_table_alone(checkout: pytest.Pytester) -> None:
    before = lanes.TABLE.read_bytes()
    run(checkout, "--fast")
    assert lanes.TABLE.read_bytes() == before


def test_the_table_of_this_checkout_can_be_read_and_calls_the_longest_files_slow() -> None:
    times = lanes.read_times(Path(__file__).parents[1] / "times.tsv")
    assert len(times) > 200
    assert times["tests/browser/test_approve_path.py"].slow and not times["tests/evidence/test_evidence_guards.py"].slow
