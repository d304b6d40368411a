"""Ideas about the optimiser, the schedule, the batches and the loss."""

from __future__ import annotations

import ast

from agent.ideas.idea import Idea
from agent.ideas.places import cosine, loop, loss_name
from agent.tree import DoesNotApply, Source, dotted

MUON = '''
def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights between activations: of every linear layer but the head."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [layer.weight for layer in layers if layer.out_features != prepare.VOCAB]


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Roughly the nearest orthogonal matrix, by five Newton-Schulz steps of a quintic that is steep at 0."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.7750 * gram) @ x
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """AdamW for all but some matrices: these move by their momentum, made orthogonal, at the scale of an AdamW step."""

    def __init__(self, groups: list, matrices: list[nn.Parameter], **settings: object) -> None:
        super().__init__(groups, **settings)
        self.matrices = {id(matrix) for matrix in matrices}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if id(p) not in self.matrices or p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - MUON_MOMENTUM)
                update = orthogonal(p.grad.lerp(momentum, MUON_MOMENTUM))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * MUON_SCALE * max(p.shape) ** 0.5)
                p.grad = None  # so that AdamW passes it over
        super().step()
'''
RAMP = '''
def batch_scale(progress: float) -> float:
    """Factor on the batch: small batches first, when every step helps, large ones last, when noise is what is left."""
    return BATCH_RAMP ** (2 * progress - 1)
'''
LENGTH = '''
def sequence_length(progress: float) -> int:
    """Bytes of a training sequence: short ones first, which cost less attention, then all that the score shows."""
    return prepare.CONTEXT // 4 if progress < SHORT_UNTIL else prepare.CONTEXT
'''


def muon(source: Source, scale: float) -> None:
    """Orthogonalised momentum for the matrices of the blocks, AdamW for everything else."""
    calls = [call for call in source.calls("torch.optim.AdamW") if call.args]
    if len(calls) != 1:
        raise DoesNotApply("There is not exactly one torch.optim.AdamW whose parameters are given first.")
    if "prepare" not in {alias.name for node in source.tree.body if isinstance(node, ast.Import) for alias in node.names}:
        raise DoesNotApply("The size of the vocabulary is not known: prepare is not imported.")
    function = source.function(calls[0])
    if not function.args.args:
        raise DoesNotApply("The optimiser is not built by a function of the model.")
    constants = f"MUON_MOMENTUM = 0.95\nMUON_SCALE = {scale}  # of an orthogonal matrix, as large as a step of AdamW"
    source.definition(source.top(function), f"{constants}\n\n{MUON}")
    source.replace(calls[0].func, "Muon")
    source.replace(calls[0].args[0], f"{source.segment(calls[0].args[0])}, hidden_matrices({function.args.args[0].arg})")


def averaged(source: Source, decay: float) -> None:
    """Keep a moving average of the weights and finish with that."""
    place = loop(source)
    finish = [call for call in source.calls(f"{place.run}.finish", place.function) if len(call.args) == 1]
    steps = [call for call in ast.walk(place.statement) if isinstance(call, ast.Call) and _is_step(call)]
    if len(finish) != 1 or len(steps) != 1:
        raise DoesNotApply("There is not exactly one step of the optimiser and one end of the run.")
    if dotted(finish[0].args[0]) != place.model:
        raise DoesNotApply("The run ends with other weights than those that are trained already.")
    imports = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    source.after(imports[-1], "from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn")
    source.constant(f"AVERAGE_DECAY = {decay}  # of the weights that the run ends with, per step", near="GRAD_CLIP")
    source.before(place.statement, f"average = AveragedModel({place.model}, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))")
    source.after(source.statement(steps[0]), f"average.update_parameters({place.model})")
    source.replace(finish[0].args[0], "average.module")


