"""The places in training code where ideas go: attention, perceptron, model, optimiser, schedule, loop. Found by structure."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from agent.tree import DoesNotApply, Function, Source, dotted

ACTIVATIONS = ("F.gelu", "F.relu", "F.silu", "F.leaky_relu", "torch.relu", "F.elu", "torch.tanh")


@dataclass(frozen=True)
class Attention:
    """A call of scaled_dot_product_attention on two plain names."""

    query: str
    key: str
    statement: ast.stmt
    function: Function


@dataclass(frozen=True)
class Perceptron:
    """An activation on a linear layer: `outer` is the whole activation, `inner` the call of the layer in it."""

    outer: ast.expr
    inner: ast.Call
    layer: str  # its attribute


@dataclass(frozen=True)
class Model:
    """The class that sends the embedded input through the blocks in a loop: `for block in self.blocks: x = block(x)`."""

    forward: Function
    init: Function
    tokens: str
    loop: ast.For
    step: ast.Assign
    stream: str  # the name of the residual stream


@dataclass(frozen=True)
class Loop:
    """The training loop: `for _, progress in run.training_steps(model)`."""

    function: Function
    statement: ast.For
    progress: str
    model: str
    batch: ast.Call
    loss: ast.Call
    run: str


def attention(source: Source) -> Attention:
    """Raises DoesNotApply."""
    for call in source.calls("F.scaled_dot_product_attention"):
        match call.args[:2]:
            case [ast.Name(id=query), ast.Name(id=key)]:
                return Attention(query, key, source.statement(call), source.function(call))
    raise DoesNotApply("There is no F.scaled_dot_product_attention on plain queries and keys.")


def perceptron(source: Source) -> Perceptron:
    """Raises DoesNotApply."""
    calls = [call for name in ACTIVATIONS for call in source.calls(name)]
    for call in sorted(calls, key=lambda one: one.lineno):
        match call.args[:1]:
            case [ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=layer)) as inner]:
                return Perceptron(_squared(source, call), inner, layer)
    raise DoesNotApply("There is no activation function on the output of a linear layer.")


def _squared(source: Source, call: ast.expr) -> ast.expr:
    """The expression with what is made of an activation at once: `.square()`, `** 2`."""
    while True:
        match source.parents[call]:
            case ast.BinOp(op=ast.Pow()) as power:
                call = power
            case ast.Attribute(attr="square" | "pow") as method if isinstance(source.parents[method], ast.Call):
                outer = source.parents[method]
                assert isinstance(outer, ast.Call)
                call = outer
            case _:
                return call


def made(source: Source, within: ast.AST, attribute: str) -> tuple[ast.Assign, ast.Call]:
    """Where `self.<attribute> = nn.Something(…)` is made. Raises DoesNotApply."""
    for node in ast.walk(within):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=ast.Call() as call):
                if name == attribute:
                    return node, call
    raise DoesNotApply(f"self.{attribute} is not made in a plain assignment.")


def model(source: Source) -> Model:
    """Raises DoesNotApply."""
    for node in ast.walk(source.tree):
        match node:
            case ast.For(body=[ast.Assign(targets=[ast.Name(id=stream)], value=ast.Call()) as step]):
                function = next((parent for parent in source.around(node) if isinstance(parent, Function)), None)
                if function is None or function.name != "forward" or len(function.args.args) < 2:
                    continue
                owner = source.class_of(function)
                init = next((f for f in owner.body if isinstance(f, Function) and f.name == "__init__"), None)
                if init is not None:
                    return Model(function, init, function.args.args[1].arg, node, step, stream)
    raise DoesNotApply("There is no model whose forward loops over its blocks.")


def embedded(source: Source, place: Model) -> tuple[ast.stmt, ast.Assign, ast.Call]:
    """Where the tokens are looked up: the statement of forward, and where the table is made. Raises DoesNotApply."""
    for call in ast.walk(place.forward):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=[ast.Name(id=argument)]):
                if argument == place.tokens:
                    assign, table = made(source, place.init, name)
                    if dotted(table.func) == "nn.Embedding" and len(table.args) == 2:
                        return source.statement(call), assign, table
    raise DoesNotApply("The tokens are not looked up in one nn.Embedding.")


def drop_learned_positions(source: Source, place: Model) -> bool:
    """Take learned position embeddings out; False where there are none."""
    for node in ast.walk(place.forward):
        match node:
            case ast.BinOp(
                op=ast.Add(),
                left=left,
                right=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=[ast.Name(id=positions)]),
            ):
                counted = _counted(source, place, positions)
                if counted is None:
                    continue
                assign, _ = made(source, place.init, name)
                source.remove(assign)
                if sum(isinstance(n, ast.Name) and n.id == positions for n in ast.walk(place.forward)) == 2:
                    source.remove(counted)
                source.replace(node, source.segment(left))
                return True
    return False


def _counted(source: Source, place: Model, name: str) -> ast.stmt | None:
    """The statement `name = torch.arange(…)` of forward."""
    for call in source.calls("torch.arange", place.forward):
        statement = source.statement(call)
        if isinstance(statement, ast.Assign) and [dotted(target) for target in statement.targets] == [name]:
            return statement
    return None


def loop(source: Source) -> Loop:
    """Raises DoesNotApply."""
    for node in ast.walk(source.tree):
        match node:
            case ast.For(
                target=ast.Tuple(elts=[_, ast.Name(id=progress)]),
                iter=ast.Call(func=ast.Attribute(value=ast.Name(id=run), attr="training_steps"), args=[ast.Name(id=name), *_]),
            ):
                batches = source.calls(f"{run}.batch", node)
                losses = source.calls("F.cross_entropy", node)
                if len(batches) == 1 and len(batches[0].args) >= 2 and len(losses) == 1:
                    return Loop(source.function(node), node, progress, name, batches[0], losses[0], run)
    raise DoesNotApply("There is no training loop over run.training_steps with one batch and one cross-entropy.")


def loss_name(source: Source, place: Loop) -> tuple[ast.Assign, str]:
    """The statement that assigns the loss, and its name. Raises DoesNotApply."""
    statement = source.statement(place.loss)
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return statement, name
    raise DoesNotApply("The loss is not assigned to a name.")


def cosine(source: Source) -> tuple[Function, ast.Assign, str, str]:
    """A schedule with a cosine: its function, the assignment, the name, and the text of how far along it is, from 0 to 1.

    Raises DoesNotApply.
    """
    for call in source.calls("math.cos"):
        statement = source.statement(call)
        match statement, call.args:
            case ast.Assign(targets=[ast.Name(id=name)]), [angle]:
                if share := _share_of_pi(source, angle):
                    return source.function(call), statement, name, share
    raise DoesNotApply("The schedule of the learning rate has no cosine.")


def _share_of_pi(source: Source, angle: ast.expr) -> str:
    """`a / b` of `pi * a / b`; empty for another angle."""
    match angle:
        case ast.BinOp(op=ast.Mult(), left=ast.Attribute(attr="pi"), right=share):
            return source.grouped(share)
        case ast.BinOp(op=ast.Div(), left=ast.BinOp(op=ast.Mult(), left=ast.Attribute(attr="pi"), right=part), right=whole):
            return f"{source.grouped(part)} / {source.grouped(whole)}"
    return ""
