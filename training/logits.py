"""Answers tokens with logits: the half of scoring that runs the candidate's code, started by `training/scorer.py`.

    python -I -B logits.py TREE CHECKPOINT DEVICE ANSWERING READING MODULE FUNCTION REQUEST_FD REPLY_FD REQUEST_FD REPLY_FD

It may be started before there is a checkpoint, because importing PyTorch takes longer than scoring a small model. When it is
ready it writes one byte to the first reply pipe, and for the next byte on standard input it forks a fresh process, which
builds the model with FUNCTION of TREE's MODULE, `build_model` for a safetensors file or `load_model` for any other, and answers
on that pair of pipes until its requests end. Then it is ready for the second pair. So no two of them ever run together, and
nothing of the candidate's is in this process.

The two must not tell each other anything (docs/explanation/scorer.md). Before the candidate's code is there, each has read the
checkpoint
and the code into memory of its own and is held by the filter ANSWERING (training/sandbox/answering.py, in hexadecimal, "-" for
none): it reads and writes its pipes and can open nothing. What its code imports was imported here, by the names that a first
process found, which tries the code out under READING while there is no checkpoint yet, and nothing to tell.

All numbers are little-endian uint32. A request is a header of four: sequences, length, tokens chosen at each position, rows
of each sequence; then the tokens (sequences, length), the chosen tokens (sequences, length, chosen) and the positions of the
rows (sequences, rows). The reply is the shape of the model's logits, three numbers, then float32: log-probabilities of the
chosen tokens when there are any, else the logits of those rows when there are any, else all logits. A request for 0 sequences
asks for rows of the logits before: the header is followed by sequence and position of each. It never sees what is scored.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import io
import json
import mmap
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, BinaryIO, NoReturn

BUILD_FAILED, LOAD_FAILED = 3, 4  # exit codes
WARM = b"w"  # on standard input: read the libraries again before the next process begins
TRY_SECONDS = 10.0  # for the process that tries the code out; it does no more than build a model
TRIED_SHAPE = (2, 8)  # tokens
NAMES_SIZE = 1 << 20  # bytes of names of modules
END = b"\0"  # of the names
SWEEP = 2  # times the processor's last cache
LARGEST_SWEEP = 512 << 20  # bytes
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
MADV_DONTFORK = 10
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446  # system calls (landlock(7))
WRITE_FILE = 1 << 1
WRITES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # and to make or remove anything
WRITES_SINCE = {2: 1 << 13, 3: 1 << 14}  # version of Landlock -> to move and to truncate files

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    tree, checkpoint, device, answering, reading = sys.argv[1:6]
    fds = list(map(int, sys.argv[8:]))
    import numpy  # noqa: F401  (now, not when the first request waits for it)
    import safetensors.torch  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    finder = TreeFinder(tree)
    sys.meta_path.insert(next(i for i, f in enumerate(sys.meta_path) if "PathFinder" in str(f)), finder)
    alone = answering != "-"
    if alone:
        sweep = swept_memory()
        use_libraries()
        import_what_is_needed(finder, reading, fds)
        read_libraries()
    for seed, (requests, replies) in enumerate(zip(fds[::2], fds[1::2], strict=True)):
        os.write(replies, b"r")
        if not (word := os.read(0, 1)):
            return  # the run ended without anything to score
        if alone:
            if word == WARM:
                read_libraries()
            keep_shared_memory()
            sum(sweep[::64])  # nothing of what ran before is left in the processor's caches
        child = os.fork()
        if child == 0:
            become_model(checkpoint, device, seed, requests, replies, answering)
        os.close(requests)
        os.close(replies)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.exit(code if code > 0 else 128 - code)


# What keeps a model's process to itself.


class TreeFinder(MetaPathFinder, InspectLoader):
    """Imports the candidate's modules from memory, as they were when this process began."""

    def __init__(self, tree: str) -> None:
        self.tree = Path(tree)
        self.files = {str(path.relative_to(tree)): path.read_bytes() for path in self.tree.rglob("*.py")}

    def file_of(self, name: str) -> str | None:
        """The file of a module, or of a package; the folder itself for a package without a file of its own."""
        place = name.replace(".", "/")
        source_file = next((file for file in (f"{place}/__init__.py", f"{place}.py") if file in self.files), None)
        if source_file is None and any(file.startswith(f"{place}/") for file in self.files):
            return place
        return source_file

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        file = self.file_of(name)
        if file is None:
            return None
        folders = [str(self.tree / name.replace(".", "/"))] if self.is_package(name) else None
        return importlib.util.spec_from_file_location(name, self.tree / file, loader=self, submodule_search_locations=folders)

    def is_package(self, fullname: str) -> bool:
        file = self.file_of(fullname) or ""
        return not file.endswith(".py") or file.endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.files.get(self.file_of(fullname) or "", b""))

    def get_code(self, fullname: str) -> CodeType:
        where = str(self.tree / (self.file_of(fullname) or fullname))
        code: CodeType = compile(self.files.get(self.file_of(fullname) or "", b""), where, "exec", dont_inherit=True)
        return code


