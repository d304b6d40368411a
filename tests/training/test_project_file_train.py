"""What a project file says about starting a run holds in a real run in the sandbox: folder, words, variables, interpreter,
what it may read, and a tree of its own; a mistake names its line and what to do."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app.loop.project.projects import ProjectRefused, create_project, require_reach
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.small_project import git
from tests.training_samples import SCORING, Rig, small_corpus
from training import uv_environment
from training.launch import CannotLaunch, Launch, filled, folders_of, has_place, program, unknown_places
from training.sandbox import Level, NoSandbox, best_level
from training.spec import Outcome, RunResult
from training.uv_environment import environment_of, files_of, name_of, uv


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("launch")
    folder.chmod(0o755)
    for above in folder.parents[:2]:
        above.chmod(0o755)
    return Rig(folder, small_corpus(folder))


@pytest.fixture(params=["strong", "basic"])
def level(request: pytest.FixtureRequest) -> Level:
    wanted = Level(request.param)
    try:
        best_level(wanted)
    except NoSandbox as reason:
        pytest.skip(str(reason))
    return wanted


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A person's home folder, closed to others, as /root is."""
    folder = tmp_path / "person"
    (folder / ".cache" / "autoresearch").mkdir(parents=True)
    (folder / ".cache" / "autoresearch" / "tokenizer.txt").write_text("512 merges")
    (folder / ".cache" / "secret").mkdir()
    (folder / ".cache" / "secret" / "key.txt").write_text("s3cret")
    folder.chmod(0o700)
    monkeypatch.setenv("HOME", str(folder))
    yield folder
    folder.chmod(0o755)


def run(rig: Rig, level: Level, files: dict[str, str], command: tuple[str, ...], launch: Launch, **more: object) -> RunResult:
    tree = rig.folder / f"tree-{len(list(rig.folder.glob('tree-*')))}"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    values: dict[str, object] = {"command": command, "launch": launch, "level": level, "scoring": SCORING, "wall_limit": 60.0}
    return rig.run(tree, **{**values, **more})


SAYS_WHERE = "import os, sys\nprint(os.getcwd(), sys.argv[1:])\nprint('score: 1.5')\n"


def test_a_target_in_a_subfolder_is_run_there_and_imports_what_lies_beside_it(rig: Rig, level: Level) -> None:
    files = {
        "experiments/gpt/train.py": "import model\nprint('score:', model.SIZE)\n",
        "experiments/gpt/model.py": "SIZE = 7\n",
    }
    result = run(rig, level, files, ("python", "train.py"), Launch(directory="experiments/gpt"))
    assert (result.outcome, result.score) == (Outcome.completed, 7.0), result.reason


def test_places_of_the_command_are_filled_in(rig: Rig, level: Level) -> None:
    command = ("python", "train.py", "--out_dir={out}", "--seed={seed}", "{device}", "--max={budget}", "{{seed}}", "{data}")
    result = run(rig, level, {"train.py": SAYS_WHERE}, command, Launch(), seed=11)
    assert "--seed=11" in result.log and "'cpu'" in result.log and "--max=300000000" in result.log and "'{seed}'" in result.log
    assert "scratch-" in result.log and str(rig.corpus.visible) in result.log


def test_variables_are_set_with_their_places_and_there_is_a_user_name(rig: Rig, level: Level) -> None:
    source = "import os, getpass\nprint(os.environ['WANDB_MODE'], os.environ['RUN'], getpass.getuser())\nprint('score: 1')\n"
    launch = Launch(variables={"WANDB_MODE": "offline", "RUN": "seed-{seed}"})
    result = run(rig, level, {"train.py": source}, ("python", "train.py"), launch, seed=4)
    assert "offline seed-4 signoff" in result.log, result.reason


READS = """
import os
from pathlib import Path
place = Path.home() / ".cache" / "autoresearch" / "tokenizer.txt"
print("found", place.read_text())
try:
    place.write_text("other")
    print("written")
except OSError as error:
    print("refused", error.strerror)
(Path.home() / ".cache" / "own").mkdir(parents=True, exist_ok=True)
(Path.home() / ".cache" / "own" / "file").write_text("mine")
print("score: 1")
"""


def test_a_named_folder_below_home_is_seen_at_its_place_and_cannot_be_written_to(rig: Rig, level: Level, home: Path) -> None:
    launch = Launch(read=("~/.cache/autoresearch",))
    result = run(rig, level, {"train.py": READS}, ("python", "train.py"), launch)
    assert "found 512 merges" in result.log and "refused" in result.log and result.score == 1, (result.reason, result.log)
    assert (home / ".cache" / "autoresearch" / "tokenizer.txt").read_text() == "512 merges"


