"""The key that signs checkpoints: Ed25519, kept outside the database. Its public half is enough to check them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from django.conf import settings


class BadKey(Exception):
    """The key file cannot be used; the message says why and what to do."""


def private_key() -> Ed25519PrivateKey:
    """The installation's key, made on first use where the settings name none of their own. Raises BadKey."""
    path = Path(settings.CHECKPOINT_KEY)
    if not path.exists() and path == default_path():
        _make(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise BadKey(f"The checkpoint key {path} cannot be used: {error}. See docs/explanation/audit.md.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{path} is no Ed25519 key. Make one: openssl genpkey -algorithm ed25519 -out {path}")
    return key


def public_key() -> str | None:
    """The public half of the key, where there is one. Raises BadKey."""
    return public_half(private_key()) if Path(settings.CHECKPOINT_KEY).exists() else None


def default_path() -> Path:
    """Where the key lies unless SIGNOFF_CHECKPOINT_KEY says otherwise."""
    return Path(settings.HOME) / "checkpoint_key.pem"


def public_half(key: Ed25519PrivateKey) -> str:
    """The public key as 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def is_signed(content: bytes, signature: str, public: str) -> bool:
    """Whether the holder of a key signed this."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(path: Path) -> None:
    """A new key, private to its owner, whole or not at all; of several processes at once the first one wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
