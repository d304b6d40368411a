"""`kill -9` between any two statements of the landing protocol: `python -m tests.faults.landing_crashes`.

Every statement of the protocol's modules that a landing passes is a crash point with a name, and so is every git command while
it runs. Points are found by tracing a landing, so a new statement is a new point. For each kill a process is forked that lands
and kills itself there; then all messages are lost, the lease runs out, and the reconciler finds what stopped.

Where nothing was committed since the point before, a kill leaves behind what it left there: such points are killed less often
(--everywhere) than those just before and just after a commit to the database, and during a git command (--kills).
"""

import argparse
import contextlib
import json
import linecache
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

LEASE_SECONDS = 4.0
ALLOWANCE = 10.0  # seconds after the lease until everything has landed
ROTATE = 52  # constants of a project that are used before the next project is made


def watched() -> dict[str, frozenset[str] | None]:
    """Files of the protocol, with the functions that are watched there; None for all."""
    from research_app.home import CODE

    loop, repository = CODE / "research_app/loop/land", CODE / "research_app/repository"
    everything = {str(loop / f"{name}.py"): None for name in ("land", "landing_queue", "rejudge", "batch", "external_moves")}
    steps = frozenset(("raise_fence", "advance", "commit_landing", "rebased", "combined", "keep"))
    return {**everything, str(repository / "store.py"): steps, str(repository / "git.py"): frozenset(("run_git",))}


class Tracer:
    """Names every crash point that is passed, and kills this process at one of them."""

    def __init__(self, point: str = "", hit: int = 1, pause: float = 0.0) -> None:
        self.point, self.hit, self.pause = point, hit, pause
        self.files = watched()
        self.seen: Counter[str] = Counter()
        self.last, self.committed, self.around_commits = "", False, set[str]()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        functions = self.files.get(frame.f_code.co_filename, frozenset())
        return self.line if functions is None or frame.f_code.co_name in functions else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and (name := name_of(frame)):
            self.seen[name] += 1
            if self.committed or name.startswith("git "):
                self.around_commits |= {self.last, name}
            self.last, self.committed = name, False
            if name == self.point and self.seen[name] == self.hit:
                time.sleep(self.pause)
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line

    @contextlib.contextmanager
    def sees_commits(self) -> Iterator[None]:
        """Notice when others can see a change of the database: at a commit."""
        from unittest import mock

        from django.db import connection

        commit = connection.commit

        def noticed() -> None:
            self.committed = True
            commit()

        def executed(execute: Any, sql: str, *rest: Any) -> Any:
            self.committed |= not connection.in_atomic_block and not sql.lstrip().upper().startswith("SELECT")
            return execute(sql, *rest)

        with mock.patch.object(connection, "commit", noticed), connection.execute_wrapper(executed):
            yield


def name_of(frame: FrameType) -> str:
    """The crash point before this statement; empty where it is none."""
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    if code.co_name == "run_git":
        return f"git {frame.f_locals['command']} runs" if "process.communicate(stdin" in text else ""
    return f"{Path(code.co_filename).stem}.{code.co_name}: {text[:70]}"


@dataclass
class Scene:
    """A project in which one kind of landing is prepared over and over."""

    kind: str
    folder: Path
    project: Any = None
    used: int = 0
    made: int = 0
    waiting: list[Any] = field(default_factory=list)

    def prepare(self) -> None:
        """Approve something whose landing goes this way, on a queue that is empty otherwise."""
        from tests.landing_samples import approved, knob, ready
        from tests.small_project import approver

        if self.project is None or self.used > ROTATE:
            self.renew()
        project, at = self.project, self.used
        if self.kind == "fresh":
            self.waiting = [approved(project, knob(at))]
        elif self.kind == "conflict":
            both = [ready(project, knob(at)), ready(project, knob(at, 2))]
            self.waiting = land_first(both)
        elif self.kind == "batch":
            self.waiting = land_first([ready(project, knob(at + place)) for place in range(3)])
        else:  # moved, lost: of a pair, the second is judged again
            self.waiting = land_first([ready(project, knob(at)), ready(project, knob(at + 1))])
        self.used += 4
        assert approver()

    def renew(self) -> None:
        from tests.landing_samples import knobs_project

        self.made, self.used = self.made + 1, 0
        slug = f"{self.kind}-{self.made}-{os.getpid()}"
        penalty = 0.5 if self.kind == "lost" else 0.0
        self.project = knobs_project(self.folder, slug, penalty=penalty, pairs=30, batch=3 if self.kind == "batch" else 1)


KINDS = ("fresh", "moved", "lost", "conflict", "batch")


def land_first(candidates: Sequence[Any]) -> list[Any]:
    """Land the first of them, and put the others into the queue behind: their base has moved."""
    from research_app.loop.review.review import Seen, approve
    from tests.landing_samples import fresh
    from tests.small_project import approver

    for candidate in candidates:
        approve(fresh(candidate), approver(), Seen.of(fresh(candidate)))
    from research_app.loop.land import land

    project = candidates[0].project
    land.land(project.pk, "before")
    return list(candidates[1:])


