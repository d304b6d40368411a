"""How long a researcher waits for the curves of a large comparison, beside a page that sends everything.

    python -m benchmarks.curves [--candidates 25 --seeds 4 --metrics 10 --steps 10000] [--json FILE]

Builds a project with that many runs in a home of its own, serves it, and opens both pages in a real Chromium on the same
server and the same rows. The naive page is what many tools do: one request for every point of every metric of every run,
and all points of the first metric drawn. Measured are the seconds from opening the page to the first picture, what went over
the wire, and the queries, which must not grow with the number of runs. Figures of one machine mean little; ratios do.
"""

# ruff: noqa: E402  (Django is set up before its models are imported)
import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in this thread

import django

django.setup()

import numpy as np
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from research_app import urls
from research_app.models import Project, Run, Series, SeriesChunk
from research_app.models.run import series_of
from tests.factories import make_many, make_project, make_run, make_user
from tests.settings import remove_home

NAMES = ("val_loss", "train_loss", "grad_norm", "tokens_per_second", "memory_mb", "lr", "a", "b", "c", "d", "e", "f")
REPEATS = 5
NAIVE_PAGE = """<!doctype html><title>Everything</title><script defer src="/static/plotly/plotly.min.js"></script>
<script defer src="/naive.js"></script><div id="plot"></div>"""
NAIVE_SCRIPT = """fetch("/naive.json").then((answer) => answer.json()).then(async (runs) => {
  const traces = Object.entries(runs).map(([name, { val_loss: [x, y] }]) => ({ x, y, name, type: "scatter", mode: "lines" }));
  await Plotly.newPlot("plot", traces);
  document.body.dataset.drawn = "1";
});"""


def naive_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(NAIVE_PAGE)


def naive_script(request: HttpRequest) -> HttpResponse:
    return HttpResponse(NAIVE_SCRIPT, content_type="text/javascript")


def naive_data(request: HttpRequest) -> HttpResponse:
    """Every point of every series of every run."""
    return JsonResponse(series_of(list(Run.objects.values_list("pk", flat=True))))


urlpatterns = [
    *urls.urlpatterns,
    path("naive/", naive_page),
    path("naive.js", naive_script),
    path("naive.json", naive_data),
]


def build(candidates: int, seeds: int, metrics: int, steps: int) -> Project:
    """A project with so many candidates and runs, each with noisy curves that fall."""
    project = make_project(reference_runs=seeds)
    make_many(project, candidates)
    for candidate in project.candidates.select_related("patch_set"):
        for seed in range(2 if candidate.number == 1 else 1, seeds + 1):
            make_run(project.tip(), patch_set=candidate.patch_set, seed=seed, series={})
    SeriesChunk.objects.all().delete()
    at, rng = np.arange(steps, dtype=float), np.random.default_rng(0)
    fall = 2.0 + 4.0 * np.exp(-at / (steps * 0.07))
    for run in Run.objects.all():
        noisy = {name: np.round(fall + rng.normal(scale=0.05, size=steps), 5).tolist() for name in NAMES[:metrics]}
        rows = [Series.of(run.pk, name, at.tolist(), values) for name, values in noisy.items()]
        Series.objects.bulk_create(rows)
    return project


def queries(client: Client, address: str) -> tuple[int, float, int]:
    """(queries, seconds, bytes) of one request in this process."""
    with CaptureQueriesContext(connection) as captured:
        begin = time.perf_counter()
        response = client.get(address)
        seconds = time.perf_counter() - begin
    assert response.status_code == 200, response.content[:300]
    return len(captured.captured_queries), seconds, len(response.content)


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def opened(page: Page, address: str, drawn: str) -> float:
    """Seconds from opening the address to its picture."""

    def go() -> None:
        page.goto(address, wait_until="commit")
        page.wait_for_selector(drawn, timeout=600_000)

    return timed(go)


