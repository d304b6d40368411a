"""What every run shares and no candidate may edit: data, budget, logging, determinism, checkpoint.

The runner sets the environment; by hand, `SIGNOFF_DATA=<corpus>/visible python train.py` is enough.

    SIGNOFF_DATA         folder with train.bin, watch.bin and their indexes (needed)
    SIGNOFF_TEXT         descriptor of a socket that serves the training text, where train.bin cannot be read (default: none)
    SIGNOFF_OUT          folder for the series and the checkpoint (default: ./out)
    SIGNOFF_SEED         seed of weights and data order (default: 1)
    SIGNOFF_DEVICE       "cpu", "cuda:0" or "mps" (default: cpu)
    SIGNOFF_BUDGET_KIND  "train_flops", "tokens" or "wall_seconds" (default: train_flops)
    SIGNOFF_BUDGET       the amount (default: BUDGET_FLOPS)
    SIGNOFF_GROWTH       how much larger than at the smallest scale the model is to be built (default: 1)
    SIGNOFF_BATCH        how many times as many sequences a batch has, for GPUs that a few would not fill (default: 1)
    SIGNOFF_CHECKPOINT_SECONDS  how often the run saves what it needs to be resumed (default: 0, never)
"""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import resource
import struct
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA matrix products are not reproducible

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file, save_model
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

VOCAB = 256  # tokens are bytes
CONTEXT = 128  # bytes that a scored sequence shows the model; training may use shorter sequences
BUDGET_FLOPS = 3.2e11  # one default run
WATCH_POINTS = 24  # validation losses along a run, one more at its end
AT_ONCE = 8  # batches that one answer of whoever hands out the text may bring
COUNT_EVERY = 128  # steps, on average, between two measurements of the cost of a kind of step that is known
SERIES_POINTS = 500  # points of a run's curves, at most
FLUSH_SECONDS = 0.5
GROWTH = float(os.environ.get("SIGNOFF_GROWTH", "1"))  # 1 at the smallest rung of the scale ladder
BATCH = int(os.environ.get("SIGNOFF_BATCH", "1"))  # on every rung that is trained on a core


