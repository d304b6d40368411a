"""The table [knobs] of a project file, and the command that says what it comes to."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from research_app.loop.train.launched import launched_of
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.agent.test_knobs_of_real_shapes import CONFIGURATOR, NANOGPT_COMMAND, NANOGPT_FILES
from tests.factories import make_project

NANOGPT_FILE: dict[str, Any] = {
    "train": {"command": list(NANOGPT_COMMAND)},
    "edit": {"editable": ["*.py", "config/*.py"], "protected": ["configurator.py"]},
    "knobs": {"from": ["constants"], "never": ["grad_*"]},
    "data": {"corpus": "none"},
    "metric": {"source": "nanogpt", "key": "val_loss"},
}


def test_without_the_table_everything_is_looked_at_and_coefficients_are_left_alone() -> None:
    knobs = read_project_file("").knobs
    assert knobs.sources == ("constants", "argparse", "hydra", "command")
    assert knobs.never == ("*_coeffs*", "*PEAK_FLOPS*")


def test_the_table_is_read_and_kept() -> None:
    file = read_project_file('[knobs]\nfrom = ["argparse"]\nnever = []\nalso = ["ns_*"]\n')
    assert (file.knobs.sources, file.knobs.never, file.knobs.also) == (("argparse",), (), ("ns_*",))
    assert ProjectFile.model_validate(file.model_dump(mode="json")) == file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[knobs]\nfrom = ["argprase"]\n', "line 2: knobs.from"),
        ("[knobs]\nform = []\n", "line 2: knobs.form is not a known key; known here: from, never, also"),
        ('[knobs]\nnever = "a"\n', "line 2: knobs.never"),
    ],
)
def test_a_mistake_names_its_line(text: str, said: str) -> None:
    with pytest.raises(ProjectFileError) as refused:
        read_project_file(text)
    assert said in str(refused.value)


@pytest.mark.django_db
def test_the_command_says_what_is_a_knob_and_why_the_others_are_none() -> None:
    make_project("small", files={**NANOGPT_FILES, "configurator.py": CONFIGURATOR, "README.md": "# N\n"}, **NANOGPT_FILE)
    out = StringIO()
    call_command("knobs", project="small", stdout=out)
    said = out.getvalue()
    assert said.startswith("5 knobs:\n  config/small.py:batch_size = 64; also 16, ")
    assert "Left out, the command gives --dropout=0.2: train.py:dropout\n" in said
    assert 'Left out, [knobs] never names "grad_*": train.py:grad_clip\n' in said
    assert "Left out, no run reads this file: config/large.py:batch_size, rig.py:WARMUP\n" in said
    out = StringIO()
    call_command("knobs", project="small", json=True, stdout=out)
    told = json.loads(out.getvalue())
    assert told["knobs"]["config/small.py:learning_rate"]["now"] == "1e-3"
    assert told["left_out"]["train.py:batch_size"] == "config/small.py sets it"


@pytest.mark.django_db
def test_a_protected_file_is_read_for_what_it_does_and_has_no_knobs() -> None:
    project = make_project("small", files={**NANOGPT_FILES, "configurator.py": "SPEED = 0.5\n" + CONFIGURATOR}, **NANOGPT_FILE)
    launched = launched_of(project, project.tip())
    assert set(launched.others) == {"configurator.py"} and launched.complete
    out = StringIO()
    call_command("knobs", project="small", stdout=out)
    assert "configurator.py" not in out.getvalue()
