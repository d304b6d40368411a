"""What a run needs of the machine: interpreter, launcher, device, folders that it reads, what it writes, processes."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from research_app.survey.entry import Entry
from research_app.survey.options import requires_variable
from research_app.survey.sources import Module, Seen, Sources, constant, dotted, imports_of

STANDARD = frozenset(sys.stdlib_module_names)
HUB = ("transformers", "datasets", "huggingface_hub", "kernels", "tokenizers")
STARTS_MORE = re.compile(r"torch\.compile\(|num_workers\s*=\s*[1-9]|multiprocessing|DataLoader\(|ProcessPool|subprocess\.")
LOGGERS_OFFLINE = {
    "wandb": {"WANDB_MODE": "offline", "WANDB_DIR": "{out}"},
    "mlflow": {"MLFLOW_TRACKING_URI": "file:{out}/mlruns"},
}
DECLARED = ("pyproject.toml", "requirements.txt", "environment.yml")


GPU_EXTRAS, CPU_EXTRAS = ("gpu", "cuda"), ("cpu",)  # as projects call the builds of PyTorch that their lock file chooses from


@dataclass(frozen=True)
class Interpreter:
    """What `[train] python` is to say."""

    python: str
    comment: str
    missing: tuple[str, ...] = ()  # modules that it has not


def interpreter_of(sources: Sources, entry: Entry, modules: Sequence[Module]) -> Interpreter:
    """A lock file first, then a virtual environment beside the code, then the worker's own."""
    prefix = "" if entry.root == "." else f"{entry.root}/"
    if f"{prefix}uv.lock" in sources.files:
        return Interpreter("uv", f"{prefix}uv.lock is there")
    for name in (".venv", "venv", "env"):
        if sources.folder and (place := sources.folder / prefix / name / "bin" / "python").exists():
            return Interpreter(str(place.parents[1].absolute()), f"{prefix}{name} is a virtual environment")
    missing = tuple(name for name in foreign(sources, modules) if importlib.util.find_spec(name) is None)
    given = next((name for name in DECLARED if f"{prefix}{name}" in sources.files), "")
    reason = f"{prefix}{given} has no lock: the worker's interpreter" if given else "no lock file and no environment"
    return Interpreter("worker", reason, missing)


def extra_of(sources: Sources, entry: Entry, *, gpu: bool) -> str:
    """The extra of pyproject.toml that holds the build for this kind of device; empty where there is none of such a name."""
    prefix = "" if entry.root == "." else f"{entry.root}/"
    try:
        project = tomllib.loads(sources.texts.get(f"{prefix}pyproject.toml", "")).get("project", {})
    except tomllib.TOMLDecodeError:
        return ""
    offered = project.get("optional-dependencies", {}) if isinstance(project, dict) else {}
    return next((name for name in (GPU_EXTRAS if gpu else CPU_EXTRAS) if name in offered), "")


def foreign(sources: Sources, modules: Sequence[Module]) -> list[str]:
    """Top names that are imported and are neither Python's nor the repository's."""
    own = {PurePosixPath(path).parts[0].removesuffix(".py") for path in sources.python}
    own |= {PurePosixPath(path).stem for path in sources.python}
    names = (name.partition(".")[0] for module in modules for name in imports_of_top(module))
    return [name for name in dict.fromkeys(names) if name not in STANDARD and name not in own and name.isidentifier()]


def imports_of_top(module: Module) -> list[str]:
    """What a file imports at its top level: what it cannot run without."""
    names: list[str] = []
    for node in module.tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return names


def launcher_of(sources: Sources, entry: Entry) -> Seen | None:
    """Where it is said that the script needs torchrun; None where it runs without."""
    if seen := requires_variable([entry.module], "RANK") or requires_variable([entry.module], "LOCAL_RANK"):
        return seen if _always(entry.module, seen.line) else None
    return None


def _always(module: Module, line: int) -> bool:
    """Whether a line stands outside every `if` and function."""
    for node in module.tree.body:
        if isinstance(node, ast.If | ast.FunctionDef | ast.ClassDef) and node.lineno <= line <= (node.end_lineno or 0):
            return False
    return True


def needs_cuda(modules: Sequence[Module]) -> Seen | None:
    """Where the script asks for a GPU without asking whether there is one."""
    module = modules[0]
    for name, call in module.calls():
        on_cuda = name == "torch.device" and constant(call.args[0] if call.args else None) == "cuda"
        if (on_cuda or name == "torch.cuda.set_device") and _always(module, call.lineno):
            return module.seen(call)
    return None


def read_folders(modules: Sequence[Module]) -> dict[str, Seen]:
    """Folders below a person's home that the code names, the deepest of each, with the places."""
    folders: dict[str, Seen] = {}
    for module, node, paths in _with_home_paths(modules):
        for part in ast.walk(node):
            if isinstance(part, ast.expr) and (path := _home_path(part, paths)) and path.count("/") > 1:
                folders.setdefault(path, module.seen(part))
    hub = next((module for module in modules if any(name.partition(".")[0] in HUB for name in imports_of_top(module))), None)
    if hub:
        folders.setdefault("~/.cache/huggingface", Seen(hub.path))
    return {path: seen for path, seen in folders.items() if not any(path.startswith(f"{other}/") for other in folders)}


def made_folders(modules: Sequence[Module]) -> set[str]:
    """Folders below a person's home that the code makes where they are not: it may write there, too."""
    folders = set[str]()
    for _, node, paths in _with_home_paths(modules):
        calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
        folders |= {_home_path(made, paths) for call in calls if (made := _made(call))}
    return folders - {""}


