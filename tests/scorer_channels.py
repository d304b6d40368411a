"""Ways in which the first process of a scoring may try to tell the second something, and how many bits come through.

    python -m tests.scorer_channels [--runs 24] [--levels strong,basic,none]

As root, everything is also done as an ordinary user. A model says BITS random bits on every channel when it is asked its first
held-out window, and what it heard when it was built stands in its answers, where the scorer reads it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from tests.escape.users import ROOT, as_ordinary_user
from tests.training_samples import small_corpus
from training.answers import Model
from training.sandbox import Level
from training.scorer import Scorer
from training.series import CHECKPOINT, Outputs

BITS = 8  # said on each channel in each scoring
COUNTED = ("clock", "number", "load and free")  # channels of numbers that begin somewhere: where, the listener may know

MODEL = '''
import ctypes, mmap, os, sys, time, torch
libc = ctypes.CDLL(None, use_errno=True)
BITS = 8
CHANNELS = {}

def channel(name):
    def keep(made):
        CHANNELS[name] = made()
        return made
    return keep

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def call(number, *arguments):
    return checked(libc.syscall(ctypes.c_long(number), *arguments))

def slower(times):
    """The bits whose times stand out as short, against the middle of all."""
    middle = (max(times) + min(times)) / 2
    return [each < middle for each in times]

def timed(action):
    began = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - began

class Channel:
    def say(self, bits): pass
    def hear(self): return [0] * BITS

COLD = sorted(torch.__path__)[0] + "/lib/libtorch_cpu.so"

@channel("page cache, asked by preadv2")
class A(Channel):
    def pages(self):
        file = os.open(CHECKPOINT, 0)
        libc.posix_fadvise(file, ctypes.c_long(0), ctypes.c_long(0), 1)
        return file
    def say(self, bits):
        file = self.pages()
        libc.posix_fadvise(file, ctypes.c_long(0), ctypes.c_long(0), 4)
        for i, bit in enumerate(bits):
            if bit: os.pread(file, 1, 4096 * (4 + 4 * i))
    def hear(self):
        file, got = self.pages(), []
        for i in range(BITS):
            try: got.append(os.preadv(file, [bytearray(1)], 4096 * (4 + 4 * i), os.RWF_NOWAIT) == 1)
            except BlockingIOError: got.append(0)
        return got

@channel("page cache, asked by mincore")
class B(A):
    def hear(self):
        address = ctypes.pythonapi.Py_GetVersion
        start = ctypes.cast(address, ctypes.c_void_p).value & ~4095
        vector = (ctypes.c_ubyte * BITS)()
        checked(libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(4096 * BITS), vector))
        return [each & 1 for each in vector]

@channel("timing of reading the checkpoint")
class C(A):
    def hear(self):
        file = self.pages()
        return slower([timed(lambda: os.pread(file, 1, 4096 * (4 + 4 * i))) for i in range(BITS)])

@channel("timing of touching a library that both have mapped")
class D(Channel):
    def place(self, i):
        base = ctypes.cast(torch._C._get_tracing_state.__self__ and ctypes.CDLL(None).malloc, ctypes.c_void_p).value
        try: base = ctypes.cast(ctypes.CDLL(COLD).THPVariable_Check, ctypes.c_void_p).value
        except Exception: base = id(torch._C)
        return (ctypes.cast(ctypes.pythonapi.PyUnicode_New, ctypes.c_void_p).value & ~4095) + 4096 * 17 * (i - 4)
    def say(self, bits):
        for i, bit in enumerate(bits):
            if bit: ctypes.string_at(self.place(i), 1)
    def hear(self):
        return slower([timed(lambda: ctypes.string_at(self.place(i), 1)) for i in range(BITS)])

@channel("timing of looking names up")
class E(Channel):
    def names(self):
        folder = os.path.dirname(os.__file__)
        return [f"{folder}/no-such-{i}-{CHECKPOINT[-12:]}" for i in range(BITS)]
    def say(self, bits):
        for name, bit in zip(self.names(), bits):
            if bit:
                try: os.stat(name)
                except FileNotFoundError: pass
    def hear(self):
        def look(name):
            try: os.stat(name)
            except FileNotFoundError: pass
        return slower([timed(lambda: look(name)) for name in self.names()])

@channel("locks on files that both may read")
class F(Channel):
    def say(self, bits):
        import fcntl
        self.kept = []
        for bit, name in zip(bits, sorted(os.listdir(os.path.dirname(os.__file__)))):
            if bit:
                file = os.open(os.path.dirname(os.__file__) + "/" + name, 0)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.set_inheritable(file, True); self.kept.append(file)
    def hear(self):
        import fcntl
        got = []
        for name in sorted(os.listdir(os.path.dirname(os.__file__)))[:BITS]:
            file = os.open(os.path.dirname(os.__file__) + "/" + name, 0)
            try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); got.append(0)
            except BlockingIOError: got.append(1)
        return got

@channel("a watch on files that both read")
class G(Channel):
    def say(self, bits):
        watch = checked(libc.inotify_init1(0o4000))
        checked(libc.inotify_add_watch(watch, os.path.dirname(CHECKPOINT).encode(), 0xFFF))
        os.set_inheritable(watch, True)
    def hear(self):
        for fd in OTHERS:
            try: return [os.read(fd, 1)[0] >> i & 1 for i in range(BITS)]
            except OSError: continue
        raise OSError

@channel("a file left behind")
class H(Channel):
    def say(self, bits):
        for folder in ("/dev/shm", "/tmp", os.path.dirname(CHECKPOINT)):
            try: open(f"{folder}/signoff-word", "wb").write(bytes(bits)); return
            except OSError: continue
        raise OSError
    def hear(self):
        for folder in ("/dev/shm", "/tmp", os.path.dirname(CHECKPOINT)):
            try: return list(open(f"{folder}/signoff-word", "rb").read())
            except OSError: continue
        raise OSError

@channel("System V memory and message queues")
class I(Channel):
    def say(self, bits):
        call(68, 0x51, 0o1666)
        where = call(29, 0x51, 4096, 0o1666)
        libc.shmat.restype = ctypes.c_void_p
        ctypes.memmove(libc.shmat(where, None, 0), bytes(bits), BITS)
    def hear(self):
        where = call(29, 0x51, 4096, 0o666)
        libc.shmat.restype = ctypes.c_void_p
        return list(ctypes.string_at(libc.shmat(where, None, 0), BITS))

@channel("the number of the process")
class J(Channel):
    def say(self, bits):
        for _ in range(sum(bit << i for i, bit in enumerate(bits))):
            if (child := os.fork()) == 0: os._exit(0)
            os.waitpid(child, 0)
    def hear(self):
        return [os.getpid() >> i & 1 for i in range(BITS)]

@channel("numbers of anonymous files")
class K(Channel):
    def say(self, bits):
        for _ in range(sum(bit << i for i, bit in enumerate(bits))): os.pipe()
    def hear(self):
        return [os.fstat(os.pipe()[0]).st_ino >> i & 1 for i in range(BITS)]

@channel("load and free memory of the machine")
class L(Channel):
    def say(self, bits):
        self.kept = bytearray(sum(bit << i for i, bit in enumerate(bits)) << 16)
    def hear(self):
        info = ctypes.create_string_buffer(128)
        checked(libc.sysinfo(info))
        return [int.from_bytes(info[40:48], "little") >> 16 + i & 1 for i in range(BITS)]

@channel("an abstract socket")
class M(Channel):
    def say(self, bits):
        import socket
        self.server = socket.socket(socket.AF_UNIX); self.server.bind("\\0signoff-word"); self.server.listen()
    def hear(self):
        import socket
        with socket.socket(socket.AF_UNIX) as end: end.connect("\\0signoff-word")
        return [1] * BITS

@channel("key rings")
class N(Channel):
    def say(self, bits): call(248, b"user", b"signoff-word", bytes(bits), BITS, -4)
    def hear(self):
        got = ctypes.create_string_buffer(BITS)
        call(250, 11, call(249, b"user", b"signoff-word", None, -4), got, BITS)
        return list(got.raw)

@channel("terminals")
class O(Channel):
    def say(self, bits): self.kept = [os.openpty() for _ in range(sum(bit << i for i, bit in enumerate(bits[:4])))]
    def hear(self): return [int(os.ttyname(os.openpty()[1]).rpartition("/")[2]) >> i & 1 for i in range(BITS)]

@channel("the name of the machine")
class P(Channel):
    def say(self, bits): checked(libc.sethostname(bytes(65 + bit for bit in bits), BITS))
    def hear(self): return [letter == "B" for letter in os.uname().nodename[:BITS].ljust(BITS)]

@channel("where shared descriptors stand")
class Q(Channel):
    def say(self, bits):
        for fd in range(64):
            try: os.lseek(fd, sum(bit << i for i, bit in enumerate(bits)), 0)
            except OSError: continue
    def hear(self):
        for fd in range(3, 64):
            try: return [os.lseek(fd, 0, 1) >> i & 1 for i in range(BITS)]
            except OSError: continue
        raise OSError

@channel("io_uring and userfaultfd")
class R(Channel):
    def say(self, bits): call(425, 4, ctypes.create_string_buffer(120)); call(323, 1)
    def hear(self): call(425, 4, ctypes.create_string_buffer(120)); return [1] * BITS

@channel("the processor's caches")
class S(Channel):
    def group(self, i):
        everything = sorted((name, id(vars(module))) for name, module in INHERITED.items())
        return [place for _, place in everything[i::BITS]]
    def read(self, i):
        for place in self.group(i): ctypes.string_at(place, 1)
    def say(self, bits):
        for _ in range(3):
            for i, bit in enumerate(bits):
                if bit: self.read(i)
    def hear(self):
        groups = [self.group(i) for i in range(BITS)]
        def through(places):
            for place in places: ctypes.string_at(place, 1)
        times = [timed(lambda: through(places)) / len(places) for places in groups]
        return [each < sorted(times)[BITS // 2] for each in times]

@channel("which core it begins on")
class T(Channel):
    def say(self, bits):
        os.sched_setaffinity(0, {bits[0] % os.cpu_count()})
    def hear(self):
        return [libc.sched_getcpu() & 1] * BITS

@channel("memory that was given back")
class U(Channel):
    def say(self, bits):
        if bits[0]: bytearray(256 << 20)
    def hear(self):
        return [timed(lambda: bytearray(16 << 20)) > 8_000_000] * BITS

@channel("the processor's speed")
class V(Channel):
    def say(self, bits):
        until = time.monotonic() + 0.05
        while bits[0] and time.monotonic() < until: pass
    def hear(self):
        return [timed(lambda: sum(range(100_000))) > 3_000_000] * BITS

@channel("what is printed")
class W(Channel):
    def say(self, bits): os.write(1, bytes(bits) * 100)
    def hear(self):
        for fd in (0, 1, 2):
            if heard := os.read(fd, BITS): return list(heard.ljust(BITS))
        raise OSError

@channel("the clock: how long the first takes")
class X(Channel):
    def say(self, bits):
        time.sleep(STEP * sum(bit << i for i, bit in enumerate(bits)))
    def hear(self):
        taken = time.time() - MODEL.stamp.item()
        return [round(max(taken, 0) / STEP) >> i & 1 for i in range(BITS)]

CHECKPOINT = sys.argv[2]
OTHERS = [fd for fd in range(3, 64) if str(fd) not in sys.argv[8:]]
STEP = 0.008
INHERITED = {name: module for name, module in sys.modules.items() if hasattr(module, "__dict__")}

class Model(torch.nn.Module):
    def __init__(self):
        global MODEL
        super().__init__()
        MODEL = self
        self.register_buffer("stamp", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("filler", torch.zeros(1 << 18))
        self.asked = 0
        self.heard = [self.listen(each) for each in CHANNELS.values()]  # before the checkpoint is loaded

    def listen(self, channel):
        try: word = channel.hear()
        except Exception: word = [0] * BITS
        return sum(int(bool(bit)) << i for i, bit in enumerate(word))

    def forward(self, tokens):
        if self.asked == 0:
            self.heard[-1] = self.listen([*CHANNELS.values()][-1])  # the clock: what it began at is in the checkpoint
        self.asked += 1
        if self.asked == 2:
            for number, each in enumerate(CHANNELS.values()):
                row = tokens[number % len(tokens)]
                word = int(row[5 + number]) * 167 + int(row[60]) * 59 >> 2 & 255
                try: each.say([word >> i & 1 for i in range(BITS)])
                except Exception: pass
        logits = torch.zeros(*tokens.shape, 256)
        logits[..., : len(self.heard)] = torch.tensor(self.heard, dtype=torch.float32)
        return logits

def build_model():
    return Model()
'''


@dataclass(frozen=True)
class Heard:
    """What was said and heard on one channel: (scorings, BITS) of 0 and 1."""

    name: str
    said: np.ndarray
    heard: np.ndarray

    @property
    def bits(self) -> float:
        """Bits per scoring, estimated: mutual information of each bit said with each heard in its place, less its bias."""
        return max(0.0, sum(_information(self.said[:, i], self.heard[:, i]) for i in range(BITS)))

    @property
    def all_right(self) -> bool:
        """Whether every word came through."""
        return bool((self.said == self.heard).all())


def _information(said: np.ndarray, heard: np.ndarray) -> float:
    found = 0.0
    for a in (0, 1):
        for b in (0, 1):
            both = float(np.mean((said == a) & (heard == b)))
            if both:
                found += both * math.log2(both / (float(np.mean(said == a)) * float(np.mean(heard == b))))
    return found - 1 / (2 * math.log(2) * len(said))


def names() -> list[str]:
    """Every channel, in the order of the model's words."""
    return [line.split('"')[1] for line in MODEL.splitlines() if line.startswith("@channel(")]


