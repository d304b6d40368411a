"""Ideas about attention and positions."""

from __future__ import annotations

import ast

from agent.ideas.idea import Idea
from agent.ideas.places import attention, drop_learned_positions, made, model
from agent.tree import DoesNotApply, Source, dotted

ROTATED = '''
def rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions: each pair of features of (B, HEADS, T, head) turns by an angle that grows with the position."""
    half = x.shape[-1] // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * rates  # (T, half)
    cos, sin = angles.cos(), angles.sin()
    left, right, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([left * cos - right * sin, left * sin + right * cos, rest], dim=-1)
'''


def rotary(source: Source, base: float) -> None:
    """Rotate queries and keys by position, and drop learned positions where there are any."""
    module = attention(source)
    if "rotated" in source.names():
        raise DoesNotApply("Queries and keys are rotated already.")
    source.definition(source.top(module.function), f"ROTARY_BASE = {base:_}\n\n{ROTATED}")
    source.before(module.statement, f"{module.query}, {module.key} = rotated({module.query}), rotated({module.key})")
    drop_learned_positions(source, model(source))


def no_positions(source: Source, _: float) -> None:
    """Drop learned positions: causal attention can tell them by itself."""
    if not drop_learned_positions(source, model(source)):
        raise DoesNotApply("There are no learned position embeddings to drop.")


def query_key_norm(source: Source, _: float) -> None:
    """Normalise queries and keys before their product."""
    module = attention(source)
    normed = source.calls("F.rms_norm", module.function)
    if any(dotted(call.args[0]) == module.query for call in normed if call.args):
        raise DoesNotApply("Queries and keys are normalised already.")
    q, k = module.query, module.key
    source.before(module.statement, f"{q}, {k} = F.rms_norm({q}, {q}.shape[-1:]), F.rms_norm({k}, {k}.shape[-1:])")


def token_shift(source: Source, share: float) -> None:
    """Let each feature mix what attention reads with the position before."""
    module = attention(source)
    parameters = module.function.args.args
    if len(parameters) < 2 or parameters[0].arg != "self":
        raise DoesNotApply("Attention is not a method that takes the stream alone.")
    stream = parameters[1].arg
    for node in ast.walk(module.function):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=layer), args=[ast.Name(id=argument)]):
                if argument == stream:
                    break
    else:
        raise DoesNotApply(f"No layer of attention reads {stream} directly.")
    assign, linear = made(source, source.class_of(module.function), layer)
    if "self.shift" in (dotted(node) for node in ast.walk(source.class_of(module.function))):
        raise DoesNotApply("Attention mixes neighbouring positions already.")
    source.after(assign, f"self.shift = nn.Parameter(torch.full(({source.segment(linear.args[0])},), {share}))")
    body = module.function.body
    first = body[1] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body[0]
    source.before(first, f"{stream} = {stream}.lerp(F.pad({stream}[:, :-1], (0, 0, 1, 0)), self.shift)")


IDEAS = (
    Idea(
        "rotary positions",
        "architecture",
        "Rotate queries and keys by their position instead of adding learned positions: attention then sees distances.",
        "J. Su et al., RoFormer: Enhanced transformer with rotary position embedding, 2021",
        rotary,
        dials=(10_000.0, 1_000.0),
    ),
    Idea(
        "no positions",
        "simplification",
        "Drop the position embeddings: a causal model can work out positions from what it attends to.",
        "A. Haviv et al., Transformer language models without positional encodings still learn positional information, 2022",
        no_positions,
    ),
    Idea(
        "query-key normalisation",
        "architecture",
        "Normalise queries and keys: the scale of attention logits stays bounded and higher learning rates stay stable.",
        "A. Henry et al., Query-key normalization for transformers, 2020",
        query_key_norm,
    ),
    Idea(
        "token shift",
        "architecture",
        "Mix what attention reads with the position before, by a learned share for each feature: bigrams come for free.",
        "B. Peng et al., RWKV: Reinventing RNNs for the transformer era, 2023",
        token_shift,
        dials=(0.5, 0.25),
    ),
)