class NoCompilerYet(types.ModuleType):
    """Stands in the place of torch's compiler, whose import takes a tenth of a run, until something really asks for it.

    Optimisers ask it for two things that mean nothing where nothing is compiled; any other question brings the real one.
    """

    @staticmethod
    def disable(fn: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        return fn

    @staticmethod
    def graph_break(*_: object, **__: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def start() -> Run:
    """Seed everything, open the data, and begin a run with the settings of the environment."""
    if "torch._dynamo" not in sys.modules and not os.environ.get("SIGNOFF_DEVICE", "cpu").startswith("cuda"):
        torch._dynamo = sys.modules["torch._dynamo"] = NoCompilerYet("torch._dynamo")
    return Run(os.environ)


def grown(*sizes: int) -> list[int]:
    """Sizes of the smallest scale at the scale of this run: all grow alike, so that the shape of the model stays.

    With depth and width times g, parameters and so FLOPs per token grow as g³; with text in proportion, a run costs g⁶ as much.
    """
    return [max(1, round(size * GROWTH)) for size in sizes]


class Run:
    """One training run: hands out batches, charges the budget, keeps the log."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.seed = int(environment.get("SIGNOFF_SEED", "1"))
        self.device = torch.device(environment.get("SIGNOFF_DEVICE", "cpu"))
        self.budget_kind = environment.get("SIGNOFF_BUDGET_KIND", "train_flops")
        if self.budget_kind not in ("train_flops", "tokens", "wall_seconds"):
            sys.exit(f"SIGNOFF_BUDGET_KIND is {self.budget_kind!r}; use train_flops, tokens or wall_seconds")
        self.budget = float(environment.get("SIGNOFF_BUDGET", BUDGET_FLOPS))
        if "SIGNOFF_DATA" not in environment:
            sys.exit("SIGNOFF_DATA is not set: name the `visible` folder of a corpus (docs/explanation/default-target.md)")
        data = Path(environment["SIGNOFF_DATA"])
        self.out = Path(environment.get("SIGNOFF_OUT", "out"))
        self.out.mkdir(parents=True, exist_ok=True)
        self._make_deterministic()
        self.text = served if (served := ServedText.of(environment, data)) else TrainText(data, self.seed)
        self.watch_text = torch.from_numpy(read_windows(data / "watch")).to(self.device)  # (N, CONTEXT + 1)
        self.cost = StepCost(self.seed)
        self.text.on_draw = self.cost.drawn
        self.text.at_once = self._at_once
        self.step, self.tokens, self.flops = 0, 0, 0
        self.next_watch = 0.0
        self.compiled: Compiled | None = None
        self.resume = Resume(self, float(environment.get("SIGNOFF_CHECKPOINT_SECONDS", "0")))
        self.series = SeriesLog(self.out / "series.jsonl", self)
        self.started = time.monotonic()

    def _make_deterministic(self) -> None:
        torch.manual_seed(self.seed)
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler, too
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, hides nothing here
        torch.set_num_threads(1)  # sums over several threads are not reproducible

    def batch(self, size: int, mixture: Mapping[str, float], length: int = CONTEXT) -> tuple[torch.Tensor, torch.Tensor]:
        """`size` × BATCH random windows of training text, shared between the sources as `mixture` weighs them.

        Returns inputs and targets, both (size × BATCH, length), where targets are the bytes that follow.
        """
        windows = torch.from_numpy(self.text.draw(size * BATCH, mixture, length + 1))
        if self.device.type == "cuda":  # from pinned memory the copy waits for nothing, and the next step is prepared meanwhile
            windows = windows.pin_memory().to(self.device, non_blocking=True)
        else:
            windows = windows.to(self.device)
        return windows[:, :-1], windows[:, 1:]

    def training_steps(self, model: torch.nn.Module) -> Iterator[tuple[int, float]]:
        """Yield (step, share of the budget used) until the next step would go over the budget.

        Everything between two yields is one step. Its tokens are those drawn meanwhile; its FLOPs are counted by PyTorch's
        counter (measured when the kind of step is new, and by chance every COUNT_EVERY steps; taken from the last measurement
        of its kind otherwise: the same batches, as many backward passes). What was drawn elsewhere, before the first step or
        by another process, is charged at the dearest price per token so far. The model's loss on the watch text is logged
        WATCH_POINTS times, free of charge.
        A run that lost its machine goes on where it last saved; steps, budget, text and random numbers go on with it.
        On a CUDA GPU the model's forward pass is compiled and in bfloat16, see `Compiled`; on other devices it is as it is.
        """
        if self.device.type == "cuda":
            self.compiled = Compiled(model, self.cost)
        self.cost.leave_outside()  # what was done before the first step, charged with it
        self.started = time.monotonic()
        self.resume.load(model)
        while (used := self._used()) < 1.0:
            if used >= self.next_watch:
                self.log(val_loss=self.watch_loss(model))
                self.next_watch += 1 / WATCH_POINTS
            self.cost.begin()
            yield self.step, used
            tokens, flops = self.cost.end()
            self.step, self.tokens, self.flops = self.step + 1, self.tokens + tokens, self.flops + flops
            self._charge_elsewhere()
            self.series.step_done(self.step - 1, self._used())
            self.resume.save_when_due(model)
        self.log(val_loss=self.watch_loss(model))
        self.cost.begin(measure=True)  # what is done after the last step

    def _charge_elsewhere(self) -> None:
        """Charge what was done outside the steps or elsewhere: what was counted there, at least the dearest price per token."""
        elsewhere = self.text.tokens - self.tokens
        self.flops += max(self.cost.flops_outside, int(elsewhere * self.cost.dearest))
        self.tokens, self.cost.flops_outside = self.tokens + elsewhere, 0

    def _at_once(self) -> int:
        """Batches to have handed out together: as many as the rest of the budget surely takes, because all are counted."""
        used = self._used()
        return max(1, min(AT_ONCE, int((1 - used) / used * self.step / 4))) if used > 0 else 1

    def keep(self, *objects: Any) -> None:
        """Name what else changes while it trains (`state_dict`, `load_state_dict`): weight averages, schedulers and the like.

        The model and every optimiser are found without it. Call it before the first step, always with the same objects.
        """
        self.resume.kept += objects

    @property
    def seconds(self) -> float:
        """Seconds since the first step began."""
        return time.monotonic() - self.started

    def _used(self) -> float:
        """Share of the budget used, 1 when the next step would not fit. At least one step always fits."""
        if self.budget_kind == "wall_seconds":
            return self.seconds / self.budget
        spent, last = (self.flops, self.cost.flops) if self.budget_kind == "train_flops" else (self.tokens, self.cost.tokens)
        return spent / self.budget if self.step == 0 or spent + last <= self.budget else 1.0

    @torch.no_grad()
    def watch_loss(self, model: torch.nn.Module) -> float:
        """Mean cross-entropy on the watch text, in nats per byte. For the curve only: the score is measured elsewhere."""
        training = model.training
        model.eval()
        logits = model(self.watch_text[:, :-1]).float()  # (N, CONTEXT, VOCAB)
        model.train(training)
        return F.cross_entropy(logits.flatten(0, 1), self.watch_text[:, 1:].flatten()).item()

    def log(self, **values: float | torch.Tensor) -> None:
        """Log values of the current step. Tensors are read when the log is written, so that a GPU need not wait."""
        self.series.add(values)

    def finish(self, model: torch.nn.Module) -> None:
        """Write the checkpoint, the facts of the run and the rest of the log."""
        self.cost.leave_outside()
        self._charge_elsewhere()
        self.series.last()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                self.series.stop(f"the weight {name} is not finite at the end of training")
        save_model(model, str(self.out / "checkpoint.safetensors"))
        self.series.close(self._facts(model))

    def _facts(self, model: torch.nn.Module) -> dict[str, float | int | str]:
        facts: dict[str, float | int | str] = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": self.step,
            "tokens": self.tokens,
            "flops": self.flops,
            "measured_steps": self.cost.measured,
            "flops_per_token": self.flops / max(self.tokens, 1),
            "loop_seconds": round(self.seconds, 3),
            "data_hash": self.text.data_hash,
            "torch": torch.__version__,
        }
        if self.resume.from_step:
            facts["resumed_from_step"] = self.resume.from_step
        for name in ("layers", "width", "heads"):  # a model that has these says how large it is
            if isinstance(value := getattr(model, name, None), int):
                facts[name] = value
        if self.device.type == "cuda":
            facts["device_peak_memory_bytes"] = torch.cuda.max_memory_allocated()
        if self.compiled is not None:
            facts["forward"] = f"bfloat16, {'compiled' if self.compiled.trouble == '' else 'not compiled'}"
        return facts


class Compiled:
    """A model's forward pass as training steps on a GPU call it: in bfloat16, and compiled where this machine can do that.

    Weights, gradients and the optimiser's state stay in float32, and so do the logits. A step whose FLOPs are measured, and
    the validation loss, go through the model operation by operation: the counter sees what a compiled pass would hide, and
    both are the same products of matrices. Attention is PyTorch's own, which has a fused kernel for bfloat16.
    """

    def __init__(self, model: torch.nn.Module, cost: StepCost, device: str = "cuda") -> None:
        self.forward, self.cost, self.device = model.forward, cost, device
        self.fast = torch.compile(model.forward)
        self.trouble = ""  # why nothing is compiled here
        self.seen: set[torch.Size] = set()
        model.forward = self  # type: ignore[method-assign,assignment]

    def __call__(self, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        with torch.autocast(self.device, dtype=torch.bfloat16):
            if self.cost.counter is not None or not torch.is_grad_enabled() or self.trouble:
                logits = self.forward(tokens, *args, **kwargs)
            else:
                logits = self._compiled(tokens, *args, **kwargs)
        return logits.float()

    def _compiled(self, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if tokens.shape in self.seen:
            return self.fast(tokens, *args, **kwargs)
        passes = self.cost.backwards
        try:
            return self.fast(tokens, *args, **kwargs)
        except Exception as error:  # no compiler for kernels, no room for its processes: then it trains slower
            self.trouble = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"not compiled: {self.trouble}", flush=True)
            return self.forward(tokens, *args, **kwargs)
        finally:
            self.cost.backwards = passes  # tracing it takes one of its own, which trains nothing
            self.seen.add(tokens.shape)


class Resume:
    """Saves, now and then, all that a run needs to go on in another process, to the last bit, and loads it there.

    One file of tensors, with numbers as JSON in its head, replaced as a whole. The worker puts the file of a lost attempt,
    and its series, into the folder of the next one. Optimisers are known by the order of their first steps; their settings
    (learning rates and the like) are the script's to set, as in every step.
    """

    def __init__(self, run: Run, every: float) -> None:
        self.run, self.every = run, every
        self.path = run.out / "resume.safetensors"
        self.saved = time.monotonic()
        self.from_step = 0
        self.kept: tuple[Any, ...] = ()
        self.optimisers: list[Optimizer] = []
        self.before: dict[str, Any] = {}  # what the lost attempt left, with its tensors
        self.tensors: dict[str, torch.Tensor] = {}
        if self.path.is_file():
            with safe_open(self.path, "pt") as file:
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
                self.before = json.loads(file.metadata()["state"])
        if every or self.before:
            register_optimizer_step_pre_hook(self._load_optimiser)
            register_optimizer_step_post_hook(self._see_optimiser)

    def save_when_due(self, model: torch.nn.Module) -> None:
        if not self.every or time.monotonic() - self.saved < self.every:
            return
        run, tensors = self.run, {}
        run.series.flush()
        state = {
            "model": pack(model.state_dict(), "model", tensors),
            "optimisers": [pack(o.state_dict()["state"], f"optimiser{i}", tensors) for i, o in enumerate(self.optimisers)],
            "kept": [pack(each.state_dict(), f"kept{i}", tensors) for i, each in enumerate(self.kept)],
            "random": pack(self._random(), "random", tensors),
            "run": {name: getattr(run, name) for name in ("step", "tokens", "flops", "next_watch", "seconds")},
            "cost": [[shapes, backwards, flops] for (shapes, backwards), flops in run.cost.known.items()],
            "last": [run.cost.tokens, run.cost.flops, run.cost.measured],
            "text": run.text.state(run.step),
            "series": run.series.state(),
        }
        partial = self.path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"state": json.dumps(state)})
        partial.replace(self.path)
        self.saved = time.monotonic()

    def load(self, model: torch.nn.Module) -> None:
        """Go on where the lost attempt saved last; nothing happens in a first attempt."""
        if not (state := self.before):
            return
        run = self.run
        model.load_state_dict(unpack(state["model"], self.tensors))
        for each, packed in zip(self.kept, state["kept"], strict=True):
            each.load_state_dict(unpack(packed, self.tensors))
        for name in ("step", "tokens", "flops", "next_watch"):
            setattr(run, name, state["run"][name])
        run.started -= state["run"]["seconds"]
        run.cost.known = {(tuple((size, length) for size, length in shapes), n): flops for shapes, n, flops in state["cost"]}
        run.cost.tokens, run.cost.flops, run.cost.measured = state["last"]
        run.text.go_back(state["text"])
        self._set_random(unpack(state["random"], self.tensors))
        self.from_step = run.step
        print(f"goes on at step {run.step}, {run.seconds:.0f} s of training after its start", flush=True)

    def _see_optimiser(self, optimiser: Optimizer, *_: Any) -> None:
        if not any(optimiser is known for known in self.optimisers):
            self.optimisers.append(optimiser)

    def _load_optimiser(self, optimiser: Optimizer, *_: Any) -> None:
        number = len(self.optimisers)
        if not self.before or any(optimiser is known for known in self.optimisers) or number >= len(self.before["optimisers"]):
            return
        packed = unpack(self.before["optimisers"][number], self.tensors)
        optimiser.load_state_dict({"state": packed, "param_groups": optimiser.state_dict()["param_groups"]})

    def _random(self) -> dict[str, Any]:
        state: dict[str, Any] = {"torch": torch.get_rng_state()}
        if self.run.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.run.device)
        if self.run.device.type == "mps":
            state["mps"] = torch.mps.get_rng_state()
        return state

    def _set_random(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["torch"])
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.run.device)
        if "mps" in state:
            torch.mps.set_rng_state(state["mps"])


def pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A state as JSON, its tensors put into `tensors` under names that the JSON holds. Sharing is not kept: copies are."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, pack(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [pack(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def unpack(packed: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """What `pack` was given; a tuple comes back as a list."""
    if "tensor" in packed:
        return tensors[packed["tensor"]]
    if "items" in packed:
        return {key: unpack(item, tensors) for key, item in packed["items"]}
    return [unpack(item, tensors) for item in packed["list"]] if "list" in packed else packed["value"]


class TrainText:
    """The training text, source by source, and the random windows drawn from it."""

    def __init__(self, data: Path, seed: int) -> None:
        index = read_index(data / "train")
        text = np.memmap(data / "train.bin", dtype=np.uint8, mode="r")
        self.sources = {s["name"]: text[s["start"] : s["start"] + s["bytes"]] for s in index["sources"]}
        self.data_hash = (data / "data_hash").read_text().strip()
        self.random = np.random.default_rng(seed)
        self.owed = dict.fromkeys(self.sources, 0.0)
        self.tokens = 0  # drawn so far
        self.on_draw: Callable[[tuple[int, int]], None] = lambda shape: None
        self.at_once: Callable[[], int] = lambda: 1  # nobody else's work: one at a time

    def draw(self, size: int, mixture: Mapping[str, float], length: int) -> np.ndarray:
        """(size, length) int64 windows. The sources take turns by weight, so that the share of each is exact, not drawn."""
        if unknown := set(mixture) - set(self.sources):
            sys.exit(f"the mixture names {', '.join(unknown)}; the corpus has {', '.join(self.sources)}")
        total = sum(mixture.values())
        if not total > 0 or min(mixture.values()) < 0:
            sys.exit(f"the mixture weights must be positive numbers, not {dict(mixture)}")
        self.on_draw((size, max(length - 1, 1)))
        self.tokens += size * max(length - 1, 1)
        windows = np.empty((size, length), dtype=np.int64)
        for row in range(size):
            for name, weight in mixture.items():
                self.owed[name] += weight / total
            name = max(mixture, key=self.owed.__getitem__)
            self.owed[name] -= 1.0
            source = self.sources[name]
            start = int(self.random.integers(len(source) - length + 1))
            windows[row] = source[start : start + length]
        return windows

    def state(self, _: int) -> dict[str, Any]:
        """What a resumed run goes on from."""
        return {"owed": self.owed, "random": self.random.bit_generator.state, "tokens": self.tokens}

    def go_back(self, state: dict[str, Any]) -> None:
        """Go on where a lost attempt was."""
        self.owed, self.random.bit_generator.state, self.tokens = state["owed"], state["random"], state["tokens"]


class ServedText:
    """The same windows, handed out by whoever started this run: it keeps the text, the order and the count."""

    def __init__(self, fd: int, data: Path) -> None:
        self.fd = fd
        self.sources = {s["name"]: range(s["bytes"]) for s in read_index(data / "train")["sources"]}  # for their lengths
        self.data_hash = (data / "data_hash").read_text().strip()
        self.mixture: dict[str, float] = {}
        self.told = 0  # tokens drawn so far by everybody, with what waits below
        self.waiting: list[np.ndarray] = []  # batches that came with an earlier one and were not drawn yet; the last first
        self.shape = (0, 0)
        self.on_draw: Callable[[tuple[int, int]], None] = lambda shape: None
        self.at_once: Callable[[], int] = lambda: 1  # batches that one answer may bring: each answer wakes whoever gives it

    @classmethod
    def of(cls, environment: Mapping[str, str], data: Path) -> ServedText | None:
        return cls(int(fd), data) if (fd := environment.get("SIGNOFF_TEXT")) else None

    def draw(self, size: int, mixture: Mapping[str, float], length: int) -> np.ndarray:
        """(size, length) int64 windows. The sources take turns by weight, so that the share of each is exact, not drawn."""
        self.on_draw((size, max(length - 1, 1)))
        if mixture != self.mixture or (size, length) != self.shape or not self.waiting:
            self._ask_for(size, mixture, length)
        return self.waiting.pop()

    def _ask_for(self, size: int, mixture: Mapping[str, float], length: int) -> None:
        """Have batches handed out. What waits and was drawn in another way is spent: it was handed out."""
        same, times = (size, length) == self.shape, 1
        if mixture != self.mixture:
            same, self.mixture = False, dict(mixture)
            mixture_bytes = json.dumps(self.mixture).encode()
            self._ask(b"mix ", len(mixture_bytes), 0, mixture_bytes)
        if same and (times := self.at_once()) > 1:
            answer = self._ask(b"more", times, 0)
        else:
            times, self.shape = 1, (size, length)
            answer = self._ask(b"draw", size, length)
        self.waiting = [*np.frombuffer(answer, dtype=np.uint8).reshape(times, size, length).astype(np.int64)[::-1]]

    @property
    def tokens(self) -> int:
        """Drawn so far by everybody."""
        size, length = self.shape
        return self.told - len(self.waiting) * size * max(length - 1, 1)

    def state(self, step: int) -> dict[str, Any]:
        """Have the state of now kept, under the number of this step."""
        self._ask(b"keep", step, 0)
        waiting = [batch.tolist() for batch in self.waiting]
        return {"step": step, "shape": self.shape, "mixture": self.mixture, "waiting": waiting}

    def go_back(self, state: dict[str, Any]) -> None:
        """Go on where a lost attempt was."""
        self._ask(b"mix ", len(mixture_bytes := json.dumps(state["mixture"]).encode()), 0, mixture_bytes)
        self._ask(b"back", state["step"], 0)
        self.shape, self.mixture = tuple(state["shape"]), state["mixture"]
        self.waiting = [np.array(batch, dtype=np.int64) for batch in state["waiting"]]

    def _ask(self, what: bytes, first: int, second: int, more: bytes = b"") -> bytes:
        os.write(self.fd, struct.pack("<4sII", what, first, second) + more)
        tokens, size = struct.unpack("<QQ", self._read(16))
        answer = self._read(size)
        if tokens == 2**64 - 1:
            sys.exit(answer.decode())
        self.told = tokens
        return answer

    def _read(self, size: int) -> bytes:
        parts = os.read(self.fd, size) if size else b""
        while len(parts) < size:
            if not (part := os.read(self.fd, size - len(parts))):
                sys.exit("the training text is served no more")
            parts += part
        return parts


Kind = tuple[tuple[tuple[int, int], ...], int]  # the batches of a step as (sequences, bytes), and its backward passes


class StepCost:
    """The tokens and training FLOPs of one step. Every step is counted: those that are not measured by what they consist of."""

    def __init__(self, seed: int) -> None:
        self.tokens, self.flops = 0, 0  # of the last step
        self.shapes: tuple[tuple[int, int], ...] = ()
        self.backwards = 0
        self.flops_outside = 0  # counted before the first step or after the last, and not charged yet
        self.known: dict[Kind, int] = {}  # FLOPs
        self.measured = 0  # steps
        self.chance = random.Random(seed)  # not every 64th: what a step does now and then must not fall between
        self.counter: FlopCounterMode | None = None
        for module in (torch.autograd, torch.autograd.graph):  # where every backward pass goes through
            module._engine_run_backward = self._counted(module._engine_run_backward)
        self._count()

    def _counted(self, run_backward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.backwards += 1
            return run_backward(*args, **kwargs)

        return counted

    def begin(self, *, measure: bool = False) -> None:
        self.shapes, self.backwards = (), 0
        if measure or not self.known or self.chance.random() < 1 / COUNT_EVERY:
            self._count()

    def leave_outside(self) -> None:
        """What went before the first step, or came after the last, is over."""
        if self.counter is not None:
            self.flops_outside += self._counted_flops()

    def drawn(self, shape: tuple[int, int]) -> None:
        """A batch of (sequences, bytes) was drawn; the counter starts here when no step with such a batch was measured."""
        self.shapes += (shape,)
        if self.counter is None and not any(shape in shapes for shapes, _ in self.known):
            self._count()

    def end(self) -> tuple[int, int]:
        """(tokens, FLOPs) of the step that ends here."""
        self.tokens = sum(size * length for size, length in self.shapes)
        kind = (self.shapes, self.backwards)
        if self.counter is not None:
            self.known[kind] = self._counted_flops()
            self.measured += 1
        self.flops = self.known.get(kind) or self._estimate()
        if self.flops == 0:
            sys.exit("a training step used no FLOPs that PyTorch can count, so that the budget would never end")
        return self.tokens, self.flops

    @property
    def dearest(self) -> float:
        """FLOPs per token of the dearest kind of step so far."""
        prices = (flops / max(sum(size * length for size, length in shapes), 1) for (shapes, _), flops in self.known.items())
        return max(prices, default=0.0)

    def _estimate(self) -> int:
        """A step of a kind that was never measured: by its tokens or its backward passes, whichever comes to more."""
        dearest_pass = max((flops / max(backwards, 1) for (_, backwards), flops in self.known.items()), default=0)
        return int(max(self.dearest * self.tokens, dearest_pass * self.backwards))

    def _counted_flops(self) -> int:
        """What the counter counted; it stops."""
        assert self.counter is not None
        self.counter.__exit__(None, None, None)
        flops, self.counter = self.counter.get_total_flops(), None
        return flops

    def _count(self) -> None:
        self.counter = FlopCounterMode(display=False, custom_mapping=ALSO_COUNTED)
        self.counter.__enter__()


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: object, out_shape: object = None, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward_flops(grad: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Twice the forward pass, as for every product of matrices. What a kernel computes again is its own affair: attention costs
    the same however it is written."""
    return 2 * int(sdpa_flop_count(query, key, value))


def _dot_flops(one: Shape, *_: object, **__: object) -> int:
    """Of products with a vector, by the size of the matrix or of the vector."""
    return 2 * math.prod(one)


def _added_dot_flops(_: Shape, one: Shape, *__: object, **___: object) -> int:
    return 2 * math.prod(one)


def _recurrent_flops(x: Shape, weight: Shape, hidden: Shape, *_: object, **__: object) -> int:
    return 2 * math.prod(x[:-1]) * (math.prod(weight) + math.prod(hidden))


def _distance_flops(one: Shape, other: Shape, *_: object, **__: object) -> int:
    return 2 * math.prod(one) * other[-2]


def _outer_flops(one: Any, other: Any = None, *_: object, out_shape: Any = None, **__: object) -> int:
    """Two tensors multiplied into a larger one, before a sum: a product of matrices in other words, with both its gradients."""
    shapes = [each if isinstance(each, list | tuple | torch.Size) else () for each in (one, other)]
    size = math.prod(out_shape) if isinstance(out_shape, list | tuple | torch.Size) else 0
    return 6 * size if size > max(map(math.prod, shapes)) > 1 and min(map(math.prod, shapes)) > 1 else 0


def _transform_flops(x: Shape, dim: Sequence[int], *_: object, out_shape: Any = None, **__: object) -> int:
    """5 N log2 N of a fast Fourier transform of N numbers, for every one of them; of half a spectrum the whole counts."""
    whole = max(x, out_shape, key=math.prod) if isinstance(out_shape, list | tuple | torch.Size) else x
    return int(5 * math.prod(whole) * math.log2(max(math.prod(whole[axis] for axis in dim), 2)))


Shape = list[int]
aten = torch.ops.aten
# What PyTorch's counter does not know: attention on a CPU, and other ways to write a product.
ALSO_COUNTED = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    **dict.fromkeys(
        (
            aten._scaled_dot_product_flash_attention_for_cpu_backward,
            aten._scaled_dot_product_flash_attention_backward,
            aten._scaled_dot_product_efficient_attention_backward,
            aten._scaled_dot_product_cudnn_attention_backward,
        ),
        _attention_backward_flops,
    ),
    **dict.fromkeys((aten.mv, aten.dot, aten.vdot), _dot_flops),
    aten.addmv: _added_dot_flops,
    aten._int_mm: lambda one, other, *_, **__: 2 * math.prod(one) * other[-1],
    aten._trilinear: lambda one, two, three, *_, **__: 2 * math.prod(one) * max(math.prod(two) // max(one[-1], 1), 1),
    aten._cdist_forward: _distance_flops,
    aten.mkldnn_rnn_layer: _recurrent_flops,
    aten.mkldnn_rnn_layer_backward: lambda *args, **kwargs: 2 * _recurrent_flops(*args[:3]),
    aten.mul: _outer_flops,
    **dict.fromkeys((aten._fft_r2c, aten._fft_c2r, aten._fft_c2c), _transform_flops),
}


class SeriesLog:
    """Writes the series as JSON lines, a few times a second, and stops a run whose numbers are no longer finite.

    A run has at most about SERIES_POINTS points. A point holds the mean of each value over the steps since the last one, so
    that a value that is not finite is never missed.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.file = path.open("w")
        self.run = run
        before = run.resume.before.get("series")
        self.logged: dict[str, list[float | torch.Tensor]] = {}  # since the last point
        self.waiting: list[tuple[dict[str, float], dict[str, list[float | torch.Tensor]]]] = []  # points to be written
        self.next_point = 0.0
        self.flushed = time.monotonic()
        self.tokens_flushed = 0
        if before:  # the curves of the lost attempt, up to where it saved
            with path.with_name(f"resume.{path.name}").open() as file:
                self.file.write(file.read(before["written"]))
            self.next_point, self.logged, self.tokens_flushed = before["next_point"], before["logged"], before["tokens"]

    def state(self) -> dict[str, Any]:
        """What the log of a resumed run begins with. Nothing waits to be written now."""
        logged = {name: [float(value) for value in values] for name, values in self.logged.items()}
        return {"written": self.file.tell(), "next_point": self.next_point, "logged": logged, "tokens": self.run.tokens}

    def add(self, values: Mapping[str, float | torch.Tensor]) -> None:
        for name, value in values.items():
            self.logged.setdefault(name, []).append(value.detach() if isinstance(value, torch.Tensor) else value)

    def step_done(self, step: int, used: float) -> None:
        """A step is complete that took the run to the share `used` of its budget: is it time for a point?"""
        if used < self.next_point and "val_loss" not in self.logged:
            return
        self.next_point = used + 1 / SERIES_POINTS
        spent = {"tokens": self.run.tokens, "flops": self.run.flops, "seconds": round(self.run.seconds, 3)}
        self.waiting.append(({"step": step, **spent}, self.logged))
        self.logged = {}
        if time.monotonic() - self.flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        for where, logged in self.waiting:
            means = {name: sum(float(value) for value in values) / len(values) for name, values in logged.items()}
            for name, mean in means.items():
                if not math.isfinite(mean):
                    self.stop(f"{name} became {mean} at step {where['step']}")
            point = {**where, **{name: float(f"{mean:.6g}") for name, mean in means.items()}}
            if where is self.waiting[-1][0]:
                point |= self._usage()
            self.file.write(json.dumps(point) + "\n")
            if "val_loss" in means:
                losses = "  ".join(f"{name} {means[name]:.4f}" for name in ("train_loss", "val_loss") if name in means)
                print(f"step {where['step']:5d}  {where['seconds']:6.1f} s  {losses}", flush=True)
        self.waiting.clear()
        self.file.flush()

    def _usage(self) -> dict[str, float]:
        """Speed since the last flush, and memory now."""
        now, tokens = time.monotonic(), self.run.tokens
        if self.run.device.type == "cuda":
            memory = torch.cuda.memory_allocated()
        elif self.run.device.type == "mps":
            memory = torch.mps.current_allocated_memory()
        else:
            memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        speed = (tokens - self.tokens_flushed) / (now - self.flushed)
        self.flushed, self.tokens_flushed = now, tokens
        return {"tokens_per_second": round(speed, 1), "memory_mb": round(memory / 2**20, 1)}

    def stop(self, reason: str) -> None:
        """End the run because `reason`; the runner reads this line and calls the run `not_finite`."""
        self.file.write(json.dumps({"not_finite": reason}) + "\n")
        self.file.close()
        sys.exit(f"stopped: {reason}")

    def last(self) -> None:
        """Write what is waiting, with what was logged after the last step."""
        if self.logged:
            self.step_done(self.run.step, 1.0)
        self.flush()

    def close(self, facts: Mapping[str, float | int | str]) -> None:
        self.file.write(json.dumps({"facts": dict(facts)}) + "\n")
        self.file.close()


def read_index(shard: Path) -> dict[str, list[dict[str, str | int]]]:
    path = shard.with_suffix(".json")
    try:
        return json.loads(path.read_text())
    except OSError as error:
        sys.exit(f"cannot read {path}: {error.strerror}; SIGNOFF_DATA must name the `visible` folder of a corpus")


def read_windows(shard: Path) -> np.ndarray:
    """(N, CONTEXT + 1) int64: the fixed windows of an evaluation shard."""
    window = read_index(shard)["window"]
    if window != CONTEXT:
        sys.exit(f"{shard} was cut for a context of {window} bytes and this code has CONTEXT = {CONTEXT}; rebuild one of them")
    return np.fromfile(shard.with_suffix(".bin"), dtype=np.uint8).reshape(-1, CONTEXT + 1).astype(np.int64)