def use_libraries() -> None:
    """Let PyTorch find out now what processor this is and how to use it: it reads files for that, at its first products."""
    import torch
    from torch.nn import functional

    torch.backends.cpu.get_cpu_capability()
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(1, 8, 16, 16, dtype=dtype)
        functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        functional.conv1d(x[0], torch.ones(4, 16, 3, dtype=dtype))
        functional.gelu(functional.linear(x, x[0, 0]))
    torch.fft.rfft(torch.ones(16))
    torch.linalg.qr(torch.ones(4, 4))


def import_what_is_needed(finder: TreeFinder, reading: str, fds: Sequence[int]) -> None:
    """Import the installed modules that the candidate's code imports, also late and by way of others.

    A process of its own tries the code out to find them. Whatever comes of it: a model that cannot be built will say so.
    """
    names, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try_out(finder, reading, writer, (*fds, names))
    os.close(writer)
    output, until = b"", time.monotonic() + TRY_SECONDS
    while (
        len(output) < NAMES_SIZE
        and not output.endswith(END)
        and select.select([names], [], [], max(0.0, until - time.monotonic()))[0]
    ):
        if not (chunk := os.read(names, 1 << 16)):
            break
        output += chunk
    os.close(names)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for name in output.removesuffix(END).decode(errors="replace").split("\n"):
        if name not in sys.modules and not name.endswith("__main__") and finder.file_of(name.partition(".")[0]) is None:
            with contextlib.suppress(BaseException):  # it may have no place here, and is missed then where it is needed
                importlib.import_module(name)


def try_out(finder: TreeFinder, reading: str, writer: int, fds: Sequence[int]) -> NoReturn:
    """Build the model, ask it about nothing, and tell which modules that took, in this forked process."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(nothing, fd)
        for fd in (*fds, nothing):
            os.close(fd)
        keep_from_writing("cpu")
        confine(reading)
        with contextlib.suppress(BaseException):
            import torch

            with torch.no_grad():
                made = load_own(saved_nothing(), "cpu") if loads() else build("cpu")
                made.eval()(torch.zeros(TRIED_SHAPE, dtype=torch.long))
        ours = {name for name, module in list(sys.modules.items()) if getattr(module, "__loader__", None) is finder}
        os.write(writer, "\n".join(sorted(set(sys.modules) - ours)).encode()[:NAMES_SIZE] + END)
    finally:
        os._exit(0)


def confine(code: str) -> None:
    """Let this process make no system calls but those of a filter, for good. Raises OSError."""
    program = bytes.fromhex(code)
    fields = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer := ctypes.create_string_buffer(program)))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fields, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot keep the model's process to itself")
    del buffer


def keep_from_writing(device: str) -> None:
    """Let this process write no file from now on, and reach into none that is not its own child, where Landlock is there.

    Landlock keeps a process from the memory of those outside its own domain, such as the one that will fork the next.
    """
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    refused = ctypes.c_uint64(WRITES | sum(right for since, right in WRITES_SINCE.items() if version >= since))
    ruleset = libc.syscall(LANDLOCK_CREATE, ctypes.byref(refused), ctypes.c_size_t(8), 0)
    writable = os.open("/dev/null" if device == "cpu" else "/dev", os.O_PATH)
    rule = ctypes.create_string_buffer(struct.pack("<Qi", WRITE_FILE, writable), 12)
    libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(LANDLOCK_RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot keep the model from writing files")
    os.close(ruleset)
    os.close(writable)


def mapped() -> Iterator[tuple[str, int, int, str]]:
    """Kind, start, end and file of what is in this process's memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, kind, *_, file = (*line.split(None, 5), "")[:6]
        start, end = (int(part, 16) for part in place.split("-"))
        yield kind, start, end, file


