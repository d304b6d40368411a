"""Knobs of repositories of the four shapes: what reaches a run and may be turned, and of everything else why it is left out."""

import pytest

from agent.knob_sources import survey
from agent.knobs import KnobsProposer, find_knobs
from agent.launched import Launched
from agent.proposal import Context, NothingToPropose
from research_app.project_file.knobs_section import LEFT_ALONE

AUTORESEARCH = '''"""Train."""
from dataclasses import dataclass

from prepare import MAX_SECONDS

polar_express_coeffs = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
]
ns_abc = (3.4445, -4.7750, 2.0315)
SCHEDULE = ((0.1, 0.5), (0.9, 0.95))
LOOPED = [0.5, 0.25, 0.1]
GELU = 0.044715
H100_BF16_PEAK_FLOPS = 989.5e12
SPEEDS = {"A100": 312.0, "H100": 989.0}


@dataclass
class GPTConfig:
    n_layer: int = 12
    softcap: float = 15.0


DEPTH = 8               # number of layers
MATRIX_LR = 0.04        # learning rate
ADAM_BETAS = (0.8, 0.95)
config = GPTConfig(n_layer=DEPTH)


def orthogonal(x, steps):
    for a, b, c in polar_express_coeffs[:steps]:
        x = a * x + b * x
    for weight in LOOPED:
        x = x + weight * x
    return x
'''

CONFIGURATOR = """import sys
for arg in sys.argv[1:]:
    if "=" not in arg:
        exec(open(arg).read())
    else:
        key, val = arg[2:].split("=")
        globals()[key] = type(globals()[key])(eval(val))
"""
NANOGPT_MODEL = """from dataclasses import dataclass


@dataclass
class GPTConfig:
    block_size: int = 1024
    dropout: float = 0.0
"""
NANOGPT = """from model import GPTConfig

learning_rate = 6e-4
batch_size = 12
block_size = 1024
weight_decay = 1e-1
dropout = 0.1
grad_clip = 1.0
exec(open('configurator.py').read())  # overrides
model_args = dict(block_size=block_size, dropout=dropout)
config = GPTConfig(**model_args)
beta_after = 0.9
"""
NANOGPT_FILES = {
    "train.py": NANOGPT,
    "model.py": NANOGPT_MODEL,
    "rig.py": "WARMUP = 10\n",
    "config/small.py": "batch_size = 64\nlearning_rate = 1e-3\n",
    "config/large.py": "batch_size = 8\n",
}
NANOGPT_COMMAND = ("python", "train.py", "config/small.py", "--dropout=0.2", "--out_dir={out}")

NANOCHAT = """import argparse

from chat.data import TOKENIZER_THREADS

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=20, help="layers")
parser.add_argument("--embedding-lr", type=float, default=0.3)
parser.add_argument("--matrix-lr", type=float, default=0.02)
parser.add_argument("--fp8-recipe", type=str, default="tensorwise", choices=["rowwise", "tensorwise"])
parser.add_argument("--window", type=int, default=256, choices=(128, 256, 512))
parser.add_argument("--eval-every", type=int, default=250)
parser.add_argument("--num-iterations", type=int, default=-1)
parser.add_argument("--target-param-data-ratio", type=float, default=12)
parser.add_argument("-w", "--warmup-steps", type=int, default=40)
parser.set_defaults(matrix_lr=0.03)
args = parser.parse_args()
"""
NANOCHAT_DATA = """import argparse

TOKENIZER_THREADS = 4
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-shards", type=int, default=100)
    parser.parse_args()
"""
NANOCHAT_COMMAND = (
    "torchrun",
    "--nproc_per_node=8",
    "-m",
    "scripts.train",
    "--",
    "--depth=4",
    "--warmup-steps",
    "20",
    "--seed={seed}",
)
NANOCHAT_FILES = {"scripts/train.py": NANOCHAT, "chat/data.py": NANOCHAT_DATA, "scripts/sft.py": "LR = 0.1\n"}

MODDED = """from dataclasses import dataclass


@dataclass
class Hyperparameters:
    train_files: str = "data/*.bin"
    num_iterations: int = 1750
    cooldown_frac: float = 0.45
    muon_momentum: float = 0.95
    head_lr: float = 0.008


args = Hyperparameters()
args.head_lr = 0.01


def zeropower(x):
    a, b, c = (3.4445, -4.7750, 2.0315)
    return a * x
"""