def test_what_is_not_named_is_hidden_and_the_key_is_said_of_code_that_people_brought(
    rig: Rig, level: Level, home: Path
) -> None:
    files = {"train.py": READS}
    said = run(rig, level, files, ("python", "train.py"), Launch(), explain=True).reason
    assert "~/.cache/autoresearch/tokenizer.txt is on this machine, and the sandbox hides it: [train] read = " in said, said
    of_a_candidate = run(rig, level, files, ("python", "train.py"), Launch()).reason
    assert "on this machine" not in of_a_candidate, "a candidate's code could ask which files there are"


def test_a_folder_that_is_not_there_is_named_with_its_key(rig: Rig, level: Level, home: Path) -> None:
    with pytest.raises(CannotLaunch, match=r"\[train\] read names ~/.cache/gone, and there is no"):
        run(rig, level, {"train.py": READS}, ("python", "train.py"), Launch(read=("~/.cache/gone",)))


def test_a_program_that_the_sandbox_hides_is_not_said_to_be_missing(
    rig: Rig, level: Level, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bin").mkdir()
    (home / "bin" / "uv").write_text("#!/bin/sh\n")
    (home / "bin" / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home / 'bin'}:{os.environ['PATH']}")
    said = run(rig, level, {"train.py": ""}, ("uv", "run", "train.py"), Launch(), explain=True).reason
    assert f"uv is {home / 'bin' / 'uv'} on this machine, and the sandbox hides it" in said and "[train] python" in said, said


WRITES = """
import os
os.makedirs("out-shakespeare-char", exist_ok=True)
open("out-shakespeare-char/ckpt.pt", "w").write("x")
open("train.py", "a").write("# changed by itself\\n")
print("score: 2")
"""


def test_a_writable_tree_is_a_copy_that_is_thrown_away(rig: Rig, level: Level) -> None:
    result = run(rig, level, {"train.py": WRITES, "lib/a.py": ""}, ("python", "train.py"), Launch(writable_tree=True))
    assert (result.outcome, result.score) == (Outcome.completed, 2.0), result.reason
    trees = [path.read_text() for path in rig.folder.glob("tree-*/train.py")]
    assert not any(text.endswith("# changed by itself\n") for text in trees)
    refused = run(rig, level, {"train.py": WRITES}, ("python", "train.py"), Launch())
    assert refused.outcome == Outcome.crashed


def test_an_own_virtual_environment_is_used_with_what_is_installed_in_it(rig: Rig, level: Level, tmp_path: Path) -> None:
    environment = tmp_path / "research env"
    venv.create(environment, with_pip=False, symlinks=True)
    [site] = environment.glob("lib/python3*/site-packages")
    (site / "their_package.py").write_text("VALUE = 42\n")
    source = "import sys, their_package\nprint(sys.prefix)\nprint('score:', their_package.VALUE)\n"
    for command in (("python", "train.py"), ("uv", "run", "train.py"), ("uv", "run", "python", "train.py")):
        result = run(rig, level, {"train.py": source}, command, Launch(python=environment))
        assert (result.outcome, result.score) == (Outcome.completed, 42.0), (result.reason, result.log)
        assert str(environment) in result.log


def test_an_environment_that_is_not_there_is_named_with_its_key(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(CannotLaunch, match=r"\[train\] python names .*give the folder of a virtual environment"):
        program(("python", "t.py"), Launch(python=tmp_path / "nothing"))


def test_a_linked_interpreter_leads_to_its_installation(tmp_path: Path) -> None:
    venv.create(tmp_path / "own", with_pip=False, symlinks=True)
    found = folders_of(tmp_path / "own")
    assert tmp_path / "own" in found and Path(sys.base_prefix) in [path.resolve() for path in found]


def test_places_are_found_and_filled() -> None:
    assert filled("{seed}/{{seed}}/{other}", {"seed": "3"}) == "3/{seed}/{other}"
    assert unknown_places("{seed} {sede} {{x}} {A} {}") == ["sede"]
    assert has_place(("a", "--seed={seed}"), "seed") and not has_place(("{{seed}}",), "seed")


@pytest.mark.one_in(2)
def test_the_first_step_may_take_long_and_the_limit_counts_from_it(rig: Rig, level: Level) -> None:
    source = "import time\ntime.sleep({})\nprint('step 1 loss 2.0', flush=True)\ntime.sleep({})\nprint('score: 1')\n"
    late = {"first_step_limit": 6.0, "wall_limit": 2.0}
    assert run(rig, level, {"t.py": source.format(4, 0.5)}, ("python", "t.py"), Launch(), **late).outcome == Outcome.completed
    slow = run(rig, level, {"t.py": source.format(1, 30)}, ("python", "t.py"), Launch(), **late)
    assert slow.outcome == Outcome.timed_out and "2 s from its first step" in slow.reason
    never = run(rig, level, {"t.py": source.format(30, 1)}, ("python", "t.py"), Launch(), **{**late, "first_step_limit": 2.0})
    assert never.outcome == Outcome.timed_out and "[limits] first_step_seconds" in never.reason


# uv.lock.

WHEEL = {
    "their_package.py": b"VALUE = 42\n",
    "their_package-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n",
    "their_package-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
PYPROJECT = """
[project]
name = "autoresearch"
version = "0"
requires-python = ">=3.11"
dependencies = ["their-package"]
[[tool.uv.index]]
name = "local"
url = "{}"
format = "flat"
default = true
"""


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A repository with pyproject.toml and uv.lock, whose one package lies in a folder."""
    wheels, repository = tmp_path / "wheels", tmp_path / "repository"
    wheels.mkdir()
    repository.mkdir()
    with zipfile.ZipFile(wheels / "their_package-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in WHEEL.items():
            wheel.writestr(name, content)
        digests = {
            name: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=") for name, content in WHEEL.items()
        }
        record = "".join(f"{name},sha256={digest.decode()},{len(WHEEL[name])}\n" for name, digest in digests.items())
        wheel.writestr("their_package-1.0.dist-info/RECORD", f"{record}their_package-1.0.dist-info/RECORD,,\n")
    (repository / "pyproject.toml").write_text(PYPROJECT.format(wheels))
    subprocess.run([*uv(), "lock", "--offline", "--quiet"], cwd=repository, check=True)
    return repository


def test_the_environment_of_uv_lock_is_made_once_and_its_packages_are_there(
    rig: Rig, level: Level, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = rig.folder / f"environments-{level}"
    made = environment_of(locked, ".", kept)
    monkeypatch.setattr(uv_environment, "uv", None)  # not asked a second time
    (locked / "experiments").mkdir()
    assert environment_of(locked, "experiments", kept) == made
    source = "import their_package\nprint('score:', their_package.VALUE)\n"
    result = run(rig, level, {"train.py": source}, ("uv", "run", "train.py"), Launch(python=made))
    assert (result.outcome, result.score) == (Outcome.completed, 42.0), (result.reason, result.log)


def test_an_extra_of_the_lock_file_is_installed_only_where_it_is_asked_for(locked: Path) -> None:
    text = (locked / "pyproject.toml").read_text()
    moved = text.replace('dependencies = ["their-package"]', '[project.optional-dependencies]\ncpu = ["their-package"]')
    (locked / "pyproject.toml").write_text(moved)
    subprocess.run([*uv(), "lock", "--offline", "--quiet"], cwd=locked, check=True)
    kept = locked.parent / "kept"
    plain, wanted = environment_of(locked, ".", kept), environment_of(locked, ".", kept, ["cpu"])
    there = [bool(list(place.glob("lib/python*/site-packages/their_package*"))) for place in (plain, wanted)]
    assert plain != wanted and there == [False, True]
    with pytest.raises(CannotLaunch, match="gpu"):
        environment_of(locked, ".", kept, ["gpu"])


def test_another_lock_file_is_another_environment(locked: Path, tmp_path: Path) -> None:
    before = name_of(files_of(locked, "."))
    (locked / "uv.lock").write_text((locked / "uv.lock").read_text() + "# later\n")
    assert name_of(files_of(locked, ".")) != before


def test_a_lock_that_cannot_be_satisfied_says_what_uv_said_and_leaves_nothing_that_is_taken_for_ready(locked: Path) -> None:
    shutil.rmtree(locked.parent / "wheels")
    for _ in range(2):
        with pytest.raises(CannotLaunch, match=r"uv sync could not make the environment of uv.lock.*their"):
            environment_of(locked, ".", locked.parent / "kept")


def test_a_repository_without_a_lock_file_is_told_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CannotLaunch, match="run `uv lock` there and commit it"):
        environment_of(tmp_path, ".", tmp_path / "kept")


def test_candidates_may_not_change_what_the_environment_is_made_from() -> None:
    said = refused('[train]\npython = "uv"\n[edit]\neditable = ["*"]\nprotected = ["prepare.py"]\n')
    assert "lets candidates change uv.lock" in said and 'add "uv.lock" to protected' in said
    within = refused('[train]\npython = "uv"\ndirectory = "a/b"\n[edit]\neditable = ["a/*"]\nprotected = ["a/b/*"]\n')
    assert "lets candidates change a/uv.lock" in within
    read_project_file('[train]\npython = "uv"\n[edit]\neditable = ["train.py"]\n')


# The file.


def refused(text: str) -> str:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(text, "project.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('command = "python train.py --x"', 'write a list of words: ["python", "train.py", "--x"]'),
        ('command = ["python", "--s={sede}"]', "nothing is known to put into {sede}; known: {out}, {seed}"),
        ('command = ["uv", "run", "train.py"]', 'write python = "uv"'),
        ('directory = "/srv/gpt"', "write a folder below the root of the repository"),
        ('directory = "../gpt"', "write a folder below the root of the repository"),
        ('python = "python3.12"', 'write "worker", "uv", or the path of a virtual environment'),
        ('python = "venv/bin"', 'write "worker", "uv", or the path of a virtual environment'),
        ('env = { SIGNOFF_SEED = "3" }', "SIGNOFF_SEED is set for every run by Signoff"),
        ('env = { CUDA_VISIBLE_DEVICES = "3" }', "it names the devices that the run leased"),
        ('env = { HOME = "/x" }', "name what it should find there in read"),
        ('env = { "A B" = "3" }', "no name of a variable"),
        ('env = { X = "{nothing}" }', "nothing is known to put into {nothing}"),
        ("env = { X = 3 }", "valid string"),
        ('read = [".cache/x"]', "begin with / or ~/"),
        ('read = ["~"]', "begin with / or ~/"),
        ('read = ["~/../other"]', "begin with / or ~/"),
        ('read = ["/"]', "all that there is to hide"),
        ('read = ["/home"]', "all that there is to hide"),
        ('writable_tree = "sometimes"', "valid boolean"),
        ("writeable_tree = true", "writeable_tree is not a known key; known here: directory, python"),
    ],
)
def test_a_mistake_names_its_line_and_what_to_do(line: str, said: str) -> None:
    text = f"# how it is trained\n[train]\n\n{line}\n"
    found = refused(text)
    assert found.startswith("project.toml, line 4: train") and said in found, found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("wall_seconds = 0", "greater than 0"), ("first_step_seconds = -1", "greater than or equal to 0"),
        ('files_gb = "much"', "valid number"),
        ("memory_gb = 3", "known here: wall_seconds, first_step_seconds"),
    ],
)  # fmt: skip
def test_limits_name_their_line(line: str, said: str) -> None:
    found = refused(f"[limits]\n{line}\n")
    assert found.startswith("project.toml, line 2: limits") and said in found


def test_limits_win_over_what_train_says_and_rungs_over_both() -> None:
    file = read_project_file(
        "[train]\nwall_limit_seconds = 100\nmemory_limit_mb = 1000\n[limits]\nwall_seconds = 900\nhost_memory_gb = 2\n"
        '[[ladder]]\nname = "S"\nseeds = 2\n[[ladder]]\nname = "M"\nbudget = 2\nwall_limit_seconds = 50\n'
    )
    assert (file.wall_seconds, file.memory_mb) == (900, 2048)
    assert [(rung.wall_limit_seconds, rung.memory_limit_mb) for rung in file.rungs] == [(900, 2048), (50, 2048)]
    assert ProjectFile().wall_seconds == 180 and ProjectFile().memory_mb == 4096


def test_a_file_of_before_these_keys_is_read_as_it_was() -> None:
    stored = ProjectFile().model_dump(mode="json")
    for name in ("directory", "python", "env", "read", "writable_tree"):
        del stored["train"][name]
    del stored["limits"]
    assert ProjectFile.model_validate(stored).launch() == Launch()


@pytest.mark.django_db
def test_a_folder_that_the_repository_does_not_have_is_said_at_creation(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=baseline")
    (tmp_path / "train.py").write_text("x = 1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "--quiet", "-m", "Begin")
    file = read_project_file('[train]\ndirectory = "experiments"\n[data]\ncorpus = "none"\n')
    with pytest.raises(ProjectRefused, match=r"\[train\] directory is experiments"):
        create_project("sub", source=str(tmp_path), file=file)


def test_runs_never_read_signoffs_own_files(settings: object) -> None:
    from django.conf import settings as ours

    for name in (ours.HOME, ours.HOME.parent, ours.HOME / "corpus"):
        file = ProjectFile.model_validate({"train": {"read": [str(name)]}}) if len(name.parts) > 2 else None
        if file:
            with pytest.raises(ProjectRefused, match="held-out text"):
                require_reach(file)
