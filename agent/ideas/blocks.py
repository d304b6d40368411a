"""Ideas about the perceptron, normalisation and the residual stream."""

from __future__ import annotations

import ast

from agent.ideas.idea import Idea
from agent.ideas.places import made, model, perceptron
from agent.tree import DoesNotApply, Function, Source, dotted


def rms_norm(source: Source, _: float) -> None:
    """Normalise by the root mean square alone."""
    norms = source.calls("nn.LayerNorm")
    if not norms:
        raise DoesNotApply("There is no nn.LayerNorm to replace.")
    for call in norms:
        source.replace(call.func, "nn.RMSNorm")


def squared_relu(source: Source, _: float) -> None:
    """Square of ReLU for the activation that is there."""
    mlp = perceptron(source)
    new = f"F.relu({source.segment(_activated(mlp.outer))}).square()"
    if source.segment(mlp.outer) == new:
        raise DoesNotApply("The activation is the square of ReLU already.")
    source.replace(mlp.outer, new)


def _activated(outer: ast.expr) -> ast.expr:
    """What the innermost activation is applied to."""
    while True:
        match outer:
            case ast.BinOp(left=left):
                outer = left
            case ast.Call(func=ast.Attribute(value=ast.Call() as inner)):
                outer = inner
            case ast.Call(args=[argument, *_]):
                return argument
            case _:
                raise DoesNotApply("The activation is not a plain call.")


def gated(source: Source, _: float) -> None:
    """Gate the perceptron by its activation, with two thirds of the width so that it has as many weights as before."""
    mlp = perceptron(source)
    owner = source.class_of(mlp.inner)
    first, layer_in = made(source, owner, mlp.layer)
    if dotted(layer_in.func) != "nn.Linear" or len(layer_in.args) < 2:
        raise DoesNotApply(f"self.{mlp.layer} is not an nn.Linear of two widths.")
    wide = ast.dump(layer_in.args[1])
    for node in ast.walk(owner):
        match node:
            case ast.Call(args=[back, _, *_]) as layer_out:
                if dotted(node.func) == "nn.Linear" and ast.dump(back) == wide and layer_out is not layer_in:
                    break
    else:
        raise DoesNotApply("No layer takes the perceptron's width back to the stream.")
    hidden = source.segment(layer_in.args[1])
    source.before(first, f"gated = 2 * ({hidden}) // 3  # with its gate as many weights as before")
    source.replace(layer_in.args[1], "2 * gated")
    source.replace(back, "gated")
    inner = source.segment(mlp.inner)
    source.before(source.statement(mlp.outer), f"gate, up = {inner}.chunk(2, dim=-1)")
    source.replace(mlp.outer, f"{source.segment(mlp.outer).replace(inner, 'gate')} * up")


def parallel(source: Source, _: float) -> None:
    """Attention and perceptron read the same stream and add to it together."""
    for node in ast.walk(source.tree):
        if not isinstance(node, Function) or node.name != "forward" or len(node.body) < 2:
            continue
        match node.body[0], node.body[-1]:
            case (
                ast.Assign(
                    targets=[ast.Name(id=stream) as target],
                    value=ast.BinOp(op=ast.Add(), left=ast.Name(id=first), right=attended),
                ) as statement,
                ast.Return(value=ast.BinOp(op=ast.Add(), left=ast.Name(id=second) as left)),
            ) if stream == first == second:
                source.replace(target, "attended")
                source.replace(statement.value, source.segment(attended))
                source.replace(left, f"{stream} + attended")
                return
    raise DoesNotApply("There is no block that adds attention to the stream first and the perceptron after it.")


def embedding_shortcut(source: Source, start: float) -> None:
    """Give every block a learned share of the embedded input."""
    place = model(source)
    blocks = source.segment(place.loop.iter)
    if not isinstance(place.loop.target, ast.Name) or not blocks.startswith("self."):
        raise DoesNotApply("The loop over the blocks does more than that already.")
    call = place.step.value
    assert isinstance(call, ast.Call)
    if [dotted(argument) for argument in call.args] != [place.stream]:
        raise DoesNotApply("The blocks take more than the stream.")
    assign, _ = made(source, place.init, blocks.removeprefix("self."))
    source.after(assign, f"self.shortcuts = nn.Parameter(torch.full((len({blocks}),), {start}))")
    source.before(place.loop, f"embedded = {place.stream}")
    source.replace(place.loop.target, f"{place.loop.target.id}, share")
    source.replace(place.loop.iter, f"zip({blocks}, self.shortcuts, strict=True)")
    source.replace(call.args[0], f"{place.stream} + share * embedded")


def no_biases(source: Source, _: float) -> None:
    """Linear layers without biases."""
    layers = [call for call in source.calls("nn.Linear") if len(call.args) == 2 and not call.keywords]
    if not layers:
        raise DoesNotApply("No nn.Linear has a bias.")
    for call in layers:
        source.replace(call.args[1], f"{source.segment(call.args[1])}, bias=False")


def zero_projections(source: Source, _: float) -> None:
    """Start the layers that write to the stream at zero, so that every block begins as the identity."""
    projections = []
    for call in source.calls("nn.init.normal_"):
        inside = next((node for node in source.around(call) if isinstance(node, ast.For)), None)
        if inside and isinstance(inside.target, ast.Name) and dotted(call.args[0]).startswith(f"{inside.target.id}."):
            projections.append(call)
    if not projections:
        raise DoesNotApply("No layer of the blocks has an initialisation of its own that could be zero.")
    for call in projections:
        source.replace(call, f"nn.init.zeros_({source.segment(call.args[0])})")


IDEAS = (
    Idea(
        "RMSNorm",
        "architecture",
        "Normalise by the root mean square, without mean and bias: the same effect from less.",
        "B. Zhang and R. Sennrich, Root mean square layer normalization, 2019",
        rms_norm,
    ),
    Idea(
        "squared ReLU",
        "architecture",
        "Square of ReLU as the activation: sparse, and stronger where it is on.",
        "D. So et al., Primer: Searching for efficient transformers for language modeling, 2021",
        squared_relu,
    ),
    Idea(
        "gated perceptron",
        "architecture",
        "Multiply the activation by a second projection of the same input, at two thirds of the width.",
        "N. Shazeer, GLU variants improve transformer, 2020",
        gated,
    ),
    Idea(
        "parallel blocks",
        "architecture",
        "Attention and perceptron read the same input and add to the stream together: shorter paths for gradients.",
        "B. Wang and A. Komatsuzaki, GPT-J-6B, 2021; A. Chowdhery et al., PaLM, 2022",
        parallel,
    ),
    Idea(
        "embedding shortcut",
        "architecture",
        "Give every block a learned share of the embedded input: the token's own identity need not survive all blocks.",
        "Z. Zhou et al., Value residual learning, 2024; K. Jordan et al., modded-nanogpt, 2024",
        embedding_shortcut,
        dials=(0.0, 0.2),
    ),
    Idea(
        "no biases",
        "simplification",
        "Linear layers without biases: fewer parameters, and large models lose nothing by it.",
        "A. Chowdhery et al., PaLM: Scaling language modeling with pathways, 2022",
        no_biases,
    ),
    Idea(
        "zero initialisation of projections",
        "initialisation",
        "Start the layers that write to the residual stream at zero: every block begins as the identity.",
        "H. Zhang et al., Fixup initialization: Residual learning without normalization, 2019",
        zero_projections,
    ),
)
