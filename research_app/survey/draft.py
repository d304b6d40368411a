"""The project file that follows from a survey, with comments that say what was seen and what a person should look at."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from research_app.project_file.project_file import read_project_file
from research_app.survey.budget import FoundBudget, budget_of
from research_app.survey.entry import Entry, entry_of
from research_app.survey.ignored import ignored_data
from research_app.survey.machine import (
    Interpreter,
    extra_of,
    interpreter_of,
    launcher_of,
    loggers,
    made_folders,
    needs_cuda,
    read_folders,
    required_variables,
    starts_more,
    without_written,
    writes_in_tree,
)
from research_app.survey.options import Options, options_of
from research_app.survey.output import FoundOutput, output_of
from research_app.survey.seed import FoundSeed, seed_of
from research_app.survey.sources import Module, Sources

PROTECTED = re.compile(
    r"(^|/)(prepare|data\w*|dataset|dataloader|tokeni[sz]er|eval\w*|\w*_eval|loss_eval|configurator|conftest|setup)\.py$",
    re.IGNORECASE,
)
ENVIRONMENT = ("pyproject.toml", "uv.lock", ".python-version", "requirements.txt")
PROCESSES = 64
OUT = r"(out|output|save|log|checkpoint|results?)_?(dir|path|folder)"


class NothingTrains(ValueError):
    """No script of the repository looks like it trains; the message says what was looked at."""


@dataclass
class Draft:
    """A file being written: tables of lines."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, table: str, key: str, value: object, comment: str = "") -> None:
        self.tables.setdefault(table, []).append(f"{key} = {toml(value)}" + (f"  # {_comment(comment)}" if comment else ""))

    def note(self, table: str, comment: str) -> None:
        self.tables.setdefault(table, []).append(f"# {_comment(comment)}")

    def text(self) -> str:
        head = [f"# {_comment(line)}" for line in self.notes]
        tables = ["\n".join([f"[{name}]", *lines]) for name, lines in self.tables.items()]
        return "\n\n".join(filter(None, ("\n".join(head), *tables))) + "\n"


def project_file_for(sources: Sources, branch: str, words: Sequence[str] = ()) -> str:
    """The text of a project file that is valid as it stands; the command ends with `words`. Raises NothingTrains."""
    entry = entry_of(sources)
    if entry is None:
        names = ", ".join(sources.python[:10]) or "none"
        raise NothingTrains(
            f"No script here looks like it trains a model (Python files looked at: {names}). Write the file by hand."
        )
    modules = sources.imported(entry.module, entry.root)
    options, config = options_of(sources, modules), _config(sources, entry)
    if options.kind == "configurator":
        options = options.after(sources.module(config))
    options = options.given(words)
    draft = Draft()
    draft.notes += [f"What was seen of {entry.module.path} on the branch {branch}. Nothing was run: look through it, then"]
    draft.notes += ["try it (signoff project try FILE --repo PATH) before you create the project."]
    seed, budget, output = seed_of(modules, options), budget_of(modules, options), output_of(modules)
    _train(draft, sources, entry, modules, options, seed, words)
    links = _links(draft, sources, modules)
    _limits(draft, budget)
    _seed(draft, seed)
    _metric(draft, output)
    _budget(draft, budget)
    _edit(draft, sources, entry, modules, links)
    draft.put("data", "corpus", "none", "the code brings its own data")
    draft.put("baseline", "branch", branch)
    text = draft.text()
    read_project_file(text)
    return text


def _train(
    draft: Draft,
    sources: Sources,
    entry: Entry,
    modules: Sequence[Module],
    options: Options,
    seed: FoundSeed,
    given: Sequence[str],
) -> None:
    interpreter = interpreter_of(sources, entry, modules)
    if entry.root != ".":
        draft.put("train", "directory", entry.root, "its own project files are there")
    words = list(entry.command)
    if seen := launcher_of(sources, entry):
        words = ["torchrun", "--standalone", "--nproc_per_node=1", *words[1:]]
        draft.note("train", f"{seen} needs the variables that torchrun sets")
    if options.kind == "configurator" and (config := _config(sources, entry)):
        words.append(config.removeprefix("" if entry.root == "." else f"{entry.root}/"))
    outputs = options.named(OUT)
    if outputs:
        words.append(options.word(outputs, "{out}"))
    if (device := options.named("device")) and options.kind in ("argparse", "configurator"):
        words.append(options.word(device, "{device}"))
    if (
        (compiles := options.named("compile"))
        and compiles.default is True
        and options.kind == "configurator"
        and not on_gpu(modules)
    ):
        words.append(options.word(compiles, "False"))
    words += [*seed.words, *given]
    if entry.others:
        draft.note("train", f"other scripts that may train: {', '.join(entry.others)}")
    comment = (
        f"{options.kind}, {len(options.options)} options at {options.seen}"
        if options.kind != "none"
        else "no options were found"
    )
    draft.put("train", "command", words, comment)
    draft.put("train", "python", interpreter.python, interpreter.comment)
    if interpreter.python == "uv" and (extra := extra_of(sources, entry, gpu=on_gpu(modules))):
        draft.put("train", "extras", [extra], "the extra of pyproject.toml for this kind of device")
    _missing(draft, interpreter)
    _reach(draft, entry, modules, bool(outputs))


def on_gpu(modules: Sequence[Module]) -> bool:
    """Whether runs go to a GPU: the code needs one, or this machine has one."""
    return needs_cuda(modules) is not None or Path("/dev/nvidia0").exists()


