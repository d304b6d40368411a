"""Answers tokens with logits: the half of scoring that runs the candidate's code, started by `training/scorer.py`.

    python -I -B logits.py TREE CHECKPOINT DEVICE REQUEST_FD REPLY_FD REQUEST_FD REPLY_FD

It may be started before there is a checkpoint, because importing PyTorch takes longer than scoring a small model. When it is
ready it writes one byte to the first reply pipe, and for the next byte on standard input it forks a fresh process, which
builds the model of TREE/train.py, loads the checkpoint and answers on that pair of pipes until its requests end. Then it is
ready for the second pair. So no two of them ever run together, nothing of the candidate's is in this process, and where the
kernel has Landlock no model can write a file, or into this process's memory.

All numbers are little-endian uint32. A request is a header of four: sequences, length, tokens chosen at each position, rows
of each sequence; then the tokens (sequences, length), the chosen tokens (sequences, length, chosen) and the positions of the
rows (sequences, rows). The reply is the shape of the model's logits, three numbers, then float32: log-probabilities of the
chosen tokens when there are any, else the logits of those rows when there are any, else all logits. A request for 0 sequences
asks for rows of the logits before: the header is followed by sequence and position of each. It never sees what is scored.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

BUILD_FAILED, LOAD_FAILED = 3, 4  # exit codes
PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446  # system calls (landlock(7))
WRITE_FILE = 1 << 1
WRITES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # and to make or remove anything
WRITES_SINCE = {2: 1 << 13, 3: 1 << 14}  # version of Landlock -> to move and to truncate files


def main() -> None:
    tree, checkpoint, device = sys.argv[1:4]
    fds = list(map(int, sys.argv[4:]))
    import numpy  # noqa: F401  (now, not when the first request waits for it)
    import safetensors.torch  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    for seed, (requests, replies) in enumerate(zip(fds[::2], fds[1::2], strict=True)):
        os.write(replies, b"r")
        if not os.read(0, 1):
            return  # the run ended without anything to score
        child = os.fork()
        if child == 0:
            for fd in fds[2 * seed + 2 :]:  # those of the next one
                os.close(fd)
            become_model(tree, checkpoint, device, seed, requests, replies)
        os.close(requests)
        os.close(replies)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.exit(code if code > 0 else 128 - code)


def become_model(tree: str, checkpoint: str, device: str, seed: int, request_fd: int, reply_fd: int) -> NoReturn:
    """Answer until the requests end, in this forked process."""
    code = 1
    try:
        keep_from_writing(device)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        with os.fdopen(request_fd, "rb") as requests, os.fdopen(reply_fd, "wb") as replies:
            answer_all(tree, checkpoint, device, seed, requests, replies)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def keep_from_writing(device: str) -> None:
    """Let this process write no file from now on, and reach into none that is not its own child, where Landlock is there.

    Landlock keeps a process from the memory of those outside its own domain, such as the one that will fork the next.
    """
    libc = ctypes.CDLL(None, use_errno=True)
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


def answer_all(tree: str, checkpoint: str, device: str, seed: int, requests: BinaryIO, replies: BinaryIO) -> None:
    import torch

    header = requests.read(16)
    if not header:
        return
    sys.path.insert(0, tree)
    os.chdir(tree)
    model = attempt(BUILD_FAILED, "build_model() failed", lambda: build(device))
    attempt(LOAD_FAILED, "the checkpoint does not fit the model", lambda: load(model, checkpoint, device))
    model.eval()
    torch.manual_seed(seed)  # a model that draws random numbers does not draw the same in both processes
    logits = None
    with torch.no_grad():
        while header:
            logits = answer(model, logits, struct.unpack("<IIII", header), requests, replies, device)
            header = requests.read(16)


def build(device: str) -> Any:
    return importlib.import_module("train").build_model().to(device)  # the candidate's module


def load(model: Any, checkpoint: str, device: str) -> None:
    from safetensors.torch import load_model

    load_model(model, checkpoint, device=device)


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