def take_to_end(project_id: int) -> None:
    """What workers would do until the queue of one project is empty."""
    from research_app.loop.judge import judge
    from research_app.loop.land import land
    from research_app.models import Landing, LandingState, Run, State

    for _ in range(12):
        land.land(project_id, "doomed")
        for run in Run.objects.filter(project=project_id, state=State.QUEUED).order_by("priority", "pk"):
            train_now(run.pk)
        for pk in Landing.objects.filter(project=project_id, state=LandingState.REJUDGING).values_list("patch_set", flat=True):
            judge.judge(pk, "doomed")
        if not Landing.objects.active().filter(project=project_id).exists():
            return


def train_now(run_id: int) -> None:
    """Train one run in this process."""
    from django.db.models import Q
    from django.utils import timezone

    from research_app.loop.train.record import record
    from research_app.models import Run, State
    from research_app.models.lease import Lost
    from tests.landing_samples import executed

    queued = Q(state=State.QUEUED)
    if lease := Run.claim(run_id, "doomed", queued, state=State.RUNNING, started_at=timezone.now()):
        run = Run.objects.select_related("project", "patch_set__candidate", "baseline", "cell").get(pk=run_id)
        record(run, lease, executed(run), Lost())


def forked(project_id: int, tracer: Tracer) -> tuple[dict[str, int], set[str]] | None:
    """Land in a process of its own, traced; points with how often it passed them, and those around commits. None if killed."""
    from django.db import connection, connections

    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.close(reader)
            with tracer.sees_commits():
                sys.settrace(tracer)
                take_to_end(project_id)
                sys.settrace(None)
            os.write(writer, json.dumps([tracer.seen, sorted(tracer.around_commits)]).encode())
            status = 0
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, ended = os.waitpid(pid, 0)
    if os.WIFSIGNALED(ended):
        return None
    assert ended == 0, f"the landing failed by itself at {tracer.point or 'no point'}"
    seen, around_commits = json.loads(told)
    return seen, set(around_commits)


def points_of(scene: Scene) -> tuple[dict[str, int], set[str]]:
    """The crash points of this kind of landing, with how often one is passed, and those around commits."""
    scene.prepare()
    found = forked(scene.project.pk, Tracer())
    assert found
    recover([scene], travel=True)
    return found


def crash(scene: Scene, point: str, hit: int, chance: random.Random, *, broker_too: bool = True) -> float:
    """Prepare, and kill the landing there; when that was (monotonic seconds). The broker loses all its messages with it."""
    from research_app.models import Message

    scene.prepare()
    survived = forked(scene.project.pk, Tracer(point, hit, chance.choice((0.0, 0.0, 0.002, 0.01))))
    killed_at = time.monotonic()
    assert survived is None, f"{point} was not passed {hit} times"
    if broker_too:
        Message.objects.all().delete()
    return killed_at


def recover(scenes: Sequence[Scene], *, travel: bool, limit: float = 60.0) -> dict[str, float]:
    """Reconcile until every queue is empty; when that was for each project. `travel`: leases run out at once."""
    from django.utils import timezone

    from research_app.loop import tasks
    from research_app.loop.reconcile import EVERY, reconcile
    from research_app.models import Candidate, Landing, Run
    from tests.small_project import drain

    ended: dict[str, float] = {}
    deadline = time.monotonic() + limit
    while len(ended) < len(scenes):
        assert time.monotonic() < deadline, [str(row) for row in Landing.objects.active()]
        if travel:
            past = timezone.now() - timedelta(minutes=1)
            for model in (Landing, Candidate, Run):
                model.objects.filter(lease_until__isnull=False).update(lease_until=past)
            Landing.objects.active().update(queued_at=past)
            Run.objects.update(created_at=past)
            Run.objects.filter(finished_at__isnull=False).update(finished_at=past)
        tasks.this_pool()
        reconcile()
        drain(limit=2000)
        for scene in scenes:
            if not Landing.objects.active().filter(project=scene.project).exists():
                ended.setdefault(scene.project.slug, time.monotonic())
        if not travel and len(ended) < len(scenes):
            time.sleep(EVERY)
    return ended


def check(scene: Scene) -> None:
    """Nothing lost, nothing double, and the reason said where something came back."""
    from research_app.models import Landing, LandingState, Stage
    from tests.landing_samples import check_agreement, fresh

    check_agreement(scene.project)
    for candidate in scene.waiting:
        rows = list(Landing.objects.filter(candidate=candidate))
        assert len(rows) == 1, f"{candidate} has {len(rows)} entries"
        now = fresh(candidate)
        if scene.kind in ("fresh", "moved", "batch"):
            assert (rows[0].state, now.stage) == (LandingState.LANDED, Stage.LANDED), (scene.kind, now.stage, now.why)
        else:
            wanted = Stage.CONFLICT if scene.kind == "conflict" else Stage.READY
            assert (rows[0].state, now.stage) == (LandingState.RETURNED, wanted), (scene.kind, now.stage, now.why)
            assert rows[0].reason and now.why
            assert not now.reviews.standing().exists()