def knobs(files: dict[str, str], command: tuple[str, ...], **more: object) -> set[str]:
    """Names of the knobs; everything of the repository is editable, or among `others`."""
    launched = Launched((command,), complete=True, **more)  # type: ignore[arg-type]
    return set(find_knobs(files, launched))


def reasons(files: dict[str, str], command: tuple[str, ...], **more: object) -> dict[str, str]:
    launched = Launched((command,), complete=True, **more)  # type: ignore[arg-type]
    return {each.constant.name: each.why for each in survey(files, launched).left_out}


def test_autoresearch_has_its_constants_and_nothing_of_its_algorithms() -> None:
    found = knobs({"train.py": AUTORESEARCH}, ("uv", "run", "train.py"), others={"prepare.py": "MAX_SECONDS = 300\n"})
    names = {"DEPTH", "MATRIX_LR", "ADAM_BETAS[0]", "ADAM_BETAS[1]", "GPTConfig.softcap"}
    assert found == {f"train.py:{name}" for name in names}


def test_what_is_part_of_an_algorithm_is_known_by_what_it_is_and_not_by_its_name() -> None:
    renamed = AUTORESEARCH.replace("polar_express_coeffs", "table").replace("H100_BF16_PEAK_FLOPS", "RATE")
    why = reasons({"train.py": renamed}, ("python", "train.py"), others={"prepare.py": ""})
    for name in ("table[0][0]", "ns_abc[1]", "SCHEDULE[0][1]", "LOOPED[0]", "GELU", "RATE", 'SPEEDS["H100"]'):
        assert any(word in why[f"train.py:{name}"] for word in ("coefficient", "table", "machine")), name


def test_what_is_asked_for_is_a_knob_all_the_same() -> None:
    text = AUTORESEARCH.replace("GELU = 0.044715", "GELU = 0.044715  # knob: 0.03..0.06")
    found = knobs({"train.py": text}, ("python", "train.py"), others={"prepare.py": ""}, also=("ns_*",))
    assert {"train.py:GELU", "train.py:ns_abc[0]"} <= found


def test_a_pattern_of_the_project_file_wins_over_a_comment_of_the_code() -> None:
    text = "lr_coeffs = 0.5  # knob: 0.1..0.9\nLR = 0.1\n"
    assert knobs({"train.py": text}, ("python", "train.py"), never=LEFT_ALONE) == {"train.py:LR"}
    assert reasons({"train.py": text}, ("python", "train.py"), never=LEFT_ALONE) == {
        "train.py:lr_coeffs": '[knobs] never names "*_coeffs*"'
    }


def test_nanogpt_has_the_values_that_a_run_has_in_the_end() -> None:
    found = knobs(NANOGPT_FILES, NANOGPT_COMMAND, others={"configurator.py": CONFIGURATOR})
    assert found == {
        "config/small.py:batch_size", "config/small.py:learning_rate", "train.py:block_size", "train.py:weight_decay",
        "train.py:grad_clip", "train.py:beta_after",
    }  # fmt: skip


def test_nanogpt_says_what_overrides_the_others() -> None:
    assert reasons(NANOGPT_FILES, NANOGPT_COMMAND, others={"configurator.py": CONFIGURATOR}) == {
        "train.py:learning_rate": "config/small.py sets it",
        "train.py:batch_size": "config/small.py sets it",
        "train.py:dropout": "the command gives --dropout=0.2",
        "model.py:GPTConfig.block_size": "GPTConfig(…) is given its own, in train.py",
        "model.py:GPTConfig.dropout": "GPTConfig(…) is given its own, in train.py",
        "config/large.py:batch_size": "no run reads this file",
        "rig.py:WARMUP": "no run reads this file",
    }


def test_of_a_config_file_and_an_option_the_later_one_counts() -> None:
    files = {"train.py": NANOGPT, "config/small.py": "dropout = 0.3\n"}
    more = {"others": {"configurator.py": CONFIGURATOR, "model.py": NANOGPT_MODEL}}
    before = ("python", "train.py", "--dropout=0.2", "config/small.py")
    after = ("python", "train.py", "config/small.py", "--dropout=0.2")
    assert "config/small.py:dropout" in knobs(files, before, **more)
    assert reasons(files, after, **more)["config/small.py:dropout"] == "the command gives --dropout=0.2"


