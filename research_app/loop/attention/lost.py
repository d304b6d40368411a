"""Lost workers: what is known of a worker that stopped renewing its lease, in words; the rest is said to be unknown."""

import re
import socket

import psutil

_HELD_BY = re.compile(r"(?P<host>[^/]+)/(?:.* pid )?(?P<pid>\d+)\Z")


def last_known_of(holder: str) -> str:
    """What is known here of the worker that a lease names ("host/123", "host/cpu.0 pid 123")."""
    match = _HELD_BY.fullmatch(holder)
    if match is None:
        return f"its worker ({holder or 'unnamed'}) went offline, and why is not known"
    if match["host"] != socket.gethostname():
        return f"its worker ({holder}) went offline: killed, frozen or cut off, which is not known from here"
    if not _lives(int(match["pid"])):
        return f"its worker died: there is no process {match['pid']} on {match['host']} any more"
    return f"its worker ({holder}) is there, but did not renew its lease: frozen, overloaded or cut off from the database"


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
