"""What comes before the services: the home is ours, the port is free, tables, static files and a first person exist."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import psycopg
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from research_app.access import Role, make_roles, set_role
from research_app.home import LOCK, home
from research_app.models import SignInLink
from research_app.tables import TablesMissing, require_known

LEAST_FREE = 200 * 1024**2  # bytes; below this nothing is started
ADMIN = "admin"


class SetUpRefused(Exception):
    """Signoff cannot start; the message says why and what to do."""


class HomeTaken(SetUpRefused):
    """Signoff runs in this home already."""


def hold_home(address: str = "") -> TextIO:
    """Lock the home for this process, as long as the returned file stays open. `address`: of the web server, if it has one.

    Raises HomeTaken.
    """
    path = home() / LOCK
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder: dict[str, Any] = {}
        with suppress(ValueError):  # caught in the instant before it is written
            holder = json.load(lock)
        where = f"at {holder['address']}" if holder.get("address") else "without pages"
        raise HomeTaken(
            f"Signoff already runs in {home()}: pid {holder.get('pid', 'unknown')}, {where}. "
            "Use that one, stop it with Ctrl-C, or start another with its own SIGNOFF_HOME and PORT."
        ) from None
    lock.truncate(0)
    json.dump({"pid": os.getpid(), "address": address}, lock)
    lock.flush()
    return lock


def require_space() -> None:
    """Raises SetUpRefused where the home's disk is nearly full."""
    free = shutil.disk_usage(home()).free
    if free < LEAST_FREE:
        raise SetUpRefused(disk_full(free))


def disk_full(free: int) -> str:
    """What to do about a full disk. `free` in bytes."""
    return (
        f"The disk under {home()} is full: {free // 1024**2} MB free, at least {LEAST_FREE // 1024**2} MB are needed. "
        "Free some space, or move the folder to a larger disk and set SIGNOFF_HOME to its new place."
    )


def listen(host: str, port: int) -> socket.socket:
    """The listening socket of the web server, taken before anything starts. Raises SetUpRefused."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)  # below 0: of the resolver
        other = port + 1 if 1024 <= port < 65535 else 8000
        fix = f"Start it on another port, for example: PORT={other} make up"
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            fix = "Set SIGNOFF_LISTEN to an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for all networks"
        raise SetUpRefused(f"The web server cannot listen on {host} port {port}: {why}. {fix}") from error
    # Accepted connections inherit it; without it small answers wait for the peer's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextmanager
def database_errors_explained() -> Iterator[None]:
    """Turn what a database says when it is away, full or read-only into what to do. Raises SetUpRefused."""
    try:
        yield
    except (DatabaseError, psycopg.Error) as error:
        message = str(error).strip()
        if connection.vendor == "postgresql":
            where = f"{settings.DATABASES['default'].get('HOST') or 'the local socket'}"
            fix = f"PostgreSQL at {where}: {message}. Check that it runs and that DATABASE_URL names the right one."
        elif "full" in message or shutil.disk_usage(home()).free < LEAST_FREE:
            fix = disk_full(shutil.disk_usage(home()).free)
        else:
            fix = f"The database {settings.DATABASES['default']['NAME']} cannot be used: {message}. Check who may write there."
        raise SetUpRefused(fix) from error


def migrate() -> None:
    """Bring the tables and the roles up to date. Raises SetUpRefused."""
    with database_errors_explained():
        if connection.vendor == "postgresql":  # directly: the pool would retry for half a minute and not say why
            psycopg.connect(**connection.get_connection_params(), connect_timeout=5).close()
        try:
            require_known(MigrationExecutor(connection))
        except TablesMissing as newer:
            raise SetUpRefused(str(newer)) from newer
        call_command("migrate", interactive=False, verbosity=0)
        make_roles()


def collect_static() -> bool:
    """Collect static files where their sources changed since the last time; True when it did."""
    stamp = Path(settings.STATIC_ROOT) / ".sources"
    sources = fingerprint()
    if stamp.exists() and stamp.read_text() == sources:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp.write_text(sources)
    return True


def fingerprint() -> str:
    """Hash over name, size and time of every static file."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            facts = os.stat(storage.path(name))
            digest.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def first_admin() -> str | None:
    """Make the first person, with every right and a random password; the password, or None where people exist."""
    people = get_user_model()._default_manager
    with database_errors_explained():
        if people.exists():
            return None
        password = secrets.token_urlsafe(12)
        admin = people.create_superuser(ADMIN, email="", password=password)
        set_role(admin, Role.APPROVER)
    return password


def sign_in_link() -> str | None:
    """A link that signs the administrator in once; None when nobody is one."""
    with database_errors_explained():
        admins = get_user_model()._default_manager.filter(is_active=True, is_superuser=True)
        admin = admins.filter(username=ADMIN).first() or admins.order_by("pk").first()
        return f"{settings.SITE_URL}/sign-in/{SignInLink.make(admin)}/" if admin else None


def let_go_of_database() -> None:
    """Close all connections, and the threads of a pool: what follows starts processes."""
    for each in connections.all():
        each.close()
        if hasattr(each, "close_pool"):
            each.close_pool()
