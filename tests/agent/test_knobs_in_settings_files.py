"""Values of YAML and TOML files as knobs: found in place, rewritten to the byte, left out where overridden."""

import tomllib

import pytest
import yaml

from agent.constants import edits_for
from agent.knob_sources import survey
from agent.knobs import find_knobs
from agent.launched import Launched
from agent.proposal import Proposal
from agent.settings_files import LARGEST, find_values
from tests.knobs_samples import applied

MAIN = "import hydra\n\n\n@hydra.main(version_base=None, config_path='conf', config_name='config')\ndef main(cfg): ...\n"
CONFIG = "# the run\ndefaults:\n  - model: small\n  - optim@opt: adamw\n  - _self_\n\nseed: 1\nwarmup: 100  # steps\n"
CONFIG += "model:\n  dropout: 0.1\n"
SMALL = "width: 256\ndropout: 0.0\n"
ADAMW = "lr: 3e-4\nbetas: [0.9, 0.95]\nweight_decay: 1.0e-1\nfused: true\n"
HYDRA = {
    "train.py": MAIN, "conf/config.yaml": CONFIG, "conf/model/small.yaml": SMALL, "conf/model/large.yaml": "width: 1024\n",
    "conf/optim/adamw.yaml": ADAMW,
    ".github/workflows/ci.yaml": "timeout-minutes: 10\nretries: 3\n", "pyproject.toml": "[tool]\nwidth = 80\n",
}  # fmt: skip
TOML = (
    '# settings\n\n[model]\nwidth = 256 # knob: 128..512 step 128\nbias = false\n\n\t[optim]\n\tlr = 6e-4\n\tname = "a = 3"\n'
)


def knobs(files: dict[str, str], *command: str) -> set[str]:
    return set(find_knobs(files, Launched((command,), complete=True)))


def reasons(files: dict[str, str], *command: str) -> dict[str, str]:
    seen = survey(files, Launched((command,), complete=True))
    return {each.constant.name: each.why for each in seen.left_out}


def moved(files: dict[str, str], name: str, value: float | bool) -> str:
    """The file after one knob was given another value."""
    constant = find_knobs(files, Launched((("python", "train.py"),), complete=True))[name].constant
    edits = edits_for(files, [(constant, value)])
    return applied(files, Proposal("Test.", "optimiser", edits, ""))[constant.path]


def test_hydra_composes_what_its_defaults_choose_and_nothing_else_is_a_knob() -> None:
    assert knobs(HYDRA, "python", "train.py") == {
        "conf/config.yaml:warmup", "conf/config.yaml:model.dropout", "conf/model/small.yaml:width",
        "conf/optim/adamw.yaml:lr", "conf/optim/adamw.yaml:betas[0]", "conf/optim/adamw.yaml:betas[1]",
        "conf/optim/adamw.yaml:weight_decay", "conf/optim/adamw.yaml:fused",
    }  # fmt: skip


def test_what_hydra_overrides_is_left_out_with_the_file_that_does() -> None:
    why = reasons(HYDRA, "python", "train.py")
    assert why["conf/model/small.yaml:dropout"] == "conf/config.yaml sets it"
    assert why["conf/model/large.yaml:width"] == "no run reads this file"
    assert why["pyproject.toml:tool.width"] == why[".github/workflows/ci.yaml:retries"] == "no run reads this file"


def test_the_command_chooses_and_overrides_as_hydra_lets_it() -> None:
    command = ("python", "train.py", "model=large", "opt.lr=0.001", "+opt.betas=[0.8,0.9]", "warmup=5")
    why = reasons(HYDRA, *command)
    assert why["conf/optim/adamw.yaml:lr"] == "the command gives opt.lr=0.001"
    assert why["conf/optim/adamw.yaml:betas[0]"] == "the command gives +opt.betas=[0.8,0.9]"
    assert why["conf/config.yaml:warmup"] == "the command gives warmup=5"
    assert why["conf/model/small.yaml:width"] == "no run reads this file"
    assert "conf/model/large.yaml:width" in knobs(HYDRA, *command)


def test_another_config_name_is_another_run() -> None:
    files = HYDRA | {"conf/other.yaml": "lr: 0.1\n"}
    assert knobs(files, "python", "train.py", "--config-name=other") == {"conf/other.yaml:lr"}


