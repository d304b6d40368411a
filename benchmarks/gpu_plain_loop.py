"""A plain loop over the default target's model, optimiser and batches: what the target's own loop is compared with.

It stands beside train.py and prepare.py in a run's tree. No account of FLOPs, no served text, no validation loss; the same
precision, compilation and determinism.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import prepare  # type: ignore[import-not-found]
import torch
import torch.nn.functional as F
import train  # type: ignore[import-not-found]

SECONDS = float(os.environ["SIGNOFF_BUDGET"])
device = torch.device(os.environ["SIGNOFF_DEVICE"])
on_gpu = device.type == "cuda"
torch.manual_seed(1)
torch.set_num_threads(1)
torch.set_deterministic_debug_mode("error")
text = np.memmap(Path(os.environ["SIGNOFF_DATA"]) / "train.bin", dtype=np.uint8, mode="r")
chance, window = np.random.default_rng(1), np.arange(prepare.CONTEXT + 1)
model = train.build_model().to(device)
optimiser = train.build_optimiser(model)
forward = torch.compile(model) if on_gpu else model
size, step, said, began = train.BATCH_SIZE * prepare.BATCH, 0, 0.0, time.monotonic()
while (seconds := time.monotonic() - began) < SECONDS:
    starts = chance.integers(len(text) - len(window), size=size)
    windows = torch.from_numpy(text[starts[:, None] + window].astype(np.int64))
    windows = windows.pin_memory().to(device, non_blocking=True) if on_gpu else windows.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=on_gpu):
        logits = forward(windows[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), train.GRAD_CLIP)
    optimiser.step()
    step += 1
    if seconds - said > 0.5:
        said, value = seconds, loss.item()  # waits for the GPU, as the target's log does
        print(f"step {step} tokens {step * size * prepare.CONTEXT} seconds {time.monotonic() - began:.4f}", flush=True)
print(f"score: {loss.item()}")
