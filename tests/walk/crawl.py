"""What there is to open: every address that some answer led to, and which of them is due as whom."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.walk.state import Snapshot
from tests.walk.visitor import Answer

ROLES = ("viewer", "operator", "reviewer", "approver")
ANYBODY = "anonymous"
MOST_ALIKE = 300  # addresses of one shape that are kept
PLACE = re.compile(r"^/projects/(?P<slug>[^/]+)/(?:(?P<kind>candidates|runs)/(?P<number>\d+)/)?")
# Parameters that scripts add to the addresses that pages name: static/js/curves.js and progress.js.
ASKED_BY_SCRIPTS: Mapping[str, Sequence[str]] = {
    "candidate-curves": (
        "",
        "x=flops&band=interval",
        "x=tokens&view=difference&smooth=0.9",
        "band=all&log=x",
        "format=csv",
        "scale=M",
    ),
    "run-curves": ("", "x=seconds&from=0&to=9", "series=train_loss&format=csv"),
    "compare-curves": ("x=tokens&band=se", "format=csv"),
    "progress": ("measure=score", "measure=saved", "measure=target"),
}


@dataclass(frozen=True)
class Target:
    """One address: how it is asked for, and the page that named it."""

    address: str
    how: str  # "page", "part" for a script, "pulse", or "file"
    found_on: str
    shown_on: str = ""  # the page on which it was found, where that was a piece of one

    @property
    def on_a_page(self) -> bool:
        """Whether it was found on a whole page."""
        return self.found_on == self.shown_on

    @property
    def shape(self) -> str:
        """What is alike of addresses that one view answers: without numbers, names and values."""
        parts = urlsplit(self.address)
        path = re.sub(r"\d+", "#", re.sub(r"^/projects/[^/]+/", "/projects/*/", parts.path))
        keys = "&".join(sorted({key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}))
        return f"{self.how} {path}{'?' + keys if keys else ''}"


class Crawl:
    """Addresses, and how often each was opened in which state of what it shows, by whom."""

    def __init__(self, seed: int, first: Iterable[str]) -> None:
        self.chance = random.Random(seed)
        self.targets: dict[str, dict[str, Target]] = defaultdict(dict)  # shape → address → target
        self.cells: Counter[tuple[str, str, str]] = Counter()  # shape, state, role
        for address in first:
            self.add(Target(address, "page", "the walk"))

    def add(self, target: Target) -> None:
        alike = self.targets[target.shape]
        if len(alike) < MOST_ALIKE or target.address in alike:
            alike.setdefault(target.address, target)

    def drop(self, target: Target) -> None:
        """It is not there any more, and nothing leads there."""
        self.targets[target.shape].pop(target.address, None)

    def learn(self, answer: Answer) -> None:
        """Take in whatever an answer leads to, here."""
        page, on = answer.page, answer.address
        found = [(address, "page") for address in page.links] + [(address, "part") for address in page.parts]
        found += [(address, "file") for address in page.files]
        found += [(filled(form.action, form.fields), "page") for form in page.forms if form.method == "get"]
        for address, how in found:
            if not urlsplit(address).netloc:
                self.add(Target(address, how, on, answer.shown_on))
        if page.pulse:
            self.add(Target(answer.address, "pulse", on))
        for query in ASKED_BY_SCRIPTS.get(answer.route, ()):
            parts = urlsplit(answer.address)
            if "=" not in parts.query or answer.route == "compare-curves":
                address = parts._replace(query="&".join(filter(None, (parts.query, query)))).geturl()
                self.add(Target(address, "part", on, answer.shown_on))

    def due(
        self, now: Snapshot, roles: Sequence[str], most: int, wanted: Callable[[Target], bool] = lambda _: True
    ) -> list[tuple[Target, str]]:
        """What to open next as whom: what nobody of a role saw in its present state, then what was opened least often."""
        state = states(now)
        fresh: list[tuple[int, float, Target, str]] = []
        again: list[tuple[int, float, Target, str]] = []
        for shape, alike in self.targets.items():
            grouped: dict[str, list[Target]] = defaultdict(list)
            for target in alike.values():
                if wanted(target):
                    grouped[state(target)].append(target)
            for name, targets in grouped.items():
                for role in roles:
                    opened = self.cells[shape, name, role]
                    (again if opened else fresh).append((opened, self.chance.random(), self.chance.choice(targets), role))
        chosen = sorted(fresh, key=lambda each: each[1])[:most] or sorted(again, key=lambda each: each[:2])[:most]
        return [(target, role) for _, _, target, role in chosen]

    def times(self, target: Target, role: str, now: Snapshot) -> int:
        """How often it was opened in its present state."""
        return self.cells[target.shape, states(now)(target), role]

    def opened(self, target: Target, role: str, now: Snapshot) -> None:
        self.cells[target.shape, states(now)(target), role] += 1


def states(now: Snapshot) -> Callable[[Target], str]:
    """The state of what an address shows: of its candidate, its run, its project, or of everything."""
    candidates = {(c.slug, c.number): f"{c.stage}{' stuck' * c.stuck}{' archived' * c.archived}" for c in now.candidates}
    runs = {run.id: f"{run.state} {run.outcome}" for run in now.runs}
    stages: dict[str, set[str]] = defaultdict(set)
    for (slug, _), stage in candidates.items():
        stages[slug].add(stage)
    projects = {slug: f"{' paused' * project.paused} {sorted(stages[slug])}" for slug, project in now.projects.items()}
    everything = str(sorted(set().union(*stages.values())))

    def state(target: Target) -> str:
        if target.how == "file":
            return ""
        found = PLACE.match(target.address)
        if found is None:
            return everything if target.address.startswith("/?") or target.address == "/" else ""
        if found["kind"] == "candidates":
            return candidates.get((found["slug"], int(found["number"])), "")
        if found["kind"] == "runs":
            return runs.get(int(found["number"]), "")
        return projects.get(found["slug"], "")

    return state


def filled(action: str, fields: Sequence[tuple[str, str]]) -> str:
    """Where a form that is sent with GET leads, as it is filled in."""
    return f"{action}?{urlencode(fields)}" if fields else action