def _is_step(call: ast.Call) -> bool:
    """`optimiser.step()`, whatever it is called."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "step" and not call.args


def _reshape(source: Source, words: str, name: str, shape: str) -> None:
    """Another shape for a schedule that has a cosine; its docstring says so."""
    function, statement, old, _ = cosine(source)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == old and node is not statement.targets[0]:
            source.replace(node, name)
    source.replace(statement.targets[0], name)
    source.replace(statement.value, shape)
    first = function.body[0]
    if isinstance(first, ast.Expr) and "a cosine" in source.segment(first):
        source.replace(first, source.segment(first).replace("a cosine", words))


def warm_up_stable_decay(source: Source, share: float) -> None:
    """Hold the learning rate after warm-up and let it fall at the end alone."""
    progress = cosine(source)[3]
    source.constant(f"COOLDOWN = {share}  # the part of a run in which the learning rate falls", near="WARMUP")
    shape = f"min(1.0, (1 - {progress}) / COOLDOWN)"
    _reshape(source, "a plateau and a line", "level", shape)


def linear_decay(source: Source, _: float) -> None:
    """Let the learning rate fall in a straight line."""
    progress = cosine(source)[3]
    _reshape(source, "a straight line", "line", f"1 - {progress}")


def batch_ramp(source: Source, factor: float) -> None:
    """Let the batch grow over the run."""
    place = loop(source)
    size = place.batch.args[0]
    if "batch_scale" in source.names():
        raise DoesNotApply("The batch grows over the run already.")
    constant = f"BATCH_RAMP = {factor}  # from the batch divided by it to the batch times it"
    source.definition(source.top(place.function), f"{constant}\n\n{RAMP}")
    source.replace(size, f"max(1, round({source.grouped(size)} * batch_scale({place.progress})))")


def length_warm_up(source: Source, until: float) -> None:
    """Train on short sequences first."""
    place = loop(source)
    if len(place.batch.args) > 2 or place.batch.keywords:
        raise DoesNotApply("The length of the sequences is chosen already.")
    source.definition(source.top(place.function), f"SHORT_UNTIL = {until}  # share of the run with short sequences\n\n{LENGTH}")
    mixture = place.batch.args[1]
    source.replace(mixture, f"{source.segment(mixture)}, sequence_length({place.progress})")


def by_size(source: Source, power: float) -> None:
    """Draw from each source by a power of its size."""
    place = loop(source)
    mixture = place.batch.args[1]
    if not dotted(mixture).isupper():
        raise DoesNotApply("The mixture is made in the code, not a constant.")
    source.constant(f"SIZE_POWER = {power}  # 0: every source alike, 1: every byte alike", near="GRAD_CLIP")
    made = f"{{name: weight * len({place.run}.text.sources[name]) ** SIZE_POWER for name, weight in {dotted(mixture)}.items()}}"
    source.before(place.statement, f"mixture = {made}")
    source.replace(mixture, "mixture")


def label_smoothing(source: Source, share: float) -> None:
    """Train towards softened targets."""
    place = loop(source)
    if any(keyword.arg == "label_smoothing" for keyword in place.loss.keywords):
        raise DoesNotApply("Targets are smoothed already.")
    last = place.loss.args[-1]
    source.replace(last, f"{source.segment(last)}, label_smoothing={share}")


def z_loss(source: Source, weight: float) -> None:
    """Keep the normaliser of the logits near one."""
    place = loop(source)
    statement, name = loss_name(source, place)
    logits = next((node.id for node in ast.walk(place.loss.args[0]) if isinstance(node, ast.Name)), None)
    if logits is None or "Z_LOSS" in source.names():
        raise DoesNotApply("The normaliser is kept near one already." if logits else "The logits have no name.")
    source.constant(f"Z_LOSS = {weight}  # weight of the squared log-normaliser in the loss", near="GRAD_CLIP")
    source.after(statement, f"{name} = {name} + Z_LOSS * {logits}.logsumexp(-1).square().mean()")


IDEAS = (
    Idea(
        "Muon",
        "optimiser",
        "Orthogonalise the momentum of the matrices between activations: every direction moves by the same amount.",
        "K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024; J. Liu et al., Muon is scalable for "
        "LLM training, 2025",
        muon,
        dials=(0.2, 0.4),
    ),
    Idea(
        "weight averaging",
        "optimiser",
        "End with a moving average of the weights: the noise of the last steps averages out.",
        "B. Polyak and A. Juditsky, Acceleration of stochastic approximation by averaging, 1992; P. Izmailov et al., 2018",
        averaged,
        dials=(0.99, 0.98),
    ),
    Idea(
        "warm-up, stable, decay",
        "schedule",
        "Hold the peak learning rate and let it fall at the end alone: more of the run makes progress at full speed.",
        "S. Hu et al., MiniCPM: Unveiling the potential of small language models, 2024",
        warm_up_stable_decay,
        dials=(0.4, 0.6),
    ),
    Idea(
        "linear decay to zero",
        "schedule",
        "Let the learning rate fall in a straight line: it stays higher for longer than a cosine's second half.",
        "A. Defazio et al., When, why and how much? Adaptive learning rate scheduling by refinement, 2023",
        linear_decay,
    ),
    Idea(
        "batch-size ramp",
        "schedule",
        "Let the batch grow over the run: many noisy steps first, few accurate ones at the end.",
        "S. Smith et al., Don't decay the learning rate, increase the batch size, 2018",
        batch_ramp,
        dials=(2.0, 1.5),
    ),
    Idea(
        "sequence-length warm-up",
        "schedule",
        "Train on a quarter of the context first: steps are cheaper, and what is near is learned first anyway.",
        "C. Li et al., The stability-efficiency dilemma: Investigating sequence length warmup for training GPT models, 2022",
        length_warm_up,
        dials=(0.3, 0.6),
    ),
    Idea(
        "sources by size",
        "data",
        "Draw from each source by a power of its size: larger sources have more to teach.",
        "A. Conneau and G. Lample, Cross-lingual language model pretraining, 2019",
        by_size,
        dials=(0.3, 0.5),
    ),
    Idea(
        "label smoothing",
        "regularisation",
        "Train towards softened targets: the model is not pushed to certainty.",
        "C. Szegedy et al., Rethinking the inception architecture for computer vision, 2016",
        label_smoothing,
        dials=(0.1, 0.05),
    ),
    Idea(
        "z-loss",
        "regularisation",
        "Keep the normaliser of the logits near one: logits do not drift.",
        "A. Chowdhery et al., PaLM: Scaling language modeling with pathways, 2022",
        z_loss,
        dials=(1e-4, 1e-3),
    ),
)