def test_nanochat_has_the_options_that_the_command_leaves_open() -> None:
    found = knobs(NANOCHAT_FILES, NANOCHAT_COMMAND)
    names = {"--embedding-lr", "--matrix-lr", "--fp8-recipe", "--window"}
    assert found == {f"scripts/train.py:{name}" for name in names} | {"chat/data.py:TOKENIZER_THREADS"}


def test_nanochat_says_why_the_others_are_left_out() -> None:
    assert reasons(NANOCHAT_FILES, NANOCHAT_COMMAND) == {
        "scripts/train.py:--depth": "the command gives --depth=4",
        "scripts/train.py:--warmup-steps": "the command gives --warmup-steps 20",
        "scripts/sft.py:LR": "no run reads this file",
        "chat/data.py:--num-shards": "no run starts this file",
    }


def test_an_option_takes_its_choices_and_no_others() -> None:
    found = find_knobs(NANOCHAT_FILES, Launched((NANOCHAT_COMMAND,), complete=True))
    assert found["scripts/train.py:--window"].values == (128, 256, 512)
    assert found["scripts/train.py:--fp8-recipe"].values == ("rowwise", "tensorwise")
    assert found["scripts/train.py:--matrix-lr"].constant.literal == "0.03", "set_defaults is what counts"


def test_modded_nanogpt_has_the_fields_of_its_hyperparameters() -> None:
    command = ("torchrun", "--standalone", "train_gpt.py")
    assert knobs({"train_gpt.py": MODDED}, command) == {
        f"train_gpt.py:Hyperparameters.{name}" for name in ("cooldown_frac", "muon_momentum")
    }
    assert reasons({"train_gpt.py": MODDED}, command)["train_gpt.py:Hyperparameters.head_lr"] == "train_gpt.py sets it"


@pytest.mark.parametrize(
    ("text", "command", "name", "why"),
    [
        ("LR = 0.1\np.add_argument('--lr', default=LR)\n", "--lr=0.2", "LR", "the command gives --lr=0.2"),
        ("p.add_argument('--lr', '-l', default=0.1)\n", "-l 0.2", "--lr", "the command gives -l 0.2"),
        ("p.add_argument('--lrate', default=0.1)\n", "--lra=0.2", "--lrate", "the command gives --lra=0.2"),
        ("p.add_argument('--a', dest='lr', default=0.1)\n", "--a 0.2", "--a", "the command gives --a 0.2"),
        ("import tyro\nclass C:\n    lr: float = 0.1\nargs = tyro.cli(C)\n", "--lr 0.2", "C.lr", "the command gives --lr 0.2"),
        ("import tyro\nclass C:\n    lr: float = 0.1\nargs = tyro.cli(C)\n", "--o.lr=2", "C.lr", "the command gives --o.lr=2"),
        ("@click.option('--lr', default=0.1)\ndef f(lr): ...\n", "--lr=2", "--lr", "the command gives --lr=2"),
        ("flags.DEFINE_float('lr', 0.1, 'rate')\n", "--lr=2", "--lr", "the command gives --lr=2"),
        ("class C:\n    lr: float = field(default=0.1)\nargs = cli.parse(C)\n", "--lr=2", "C.lr", "the command gives --lr=2"),
        ("lr = 0.1\nglobals().update(load())\n", "--lr=0.2", "lr", "the command gives --lr=0.2"),
    ],
)  # fmt: skip
def test_ways_in_which_a_command_overrides_a_value(text: str, command: str, name: str, why: str) -> None:
    words = ("python", "train.py", *command.split())
    assert reasons({"train.py": text + "OTHER = 0.5\n"}, words) == {f"train.py:{name}": why}


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("LR = 0.1\n", "--lr=0.2"),  # nothing reads options into it
        ("LR = 0.1\nprint(LR)\np.add_argument('--lr', default=LR)\n", "--lr=0.2"),  # used elsewhere too
        ("exec(open('c.py').read())\nLR = 0.1\n", "--LR=0.2"),  # set after the options were read
        ("class C:\n    LR = 0.1\nC()\n", "--LR=0.2"),
    ],
)
def test_what_is_not_overridden_stays_a_knob(text: str, command: str) -> None:
    assert any(name.endswith("LR") for name in knobs({"train.py": text}, ("python", "train.py", *command.split())))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("@click.option('--lr', default=0.1)\ndef f(lr): ...\n", "--lr"),
        ("flags.DEFINE_float('lr', 0.1, 'rate')\n", "--lr"),
        ("@dataclass\nclass C:\n    lr: float = field(default=0.1, metadata={'help': 'rate'})\n", "C.lr"),
        ("class C(BaseModel):\n    lr: float = Field(0.1, gt=0)\n", "C.lr"),
        ("class C:\n    LR = 0.1\n", "C.LR"),
    ],
)
def test_other_ways_of_giving_a_default(text: str, name: str) -> None:
    found = find_knobs({"train.py": text}, Launched((("python", "train.py"),), complete=True))
    assert set(found) == {f"train.py:{name}"}
    constant = found[f"train.py:{name}"].constant
    assert text[constant.start : constant.end] == constant.literal == "0.1"


