"""Says in a header of every answer which route it was, how long the server took, and how many queries it made."""

import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection
from django.http import HttpRequest, HttpResponse

Next = Callable[[HttpRequest], HttpResponse]


def waited() -> float:
    """Seconds that this thread was ready to run and no core was free: the fault of whatever else runs on this machine."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


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

        began, cpu, waiting = time.perf_counter(), time.thread_time(), waited()
        with connection.execute_wrapper(count):
            response = self.get_response(request)
        took, used = time.perf_counter() - began, time.thread_time() - cpu
        route = request.resolver_match.view_name if request.resolver_match else ""
        figures = {"took": took, "waited": waited() - waiting, "cpu": used}
        told = " ".join(f"{name}={seconds:.4f}" for name, seconds in figures.items())
        response.headers["X-Walk"] = f"route={route} queries={queries} {told}"
        return response
