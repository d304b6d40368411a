"""Where Signoff keeps its state: one folder, `SIGNOFF_HOME`, by default `var/` beside `manage.py`."""

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

CODE = Path(__file__).resolve().parent.parent


class BadEnvironment(Exception):
    """The environment asks for something that cannot be; the message names the variable and the fix."""


def home() -> Path:
    """The folder of all state, created on first use, readable by its owner only. Raises BadEnvironment."""
    folder = Path(os.environ.get("SIGNOFF_HOME") or CODE / "var").expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadEnvironment(f"{folder} cannot be made: {error.strerror}. Set SIGNOFF_HOME to a folder of yours.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadEnvironment(f"{folder} cannot be written. Give it to this user, or set SIGNOFF_HOME to a folder of yours.")
    return folder


def port() -> int:
    """`PORT`, by default 8000. Raises BadEnvironment."""
    given = os.environ.get("PORT") or "8000"
    if not given.isdigit() or not 0 < int(given) < 65536:
        raise BadEnvironment(f"PORT is {given!r}; a port is a number from 1 to 65535, for example PORT=8001.")
    return int(given)


def secret_key() -> str:
    """The signing key of this installation, made on first use; `SECRET_KEY` in the environment wins."""
    if given := os.environ.get("SECRET_KEY"):
        return given
    path = home() / "secret_key"
    if not path.exists():
        try:
            _write_once(path, secrets.token_urlsafe(48))
        except OSError as error:
            raise BadEnvironment(f"{path} cannot be written: {error.strerror}. Free some space.") from error
    return path.read_text()


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
    """`REDIS_URL`, or the private socket of the embedded Valkey that `manage.py up` starts."""
    return os.environ.get("REDIS_URL") or f"redis+socket://{broker_socket()}"


def broker_socket() -> Path:
    """Unix socket of the embedded Valkey. Linux allows 107 bytes for such a path, so a deep home gets a short one."""
    path = home() / "broker" / "valkey.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return runtime / f"signoff-{os.getuid()}-{short}" / "valkey.sock"
