"""The services of one machine, as data: what `manage.py up` keeps running."""

import socket
import sys
from collections.abc import Callable, Sequence

from research_app.home import CODE, home
from research_app.machine import broker
from research_app.machine.fleet import LocalDevice, local_devices
from research_app.machine.supervisor import AGENT_SECRETS, Service, Supervisor

PYTHON = sys.executable
MANAGE = str(CODE / "manage.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
AGENT_THREADS = 8  # proposers at work at once on this machine: most of them wait for a model's answer
OUTSIDE_THREADS = 8  # messages and pushes on their way at once: all of them wait for somebody else's server
BELOW_PAGES = 5  # niceness of training on cores: a person's click comes first


def broker_service() -> Service:
    """The embedded Valkey. Raises PermissionError, FileNotFoundError."""
    return Service("broker", "Valkey on a private socket", broker.server_command(), last=True)


def services(listener: socket.socket, devices: Sequence[LocalDevice]) -> list[Service]:
    """All services but the broker: the web server first, so that pages come up soon."""
    return [web(listener), *workers(devices)]


def workers(devices: Sequence[LocalDevice]) -> list[Service]:
    """What works on candidates: all services but broker and pages."""
    return [
        Service("reconciler", "finds and mends what stopped", [PYTHON, MANAGE, "reconcile"], ONE_THREAD),
        Service("orchestrate", "worker: check, judge, land", worker("orchestrate", "orchestrate"), ONE_THREAD),
        Service(
            "agent",
            "worker: proposals, several at once",
            worker("agent", "agent", threads=AGENT_THREADS),
            ONE_THREAD,
            secrets=AGENT_SECRETS,
        ),
        Service(
            "notify",
            "worker: messages to people, pushes to remotes",
            worker("notify,push", "notify", threads=OUTSIDE_THREADS),
            ONE_THREAD,
        ),
        *(trainer(device) for device in devices),
    ]


def run_workers(until: Callable[[], bool]) -> None:
    """Keep this machine's workers running, and the embedded broker, until something is done; then stop them.

    Raises BrokerDown, UnknownDevice, and OSError where a process cannot be started.
    """
    supervisor = Supervisor(home() / "logs", lambda line: print(line, file=sys.stderr, flush=True))
    try:
        if broker.is_embedded():
            child = supervisor.start(broker_service())
            broker.wait_until_ready(lambda: child.running)
        for service in workers(local_devices()):
            supervisor.start(service)
        supervisor.run(until=until)
    finally:
        supervisor.stop()


def web(listener: socket.socket) -> Service:
    """The web server on a socket that the supervisor holds, so that no request is refused while it restarts."""
    command = [PYTHON, "-m", "research_app.door.serve", "--fd", str(listener.fileno())]
    return Service("web", "pages and API", command, ONE_THREAD, keep=[listener.fileno()])


def trainer(device: LocalDevice) -> Service:
    """A worker that trains: on a core of its own, or on what it leases of a pool of GPUs."""
    environment = {"SIGNOFF_DEVICE": device.numbers}
    cpu = device.kind == "cpu"
    return Service(
        device.worker,
        f"worker: trains on {device.description}" + (f", or on up to {len(device.pool)}" if len(device.pool) > 1 else ""),
        worker(device.queues, device.worker),
        environment | ONE_THREAD if cpu else environment,
        nice=BELOW_PAGES if cpu else 0,
    )


def worker(queue: str, name: str, threads: int = 0) -> list[str]:
    """Command line of a Celery worker that does one thing at a time, or so many in threads."""
    command = [PYTHON, "-m", "celery", "-A", "research_app", "worker", "-Q", queue, "-n", f"{name}@%h"]
    pool = ["--pool", "threads", "-c", str(threads)] if threads else ["--pool", "solo", "-c", "1"]
    return [*command, *pool, "-l", "INFO", *WITHOUT_CHATTER]


WITHOUT_CHATTER = ("--without-gossip", "--without-mingle", "--without-heartbeat")  # the database knows who is there
