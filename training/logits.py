"""Answers tokens with logits: the half of scoring that runs the candidate's code, started by `training/scorer.py`.

    python -I -B logits.py TREE CHECKPOINT DEVICE PRIVATE REQUEST_FD REPLY_FD REQUEST_FD REPLY_FD

It may be started before there is a checkpoint, because importing PyTorch takes longer than scoring a small model. When it is
ready it writes one byte to the first reply pipe, and for the next byte on standard input it forks a fresh process, which
builds the model of TREE/train.py, loads the checkpoint and answers on that pair of pipes until its requests end. Then it is
ready for the second pair. So no two of them ever run together, and nothing of the candidate's is in this process. With
PRIVATE, "1" in a sandbox with folders of its own, whatever the first one left in them is removed.

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
import shutil
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

BUILD_FAILED, LOAD_FAILED = 3, 4  # exit codes
PRIVATE_FOLDERS = (Path("/tmp"), Path("/dev/shm"))
PR_SET_DUMPABLE = 4


def main() -> None:
    tree, checkpoint, device, private = sys.argv[1:5]
    fds = list(map(int, sys.argv[5:]))
    import numpy  # noqa: F401  (now, not when the first request waits for it)
    import safetensors.torch  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a child cannot look into this process or change it
    for seed, (requests, replies) in enumerate(zip(fds[::2], fds[1::2], strict=True)):
        os.write(replies, b"r")
        if not os.read(0, 1):
            return  # the run ended without anything to score
        if private == "1":
            remove_what_is_in(PRIVATE_FOLDERS)
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


def remove_what_is_in(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def become_model(tree: str, checkpoint: str, device: str, seed: int, request_fd: int, reply_fd: int) -> NoReturn:
    """Answer until the requests end, in this forked process."""
    code = 1
    try:
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
