"""Where the metric is: in printed lines of a known trainer, in files, or in lines that a pattern is made for."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from research_app.survey.sources import Module, Seen, dotted, shape_of
from training.metric_source import SOURCES

HELD_OUT = r"(val|valid|validation|eval|test|dev|heldout|held_out)"
MEASURE = r"(loss|bpb|bpc|nll|bits|perplexity|ppl|acc|error|score|metric)"
_HELD_OUT = re.compile(HELD_OUT, re.IGNORECASE)
_MEASURE = re.compile(MEASURE, re.IGNORECASE)
_MEASURE_FIRST = re.compile(rf"{MEASURE}\w{{0,20}}[\s/_.-]{{0,3}}{HELD_OUT}", re.IGNORECASE)
HIGHER = re.compile(r"acc|bleu|score|core_metric|f1|win", re.IGNORECASE)
STEP = re.compile(r"(step|iter|iteration|it|epoch|batch|update)s?", re.IGNORECASE)
_BEFORE = re.compile(r"([A-Za-z][\w/.-]{0,80}(?: [A-Za-z][\w/.-]{0,80})?)\W{0,40}$")


def is_metric(name: str) -> bool:
    """Whether it names a measure of held-out text: val_loss, loss/eval, validation bits per byte."""
    held_out = _HELD_OUT.search(name)
    return bool(held_out and _MEASURE.search(name, held_out.end())) or _MEASURE_FIRST.search(name) is not None


@dataclass(frozen=True)
class FoundOutput:
    """What [metric] is to say, and what was seen of it."""

    source: str
    key: str
    comment: str
    pattern: str = ""
    file: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def direction(self) -> str:
        return "higher" if HIGHER.search(self.key) else "lower"


@dataclass(frozen=True)
class Shape:
    """A text that the code makes, with NUL for what is put into it."""

    text: str
    seen: Seen


def output_of(modules: Sequence[Module]) -> FoundOutput | None:
    """The first of the ways, surest first, in which the code says its metric; None where it seems to say none."""
    shapes = [shape for module in modules for shape in shapes_of(module)]
    ways = (known(shapes), json_lines(modules), table(modules), events(modules), printed(shapes, is_metric), wandb(modules))
    return next((way for way in ways if way), None) or printed(shapes, _MEASURE.search)


def shapes_of(module: Module) -> Iterator[Shape]:
    """The texts in the arguments of calls: what is printed, logged or written is among them."""
    for _, call in module.calls():
        for argument in call.args[:2]:
            if shape := shape_of(argument):
                yield Shape(shape, module.seen(argument))


def known(shapes: Sequence[Shape]) -> FoundOutput | None:
    """What prints as one of the sources does (training/sources/)."""
    for source in SOURCES.values():
        if not (like := source.recognised):
            continue
        line = next((shape for shape in shapes if re.search(like.metric, shape.text)), None)
        if line and any(re.search(like.beside, shape.text) for shape in shapes):
            words = f"{line.seen} prints as {source.name} does"
            return FoundOutput(source.name, like.key, words, facts=dict(like.facts))
    return None


def json_lines(modules: Sequence[Module]) -> FoundOutput | None:
    return _file(modules, ".jsonl", "jsonl", ("json.dumps", "json.dump"))


def table(modules: Sequence[Module]) -> FoundOutput | None:
    return _file(modules, ".csv", "csv", ("csv.writer", "csv.DictWriter", "CSVLogger", "pl.loggers.CSVLogger"))


def _file(modules: Sequence[Module], end: str, source: str, writers: Sequence[str]) -> FoundOutput | None:
    """A file with this ending that a module writes with one of these."""
    for module in modules:
        if not any(name in writers or (name.endswith(".to_csv") and source == "csv") for name, _ in module.calls()):
            continue
        for node in ast.walk(module.tree):
            if (shape := shape_of(node) if isinstance(node, ast.expr) else None) and shape.endswith(end) and "\n" not in shape:
                key = metric_key(_keys(module)) or "val_loss"
                name = re.sub(r"\0+", "*", shape).rpartition("/")[2]
                return FoundOutput(source, key, f"{module.seen(node)} writes {name}", file=f"**/{name}")
    return None


def events(modules: Sequence[Module]) -> FoundOutput | None:
    for module in modules:
        writer = next((call for name, call in module.calls() if name.endswith(("SummaryWriter", "TensorBoardLogger"))), None)
        if writer is None:
            continue
        tags = [shape.replace("\0", "*") for name, call in module.calls() if name.endswith("add_scalar") and call.args
                if (shape := shape_of(call.args[0]))]  # fmt: skip
        return FoundOutput("tensorboard", metric_key(tags) or "val/loss", f"{module.seen(writer)} writes event files")
    return None


def wandb(modules: Sequence[Module]) -> FoundOutput | None:
    for module in modules:
        logs = [call for name, call in module.calls() if re.fullmatch(r"wandb(_\w+)?\.log|run\.log", name)]
        if logs:
            return FoundOutput(
                "wandb", metric_key(_keys(module)) or "val/loss", f"{module.seen(logs[0])} logs to Weights & Biases"
            )
    return None


def _keys(module: Module) -> list[str]:
    """The text keys of all dictionaries of a module, and the names of keyword arguments of `dict`."""
    keys = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Dict):
            keys += [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        elif isinstance(node, ast.Call) and dotted(node.func) == "dict":
            keys += [each.arg for each in node.keywords if each.arg]
    return keys


def metric_key(names: Sequence[str]) -> str:
    """The name that a metric on held-out data has; empty where none looks like it."""
    return next((name for name in names if is_metric(name)), "") or next(
        (name for name in names if re.search(MEASURE, name)), ""
    )


def printed(shapes: Sequence[Shape], wanted: Callable[[str], object]) -> FoundOutput | None:
    """A pattern for the printed line that holds the metric, and for one that holds the training loss."""
    lines = [(shape, pattern_of(shape.text)) for shape in shapes if "\0" in shape.text]
    for shape, (pattern, names) in lines:
        key = next((name for name in names if wanted(name.replace("_", " ")) and name != "step"), None)
        if key is None:
            continue
        steps = (other for _, (other, more) in lines if "step" in more and "loss" in " ".join(more) and key not in more)
        also = next(steps, "")
        return FoundOutput("pattern", key, f"{shape.seen} prints it", pattern="|".join(filter(None, (pattern, also))))
    return None


def pattern_of(shape: str) -> tuple[str, list[str]]:
    """A regular expression for a printed line, and the names of its groups: each from the words before its value."""
    pieces = re.split(r"\0", shape.strip("\r\n \t").split("\n")[0])
    pattern, names = "", list[str]()
    for place, piece in enumerate(pieces):
        pattern += re.sub(r"(?:\\ )+", r"\\s+", re.escape(piece))
        if place == len(pieces) - 1:
            break
        match = _BEFORE.search(piece)
        name = re.sub(r"\W+", "_", match[1]).strip("_").lower() if match else ""
        name = "step" if STEP.fullmatch(name.rpartition("_")[2]) and "step" not in names else name
        if name and name not in names and name.isidentifier():
            names.append(name)
            pattern += rf"(?P<{name}>[^\s,|)%]+)"
        else:
            pattern += r"[^\s,|)%]+"
    return pattern.removesuffix(r"\s+"), names