@contextlib.contextmanager
def without_broker() -> Iterator[None]:
    """Messages stay rows, and runs end as soon as they begin."""
    from unittest import mock

    from research_app.models import Message
    from tests.landing_samples import training_at_once

    with mock.patch.object(Message, "send", return_value=False), training_at_once():
        yield


def main(arguments: Sequence[str]) -> int:
    """Time some recoveries, waiting for the lease; then kill every point so many times, in all kinds of landing by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each crash point around a commit")
    parser.add_argument("--everywhere", type=int, default=2, help="kills of every other crash point")
    parser.add_argument("--timed", type=int, default=25, help="kills whose recovery is waited for and timed")
    parser.add_argument("--minutes", type=float, default=600, help="stop after so long and say how far that was")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chance, begun = random.Random(options.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="signoff-crashes-"))
    with without_broker():
        scenes, plan = [Scene(kind, folder) for kind in KINDS], defaultdict[str, list[tuple[Scene, int]]](list)
        around_commits: set[str] = set()
        for scene in scenes:
            seen, around = points_of(scene)
            around_commits |= around & set(seen)
            for point, hits in seen.items():
                plan[point].append((scene, hits))
        print(f"{len(plan)} crash points in {len(KINDS)} kinds of landing, {len(around_commits)} around commits", flush=True)
        took = timed_kills(plan, options.timed, chance)
        killed: Counter[str] = Counter()
        for turn in range(options.kills):
            begin_anew(scenes)
            due = sorted(plan if turn < options.everywhere else around_commits)
            for point in chance.sample(due, k=len(due)):
                places = plan[point]
                if time.monotonic() - begun > 60 * options.minutes:
                    return report(took, killed, plan, around_commits)
                scene, hits = places[turn % len(places)]
                crash(scene, point, chance.randint(1, hits), chance)
                recover([scene], travel=True)
                check(scene)
                killed[point] += 1
            print(f"turn {turn + 1}: {killed.total()} kills after {time.monotonic() - begun:.0f} s", flush=True)
        return report(took, killed, plan, around_commits)


def begin_anew(scenes: Sequence[Scene]) -> None:
    """Empty the database: the reconciler looks at every project, and the kills would take longer and longer."""
    from django.core.management import call_command
    from django.db import connection

    from research_app.models import Event, append_only

    assert list(Event.objects.faults()) == []
    append_only.remove(connection)
    call_command("flush", interactive=False, verbosity=0)
    append_only.install(connection)
    for scene in scenes:
        if scene.project is not None:
            shutil.rmtree(scene.project.folder, ignore_errors=True)
        scene.project = None


def timed_kills(plan: dict[str, list[tuple[Scene, int]]], count: int, chance: random.Random) -> list[float]:
    """Seconds from the kill until everything had landed, in real time, one project of each kind at once."""
    took: list[float] = []
    while len(took) < count:
        killed_at, scenes = {}, []
        for kind in KINDS:
            passed = [(point, scene, hits) for point, places in plan.items() for scene, hits in places if scene.kind == kind]
            point, scene, hits = chance.choice(passed)
            killed_at[kind] = crash(scene, point, chance.randint(1, hits), chance, broker_too=False)
            scenes.append(scene)
        ended = recover(scenes, travel=False)
        for scene in scenes:
            check(scene)
            took.append(ended[scene.project.slug] - max(killed_at.values()))  # the last one's lease was the last to run out
    return took


def report(took: Sequence[float], killed: Counter[str], points: Collection[str], around_commits: Collection[str]) -> int:
    """Print the figures as one line of JSON. Returns the exit status: 1 where a recovery took longer than it may."""
    from django.db import connection

    from research_app.models import Event

    assert list(Event.objects.faults()) == []
    slowest, kills = max(took, default=0.0), killed.total() + len(took)
    told: dict[str, Any] = {"database": connection.vendor, "points": len(points), "kills": kills}
    told |= {"each_at_least": min(killed[point] for point in points)}
    told |= {"around_commits": len(around_commits), "each_of_these_at_least": min(killed[point] for point in around_commits)}
    told |= {"lost": 0, "double": 0, "timed": len(took), "lease": LEASE_SECONDS, "slowest_recovery": round(slowest, 1)}
    print(json.dumps(told))
    return int(slowest > LEASE_SECONDS + ALLOWANCE)


def prepared_database() -> None:
    """A home of its own, and the tables in it."""
    if os.access("/dev/shm", os.W_OK):
        os.environ.setdefault("TMPDIR", "/dev/shm")  # a killed process, unlike a power cut, asks nothing of the disk
    os.environ["LEASE_SECONDS"] = str(LEASE_SECONDS)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    prepared_database()
    sys.exit(main(sys.argv[1:]))
