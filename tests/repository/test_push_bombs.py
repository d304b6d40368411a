"""A push that is small on the wire and large inside is refused in words, before it takes memory, and so is whatever git would
be long busy with."""

import hashlib
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from research_app.repository import PatchError, Repository, intake
from research_app.repository.git import Bounds as GitBounds
from research_app.repository.pack import Bounds, check_pack
from tests.factories import FILES

MIB = 1 << 20
BLOB, TREE, COMMIT, NAMED_DELTA = 3, 2, 1, 7


def entry(kind: int, size: int, packed: bytes, extra: bytes = b"") -> bytes:
    """One object of a pack, whatever its head says."""
    head, rest = [(kind << 4) | (size & 15)], size >> 4
    while rest:
        head[-1] |= 0x80
        head.append(rest & 0x7F)
        rest >>= 7
    return bytes(head) + extra + packed


def whole(kind: int, data: bytes) -> bytes:
    return entry(kind, len(data), zlib.compress(data, 9))


def pack_of(*entries: bytes, count: int | None = None) -> bytes:
    body = b"PACK" + struct.pack(">II", 2, len(entries) if count is None else count) + b"".join(entries)
    return body + hashlib.sha1(body).digest()


def name_of(kind: bytes, data: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(data) + data).hexdigest()


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append((number & 0x7F) | (0x80 if number >> 7 else 0))
        number >>= 7
        if not number:
            return bytes(out)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("bombed")
    contents = {path: text.encode() for path, text in FILES.items()}
    return Repository.create(folder / "repository.git", "baseline", contents, "Begin")


class Built:
    """A commit on the baseline with a tree of one's own making, as a pack."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.objects: dict[str, tuple[int, bytes]] = {}

    def blob(self, data: bytes) -> str:
        return self._add(BLOB, b"blob", data)

    def tree(self, *rows: tuple[str, bytes, str]) -> str:
        ordered = sorted(rows, key=lambda row: row[1] + (b"/" if row[0] == "40000" else b""))
        lines = [f"{mode} ".encode() + name + b"\0" + bytes.fromhex(which) for mode, name, which in ordered]
        return self._add(TREE, b"tree", b"".join(lines))

    def commit(self, tree: str, parent: str = "", message: str = "x") -> str:
        who = "a <a@example.org> 1700000000 +0000"
        text = f"tree {tree}\nparent {parent or self.repository.tip()}\nauthor {who}\ncommitter {who}\n\n{message}\n"
        return self._add(COMMIT, b"commit", text.encode())

    def _add(self, kind: int, word: bytes, data: bytes) -> str:
        name = name_of(word, data)
        self.objects[name] = (kind, data)
        return name

    def take(self, commit: str) -> intake.Pushed:
        pack = pack_of(*(whole(kind, data) for kind, data in self.objects.values()))
        return intake.take(self.repository, commit, pack)


def train_py(repository: Repository) -> str:
    return subprocess.run(
        ["git", f"--git-dir={repository.path}", "rev-parse", "baseline:train.py"], capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip


# What stands in the pack.

ZEROS = zlib.compress(bytes(400 * MIB), 9)
BOMBS: dict[str, Callable[[], bytes]] = {
    "400 MB of zeros": lambda: pack_of(entry(BLOB, 400 * MIB, ZEROS)),
    "400 MB that say they are 100 bytes": lambda: pack_of(entry(BLOB, 100, ZEROS)),
    "many objects of 7 MB": lambda: pack_of(*[whole(BLOB, bytes(7 * MIB) + bytes([n])) for n in range(20)]),
    "a delta to 4 GB": lambda: pack_of(_delta(4 << 30, 1)),
    "a delta of 4 GB": lambda: pack_of(_delta(10, 1, base=4 << 30)),
    "many deltas to 7 MB": lambda: pack_of(*[_delta(7 * MIB, n) for n in range(20)]),
    "a million objects that are not there": lambda: pack_of(count=1_000_000),
    "20,000 small objects": lambda: pack_of(*[whole(BLOB, b"%d" % n) for n in range(20_000)]),
    "a size of 2**70": lambda: b"PACK" + struct.pack(">II", 2, 1) + b"\xbf" + b"\xff" * 12 + bytes(40),
    "a head without an end": lambda: b"PACK" + struct.pack(">II", 2, 1) + b"\xff" * 40,
    "a delta without sizes": lambda: pack_of(entry(NAMED_DELTA, 1, zlib.compress(b"\xff"), bytes(20))),
    "a kind that there is not": lambda: pack_of(entry(5, 3, zlib.compress(b"abc"))),
    "no zlib": lambda: pack_of(entry(BLOB, 30, b"\x01" * 60)),
    "no pack": lambda: b"KCAP" + bytes(60),
    "nothing": lambda: b"PACK",
}  # fmt: skip


def _delta(result: int, salt: int, base: int = 10) -> bytes:
    data = varint(base) + varint(result) + bytes([salt]) * 8
    return entry(NAMED_DELTA, len(data), zlib.compress(data), bytes([salt]) * 20)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_git_sees_it(repository: Repository, bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = BOMBS[bomb]()
    monkeypatch.setattr(intake, "run_git", None)
    begun = time.monotonic()
    with pytest.raises(PatchError, match="push"):
        intake.take(repository, "1" * 40, pack)
    assert time.monotonic() - begun < 5


def test_400_megabytes_of_zeros_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(pack_of(entry(BLOB, 400 * MIB, ZEROS)))
    program = """
