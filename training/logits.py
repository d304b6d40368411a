"""Answers tokens with logits: the half of scoring that runs the candidate's code, started by `training/scorer.py`.

    python -I logits.py TREE CHECKPOINT DEVICE REPLY_FD

It may be started before there is a checkpoint, because importing PyTorch takes longer than scoring a small model. With the
first request on standard input it builds the model of TREE/train.py and loads the checkpoint. A request is a header of two
little-endian uint32, sequences and length, then that many bytes. The reply on REPLY_FD is a header of three uint32,
sequences, length and vocabulary, then that many float32. It never sees which bytes are scored. It ends with its input.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from typing import Any, BinaryIO

BUILD_FAILED, LOAD_FAILED = 3, 4  # exit codes


def main() -> None:
    tree, checkpoint, device, reply_fd = sys.argv[1:]
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(int(reply_fd), "wb")
    import safetensors.torch  # noqa: F401  (now, not when the first request waits for it)
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    header = requests.read(8)
    if not header:
        return  # the run ended without anything to score
    sys.path.insert(0, tree)
    os.chdir(tree)
    model = attempt(BUILD_FAILED, "build_model() failed", lambda: build(device))
    attempt(LOAD_FAILED, "the checkpoint does not fit the model", lambda: load(model, checkpoint, device))
    model.eval()
    with torch.no_grad():
        while header:
            answer(model, header, requests, replies, device)
            header = requests.read(8)


def build(device: str) -> Any:
    return importlib.import_module("train").build_model().to(device)  # the candidate's module


def load(model: Any, checkpoint: str, device: str) -> None:
    from safetensors.torch import load_model

    load_model(model, checkpoint, device=device)


def attempt(code: int, what: str, action: Any) -> Any:
    try:
        return action()
    except Exception as error:  # whatever the candidate's code raises is its reason for having no score
        print(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(code)


def answer(model: Any, header: bytes, requests: BinaryIO, replies: BinaryIO, device: str) -> None:
    import numpy as np
    import torch

    count, length = struct.unpack("<II", header)
    tokens = np.frombuffer(requests.read(count * length), dtype=np.uint8).reshape(count, length)
    logits = model(torch.from_numpy(tokens.astype(np.int64)).to(device)).float().cpu().contiguous()
    shape = tuple(logits.shape)
    if len(shape) != 3:
        sys.exit(f"the model answered a (sequences, bytes) batch with shape {shape}; it must be (sequences, bytes, 256)")
    replies.write(struct.pack("<III", *shape))
    replies.write(memoryview(logits.numpy()).cast("B"))
    replies.flush()


if __name__ == "__main__":
    main()