def _with_home_paths(modules: Sequence[Module]) -> Iterator[tuple[Module, ast.stmt, dict[str, str]]]:
    """Every statement of every scope, with the variables that hold a path below a person's home by then."""
    for module in modules:
        for scope in (module.tree, *(node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))):
            paths: dict[str, str] = {}
            for node in _statements(scope):
                target = node.targets[0] if isinstance(node, ast.Assign) else None
                if isinstance(node, ast.Assign) and isinstance(target, ast.Name) and (path := _home_path(node.value, paths)):
                    paths[target.id] = path
                yield module, node, paths


def _made(call: ast.Call) -> ast.expr | None:
    """What a call makes a folder of; None for other calls."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "mkdir" and dotted(call.func) != "os.mkdir":
        return call.func.value
    return call.args[0] if dotted(call.func) in ("os.makedirs", "os.mkdir", "makedirs") and call.args else None


WRITTEN = re.compile(r"check|ckpt|out|log|wandb|report|result|eval|sample|run|tmp|lock", re.IGNORECASE)
MOST_INSIDE = 12


def without_written(folders: Mapping[str, Seen], made: Collection[str]) -> dict[str, Seen]:
    """Of a folder that the code also writes in, what lies in it and is no output: a run gets the folder itself as its own."""
    paths: dict[str, Seen] = {}
    for path, seen in folders.items():
        place = Path(path).expanduser()
        inside = sorted(each.name for each in place.iterdir()) if path in made and place.is_dir() else []
        names = [name for name in inside if not name.startswith(".") and not WRITTEN.search(name)]
        paths |= {f"{path}/{name}": seen for name in names} if 0 < len(names) <= MOST_INSIDE else {path: seen}
    return paths


def _statements(scope: ast.AST) -> list[ast.stmt]:
    """The statements of a scope, those within blocks too, without those of functions in it."""
    statements: list[ast.stmt] = []
    for node in getattr(scope, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        statements.append(node)
        statements += _statements(node)
    others = getattr(scope, "orelse", [])
    return statements + (_statements(ast.Module(others, [])) if others else [])


def _home_path(node: ast.expr, values: Mapping[str, str]) -> str:
    """A path below the home as `~/…`, as far as it is written down; empty for anything else."""
    if isinstance(node, ast.Name):
        return values.get(node.id, "")
    if isinstance(node, ast.Constant):
        return node.value.rstrip("/") if isinstance(node.value, str) and re.fullmatch(r"~/[\w./-]+", node.value) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _home_path(node.left, values), constant(node.right)
        return f"{left}/{right}" if left and isinstance(right, str) else ""
    if not isinstance(node, ast.Call):
        return ""
    name = dotted(node.func)
    if name.endswith("expanduser"):
        given = constant(node.args[0]) if node.args else None
        return str(given).rstrip("/") if isinstance(given, str) and given.startswith("~") else ""
    if name in ("Path.home", "pathlib.Path.home"):
        return "~"
    if name.endswith("path.join") and node.args and (start := _home_path(node.args[0], values)):
        rest = [constant(part) for part in node.args[1:]]
        whole = [part for part in rest if isinstance(part, str)]
        return "/".join([start, *whole]) if len(whole) == len(rest) else start
    return ""


def writes_in_tree(modules: Sequence[Module]) -> Seen | None:
    """Where code makes a folder or a file at a relative place that no option names."""
    for module in modules[:1]:
        for name, call in module.calls():
            target = constant(call.args[0]) if call.args else None
            mode = constant(call.args[1]) if len(call.args) > 1 else None
            relative = isinstance(target, str) and target and not target.startswith(("/", "~"))
            if relative and (
                name in ("os.makedirs", "os.mkdir") or (name == "open" and isinstance(mode, str) and mode[:1] in "wax")
            ):
                return module.seen(call)
    return None


def starts_more(modules: Sequence[Module]) -> Seen | None:
    """Where code starts processes: workers that load data, a compiler."""
    for module in modules:
        for number, line in enumerate(module.text.split("\n"), 1):
            if STARTS_MORE.search(line) and not line.lstrip().startswith("#"):
                return Seen(module.path, number)
    return None


def loggers(modules: Sequence[Module]) -> dict[str, str]:
    """Variables that keep services that are logged to off the network."""
    names = {name.partition(".")[0] for module in modules for name in imports_of(module)}
    texts = {node.value for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.Constant)}
    names |= {"wandb"} if "WANDB_MODE" in texts else set()
    loggers_by_name: dict[str, str] = {}
    for name, variables in LOGGERS_OFFLINE.items():
        loggers_by_name |= variables if name in names else {}
    return loggers_by_name | ({"HF_HUB_OFFLINE": "1"} if names & set(HUB) else {})


GIVEN = re.compile(
    r"SIGNOFF_\w+|CUDA_VISIBLE_DEVICES|HOME|PATH|USER|LOGNAME|TMPDIR|LANG|RANK|LOCAL_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_(ADDR|PORT)"
)


def required_variables(modules: Sequence[Module], given: Collection[str]) -> dict[str, Seen]:
    """Variables without which the code does not run, `os.environ["NAME"]`, that nobody gives it and that it does not set."""
    read: dict[str, Seen] = {}
    written = set[str](given)
    for module in modules:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Subscript) or not dotted(node.value).endswith("environ"):
                continue
            if not isinstance(name := constant(node.slice), str):
                continue
            if isinstance(node.ctx, ast.Load) and _always(module, node.lineno):
                read.setdefault(name, module.seen(node))
            elif isinstance(node.ctx, ast.Store):
                written.add(name)
    return {name: seen for name, seen in read.items() if name not in written and not GIVEN.fullmatch(name)}