def _missing(draft: Draft, interpreter: Interpreter) -> None:
    if interpreter.missing:
        names = ", ".join(interpreter.missing[:12])
        draft.note("train", f"the worker's interpreter lacks {names}: name an environment that has them, or commit a uv.lock")


def _reach(draft: Draft, entry: Entry, modules: Sequence[Module], has_out: bool) -> None:
    """What the run sees and takes besides its tree."""
    cuda = needs_cuda(modules)
    draft.put("train", "device", "cuda" if on_gpu(modules) else "cpu", f"{cuda} needs a GPU" if cuda else "")
    if folders := without_written(read_folders(modules), made_folders(modules)):
        draft.put("train", "read", sorted(folders), "; ".join(f"{seen}" for seen in list(folders.values())[:3]))
        for name in sorted(folders):
            if not Path(name).expanduser().exists():
                draft.note("train", f"{name} is not on this machine yet: the code's own preparation makes it")
    if variables := loggers(modules):
        draft.put("train", "env", variables, "services that are logged to stay off the network")
    for name, place in required_variables(modules, variables).items():
        draft.note("train", f"{place} needs the variable {name}: give it in env")
    if seen := writes_in_tree(modules):
        draft.put("train", "writable_tree", True, f"{seen} writes into the folder that it runs in")
    if seen := starts_more(modules):
        draft.put("train", "processes", PROCESSES, f"{seen} starts processes")


def _config(sources: Sources, entry: Entry) -> str:
    """The path of the smallest configuration file beside a configurator; empty where there is none."""
    prefix = "" if entry.root == "." else f"{entry.root}/"
    names = [name for name in sources.files if re.fullmatch(rf"{re.escape(prefix)}configs?/train[\w-]*\.py", name)]
    names.sort(key=lambda name: (not re.search(r"char|tiny|small|debug", name), name))
    return names[0] if names else ""


def _links(draft: Draft, sources: Sources, modules: Sequence[Module]) -> list[str]:
    """Folders that the code reads and git ignores, seen where they are."""
    places = ignored_data(sources, modules)
    if places and sources.folder:
        targets = {place: str(sources.folder.absolute() / place) for place in places}
        draft.put("train", "links", targets, "data there is not committed: runs see it, and cannot write there")
    return places


def _limits(draft: Draft, budget: FoundBudget) -> None:
    if budget.counts == "seconds" and budget.amount:
        comment = "twice its own budget, and five minutes for what goes before and after"
        draft.put("limits", "wall_seconds", round(2 * budget.amount + 300), comment)
    else:
        draft.put("limits", "wall_seconds", 3600, "guessed: what one run takes at most")
    draft.put("limits", "host_memory_gb", 16, "guessed")


def _seed(draft: Draft, seed: FoundSeed) -> None:
    draft.put("seed", "how", seed.how, seed.comment)
    for name in ("file", "text", "put") if seed.how == "patch" else ():
        draft.put("seed", name, getattr(seed, name))


def _metric(draft: Draft, output: FoundOutput | None) -> None:
    if output is None:
        draft.note(
            "metric", "nothing was found that prints or writes a metric: print a line such as `score: 1.25`, or say where it is"
        )
        output = FoundOutput("pattern", "score", "", pattern=r"score: (?P<score>\S+)")
    draft.put("metric", "name", output.key.replace("_", " ").replace("/", " "))
    draft.put("metric", "direction", output.direction)
    draft.put("metric", "source", output.source, output.comment)
    draft.put("metric", "key", output.key)
    for name, value in (("pattern", output.pattern), ("file", output.file), ("facts", output.facts)):
        if value:
            draft.put("metric", name, value)


def _budget(draft: Draft, budget: FoundBudget) -> None:
    if not budget.counts:
        draft.put("budget", "kind", "wall_seconds", budget.comment)
        draft.put("budget", "amount", 300, "guessed")
        return
    draft.put("budget", "kind", "own", budget.comment)
    draft.put("budget", "counts", budget.counts)
    if budget.amount:
        draft.put("budget", "amount", budget.amount)


def _edit(draft: Draft, sources: Sources, entry: Entry, modules: Sequence[Module], links: Sequence[str]) -> None:
    """The script and the models that it imports may be changed; data, evaluation and the environment may not."""
    protected = [module.path for module in modules if PROTECTED.search(module.path)]
    editable = [module.path for module in modules if module.path not in protected and not module.path.endswith("__init__.py")]
    prefix = "" if entry.root == "." else f"{entry.root}/"
    protected += [f"{prefix}{name}" for name in ENVIRONMENT if f"{prefix}{name}" in sources.files]
    program = next((name for name in ("program.md", f"{prefix}program.md") if name in sources.files), "")
    folder = PurePosixPath(entry.module.path).parent
    protected += [path for path in sources.python if PROTECTED.search(path) and PurePosixPath(path).parent == folder]
    protected += [*([program] if program else []), *links]
    draft.put("edit", "editable", editable, "the script, and what it imports of its own")
    draft.put("edit", "protected", [*dict.fromkeys(protected)], "data, evaluation, environment")
    if program and program != "program.md":
        draft.put("edit", "program", program)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = "\\" in value and "'" not in value and value.isprintable()
        return f"'{value}'" if plain else json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _key(name: object) -> str:
    return (
        str(name)
        if re.fullmatch(r"[A-Za-z0-9_-]+", str(name))
        else json.dumps(str(name), ensure_ascii=not str(name).isprintable())
    )


def _comment(text: str) -> str:
    """Untrusted text as a comment: one line, printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]
