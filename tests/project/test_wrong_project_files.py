"""A wrong project file names its line and the mend, whatever kind of mistake it is."""

import pytest

from research_app.project_file.project_file import ProjectFileError, read_project_file

WRONG = [
    ("no TOML", "[train\n", "line 1", "Expected"),
    ("a table that nobody knows", "[trian]\n", "line 1: trian is not a known key", "known here: train, limits"),
    ("a key that nobody knows", "[train]\n\ndevise = 1\n", "line 3: train.devise is not a known key", "known here: directory"),
    (
        "a command as one text",
        "[train]\ncommand = 'python train.py'\n",
        "line 2: train.command",
        'a list of words: ["python", "train.py"]',
    ),
    ("a command of numbers", "[train]\ncommand = [1]\n", "line 2: train.command", "valid string"),
    ("an empty command", "[train]\ncommand = []\n", "line 2: train.command", "at least 1 item"),
    (
        "a place that nothing is put into",
        '[train]\ncommand = ["a", "{sede}"]\n',
        "line 2: train.command",
        "known: {out}, {seed}",
    ),
    (
        "uv run without an environment",
        '[train]\ncommand = ["uv", "run", "a.py"]\n',
        "line 2: train.command",
        'write python = "uv"',
    ),
    ("a folder outside", '[train]\ndirectory = "../x"\n', "line 2: train.directory", "write a folder below the root"),
    ("an interpreter that is none", '[train]\npython = "conda"\n', "line 2: train.python", 'write "worker", "uv", or the path'),
    ("extras without a lock", '[train]\nextras = ["cpu"]\n', "line 2: train.extras", 'where python = "uv" alone'),
    ("an extra that is none", '[train]\npython = "uv"\nextras = ["--index"]\n', "line 3: train.extras", "no name of an extra"),
    (
        "a variable of Signoff's",
        '[train]\nenv = { HOME = "/x" }\n',
        "line 2: train.env",
        "name what it should find there in read",
    ),
    ("all of the machine to read", '[train]\nread = ["/"]\n', "line 2: train.read", "name the folders below it"),
    ("a relative folder to read", '[train]\nread = ["data"]\n', "line 2: train.read", "begin with / or ~/"),
    ("a limit that is no number", '[limits]\nwall_seconds = "5 min"\n', "line 2: limits.wall_seconds", "valid number"),
    ("a limit of nothing", "[limits]\nfiles_gb = 0\n", "line 2: limits.files_gb", "greater than 0"),
    ("a seed that cannot arrive", '[seed]\nhow = "argument"\n', "line 2: file", 'write for example "--seed={seed}"'),
    (
        "a patch without its place",
        '[seed]\nhow = "patch"\n',
        "line 1: seed",
        'needs file, text and put, for example file = "train.py"',
    ),
    ("a source that is unknown", '[metric]\nsource = "wandb-online"\n', "line 2: metric.source", "'autoresearch'"),
    (
        "a pattern without a group",
        '[metric]\nsource = "pattern"\nkey = "x"\npattern = "loss"\n',
        "line 4: metric.pattern",
        "(?P<val_bpb>",
    ),
    (
        "a pattern that is none",
        '[metric]\nsource = "pattern"\nkey = "x"\npattern = "(?P<x>"\n',
        "line 4: metric.pattern",
        "not a regular",
    ),
    (
        "a metric without its group",
        '[metric]\nsource = "pattern"\nkey = "y"\npattern = "(?P<x>.)"\n',
        "line 1: metric",
        "Write (?P<y>",
    ),
    ("a metric that is not printed", '[metric]\nsource = "nanogpt"\n', "line 1: metric", 'write key = "val_loss"'),
    (
        "a file outside the output",
        '[metric]\nsource = "csv"\nfile = "/x.csv"\n',
        "line 3: metric.file",
        'for example "logs/*.jsonl"',
    ),
    (
        "a fact that nobody reads",
        '[metric]\nsource = "csv"\nfacts = { vram = "x" }\n',
        "line 3: metric.facts",
        "known are device_memory",
    ),
    ("a budget of nothing", '[budget]\nkind = "tokens"\namount = 0\n', "line 1: budget", "greater than 0"),
    ("a tolerance of another budget", "[budget]\ntolerance = 0.1\n", "line 1: budget", 'belongs to kind = "own"'),
    (
        "an own budget that is put somewhere",
        '[budget]\nkind = "own"\n[train]\ncommand = ["a", "{budget}"]\n',
        "line 4",
        "write one",
    ),
    (
        "an environment that may be edited",
        '[train]\npython = "uv"\n[edit]\neditable = ["*"]\n',
        "line 3",
        'add "uv.lock" to protected',
    ),
    (
        "a ladder that does not grow",
        '[[ladder]]\nname = "S"\n[[ladder]]\nname = "M"\n',
        "line 1: ladder",
        "each larger than the one",
    ),
    ("a control character", '[metric]\nname = "a\\u0000b"\n', "line 2: metric.name", "Leave it out"),
]


@pytest.mark.parametrize(("kind", "text", "where", "mend"), WRONG, ids=[kind for kind, *_ in WRONG])
def test_it_names_its_line_and_the_mend(kind: str, text: str, where: str, mend: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(text, "project.toml")
    said = str(caught.value)
    assert said.startswith("project.toml") and where in said, said
    assert mend in said, said


def test_there_are_twenty_kinds_and_more() -> None:
    assert len({kind for kind, *_ in WRONG}) >= 20


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file('[train]\npython = "x"\ndevise = 1\n[limits]\nfiles_gb = 0\n')
    assert len(str(caught.value).splitlines()) == 3
