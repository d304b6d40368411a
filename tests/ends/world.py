"""A small world in which things end: a project whose runs take a tenth of a second, a device, and somebody who reads."""

import html
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connections
from django.test import Client
from django.utils import timezone

from research_app.loop.check import check
from research_app.loop.runs import ensure_reference_runs
from research_app.loop.train import train
from research_app.models import Candidate, Device, Message, Project, Run, SeriesChunk, State
from research_app.project_file.project_file import ProjectFile
from tests.factories import make_device, make_project, make_user
from tests.small_project import FILE, TRAIN, drain, patch

DEVICE = f"{socket.gethostname()}/cpu.0"
PAUSE = "for step in STEPS:\n"


class World:
    """One project, `small`. Runs are trained in this process, or in one that can be killed."""

    def __init__(self) -> None:
        self.project = make_project(
            "small", files={"train.py": TRAIN, "README.md": "# Small\n"}, **FILE.model_dump(mode="json")
        )
        self.device = make_device(DEVICE, sandbox_level="strong")
        self.client = Client()
        self.client.force_login(make_user("grace"))
        self.workers: set[int] = set()

    # --- what happens

    def configure(self, **tables: Any) -> None:
        """Change some tables of the project's file, past all checks."""
        config = self.project.config
        for name, values in tables.items():
            config[name] = {**config.get(name, {}), **values} if isinstance(values, dict) else values  # type: ignore[attr-defined]
        Project.objects.filter(pk=self.project.pk).update(config=ProjectFile.model_validate(config).model_dump(mode="json"))
        self.project.refresh_from_db()

    def enter(self, *changes: tuple[str, str]) -> Candidate:
        """A candidate with this change, unchecked."""
        return check.submit(self.project, patch(*changes), "It learns faster", category="optimiser", author="ada")

    def queue(self, *changes: tuple[str, str]) -> Run:
        """The first run of a candidate with this change, queued."""
        candidate = self.enter(*changes)
        check.check(candidate.pk, "test")
        Message.objects.all().delete()
        return Run.objects.select_related("patch_set__candidate").get(patch_set__candidate=candidate)

    def train(self, run: Run) -> Run:
        """Train it here; as it stands afterwards."""
        assert train.train_next(run.queue, self.device)
        return self.fresh(run)

    def run(self, *lines: str) -> Run:
        """Train a change that puts these lines before the steps."""
        return self.train(self.queue((PAUSE, "\n".join((*lines, PAUSE)))))

    def measure_baseline(self) -> None:
        """The baseline's reference runs as this code really scores, in place of a made-up one."""
        tip = self.project.tip()
        Run.objects.filter(baseline=tip).delete()
        ensure_reference_runs(tip, 4)
        self.finish()

    def finish(self) -> None:
        """Let everything that was woken happen."""
        drain()

    def fresh(self, run: Run) -> Run:
        """A run as it is now."""
        return Run.objects.select_related("patch_set__candidate", "baseline").get(pk=run.pk)

    def at_once(self) -> None:
        """All pauses after failed attempts are over."""
        Run.objects.update(retry_at=None)
        Candidate.objects.update(retry_at=None)

    # --- a worker that can be killed

    def worker(self, run: Run, before: Callable[[], object] = lambda: None) -> int:
        """Begin to train a run in a process of its own, as a worker does; its pid once there are points."""
        Message.objects.all().delete()
        SeriesChunk.objects.filter(run_id=run.pk).delete()  # of the attempt before it
        connections.close_all()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                before()
                train.train_next(run.queue, Device.objects.get(name=DEVICE))
                os._exit(0)
            except BaseException:
                os._exit(1)
        self.workers.add(pid)
        self.wait(lambda: SeriesChunk.objects.filter(run_id=run.pk).exists())
        return pid

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a worker and wait for its end; its run's sandbox goes with it."""
        os.kill(pid, number)
        self.ended(pid)

    def ended(self, pid: int) -> None:
        """Wait for a worker's end."""
        os.waitpid(pid, 0)
        self.workers.discard(pid)

    def close(self) -> None:
        """End the workers that a test left."""
        for pid in list(self.workers):
            self.kill(pid)

    def lease_runs_out(self, run: Run) -> None:
        """So much time passes that a lease which nobody renewed is over."""
        Run.objects.filter(pk=run.pk, state=State.RUNNING).update(lease_until=timezone.now() - timedelta(seconds=1))

    def wait(self, until: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait for something that another process does."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)

    # --- who reads

    def page(self, address: str) -> str:
        """The words of a page, on one line."""
        shown = self.client.get(address)
        assert shown.status_code == 200, address
        return words(shown.content.decode())

    def attention(self) -> str:
        """What the inbox asks somebody to mend; empty where there is nothing."""
        shown = self.client.get("/").content.decode()
        return words(shown.partition('id="troubles"')[2].partition('id="projects"')[0].partition(">")[2].rpartition("<")[0])

    def address(self, of: Run | Candidate) -> str:
        """The page of a run or a candidate."""
        return f"/projects/small/runs/{of.pk}/" if isinstance(of, Run) else of.get_absolute_url()


def words(page: str) -> str:
    """A page without its tags, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