def read_libraries() -> None:
    """Bring every mapped file into the page cache, whole: then touching a page of it tells the next process nothing."""
    buffer = bytearray(1 << 20)
    for name in sorted({file for *_, file in mapped() if file.startswith("/")}):
        with contextlib.suppress(OSError), open(name, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def keep_shared_memory() -> None:
    """Hand no memory to both processes that one of them could write into for the other."""
    for kind, start, end, _ in mapped():
        if kind.startswith(("rws", "-ws")):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTFORK)


def swept_memory() -> mmap.mmap:
    """Memory to read through, larger than the processor's last cache, that the models' processes do not have."""
    size = 32 << 20
    with contextlib.suppress(OSError, ValueError):
        kilobytes = max(
            int(path.read_text().strip().removesuffix("K"))
            for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        )
        size = kilobytes << 10
    memory = mmap.mmap(-1, min(SWEEP * size, LARGEST_SWEEP), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_DONTFORK)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    return memory


# The model.


def become_model(checkpoint: str, device: str, seed: int, request_fd: int, reply_fd: int, answering: str) -> NoReturn:
    """Answer until the requests end, in this forked process."""
    code = 1
    try:
        keep_from_writing(device)
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0,) if seed == 0 else (0, 1, 2):  # what the second prints comes after a question, and nobody keeps it
            os.dup2(nothing, fd)
        tree = Path(sys.argv[1])
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        with os.fdopen(request_fd, "rb") as requests, os.fdopen(reply_fd, "wb") as replies:
            read = read_whole if loads() else read_checkpoint
            saved = attempt(LOAD_FAILED, "the checkpoint cannot be read", lambda: read(checkpoint))
            if answering != "-":
                start_anywhere()
                close_all_but({0, 1, 2, request_fd, reply_fd})
                confine(answering)
            answer_all(saved, device, seed, requests, replies)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def start_anywhere() -> None:
    """Go to a core drawn by lot, so that it is not where the process before made the scheduler put this one."""
    cores = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {random.SystemRandom().choice(sorted(cores))})
        os.sched_setaffinity(0, cores)


def close_all_but(kept: set[int]) -> None:
    """Also where /proc cannot be read."""
    ends = sorted({*kept, os.sysconf("SC_OPEN_MAX")})
    for before, after in pairwise((-1, *ends)):
        if before + 1 < after:
            os.closerange(before + 1, after)


