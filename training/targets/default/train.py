"""Train a small byte-level GPT within the budget. This file is what a candidate may change, all of it.

It reads as the story of a run: constants, model, optimiser, schedule, loop. `prepare.py` brings the data, charges the
budget, keeps the log and writes the checkpoint.
"""

from __future__ import annotations

import math

import prepare
import torch
import torch.nn as nn
import torch.nn.functional as F

# Model
LAYERS = 2  # knob: 1..8
WIDTH = 32  # knob: 16..128 step 8
HEADS = 2  # knob: one of 1, 2, 4, 8
MLP_RATIO = 4  # knob: 1..8
DROPOUT = 0.0  # knob: 0.0..0.3
INIT_STD = 0.12

# A larger rung of the scale ladder builds it deeper and wider; on the smallest one all stays as it says above.
LAYERS, WIDTH, HEADS = prepare.grown(LAYERS, WIDTH, HEADS)

# Optimiser
BATCH_SIZE = 4  # sequences of prepare.CONTEXT bytes; knob: 2..32 step 2
LEARNING_RATE = 8e-3
BETA1 = 0.9
BETA2 = 0.99
WEIGHT_DECAY = 0.1
GRAD_CLIP = 1.0

# Schedule, in shares of the budget
WARMUP = 0.05
FINAL_LR = 0.0  # share of the learning rate that is left at the end

# Data: the weight of each source in training. The score weighs all sources alike.
MIXTURE = {
    "web": 1.0,
    "database": 1.0,
    "queues": 1.0,
    "stores": 1.0,
    "science": 1.0,
    "search": 1.0,
    "validation": 1.0,
    "highlighting": 1.0,
    "charts": 1.0,
    "tables": 1.0,
    "terminal": 1.0,
}


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on a normalised copy of the residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.attention_out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp_in = nn.Linear(WIDTH, MLP_RATIO * WIDTH)
        self.mlp_out = nn.Linear(MLP_RATIO * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + F.dropout(self.attend(self.norm1(x)), DROPOUT, self.training)
        hidden = F.gelu(self.mlp_in(self.norm2(x)))  # (B, T, MLP_RATIO * WIDTH)
        return x + F.dropout(self.mlp_out(hidden), DROPOUT, self.training)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)  # each (B, HEADS, T, head)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(b, t, WIDTH))


class GPT(nn.Module):
    """Bytes (B, T) in, logits of the next byte (B, T, 256) out."""

    layers, width, heads = LAYERS, WIDTH, HEADS

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(prepare.VOCAB, WIDTH)
        self.position = nn.Embedding(prepare.CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, prepare.VOCAB, bias=False)
        self.apply(self.initialise)
        for block in self.blocks:  # each block adds to the residual stream twice; keep its variance independent of depth
            nn.init.normal_(block.attention_out.weight, std=INIT_STD / math.sqrt(2 * LAYERS))
            nn.init.normal_(block.mlp_out.weight, std=INIT_STD / math.sqrt(2 * LAYERS))
        self.head.weight = self.token.weight

    def initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(positions)  # (B, T, WIDTH)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def build_model() -> nn.Module:
    """The untrained model. The scorer calls this too, and loads the checkpoint into it."""
    return GPT()


def build_optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW; matrices decay, biases and normalisation gains do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2), fused=True)


def learning_rate(progress: float) -> float:
    """Linear warm-up, then a cosine down to FINAL_LR of the peak. `progress` is the share of the budget used."""
    if progress < WARMUP:
        return LEARNING_RATE * max(progress / WARMUP, 0.01)
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))
    return LEARNING_RATE * (FINAL_LR + (1 - FINAL_LR) * cosine)


def main() -> None:
    run = prepare.start()
    model = build_model().to(run.device)
    optimiser = build_optimiser(model)
    for _, progress in run.training_steps(model):
        rate = learning_rate(progress) / prepare.GROWTH  # wider matrices want smaller steps
        for group in optimiser.param_groups:
            group["lr"] = rate
        inputs, targets = run.batch(BATCH_SIZE, MIXTURE)
        logits = model(inputs)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimiser.step()
        run.log(train_loss=loss, lr=rate, grad_norm=grad_norm)
    run.finish(model)


if __name__ == "__main__":
    main()