def word_of(tokens: np.ndarray, number: int) -> int:
    """What the model says on a channel, when this is the first held-out batch (n, T)."""
    row = tokens[number % len(tokens)]
    return int(row[5 + number]) * 167 + int(row[60]) * 59 >> 2 & 255


def scoring(folder: Path, gate: Path, level: Level) -> tuple[list[int], list[int]]:
    """One scoring: the words that the first process said, and those that the second heard."""
    said: list[int] = []
    heard: list[int] = []

    class Overheard(Model):
        def logits(self, tokens: np.ndarray) -> np.ndarray:
            said[:] = said or [word_of(tokens, number) for number in range(len(names()))]
            return super().logits(tokens)

        def rows(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
            answer = super().rows(tokens, positions)
            if said:
                heard[:] = [int(value) for value in answer[0, 0, : len(names())]]
            return answer

    folder.mkdir(exist_ok=True)
    source = {"train.py": MODEL.encode()}
    with Outputs(folder) as outputs, Scorer(source, folder.parent, device="cpu", memory_limit=4 << 30, level=level) as scorer:
        scorer.model.__class__ = Overheard
        time.sleep(0.5)
        tensors = {"stamp": np.array([time.time()]), "filler": np.zeros(1 << 18, np.float32)}
        (folder / CHECKPOINT).unlink(missing_ok=True)
        with (folder / CHECKPOINT).open("wb") as file:
            file.write(safetensors.numpy.save(tensors))
            os.fsync(file.fileno())  # a page that waits to be written does not leave the cache
        scorer.score(outputs, gate, lambda: None)
    return said, heard


def measured(runs: int, level: Level, folder: Path) -> list[Heard]:
    """Every channel over so many scorings."""
    gate = small_corpus(folder / "data").gate
    found = [scoring(folder / "scratch", gate, level) for _ in range(runs)]
    said, heard = (np.array([pair[side] for pair in found]) for side in (0, 1))  # (runs, channels)
    for number, name in enumerate(names()):
        if any(word in name for word in COUNTED):
            differences = (heard[:, number] - said[:, number]) % 256
            heard[:, number] = (heard[:, number] - _middle(differences)) % 256
    places = np.arange(BITS)
    return [
        Heard(name, said[:, number, None] >> places & 1, heard[:, number, None] >> places & 1)
        for number, name in enumerate(names())
    ]


def _middle(differences: np.ndarray) -> int:
    """The number between 0 and 255 that all differences together are nearest to, round the clock."""
    apart = [int(np.minimum((differences - at) % 256, (at - differences) % 256).sum()) for at in range(256)]
    return int(np.argmin(apart))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=24)
    options.add_argument("--levels", default="strong,basic,none")
    options.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    user = "root" if os.geteuid() == 0 else "user"
    columns: dict[str, dict[str, float]] = {}
    for level in map(Level, chosen.levels.split(",")):
        with tempfile.TemporaryDirectory(prefix="signoff-channels-") as work:
            os.chmod(work, 0o755)
            found = measured(chosen.runs, level, Path(work))
        columns[f"{level}, {user}"] = {each.name: round(each.bits, 3) for each in found}
    if chosen.json:
        print(json.dumps(columns))
        return
    if user == "root":
        columns |= _as_user([*sys.argv[1:], "--json"])
    sys.exit(_report(columns))


def _as_user(arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="signoff-user-", dir="/var/tmp") as work:
        command = as_ordinary_user([sys.executable, "-B", "-m", "tests.scorer_channels", *arguments], Path(work))
        found = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": work}, stdout=subprocess.PIPE, check=True)
    columns: dict[str, dict[str, float]] = json.loads(found.stdout)
    return columns


def _report(columns: dict[str, dict[str, float]]) -> int:
    """Print bits per scoring; 1 when a channel carries more than one."""
    print(f"{'bits per scoring':52}", *(f"{title:>13}" for title in columns))
    for name in names():
        print(f"{name:52}", *(f"{column[name]:13.3f}" for column in columns.values()))
    return int(max(bits for column in columns.values() for bits in column.values()) > 1)


if __name__ == "__main__":
    main()
