"""A run in the shape of karpathy/autoresearch: its own budget of seconds, compiled bfloat16, a summary at the end."""

from __future__ import annotations

import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

TIME_BUDGET = 30 if torch.cuda.is_available() else 3  # seconds, after the first steps
WIDTH, DEPTH, HEADS, BATCH, CONTEXT, VOCAB = (
    (1024, 8, 8, 32, 1024, 8192) if torch.cuda.is_available() else (64, 2, 2, 4, 64, 256)
)
device = torch.device(os.environ.get("SIGNOFF_DEVICE", "cuda"))
torch.manual_seed(42)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(F.rms_norm(x, (WIDTH,))).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.down(F.relu(self.up(F.rms_norm(x, (WIDTH,)))).square())


model = nn.Sequential(nn.Embedding(VOCAB, WIDTH), *(Block() for _ in range(DEPTH)), nn.Linear(WIDTH, VOCAB)).to(device)
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
forward = torch.compile(model) if device.type == "cuda" else model
began, step, trained = time.time(), 0, 0.0
while trained < TIME_BUDGET:
    before = time.time()
    tokens = torch.randint(VOCAB // 4, (BATCH, CONTEXT + 1), device=device).cumsum(1).remainder(VOCAB)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = forward(tokens[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    value = loss.item()
    step += 1
    trained += time.time() - before if step > 10 else 0.0  # compilation is not on the budget
    print(
        f"\rstep {step:05d} | loss: {value:.6f} | tok/sec: {BATCH * CONTEXT / (time.time() - before):,.0f}", end="", flush=True
    )
peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0
print("\n---")
print(f"val_bpb:          {value / 0.6931 / 4:.6f}")
print(f"training_seconds: {trained:.1f}")
print(f"total_seconds:    {time.time() - began:.1f}")
print(f"peak_vram_mb:     {peak:.1f}")
print(f"num_steps:        {step}")