def read_checkpoint(path: str) -> dict[str, Any]:
    """The tensors of a safetensors file in memory of this process alone; `load_file` would share the file's pages."""
    import torch
    from safetensors.torch import _getdtype

    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        view, got = memoryview(memory), 0
        while got < size and (read := file.readinto(view[got:size])):
            got += read
    start = 8 + int.from_bytes(view[:8], "little")
    header: Mapping[str, Any] = json.loads(bytes(view[8:start]))
    tensors = {}
    for name, of in header.items():
        if name == "__metadata__":
            continue
        (begin, end), dtype = of["data_offsets"], _getdtype(of["dtype"])
        tensor = (
            torch.frombuffer(view[start + begin : start + end], dtype=dtype) if end > begin else torch.empty(0, dtype=dtype)
        )
        tensors[name] = tensor.reshape(of["shape"])
    return tensors


def read_whole(path: str) -> bytes:
    """The content of a file of any kind, in memory of this process alone."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def answer_all(saved: Any, device: str, seed: int, requests: BinaryIO, replies: BinaryIO) -> None:
    import torch

    header = requests.read(16)
    if not header:
        return
    if loads():
        model = attempt(LOAD_FAILED, "load_model() failed", lambda: load_own(saved, device))
    else:
        model = attempt(BUILD_FAILED, "build_model() failed", lambda: build(device))
        attempt(LOAD_FAILED, "the checkpoint does not fit the model", lambda: load(model, saved))
    saved = None
    model.eval()
    torch.manual_seed(seed)  # a model that draws random numbers does not draw the same in both processes
    logits = None
    with torch.no_grad():
        while header:
            logits = answer(model, logits, struct.unpack("<IIII", header), requests, replies, device)
            header = requests.read(16)


def loads() -> bool:
    """Whether the candidate's code makes the model of its own checkpoint."""
    return sys.argv[7] == "load_model"


def build(device: str) -> Any:
    return importlib.import_module(sys.argv[6]).build_model().to(device)  # the candidate's module


def load_own(saved: bytes, device: str) -> Any:
    """The model that the candidate's code makes of what its run saved: a pickle, perhaps, which is why it is read here."""
    return importlib.import_module(sys.argv[6]).load_model(io.BytesIO(saved)).to(device)


def saved_nothing() -> bytes:
    """What PyTorch saves where there is nothing, for finding out what reading it back imports."""
    import torch

    torch.save({}, file := io.BytesIO())
    torch.load(io.BytesIO(file.getvalue()), map_location="cpu", weights_only=True)
    return file.getvalue()


def load(model: Any, tensors: dict[str, Any]) -> None:
    import safetensors.torch

    safetensors.torch.load_file = lambda *_, **__: tensors  # it is in memory already
    safetensors.torch.load_model(model, "")


def attempt(code: int, what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:  # whatever the candidate's code raises is its reason for having no score
        print(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(code)


def answer(model: Any, logits: Any, header: tuple[int, ...], requests: BinaryIO, replies: BinaryIO, device: str) -> Any:
    """Answer one request and return the logits (sequences, length, vocabulary) that the next may ask rows of."""
    import numpy as np
    import torch

    def read(*shape: int) -> torch.Tensor:
        numbers = np.frombuffer(requests.read(4 * int(np.prod(shape))), dtype="<u4").reshape(shape)
        return torch.from_numpy(numbers.astype(np.int64)).to(device)

    count, length, chosen, rows = header
    if count:
        tokens, tokens_chosen, positions = read(count, length), read(count, length, chosen), read(count, rows)
        logits = model(tokens).float()
        if logits.dim() != 3:
            sys.exit(
                f"the model answered a (sequences, length) batch with shape {tuple(logits.shape)}; "
                "it must be (sequences, length, vocabulary)"
            )
        if chosen:
            reply = logits.gather(-1, tokens_chosen) - logits.logsumexp(-1, keepdim=True)
        else:
            reply = logits[torch.arange(count)[:, None], positions] if rows else logits
    else:
        sequences, positions = read(2, rows)
        reply = logits[sequences, positions]
    replies.write(struct.pack("<III", *logits.shape))
    replies.write(memoryview(reply.cpu().contiguous().numpy()).cast("B"))
    replies.flush()
    return logits


if __name__ == "__main__":
    main()
