"""A repository of nanoGPT's shape, small enough that a run takes seconds, and text to score it on."""

import json
import random
from pathlib import Path

from tests.small_project import git

CHARACTERS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # 65, as many as Shakespeare has
WORDS = ("the", "cat", "saw", "a", "dog", "ran", "to", "an", "old", "house", "where", "her", "friend", "sat", "with", "bread")

MODEL = '''"""A character model: embedding, one mixing layer over the past, head."""
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class GPTConfig:
    block_size: int = 64
    vocab_size: int = 65
    n_embd: int = 16


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, idx, targets=None):
        x = self.wte(idx)
        q, k, v = self.attn(x).chunk(3, dim=-1)
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if targets is None:
            return self.lm_head(x[:, [-1], :]), None
        logits = self.lm_head(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
'''
TRAIN = '''"""Train on characters."""
import json
import os

import torch

from model import GPT, GPTConfig

out_dir = 'out'
eval_interval = 20
max_iters = 40
batch_size = 8
block_size = 32
learning_rate = 1e-3
n_embd = 16
device = 'cpu'
exec(open('configurator.py').read())
os.makedirs(out_dir, exist_ok=True)
torch.manual_seed(1337)
torch.set_num_threads(1)
numbers = json.load(open('data/stories/characters.json'))
data = torch.tensor([numbers[c] for c in open('data/stories/train.txt').read()])
model_args = dict(block_size=block_size, vocab_size=len(numbers), n_embd=n_embd)
model = GPT(GPTConfig(**model_args))
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
for iter_num in range(max_iters + 1):
    starts = torch.randint(len(data) - block_size - 1, (batch_size,))
    x = torch.stack([data[s:s + block_size] for s in starts])
    y = torch.stack([data[s + 1:s + 1 + block_size] for s in starts])
    loss = model(x, y)[1]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if iter_num % eval_interval == 0:
        print(f"step {iter_num}: train loss {loss.item():.4f}, val loss {loss.item():.4f}")
        print(f"iter {iter_num}: loss {loss.item():.4f}, time 1.00ms, mfu -100.00%")
torch.save({'model': model.state_dict(), 'model_args': model_args, 'iter_num': iter_num}, os.path.join(out_dir, 'ckpt.pt'))
'''
CONFIGURATOR = """import sys
for arg in sys.argv[1:]:
    if '=' not in arg:
        exec(open(arg).read())
    else:
        key, val = arg[2:].split('=')
        globals()[key] = val if isinstance(globals()[key], str) else eval(val)
"""


def text_of(seed: int, characters: int) -> str:
    """Made-up lines of a few words."""
    chance = random.Random(seed)
    lines: list[str] = []
    while sum(map(len, lines)) < characters:
        lines.append(" ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 11))) + ".\n")
    return "".join(lines)


def repository(folder: Path, scorer: str) -> Path:
    """The repository as its owner has it, with the file that the guide asks for."""
    files = {
        "model.py": MODEL, "train.py": TRAIN, "configurator.py": CONFIGURATOR, "signoff_scorer.py": scorer,
        "config/train_stories.py": "learning_rate = 3e-3\nbatch_size = 16\n",
        "data/stories/characters.json": json.dumps({c: n for n, c in enumerate(CHARACTERS)}),
        "data/stories/train.txt": text_of(1, 20_000),
    }  # fmt: skip
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "baseline")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder
