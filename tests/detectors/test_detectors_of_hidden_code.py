"""Code that a reviewer would overlook is a finding on its line; honest mathematics, languages and tables are not."""

import pytest

from tests.landing_samples import training_at_once
from tests.small_project import BETTER, small_project, submit
from training.detectors import FileEdit, Finding, examine_changes
from training.detectors.hidden import COLUMN

BEFORE = "FINAL_LR = 0.1\nval_loss = 1.0\na = 1\nrate = 3\nprint(FINAL_LR)\n"


def found(added: str, before: str = BEFORE, path: str = "train.py") -> list[Finding]:
    findings = examine_changes([FileEdit(path, before, before + added)])
    return [finding for finding in findings if finding.detector in ("look-alike name", "hidden code")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("FINАL_LR = 0.9", "reads like `FINAL_LR`"),  # Cyrillic A
        ("lossеs = []", "reads like `losses`"),  # Cyrillic e, with no such name about
        ("оре = 1", None),  # a word of one alphabet, with no twin
        ("rаte = 2", "reads like `rate`"),
        ("rɑte = 2", "reads like `rate`"),  # Latin alpha
        ("νal_loss = 0", "reads like `val_loss`"),  # Greek nu
        ("Α = 1\nA = 2", "reads like `A`"),  # Greek capital alpha beside a Latin A
        ("ｆｉｎａｌ = 1", "is `final` to Python"),
        ("𝐅𝐈𝐍𝐀𝐋_LR = 1", "is `FINAL_LR` to Python"),
        ("ﬁnal = 1", "is `final` to Python"),
        ("FlNAL_LR = 1", "looks like `FINAL_LR`"),  # a small L
        ("setattr(self, 'FINАL_LR', 2)", "reads like `FINAL_LR`"),
        ("рrint('x')", "reads like `print`"),  # Cyrillic er
        ("ㅤ = 1", "U+3164, which cannot be seen"),
        ("rate\ufe0f = 1", "U+FE0F, which cannot be seen"),
        ("x = rate\u115f", "U+115F, which cannot be seen"),
    ],
)
def test_a_name_that_is_not_what_it_looks_like(line: str, says: str | None) -> None:
    findings = found(line + "\n")
    assert [finding.level for finding in findings[:1]] == (["warning"] if says else [])
    if says:
        assert says in findings[0].sentence and findings[0].line == 6, findings


@pytest.mark.parametrize(
    "line",
    [
        "Δt = 0.1", "σ = 1.0", "σ_w = 2", "α, β = 0.9, 0.99", "λmax = 3", "μ = x.mean()", "ε = 1e-8", "θ_new = θ - η * g",
        "α_1 = a",        "ν = 3  # beside v", "x1, xl = 1, 2", "w_0, w_o = 1, 2", "größe = 1", "naïve = True", "désir = 2",
        "学習率 = 0.1",
        "# а это комментарий о том, как выбрать rate", "text = 'привет, мир'", "π = 3.14", "print('≤ 1 µs')", "µ = 1e-6",
        "label = 'Größe σ²'", "rate = 4  # с новой скоростью", "x = 'été' + \"Ω\"", "layers1 = [1]\nlayers2 = [2]",
        "print('⚠\ufe0f careful')",
    ],
)  # fmt: skip
def test_honest_names_and_languages_are_left_alone(line: str) -> None:
    assert found(line + "\n", before=BEFORE + "v = 1\na_1 = 2\n") == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x = 1  # " + " " * 5000 + "; rate = 9", "behind 5,001 blanks"),
        ("x = 1;" + " " * 5000 + "rate = 9", "`rate = 9` stands behind 5,000 blanks"),
        ("x = 1;" + "\t" * 90 + "rate = 9", "behind 90 blanks"),
        ("if x:\n" + " " * 200 + "rate = 9", "behind 200 blanks"),
        ("x = [" + "1, " * 200 + "rate]", f"beyond column {COLUMN}"),
        ("x = '" + "a" * 600 + "'; rate = 9", f"beyond column {COLUMN}"),
        ("\n" * 80 + "rate = 9", "below 80 empty lines"),
        ("   \n" * 80 + "rate = 9", "below 80 empty lines"),
    ],
)
def test_code_out_of_sight(line: str, says: str) -> None:
    findings = found(line + "\n")
    assert [(finding.detector, finding.level) for finding in findings] == [("hidden code", "warning")]
    assert says in findings[0].sentence


def test_what_was_there_before_is_not_the_changes_doing() -> None:
    before = BEFORE + "FINАL_LR = 1\nx = 1;" + " " * 500 + "y = 2\n"
    assert found("rate = 5\n", before=before) == []


def test_ordinary_code_is_not_hidden() -> None:
    aligned = "TABLE = {\n" + "".join(f"    {'name' + str(n):<40}: {n},{' ' * 20}# a comment\n" for n in range(9)) + "}\n"
    assert found(aligned + "x = (\n" + " " * 60 + "1,\n)\n" + "\n" * 5 + "y = 2\n" + "z = '" + "a" * 400 + "'\n") == []


def test_prose_may_have_long_lines_and_any_words() -> None:
    assert found("word " * 300 + "\nFINАL\n", path="notes.md") == []
    assert len(found("word" + " " * 300 + "hidden\n", path="notes.md")) == 1


def test_files_that_are_no_python_are_read_too() -> None:
    assert "reads like `rate`" in found("rаte: 2\n", before="rate: 1\n", path="config.yaml")[0].sentence
    assert "reads like `rate`" in found("rаte = (\n", path="train.py")[0].sentence, "also what does not parse"


@pytest.mark.django_db(transaction=True)
def test_such_a_change_is_taken_and_its_gain_is_quarantined() -> None:
    better = (BETTER[0], f"{BETTER[1]}{' ' * 5000}; WIDТH = 1")
    with training_at_once():
        candidate = submit(small_project(), better)
    flags = {flag["detector"]: flag["level"] for flag in candidate.revision.flags}  # type: ignore[attr-defined]
    assert flags["look-alike name"] == flags["hidden code"] == "warning"
    assert candidate.evidence is not None and candidate.evidence.quarantined
