"""Where Signoff keeps its state: one folder, `SIGNOFF_HOME`, by default `var/` beside `manage.py`."""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from research_app import environment
from research_app.environment import BadEnvironment

CODE = Path(__file__).resolve().parent.parent
LOCK = "up.lock"  # held by whoever keeps the services of a home running


def home() -> Path:
    """The folder of all state, created on first use, readable by its owner only. Raises BadEnvironment."""
    wanted = environment.read().SIGNOFF_HOME or CODE / "var"
    try:
        folder = Path(wanted).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError, ValueError) as error:  # no such person after ~, a NUL in the path
        why = getattr(error, "strerror", None) or str(error)
        raise BadEnvironment(f"{wanted} cannot be made: {why}. Set SIGNOFF_HOME to a folder of yours.") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise BadEnvironment(
            f"{folder} cannot be read and written by this user. Give it to them, or set SIGNOFF_HOME to a folder of theirs."
        )
    return folder


def default_address() -> str:
    """How a browser on this machine reaches the web server: where it runs now, otherwise where it would be started.

    `PORT` and `SIGNOFF_LISTEN` say the latter. Raises BadEnvironment.
    """
    host, port = environment.read().SIGNOFF_LISTEN, environment.read().PORT
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return running().get("address") or f"http://{host}:{port}"


def running() -> dict[str, Any]:
    """What `manage.py up` wrote down of itself, while it runs in this home: pid and address. Empty otherwise."""
    try:
        with (home() / LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                state = json.load(lock)
                return state if isinstance(state, dict) else {}
    except (OSError, ValueError):  # no lock, or caught in the instant before it is written
        pass
    return {}


def secret_key() -> str:
    """The signing key of this installation, made on first use; `SECRET_KEY` in the environment wins."""
    if given := environment.read().SECRET_KEY.get_secret_value():
        return given
    path = home() / "secret_key"
    if not path.exists():
        try:
            _write_once(path, secrets.token_urlsafe(48))
        except OSError as error:
            raise BadEnvironment(f"{path} cannot be written: {error.strerror}. Free some space.") from error
    try:
        kept = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment(f"{path} cannot be read: {error}. Give it to this user, or set SECRET_KEY.") from error
    if not kept:
        raise BadEnvironment(f"{path} is empty: put the key of this installation back, or remove the file for a new one.")
    return kept


def _write_once(path: Path, text: str) -> None:
    """Create a private file, whole or not at all; of several processes at once the first one wins."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def broker_url() -> str:
    """`REDIS_URL`, or the private socket of the embedded Valkey that `manage.py up` starts. Raises BadEnvironment."""
    return environment.read().REDIS_URL or f"redis+socket://{broker_socket()}"


def broker_socket() -> Path:
    """Unix socket of the embedded Valkey. Linux allows 107 bytes for such a path, so a deep home gets a short one."""
    path = home() / "broker" / "valkey.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    runtime = Path(environment.read().XDG_RUNTIME_DIR or "/tmp")
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return runtime / f"signoff-{os.getuid()}-{short}" / "valkey.sock"