import resource, sys
from pathlib import Path
from research_app.repository import PatchError
from research_app.repository.git import Bounds as GitBounds
from research_app.repository.pack import Bounds, check_pack
pack = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bounds in (Bounds(), Bounds(of_object=1 << 40)):
    try:
        check_pack(pack, bounds)
    except PatchError:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "bomb"], capture_output=True, text=True, check=True)
    assert [int(kilobytes) < 8_000 for kilobytes in done.stdout.split()] == [True, True], done.stdout


# What stands in trees and commits: git itself is stopped.


def test_a_tree_of_a_few_objects_and_very_many_paths_is_refused(repository: Repository) -> None:
    built = Built(repository)
    inner = built.tree(("100644", b"a.py", built.blob(b"x = 1\n")))
    for _ in range(10):
        inner = built.tree(*[("40000", b"%02d" % n, inner) for n in range(20)])
    begun = time.monotonic()
    with pytest.raises(PatchError, match=r"more than can be read|files; at most"):
        built.take(built.commit(inner))
    assert time.monotonic() - begun < 30


def test_very_many_empty_folders_that_say_nothing_are_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "LOOKING", GitBounds(seconds=2))
    built = Built(repository)
    inner = built.tree()
    for _ in range(12):
        inner = built.tree(*[("40000", b"%02d" % n, inner) for n in range(20)])
    with pytest.raises(PatchError):
        built.take(built.commit(inner))


def test_a_tree_as_deep_as_ten_thousand_folders_is_refused(repository: Repository) -> None:
    built = Built(repository)
    inner = built.tree(("100644", b"a.py", built.blob(b"x = 1\n")))
    for _ in range(9_000):
        inner = built.tree(("40000", b"d", inner))
    with pytest.raises(PatchError):
        built.take(built.commit(inner))


def test_a_file_name_of_a_megabyte_is_refused(repository: Repository) -> None:
    built = Built(repository)
    long = built.tree(("100644", b"n" * 500_000 + b".py", built.blob(b"x = 1\n")))
    with pytest.raises(PatchError, match="file name of 500,003 bytes"):
        built.take(built.commit(long))


def test_five_thousand_files_are_refused(repository: Repository) -> None:
    built = Built(repository)
    blob = built.blob(b"x = 1\n")
    with pytest.raises(PatchError, match=r"5,00. files; at most 200"):
        built.take(built.commit(built.tree(*[("100644", b"f%05d.py" % n, blob) for n in range(5_000)])))


def test_large_files_are_refused_by_what_they_come_to(repository: Repository) -> None:
    built = Built(repository)
    rows = [("100644", b"f%d.py" % n, built.blob(os.urandom(300_000).hex().encode() * 10)) for n in range(4)]
    with pytest.raises(PatchError, match="more than 16 MB"):
        built.take(built.commit(built.tree(*rows)))


def test_a_message_of_megabytes_is_refused(repository: Repository) -> None:
    built = Built(repository)
    tree = built.tree(("100644", b"train.py", built.blob(b"x = 1\n")))
    with pytest.raises(PatchError):
        built.take(built.commit(tree, message="m" * 5 * MIB))


def test_a_submodule_is_left_to_the_checks_of_a_change(repository: Repository) -> None:
    built = Built(repository)
    tree = built.tree(("100644", b"train.py", train_py(repository)), ("160000", b"module", "1" * 40))
    assert "module" in built.take(built.commit(tree)).patch


def test_an_honest_commit_of_many_files_comes_through(repository: Repository) -> None:
    built = Built(repository)
    rows = [("100644", b"f%03d.py" % n, built.blob(b"x = %d\n" % n)) for n in range(150)]
    pushed = built.take(built.commit(built.tree(("100644", b"train.py", train_py(repository)), *rows)))
    assert pushed.patch.count("diff --git") == 152, "with the two files that it leaves out"


def test_every_pack_that_git_makes_is_walked_to_its_end(repository: Repository, tmp_path: Path) -> None:
    """Deltas of both kinds, small and large objects: what the walk reads is what git wrote."""
    clone = tmp_path / "clone"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "clone", "--quiet", "--branch", "baseline", str(repository.path), str(clone)], check=True)
    text = "".join(f"value_{n} = {n}\n" for n in range(20_000))
    for turn in range(6):
        (clone / "large.py").write_text(text.replace("value_5", f"number_{turn}"))
        (clone / f"random{turn}.py").write_text(os.urandom(50_000).hex())
        subprocess.run([*git, "-C", str(clone), "add", "-A"], check=True)
        subprocess.run([*git, "-C", str(clone), "commit", "--quiet", "-m", f"turn {turn}"], check=True)
    for options in (["--delta-base-offset"], ["--thin"], ["--depth=50", "--window=50"]):
        made = subprocess.run(
            ["git", "-C", str(clone), "pack-objects", "--revs", "--stdout", "--quiet", *options],
            input=b"HEAD\n^HEAD~3\n" if "--thin" in options else b"HEAD\n", capture_output=True, check=True,
        )  # fmt: skip
        check_pack(made.stdout)
        with pytest.raises(PatchError):
            check_pack(made.stdout, Bounds(unpacked=300_000))
        with pytest.raises(PatchError):
            check_pack(made.stdout[: len(made.stdout) // 2])
