"""Says in a header of every answer which route it was, what it cost the processor, how many queries it made, and how long
the server took, of that how long with a core free."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection
from django.http import HttpRequest, HttpResponse

Next = Callable[[HttpRequest], HttpResponse]


def used() -> float:
    """Processor seconds of this thread, and of the commands that this process ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def idle() -> float:
    """Seconds in which cores of this machine had nothing to do, as a mean of all."""
    ticks = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[4])
    return ticks / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)


class Probe:
    """The outermost layer."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        queries = 0

        def count(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
            nonlocal queries
            queries += 1
            return execute(sql, params, many, context)

        began, cpu, free = time.perf_counter(), used(), idle()
        with connection.execute_wrapper(count):
            response = self.get_response(request)
        route = request.resolver_match.view_name if request.resolver_match else ""
        figures = {"took": time.perf_counter() - began, "cpu": used() - cpu, "idle": idle() - free}
        told = " ".join(f"{name}={seconds:.4f}" for name, seconds in figures.items())
        response.headers["X-Walk"] = f"route={route} queries={queries} {told}"
        return response