def test_a_file_that_the_command_or_the_code_names_is_read() -> None:
    files = {
        "train.py": "print(open('settings.toml').read())\n",
        "settings.toml": "lr = 0.1\n",
        "a.yaml": "lr: 0.2\n",
        "b.yml": "lr: 0.3\n",
    }
    assert knobs(files, "python", "train.py", "--config", "a.yaml") == {"settings.toml:lr", "a.yaml:lr"}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("conf/optim/adamw.yaml:lr", 1e-3, "lr: 3e-4", "lr: 1e-3"),
        ("conf/optim/adamw.yaml:weight_decay", 0.3, "weight_decay: 1.0e-1", "weight_decay: 3.0e-1"),
        ("conf/optim/adamw.yaml:betas[1]", 0.99, "[0.9, 0.95]", "[0.9, 0.99]"),
        ("conf/optim/adamw.yaml:fused", False, "fused: true", "fused: false"),
        ("conf/config.yaml:warmup", 200, "warmup: 100  # steps", "warmup: 200  # steps"),
    ],
)
def test_an_edit_of_yaml_changes_the_value_and_no_byte_beside_it(
    name: str, value: float, old: str, new: str, newline: str
) -> None:
    files = {path: text.replace("\n", newline) for path, text in HYDRA.items()}
    path = name.partition(":")[0]
    assert moved(files, name, value) == files[path].replace(old, new)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("s.toml:model.width", 384, "width = 256", "width = 384"),
        ("s.toml:model.bias", True, "bias = false", "bias = true"),
        ("s.toml:optim.lr", 1e-3, "lr = 6e-4", "lr = 1e-3"),
    ],
)
def test_an_edit_of_toml_changes_the_value_and_no_byte_beside_it(
    name: str, value: float, old: str, new: str, newline: str
) -> None:
    text = TOML.replace("\n", newline)
    files = {"train.py": "open('s.toml')\n", "s.toml": text}
    assert moved(files, name, value) == text.replace(old, new)


def test_a_comment_says_what_a_value_may_be_there_too() -> None:
    files = {"train.py": "open('s.toml')\n", "s.toml": TOML}
    assert find_knobs(files, Launched((("python", "train.py"),), complete=True))["s.toml:model.width"].values == (
        128,
        256,
        384,
        512,
    )


def test_numbers_are_read_back_as_the_numbers_that_were_meant() -> None:
    """YAML 1.1 takes `3e-1` for text and `1.0e3` too: what is written has a point and a sign where the old one had a point."""
    for literal, value in [("1.0e-1", 0.3), ("1.5e+3", 20000.0), ("0.1", 0.25), ("12", 16)]:
        [constant] = find_values("a.yaml", f"x: {literal}\n")
        assert yaml.safe_load(f"x: {constant.written(value)}") == {"x": value}
        [constant] = find_values("a.toml", f"x = {literal}\n")
        assert tomllib.loads(f"x = {constant.written(value)}") == {"x": value}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.yaml", "x: [1, 2"),
        ("a.yaml", "x: '1'\ny: \"2\"\nz: 0x10\nw: ${other}\nv: 1_0:30\n"),
        ("a.yaml", "- - -"),
        ("a.yaml", ""),
        ("a.toml", "x = "),
        ("a.toml", 'x = "1"\ny = """\nz = 1\n"""\nd = 2026-01-01\n'),
        ("a.toml", "x = 1\n" + "# long\n" * LARGEST),
        ("a.yaml", "x: 1\n" + "# long\n" * LARGEST),
        ("a.yaml", "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(30))),
    ],
)
def test_what_is_no_number_or_cannot_be_read_is_no_knob(path: str, text: str) -> None:
    assert find_values(path, text) == []


def test_a_value_that_an_alias_repeats_is_one_knob() -> None:
    assert [each.label for each in find_values("a.yaml", "a: &a\n  lr: 0.1\nb: *a\nc:\n  <<: *a\n")] == ["a.lr"]


def test_of_several_lines_that_look_alike_the_one_that_is_meant_changes() -> None:
    text = "[a]\nlr = 0.1\n[b]\nlr = 0.1\n"
    files = {"train.py": "open('s.toml')\n", "s.toml": text}
    assert moved(files, "s.toml:b.lr", 0.2) == "[a]\nlr = 0.1\n[b]\nlr = 0.2\n"