def test_without_the_whole_repository_no_file_is_called_unread() -> None:
    found = find_knobs({"train.py": "A_LR = 0.1\n", "other.py": "B_LR = 0.1\n"}, Launched((("python", "train.py"),)))
    assert set(found) == {"train.py:A_LR", "other.py:B_LR"}


def test_code_that_finds_its_modules_by_itself_may_read_any_file() -> None:
    files = {"train.py": "import importlib\nA_LR = 0.1\n", "models/gpt.py": "B_LR = 0.1\n"}
    assert knobs(files, ("python", "train.py")) == {"train.py:A_LR", "models/gpt.py:B_LR"}


def test_sources_that_are_not_wanted_are_not_looked_at() -> None:
    assert knobs(NANOCHAT_FILES, NANOCHAT_COMMAND, sources=("constants",)) == {"chat/data.py:TOKENIZER_THREADS"}


def test_a_repository_without_knobs_says_what_was_left_out() -> None:
    context = Context(
        {"train.py": "p.add_argument('--lr', default=0.1)\n"},
        "",
        (),
        None,
        1,
        launched=Launched((("python", "train.py", "--lr=1"),)),
    )
    with pytest.raises(NothingToPropose, match=r"Left out: train.py:--lr \(the command gives --lr=1\)"):
        KnobsProposer().propose(context)


KERNELS = [
    ("DC_POST_CORR_BWD_WSMALL_QK_WARPS = 4", "a setting of a GPU kernel"),
    ("NUM_WARPS = 8", "a setting of a GPU kernel"),
    ("BLOCK_SIZE_M = 128", "a setting of a GPU kernel"),
    ("ATTN_FWD_BLOCK_K = 64", "a setting of a GPU kernel"),
    ("CE_KERNEL_BLOCK_SIZE = 256", "a setting of a GPU kernel"),
    ("PIPELINE_STAGES = 2", "a setting of a GPU kernel"),
    ("EPS = 1e-12", "a guard against division by zero"),
    ("RMS_TINY = 1e-30", "a guard against division by zero"),
    ("B_REF = 2**19", "a reference point that others are scaled by"),
    ("reference_depth = 12", "a reference point that others are scaled by"),
]


@pytest.mark.parametrize(("line", "why"), KERNELS)
def test_what_nobody_turns_to_train_better_is_left_alone(line: str, why: str) -> None:
    name = line.partition(" ")[0]
    assert why in reasons({"train.py": f"{line}\n"}, ("python", "train.py"))[f"train.py:{name}"]


@pytest.mark.parametrize(
    "line", ["block_size = 256", "ADAM_EPS = 1e-8", "stages = 3", "KERNEL_SIZE = 7", "prefer = 0.3", "eps = 1e-10"]
)
def test_what_only_looks_like_it_may_be_turned(line: str) -> None:
    assert knobs({"train.py": f"{line}\n"}, ("python", "train.py")) == {f"train.py:{line.partition(' ')[0]}"}


@pytest.mark.parametrize(
    ("later", "turned"),
    [
        ("if ratio != 1.0:\n    scale = ratio ** 0.5\n", False),
        ("try:\n    scale = float(given)\nexcept ValueError:\n    pass\n", False),
        ("if fast:\n    scale = scale * 2\n", True),
        ("if fast:\n    other = ratio ** 0.5\n", True),
    ],
)
def test_a_name_that_begins_at_one_and_is_calculated_later_is_no_knob(later: str, turned: bool) -> None:
    files = {"train.py": f"WIDTH = 8\nscale = 1.0\n{later}"}
    assert ("train.py:scale" in knobs(files, ("python", "train.py"))) == turned
