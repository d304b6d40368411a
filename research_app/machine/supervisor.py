"""Keeps the services of one machine running, and leaves no process behind, however it ends.

Each service has a session of its own and a parent-death signal, so that the kernel ends it when the supervisor is killed.
The supervisor adopts what services leave behind (child subreaper), and ends that too.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from research_app.home import CODE

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)

TICK = 0.2  # seconds between two looks at the children
LOG_LIMIT = 10 * 1024**2  # bytes; a larger log is set aside, and one older part is kept
GRACE = 8.0  # seconds to stop in order; the broker has the rest of ten
LAST_GRACE = 2.0
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds before a restart, doubled each time
ORPHANS_SHOW_WITHIN = 5.0  # seconds after a service died
AGENT_SECRETS = ("ANTHROPIC_API_KEY",)  # of the environment: who trains or serves pages does not need them
MANY_DEATHS, WITHIN = 5, 60.0  # this many deaths within these seconds are reported with the log


@dataclass(frozen=True)
class Service:
    """One process to keep running. Its name is also that of its log."""

    name: str
    what: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    keep: Sequence[int] = ()  # file descriptors to inherit
    last: bool = False  # stopped after the others, which need it to the end
    secrets: Sequence[str] = ()  # names of AGENT_SECRETS that it gets; no other service does


def environment_of(service: Service, ours: Mapping[str, str]) -> dict[str, str]:
    """What a service sees of our environment: keys for agents only if they are meant for it, otherwise that there are any."""
    variables = {"SIGNOFF_AGENTS_HAVE_KEY": "1"} if any(ours.get(name) for name in AGENT_SECRETS) else {}
    seen = {name: value for name, value in ours.items() if name not in AGENT_SECRETS or name in service.secrets}
    return {**seen, **variables, **service.environment}


class Child:
    """A service with its process, or with the moment of its next start."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.delay = FIRST_DELAY
        self.start_at = 0.0
        self.started = 0.0
        self.deaths: deque[float] = deque(maxlen=MANY_DEATHS)

    def start(self) -> int:
        """Start the process with its output going to the log; its pid. Raises OSError."""
        rotate(self.log)
        parent, nice = os.getpid(), self.service.nice

        def in_child() -> None:
            die_with_parent(parent)
            if nice:
                os.nice(nice)

        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CODE,
                env=environment_of(self.service, os.environ),
                start_new_session=True,
                pass_fds=self.service.keep,
                preexec_fn=in_child,  # safe: the supervisor has one thread
            )
        self.started = time.monotonic()
        return self.process.pid

    @property
    def running(self) -> bool:
        """True while its process lives. Reaps it when it ended."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Signal the service's own process; how it ends its children is its affair."""
        if self.process:
            self.process.send_signal(number)  # does nothing where it ended

    def plan_restart(self) -> bool:
        """Choose the moment of the next start; True when it died so often lately that somebody should look."""
        now = time.monotonic()
        if now - self.started > WITHIN:
            self.delay = FIRST_DELAY
        self.process = None
        self.start_at = now + self.delay
        self.delay = min(self.delay * 2, LONGEST_DELAY)
        self.deaths.append(now)
        return len(self.deaths) == MANY_DEATHS and now - self.deaths[0] < WITHIN


