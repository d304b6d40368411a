"""What a run was denied or missed, read off its last lines, and the key of the project file that opens it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from training.readings import shown
from training.sandbox.seccomp import NO_PROCESSES

MOST = 8  # of one run
LOOKED_AT = 20_000  # characters from the end of a log


@dataclass(frozen=True)
class Denied:
    """One thing: what it was, and what to write where."""

    what: str
    key: str


NETWORK = "runs have no network: fetch it before and name its folder in [train] read; HF_HUB_OFFLINE, WANDB_MODE go into env"
OUT = "write below {out}"
NO_NETWORK = (
    "Temporary failure in name resolution|Name or service not known|Network is unreachable|Max retries exceeded"
    "|getaddrinfo failed|Could not resolve host|LocalEntryNotFoundError|Failed to resolve"
)
NO_GPU = "Found no NVIDIA driver|not compiled with CUDA enabled|No CUDA GPUs are available|no NVIDIA GPU"
NO_RANK = "KeyError: '(?:RANK|LOCAL_RANK|WORLD_SIZE)'"
WAYS = (
    (r"Read-only file system: '(?P<it>[^']+)'", "it may not write {it}", f"[train] writable_tree = true, or {OUT}"),
    (r"Permission denied: '(?P<it>[^']+)'", "{it} is closed to it", f"[train] read for what it only reads; else {OUT}"),
    (r"No module named '(?P<it>[\w.]+)'", "its interpreter has no module {it}", '[train] python = "uv", or an environment'),
    (
        r"No such file or directory: '(?P<it>[/~][^']+)'",
        "there is no {it} for it",
        "what lies outside the tree is hidden: [train] read opens a folder of this machine where it is, [train] links shows "
        "one at a place of the tree",
    ),
    (
        r"No such file or directory: '(?P<it>[^'/~][^']*)'",
        "there is no {it} for it",
        "what git ignores is not copied: [train] links shows a folder outside at a place of the tree, read at its own place; "
        "[train] directory says where it is run",
    ),
    (r"cannot start '(?P<it>[^']+)'", "{it} cannot be started", "[train] command: a program of the environment or the system"),
    (rf"(?P<it>{NO_NETWORK})", "it asked for the network", NETWORK),
    (rf"(?P<it>{NO_GPU})", "it asks for a GPU and was given none", '[train] device = "cuda", or its own option for a CPU'),
    (
        r"<frozen os>[^\n]{0,200}\n(?:[^\n]{0,400}\n){0,4}KeyError: '(?P<it>[A-Za-z_]\w{0,60})'",
        "it needs the variable {it}",
        "[train] env",
    ),
    (r"unrecognized arguments: (?P<it>.+)", "it does not take {it}", "[train] command"),
    (r"the following arguments are required: (?P<it>.+)", "it needs {it}", "[train] command"),
    (r"Unknown config key: (?P<it>\S+)", "it does not take {it}", "[train] command"),
    (rf"(?P<it>{NO_RANK})", "it needs what torchrun sets", '[train] command = ["torchrun", "--standalone", …]'),
    (r"(?P<it>No space left on device|File too large)", "it wrote more than it may", "[limits] files_gb"),
    (r"(?P<it>can't start new thread)", "it may start no more threads or processes", "[train] processes"),
)


def denied(log: str) -> list[Denied]:
    """What the end of a log says was missing, each once, in order."""
    end, denials = log[-LOOKED_AT:], dict[str, Denied]()
    for pattern, what, key in WAYS:
        for match in re.finditer(pattern, end):
            each = Denied(what.format(it=shown(match["it"])), key)
            denials.setdefault(each.what, each)
    if os.strerror(NO_PROCESSES) in end:
        each = Denied("it tried to start another process", "[train] processes = 8, or as many as it needs")
        denials.setdefault(each.what, each)
    return list(denials.values())[:MOST]
