"""No code block of a document is only looked at: it is run, parsed, checked word by word, or says what it illustrates."""

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from collections import Counter

import pytest
from celery.bin.celery import celery
from click import UsageError
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError

from research_app.home import CODE
from research_app.project_file.project_file import read_project_file
from tests.house.blocks import DOCUMENTS_THAT_ARE_FOLLOWED, KINDS, Block, blocks, commands

BLOCKS = list(blocks())
PRODUCT = (["manage.py"], ["python", "manage.py"], [".venv/bin/python", "manage.py"], ["signoff"], [".venv/bin/signoff"])
SHELL = {"cd", "done", "eval", "export", "for"}
SYSTEM = {*SHELL, "cat", "cp", "curl", "echo", "git", "head", "ls", "mkdir", "sed", "tail", "true"}
OTHERS = {"claude", "mlflow", "tensorboard", "wandb"}  # programs of others, which the documents tell how to use with ours


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind in kinds], ids=str)


def test_every_block_is_of_a_kind_and_an_illustration_says_of_what() -> None:
    assert [str(block) for block in BLOCKS if block.kind not in KINDS] == []
    assert [str(block) for block in BLOCKS if block.kind == "text" and not block.note.startswith("illustration: ")] == []
    assert len(BLOCKS) > 60 and Counter(block.kind for block in BLOCKS)["text"] < 12


def test_a_block_that_is_run_stands_in_a_document_that_a_test_follows() -> None:
    followed = {block.document for block in BLOCKS if block.kind == "sh"}
    assert followed == set(DOCUMENTS_THAT_ARE_FOLLOWED)
    for document, test in DOCUMENTS_THAT_ARE_FOLLOWED.items():
        text = (CODE / test).read_text(encoding="utf-8")
        assert document.rsplit("/", 1)[1] in text or "tests.tutorial" in text, test


@of_kind("sh", "bash")
def test_a_script_is_one_that_a_shell_can_read(block: Block) -> None:
    read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert read.returncode == 0 and not read.stderr, read.stderr


@of_kind("bash")
def test_every_command_of_a_script_is_there_with_its_options(block: Block) -> None:
    for words in commands(block.text):
        check(words)


def check(words: list[str]) -> None:
    """Raises AssertionError for a command that is not there, CommandError or UsageError for options that it has not."""
    program = words[0].rsplit("/", 1)[-1]
    ours = next((begin for begin in PRODUCT if words[: len(begin)] == begin), None)
    if ours:
        check_product(words[len(ours) :])
    elif program == "make":
        targets = set(re.findall(r"^([\w-]+):", (CODE / "Makefile").read_text(), re.MULTILINE))
        assert set(words[1:]) <= targets, words
    elif program in ("python", "pytest"):
        check_python(words)
    elif program == "celery":
        celery.main(args=[*words[1:], "--help"], prog_name="celery", standalone_mode=False)
    else:
        assert program in SYSTEM | OTHERS, words
        assert program in OTHERS | SHELL or shutil.which(program), words


def check_python(words: list[str]) -> None:
    """Raises AssertionError or SyntaxError where there is no such module, no such file or no such statement."""
    if words[1] == "-m":
        assert importlib.util.find_spec(words[2]), words
    elif words[1] == "-c":
        compile(words[2], "block", "exec")
    else:
        assert any((CODE / folder / words[1]).exists() for folder in (".", "training/targets/default")), words


def check_product(words: list[str]) -> None:
    """Parse the words as the command does, without running it. Raises CommandError where the command refuses them."""
    assert words[0] in get_commands(), words
    command = load_command_class(get_commands()[words[0]], words[0])
    command.create_parser("manage.py", words[0]).parse_args(words[1:])


@pytest.mark.parametrize(
    "words",
    [
        ["make", "tea"],
        ["signoff", "brew"],
        ["signoff", "loop", "--sugar"],
        ["manage.py", "project", "melt", "demo"],
        ["python", "-m", "tests.nothing"],
        ["celery", "-A", "research_app", "worker", "--sugar"],
        ["teapot", "--boil"],
    ],
    ids=" ".join,
)
def test_a_command_that_is_not_there_or_an_option_that_it_has_not_is_seen(words: list[str]) -> None:
    with pytest.raises((AssertionError, CommandError, ModuleNotFoundError, UsageError)):
        check(words)


@of_kind("toml")
def test_a_project_file_is_read_by_the_product_itself(block: Block) -> None:
    assert tomllib.loads(block.text)
    read_project_file(block.text)


@of_kind("python")
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@of_kind("json", "tsv")
def test_data_can_be_read(block: Block) -> None:
    if block.kind == "json":
        json.loads(block.text)
    else:
        assert len({line.count("\t") for line in block.text.strip().splitlines()}) == 1


def test_what_the_readme_says_of_folders_is_there() -> None:
    [tree] = [block for block in BLOCKS if block.document == "README.md" and block.note.startswith("illustration: folders")]
    named = [line.split()[0] for line in tree.text.splitlines()]
    assert len(named) > 10 and [name for name in named if not (CODE / name).exists()] == []
