"""What pages, pulses and calls of the API cost in histories of different sizes.

    python -m benchmarks.pages [--sizes 1000,10000] [--repeats 12] [--only inbox,project] [--json FILE]

Each size has a database of its own, made by benchmarks/large_histories.py. Measured is one warm request through the whole
application in this process: processor time (median and 95th percentile) and statements. An idle pulse is one that brings the
version that the page showed last. Figures of one machine mean little: how they grow says more.
"""

# ruff: noqa: E402  (Django is set up before its models are imported)
import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment

from benchmarks.large_histories import generate
from research_app.models import Project
from research_app.web.shared.every_page import every_address
from research_app.web.shared.live import PULSE
from tests.factories import make_user
from tests.outside import token_for
from tests.settings import remove_home

PULSES = ("inbox", "project", "candidates", "candidate", "baseline", "landings", "scoreboard", "fleet", "shortlist")
EXTRA = (
    ("candidates by effect", "candidates/?sort=-effect"), ("candidates, a search", "candidates/?q=attention"),
    ("candidates, dropped", "candidates/?stage=dropped"),
)  # fmt: skip


@dataclass
class Cost:
    """One address at one size. Times in milliseconds of processor time."""

    name: str
    size: int
    median: float
    p95: float
    statements: int
    kilobytes: float
    status: int


class Counted:
    """Counts the statements of a connection."""

    def __init__(self) -> None:
        self.statements = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        self.statements += 1
        return execute(sql, params, many, context)


def addresses(project: Project, token: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, address and headers of what is asked for."""
    for name, address in every_address(project):
        yield name, address, {}
        if name in PULSES:
            yield f"pulse: {name}", address, {"HX-Trigger": PULSE, "HX-Request": "true"}
    small = Project.objects.get(slug="small")
    yield "the small project beside it", small.get_absolute_url(), {}
    for name, path in EXTRA:
        yield name, project.get_absolute_url() + path, {}
    yield "API: history, a page", f"/api/v1/projects/{project.slug}/history", {"authorization": f"Bearer {token}"}


def measure(client: Client, name: str, address: str, headers: dict[str, str], size: int, repeats: int) -> Cost | None:
    """The cost of one address; None where it is no page to be asked for."""
    first = client.get(address, headers=headers)
    if first.status_code not in (200, 304):
        return None
    if etag := first.headers.get("ETag"):
        headers = headers | ({"If-None-Match": etag} if name.startswith("pulse") else {})
    client.get(address, headers=headers)
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        answer = client.get(address, headers=headers)
        times.append(1000 * (time.process_time() - begun))
    counted = Counted()
    with connection.execute_wrapper(counted):
        client.get(address, headers=headers)
    kilobytes = len(answer.content) / 1024 if not answer.streaming else 0.0
    p95 = sorted(times)[max(0, round(0.95 * len(times)) - 1)]
    return Cost(name, size, statistics.median(times), p95, counted.statements, kilobytes, answer.status_code)


def at_size(size: int, repeats: int, only: Sequence[str]) -> list[Cost]:
    """All costs in a history of so many candidates."""
    begun = time.time()
    project = generate(size)
    print(f"{size:,} candidates made in {time.time() - begun:.0f} s", file=sys.stderr)
    ada = User.objects.filter(username="ada").first() or make_user()
    client = Client()
    client.force_login(ada)
    token = token_for(ada)
    found = []
    for name, address, headers in addresses(project, token):
        if only and not any(word in name for word in only):
            continue
        cache.clear()
        if cost := measure(client, name, address, headers, size, repeats):
            found.append(cost)
    print(
        f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", file=sys.stderr
    )
    return found


def table(costs: Sequence[Cost]) -> str:
    """A row per address, a column per size: median (95th percentile), statements."""
    sizes = sorted({cost.size for cost in costs})
    by_name: dict[str, dict[int, Cost]] = {}
    for cost in costs:
        by_name.setdefault(cost.name, {})[cost.size] = cost
    lines = ["| ms of processor: median (p95), statements | " + " | ".join(f"{size:,}" for size in sizes) + " | growth |"]
    lines.append("|---" * (len(sizes) + 2) + "|")
    order = sorted(by_name.items(), key=lambda pair: -max(cost.median for cost in pair[1].values()))
    for name, found in order:
        cells = [f"{c.median:.0f} ({c.p95:.0f}), {c.statements}" if (c := found.get(size)) else "–" for size in sizes]
        known = [found[size].median for size in sizes if size in found]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {known[-1] / max(known[0], 0.1):.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    only = [word for word in options.only.split(",") if word]
    costs: list[Cost] = []
    setup_test_environment(debug=False)
    for size in map(int, options.sizes.split(",")):
        name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            costs += at_size(size, options.repeats, only)
        finally:
            connection.creation.destroy_test_db(name, verbosity=0)
    print(table(costs))
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))


if __name__ == "__main__":
    try:
        main()
    finally:
        remove_home()