class Supervisor:
    """Starts services, restarts those that die, and stops all of them. To be used from the main thread only."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        logs.mkdir(mode=0o700, exist_ok=True)
        self.logs = logs
        self.say = say
        self.children: list[Child] = []
        self.tasks: list[Child] = []
        self.strangers = {process.pid for process in psutil.Process().children()}  # there before us
        self.orphans_until = 0.0
        self.tidied_at = time.monotonic()
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, service: Service) -> Child:
        """Start a service and say so in one line. Raises OSError."""
        child = Child(service, self.logs / f"{service.name}.log")
        self.children.append(child)
        self.say(f"  {service.name:<14} {service.what} (pid {child.start()})")
        return child

    def start_once(self, service: Service) -> Child:
        """Start something that ends by itself and is not started again. Raises OSError."""
        task = Child(service, self.logs / f"{service.name}.log")
        self.tasks.append(task)
        task.start()
        return task

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep the services running until something is true; by default, until a signal raises KeyboardInterrupt."""
        while not until():
            self.look_after()
            time.sleep(TICK)

    def look_after(self) -> None:
        """Restart what died and is due, end what services left behind, keep the logs bounded."""
        now = time.monotonic()
        for child in self.children:
            if child.process and not child.running:
                self.report_death(child)
                self.orphans_until = now + ORPHANS_SHOW_WITHIN
            elif child.process is None and now >= child.start_at:
                self.restart(child)
        if now < self.orphans_until:
            self.end_orphans()
        if now - self.tidied_at > WITHIN:
            self.tidied_at = now
            reap(self.orphans())
            for child in self.children:
                rotate(child.log)

    def report_death(self, child: Child) -> None:
        """Say that a service died and when it starts again; with the end of its log when that happens often."""
        how, delay = describe_exit(child.process.returncode if child.process else 0), child.delay
        often = child.plan_restart()
        self.say(f"{child.service.name} {how}; it starts again in {delay:g} s. Log: {child.log}")
        if often:
            child.deaths.clear()
            self.say(f"{child.service.name} died {MANY_DEATHS} times within a minute. The end of its log:")
            self.say("\n".join(f"    {line}" for line in tail(child.log)))

    def restart(self, child: Child) -> None:
        """Start a service again; where the machine cannot (memory, disk), it is tried again later."""
        try:
            self.say(f"{child.service.name} runs again (pid {child.start()})")
        except OSError as error:
            child.plan_restart()
            self.say(f"{child.service.name} could not be started: {error}")

    def orphans(self) -> list[psutil.Process]:
        """Our children that are no services: a service died and left them. Reads the whole process table."""
        known = {child.process.pid for child in (*self.children, *self.tasks) if child.process} | self.strangers
        return [process for process in psutil.Process().children() if process.pid not in known]

    def end_orphans(self) -> None:
        """Kill what a dead service left behind; a training worker that was killed in mid-run cannot tidy up itself."""
        for process in (orphans := self.orphans()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        reap(orphans)

    def stop(self) -> None:
        """Ask all services to stop, the broker last; kill what is left after ten seconds or at a second Ctrl-C."""
        try:
            self.stop_in_order([child for child in self.children if not child.service.last], GRACE)
            self.stop_in_order([child for child in self.children if child.service.last], LAST_GRACE)
        except KeyboardInterrupt:
            self.say("Killing the rest.")
        for child in (*self.children, *self.tasks):
            child.signal(signal.SIGKILL)
            if child.process:
                child.process.wait()
        deadline = time.monotonic() + LAST_GRACE
        while self.orphans() and time.monotonic() < deadline:
            self.end_orphans()
            time.sleep(0.01)

    def stop_in_order(self, group: Sequence[Child], grace: float) -> None:
        """Ask some services to stop, and wait at most `grace` seconds."""
        for child in group:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while (late := [child.service.name for child in group if child.running]) and time.monotonic() < deadline:
            time.sleep(0.02)
        if late:
            self.say(f"Killed, because {grace:g} s were not enough for: {', '.join(late)}")


def raise_on_signals() -> None:
    """Let a polite request to end (Ctrl-C, SIGTERM, a closed terminal) raise KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, signal.default_int_handler)


def reap(processes: Sequence[psutil.Process]) -> None:
    """Take the exit status of those that ended, so that they leave the process table."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process. Raises OSError."""
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends; at once if it has ended already."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def rotate(log: Path) -> None:
    """Set a large log aside. It is copied and emptied, because its service goes on appending to the same file."""
    try:
        if log.stat().st_size <= LOG_LIMIT:
            return
    except FileNotFoundError:
        return
    with log.open("rb+") as file:
        with suppress(OSError), log.with_suffix(".log.1").open("wb") as older:  # on a full disk, room comes first
            shutil.copyfileobj(file, older)
        file.truncate(0)


def tail(log: Path, lines: int = 15) -> list[str]:
    """The last lines of a log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def describe_exit(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
