"""Python files are parsed by several threads at once: pages, the API and proposers share processes."""

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from research_app.home import CODE
from training.parsing import parse


class Garbage:
    """A cycle whose end takes a moment, so that another thread takes over in the midst of a parse."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads change and garbage is collected as often as can be."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(200, 5, 5)
    sys.setswitchinterval(1e-6)
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty")
def test_threads_that_parse_at_once_do_not_disturb_each_other() -> None:
    text, failed = "\n".join(f"UNUSED_{n} = {n} + (1, [2, {{3: 4}}])" for n in range(1500)), []

    def read() -> None:
        for _ in range(8):
            for _ in range(300):
                Garbage()
            try:
                parse(text)
            except SystemError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_nothing_else_parses() -> None:
    rooms = ("agent", "research_app", "training")
    files = [path for room in rooms for path in (CODE / room).rglob("*.py") if "targets" not in path.parts]
    others = {str(path.relative_to(CODE)) for path in files if "ast.parse(" in path.read_text()}
    assert others == {str(Path("training", "parsing.py"))}
