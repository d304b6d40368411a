"""docs/reference/environment.md is what the class says; a variable that nothing reads is named with what may be meant."""

import re
from pathlib import Path

import pytest

from research_app.environment import KNOWN, OF_A_RUN, Environment, unread
from research_app.environment_page import PAGE, page
from research_app.health import variables
from research_app.home import CODE
from tests.installation import Installation

READ_BY_HAND = re.compile(r"""environ(?:\.get\(|\[)\s*["']([A-Z_]+)["']""")
NOT_OURS = {"NAME", "PATH", "COMP_LINE", "PYTHONPATH", "HOME", "TZ", "LANG"}


def test_the_page_of_the_reference_is_made_from_the_class() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m research_app.environment_page"


def test_every_variable_is_described_with_its_default() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == [f"| `{name}`" for name in Environment.model_fields]
    assert all(len(row) == 4 and all(cell.strip(" |") for cell in row) for row in rows)


def test_no_module_reads_a_variable_by_hand() -> None:
    for path in (CODE / "research_app").rglob("*.py"):
        by_hand = set(READ_BY_HAND.findall(path.read_text(encoding="utf-8"))) - NOT_OURS
        assert not by_hand, f"{path} reads {by_hand}: make it a field of research_app/environment.py"


def test_what_a_run_is_given_is_what_its_page_says() -> None:
    pages = ("reference/project-file.md", "explanation/default-target.md", "explanation/ladder.md")
    told = "".join((CODE / "docs" / name).read_text(encoding="utf-8") for name in pages)
    assert [name for name in OF_A_RUN if name not in told] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SIGNOFF_HOEM", "SIGNOFF_HOME"),
        ("SIGNOF_HOME", "SIGNOFF_HOME"),
        ("SINGOFF_HOME", "SIGNOFF_HOME"),
        ("signoff_home", "SIGNOFF_HOME"),
        ("SIGNOFF_PROXY", "SIGNOFF_PROXIES"),
        ("SIGNOFF_DEVICEZ", "SIGNOFF_DEVICE"),
        ("SIGNOFF_WEBHOOKS_HOSTS", "SIGNOFF_WEBHOOK_HOSTS"),
        ("SIGNOFF_API_READ", "SIGNOFF_API_READS"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("CUDA_VISIBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
        ("EMAIL_USE_TSL", "EMAIL_USE_TLS"),
    ],
)
def test_a_typing_error_is_named_with_the_nearest_name(name: str, meant: str) -> None:
    assert unread({name: "1", "PATH": "/bin"}) == {name: f"Did you mean {meant}?"}


def test_a_name_of_ours_that_is_like_none_is_named_too() -> None:
    assert list(unread({"SIGNOFF_ZZZZZZ": ""})) == ["SIGNOFF_ZZZZZZ"]


def test_names_that_are_known_or_of_other_programs_are_left_alone() -> None:
    others = ("PATH", "HOME", "HOSTNAME", "LOGNAME", "SHELL", "XDG_RUNTIME_DIRS", "PYTHONPATH", "CUDA_HOME", "TERM", "MAIL")
    assert unread(dict.fromkeys((*KNOWN, *others), "")) == {}


def test_doctor_names_it_as_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOEM", "/data")
    finding = variables()
    assert finding.ok and finding.detail == "nothing reads SIGNOFF_HOEM"
    assert finding.fix == "SIGNOFF_HOEM: Did you mean SIGNOFF_HOME?"


def test_the_start_names_it(tmp_path: Path) -> None:
    told = Installation(tmp_path).command("up", SIGNOFF_HOEM="/data", SIGNOFF_DEVICES="cpu:9999")
    assert "Nothing reads the variable SIGNOFF_HOEM. Did you mean SIGNOFF_HOME?" in told.stdout
    assert "SIGNOFF_DEVICES asks for 9999" in told.stderr
