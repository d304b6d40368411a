"""Ideas about the two ends of the model: embeddings and logits."""

from __future__ import annotations

import ast

from agent.ideas.idea import Idea
from agent.ideas.places import embedded, model
from agent.tree import DoesNotApply, Source, dotted

PAIRS = """
def pairs_of(tokens: torch.Tensor) -> torch.Tensor:
    \"\"\"A bucket for each byte together with the one before it, (B, T) in and out.\"\"\"
    before = F.pad(tokens[:, :-1], (1, 0))
    return (before * 31_337 + tokens * 2_654_435 + 977) % PAIR_BUCKETS
"""


def soft_cap(source: Source, cap: float) -> None:
    """Bound the logits smoothly."""
    place = model(source)
    returned = place.forward.body[-1]
    if not isinstance(returned, ast.Return) or returned.value is None:
        raise DoesNotApply("The model does not end in a plain return of its logits.")
    if source.calls("torch.tanh", place.forward):
        raise DoesNotApply("The logits are capped already.")
    source.definition(source.top(place.forward), f"LOGIT_CAP = {cap}")
    source.before(returned, f"logits = {source.segment(returned.value)}")
    source.replace(returned.value, "LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)")


def _tie(source: Source) -> ast.Assign | None:
    """The statement that makes two layers share their weight."""
    for node in ast.walk(model(source).init):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="weight")], value=ast.Attribute(attr="weight")):
                return node
    return None


def untie(source: Source, _: float) -> None:
    """Give the head weights of its own."""
    tie = _tie(source)
    if tie is None:
        raise DoesNotApply("The head has weights of its own already.")
    source.remove(tie)


def tie(source: Source, _: float) -> None:
    """Let the head use the weights of the embedding."""
    if _tie(source) is not None:
        raise DoesNotApply("The head uses the weights of the embedding already.")
    place = model(source)
    table, made_by = embedded(source, place)[1:]
    size = ast.dump(made_by.args[0])
    for node in ast.walk(place.init):
        match node:
            case ast.Assign(targets=[target], value=ast.Call(args=[_, wide, *_]) as layer):
                if dotted(layer.func) == "nn.Linear" and ast.dump(wide) == size:
                    source.after(place.init.body[-1], f"{dotted(target)}.weight = {dotted(table.targets[0])}.weight")
                    return
    raise DoesNotApply("There is no head as large as the vocabulary.")


def previous_byte(source: Source, _: float) -> None:
    """Add an embedding of the byte before to that of each byte."""
    place = model(source)
    statement, table, made_by = embedded(source, place)
    if "self.previous" in (dotted(node) for node in ast.walk(place.forward)):
        raise DoesNotApply("The byte before is embedded already.")
    source.after(table, f"self.previous = {source.segment(made_by)}")
    shifted = f"F.pad(self.previous({place.tokens}[:, :-1]), (0, 0, 1, 0))"
    source.after(statement, f"{place.stream} = {place.stream} + {shifted}")


def hashed_pairs(source: Source, buckets: float) -> None:
    """Add an embedding of each byte together with the one before it, from a hashed table."""
    place = model(source)
    statement, table, made_by = embedded(source, place)
    if "pairs_of" in source.names():
        raise DoesNotApply("Pairs of bytes are embedded already.")
    width = source.segment(made_by.args[1])
    source.definition(source.top(place.forward), f"PAIR_BUCKETS = {int(buckets)}\n\n{PAIRS}")
    source.after(table, f"self.pairs = nn.Embedding(PAIR_BUCKETS, {width})")
    source.after(statement, f"{place.stream} = {place.stream} + self.pairs(pairs_of({place.tokens}))")


def embedding_norm(source: Source, _: float) -> None:
    """Normalise the embedded input."""
    place = model(source)
    if any(call.args and dotted(call.args[0]) == place.stream for call in source.calls("F.rms_norm", place.forward)):
        raise DoesNotApply("The embedded input is normalised already.")
    source.before(place.loop, f"{place.stream} = F.rms_norm({place.stream}, {place.stream}.shape[-1:])")


def embedding_dropout(source: Source, share: float) -> None:
    """Drop features of the embedded input in training."""
    place = model(source)
    if "EMBEDDING_DROPOUT" in source.names():
        raise DoesNotApply("Features of the embedded input are dropped already.")
    source.definition(source.top(place.forward), f"EMBEDDING_DROPOUT = {share}")
    source.before(place.loop, f"{place.stream} = F.dropout({place.stream}, EMBEDDING_DROPOUT, self.training)")


IDEAS = (
    Idea(
        "logit soft-capping",
        "architecture",
        "Bound the logits by a tanh: no answer gets overconfident, and the loss has no runaway gradients.",
        "Gemma Team, Gemma 2: Improving open language models at a practical size, 2024",
        soft_cap,
        dials=(30.0, 15.0),
    ),
    Idea(
        "untied head",
        "architecture",
        "Give the head weights of its own: reading and writing bytes are different jobs.",
        "H. W. Chung et al., Rethinking embedding coupling in pre-trained language models, 2020",
        untie,
        undoes="tied head",
    ),
    Idea(
        "tied head",
        "simplification",
        "Let the head use the weights of the embedding: fewer parameters, each trained from both ends.",
        "O. Press and L. Wolf, Using the output embedding to improve language models, 2017",
        tie,
        undoes="untied head",
    ),
    Idea(
        "previous-byte embedding",
        "architecture",
        "Add an embedding of the byte before: the first block starts from pairs instead of finding them by attention.",
        "A. Pagnoni et al., Byte latent transformer: Patches scale better than tokens, 2024",
        previous_byte,
    ),
    Idea(
        "hashed pair embedding",
        "architecture",
        "Look up each byte with the one before it in a hashed table: memory instead of arithmetic.",
        "H. Huang et al., Over-tokenized transformer: Vocabulary is generally worth scaling, 2025",
        hashed_pairs,
        dials=(4096, 2048),
    ),
    Idea(
        "embedding normalisation",
        "architecture",
        "Normalise the embedded input: every position enters the blocks at the same scale.",
        "T. Le Scao et al., What language model to train if you have one million GPU hours?, 2022",
        embedding_norm,
    ),
    Idea(
        "embedding dropout",
        "regularisation",
        "Drop a tenth of the embedded features in training: the model must not rely on any one of them.",
        "N. Srivastava et al., Dropout: A simple way to prevent neural networks from overfitting, 2014",
        embedding_dropout,
        dials=(0.1, 0.05),
    ),
)