def measure(page: Page, client: Client, numbers: Sequence[int]) -> dict[str, Any]:
    """Both pages, and what one does next on ours."""
    compare = f"/projects/demo/compare/?c={','.join(map(str, numbers))}"
    few = f"/projects/demo/compare/?c={','.join(map(str, numbers[:3]))}"
    picture = "#curves .panel[data-drawn]"
    data = compare.replace("/?", "/curves.json?")
    opened(page, few, picture)  # scripts and styles come from the browser's cache from here on, for both pages
    ours = [opened(page, compare, picture) for _ in range(REPEATS)]

    def switch() -> None:
        page.click("#curves-series [data-series=train_loss]")
        page.wait_for_selector("#curves .panel[data-drawn^=train_loss]")

    def zoom() -> None:
        with page.expect_response(lambda response: "from=" in response.url):
            page.locator("#curves .panel").press("+")

    switched, zoomed = timed(switch), timed(zoom)
    naive = opened(page, "/naive/", "body[data-drawn]")
    client.get(data)
    told = {"page": queries(client, compare), "data": queries(client, data), "everything": queries(client, "/naive.json")}
    fewer = {"page": queries(client, few)[0], "data": queries(client, few.replace("/?", "/curves.json?"))[0]}
    return {
        "first_picture_seconds": statistics.median(ours),
        "first_picture_all": ours,
        "naive_seconds": naive,
        "ratio": naive / statistics.median(ours),
        "switch_metric_seconds": switched,
        "zoom_seconds": zoomed,
        "server_seconds": {name: seconds for name, (_, seconds, _) in told.items()},
        "bytes": {name: size for name, (_, _, size) in told.items()},
        "bytes_ratio": told["everything"][2] / told["data"][2],
        "queries": {name: count for name, (count, _, _) in told.items()},
        "queries_of_three": fewer,
    }


def report(found: dict[str, Any], shape: str) -> None:
    seconds, size, counts = found["server_seconds"], found["bytes"], found["queries"]
    print(f"\n{shape}")
    print(f"{'':34}{'Signoff':>12}{'everything':>12}{'ratio':>9}")
    print(
        f"{'first picture, s':34}{found['first_picture_seconds']:>12.2f}{found['naive_seconds']:>12.2f}{found['ratio']:>9.0f}"
    )
    both = seconds["data"], seconds["everything"]
    print(f"{'answer of the server, s':34}{both[0]:>12.2f}{both[1]:>12.2f}{both[1] / both[0]:>9.0f}")
    print(f"{'sent for it, MB':34}{size['data'] / 1e6:>12.2f}{size['everything'] / 1e6:>12.2f}{found['bytes_ratio']:>9.0f}")
    print(f"{'another metric, s':34}{found['switch_metric_seconds']:>12.2f}")
    print(f"{'a zoom, resolved again, s':34}{found['zoom_seconds']:>12.2f}")
    fewer = found["queries_of_three"]
    print(f"queries of page and data: {counts['page']} and {counts['data']}; for three candidates ", end="")
    print(f"{fewer['page']} and {fewer['data']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("candidates", 25), ("seeds", 4), ("metrics", 10), ("steps", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    if not 1 <= asked.candidates <= 50 or not 1 <= asked.metrics <= len(NAMES):
        parser.error(f"A comparison has 1 to 50 candidates, a run of this benchmark 1 to {len(NAMES)} metrics.")
    from django.conf import settings

    settings.ROOT_URLCONF = "benchmarks.curves"
    try:
        call_command("migrate", verbosity=0)
        project = build(asked.candidates, asked.seeds, asked.metrics, asked.steps)
        client = Client()
        client.force_login(make_user())
        server = LiveServer("localhost")
        with sync_playwright() as playwright:
            path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
            context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=server.url)
            cookies = [{"name": n, "value": m.value, "url": server.url} for n, m in client.cookies.items()]
            context.add_cookies(cookies)  # type: ignore[arg-type]
            numbers = list(project.candidates.order_by("number").values_list("number", flat=True))
            found = measure(context.new_page(), client, numbers)
            browser.close()
        server.stop()
    finally:
        remove_home()
    runs = asked.candidates * asked.seeds
    report(found, f"{runs} runs of {asked.candidates} candidates, {asked.metrics} metrics, {asked.steps:,} steps")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
