"""Where Signoff keeps its state: one folder, `SIGNOFF_HOME`, by default `var/` beside `manage.py`."""

import hashlib
import os
import secrets
from pathlib import Path

CODE = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder of all state, created on first use, readable by its owner only."""
    folder = Path(os.environ.get("SIGNOFF_HOME") or CODE / "var").expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def secret_key() -> str:
    """The signing key of this installation, made on first use; `SECRET_KEY` in the environment wins."""
    if given := os.environ.get("SECRET_KEY"):
        return given
    path = home() / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    key = secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    return key


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
