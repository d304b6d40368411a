"""Which files of settings a run composes, in the order in which they override each other, as Hydra does and others in part.

The first is the one that the code or the command names (`@hydra.main(config_name="config")`, `--config-name`,
`--config conf/a.yaml`); its list `defaults` chooses further ones, which the command may choose otherwise (`model=large`);
values are given by later files and last by the command (`model.lr=0.1`). A file that neither code nor command leads to is no
run's: pyproject.toml, workflows, other models.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from posixpath import dirname, join, normpath

from agent.launched import Launched
from agent.settings_files import document_of, is_settings, keys_of

ENDINGS = ("", ".yaml", ".yml")
DEPTH = 20  # files that choose each other


@dataclass(frozen=True)
class Part:
    """A file of settings that is composed, and the key below which its values stand."""

    path: str
    below: str
    root: str = ""  # the file whose composition it belongs to


class Composition:
    """The files of settings that runs compose."""

    def __init__(self, texts: Mapping[str, str], trees: Mapping[str, ast.Module], launched: Launched) -> None:
        self._texts = {path: text for path, text in texts.items() if is_settings(path)}
        self._trees, self._launched = trees, launched
        self._options = {option.key: option for option in launched.program.options}

    def why_not(self, path: str, key: str) -> str:
        """Why a value reaches no run; empty where it does."""
        parts = [part for part in self.parts if part.path == path]
        if not parts:
            return "no run reads this file"
        whole = f"{parts[-1].below}.{key}" if parts[-1].below else key
        plain = re.sub(r"\[\d+\]", "", whole)
        for name in (plain, plain.rpartition(".")[2] if "." not in key and not parts[-1].below else plain):
            if (option := self._options.get(name)) and option.value is not None:
                return f"the command gives {option.name}={option.value}"[:120]
        later = [part for part in self.parts[self.parts.index(parts[-1]) + 1 :] if part.root == parts[-1].root]
        for part in later:
            names = {
                f"{part.below}.{name}" if part.below else name
                for name in keys_of(document_of(part.path, self._texts[part.path]))
            }
            if plain in names:
                return f"{part.path} sets it"
        return ""

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What is composed, in order: later ones override earlier ones."""
        parts: list[Part] = []
        for path, folder in self._first():
            for part in self._composed(path, folder, "", 0):
                if (part := replace(part, root=path)) not in parts:
                    parts.append(part)
        return tuple(parts)

    def _first(self) -> Iterator[tuple[str, str]]:
        """Files that code or command names, each with the folder that choices are looked for in."""
        yielded = set()
        for path, folder in (*self._hydra_mains(), *self._named_by_the_command(), *self._named_in_code()):
            if path in self._texts and path not in yielded:
                yielded.add(path)
                yield path, folder

    def _hydra_mains(self) -> Iterator[tuple[str, str]]:
        chosen = self._options.get("config_name") or self._options.get("cn")
        option = self._options.get("config_path") or self._options.get("cp")
        for path, tree in self._trees.items():
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                given = {k.arg: k.value.value for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)}
                if not given.keys() & {"config_name", "config_path"}:
                    continue
                below = (option.value if option else None) or given.get("config_path") or "."
                folder = normpath(join(dirname(path), str(below)))
                name = (chosen.value if chosen else None) or given.get("config_name") or "config"
                for ending in ENDINGS:
                    yield normpath(join(folder, str(name) + ending)), folder

    def _named_by_the_command(self) -> Iterator[tuple[str, str]]:
        words = [*self._launched.program.plain, *(option.value for option in self._options.values() if option.value)]
        for word in words:
            for ending in (*ENDINGS, ".toml"):
                path = self._launched.path(word + ending)
                if path in self._texts:
                    yield path, dirname(path)

    def _named_in_code(self) -> Iterator[tuple[str, str]]:
        """Files whose name stands in the code, wherever a run is started from."""
        strings = {
            n.value
            for tree in self._trees.values()
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        for path in sorted(self._texts):
            if not strings.isdisjoint({path, path.rpartition("/")[2], self._launched.path(path)}):
                yield path, dirname(path)

    def _composed(self, path: str, folder: str, below: str, depth: int) -> Iterator[Part]:
        document = document_of(path, self._texts[path])
        defaults = document.get("defaults")
        if not isinstance(defaults, list) or depth > DEPTH:
            yield Part(path, below)
            return
        itself = False
        for entry in defaults:
            if entry == "_self_":
                itself = True
                yield Part(path, below)
                continue
            for group, choice in entry.items() if isinstance(entry, dict) else [("", entry)]:
                yield from self._chosen(str(group), choice, dirname(path) or ".", folder, below, depth)
        if not itself:  # since Hydra 1.1 a file overrides what its list of defaults chooses
            yield Part(path, below)

    def _chosen(self, group: str, choice: object, here: str, folder: str, below: str, depth: int) -> Iterator[Part]:
        group, _, package = group.removeprefix("override ").removeprefix("optional ").strip().partition("@")
        option = self._options.get(group.lstrip("/")) if group else None
        chosen = option.value if option and option.value else choice
        for name in chosen if isinstance(chosen, list) else [chosen]:
            if not isinstance(name, str):
                continue
            base = folder if group.startswith("/") or depth == 0 else here
            for ending in ENDINGS:
                path = normpath(join(base, group.lstrip("/"), name + ending))
                if path in self._texts:
                    key = package or ".".join(filter(None, (below, group.strip("/").replace("/", "."))))
                    is_global = re.search(r"(?m)^#\s*@package\s+_global_", self._texts[path]) or package == "_global_"
                    yield from self._composed(path, folder, "" if is_global else key, depth + 1)
                    break
