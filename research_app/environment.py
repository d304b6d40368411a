"""Settings that come from the environment. Each is checked where it is read, and a wrong value is refused in one sentence
that names the variable, the value and what is allowed. Values that may hold a password are not repeated.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from email.utils import parseaddr
from typing import TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_HOST = re.compile(r"\*|\[[0-9a-fA-F:.]+\]|\.?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


class BadEnvironment(Exception):
    """The environment asks for something that cannot be; the message names the variable and the fix."""


def refused(name: str, allowed: str, *, secret: bool = False) -> BadEnvironment:
    """The sentence about a wrong value."""
    shown = "not what it may be" if secret else repr(os.environ.get(name, ""))
    return BadEnvironment(f"{name} is {shown}: {allowed}")


def text(name: str, default: str = "") -> str:
    """The value without white space around it; an empty one counts as none."""
    return os.environ.get(name, "").strip() or default


def secret(name: str) -> str:
    """The value just as it is: white space may be part of a password."""
    return os.environ.get(name, "")


def whole(name: str, default: int, least: int, most: int, example: str) -> int:
    """A whole number. Raises BadEnvironment."""
    given = text(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 12 and least <= int(given) <= most):
        raise refused(name, f"give a whole number from {least:,} to {most:,}, for example {name}={example}.")
    return int(given)


def number(name: str, default: float, least: float, most: float, unit: str) -> float:
    """A number. Raises BadEnvironment."""
    given = text(name, str(default))
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise refused(name, f"give a number of {unit} from {least} to {most}.")
    return value


def flag(name: str) -> bool:
    """1 or 0, in one of their spellings. Raises BadEnvironment."""
    given = text(name).lower()
    if given not in (*YES, *NO):
        raise refused(name, f"write {name}=1 to switch it on, and {name}=0, or nothing, to leave it off.")
    return given in YES


def one_of(name: str, default: str, choices: Sequence[str]) -> str:
    """One of a few words, in upper case. Raises BadEnvironment."""
    given = text(name, default).upper()
    if given not in choices:
        raise refused(name, f"write one of {', '.join(choices)}.")
    return given


def hosts(name: str, default: str, *, ports: bool = False) -> list[str]:
    """Host names separated by commas, with ports where those matter. Raises BadEnvironment."""
    found = [part.strip() for part in text(name, default).split(",") if part.strip()]
    for part in found:
        host, _, port = part.rpartition(":") if ports and re.search(r"[^:\]]:\d+$|\]:\d+$", part) else (part, "", "")
        if not _HOST.fullmatch(host) or (port and not 0 < int(port) < 65536):
            example = "hooks.example.org:8443" if ports else "signoff.example.org"
            raise refused(name, f"write host names without http:// and separated by commas, for example {name}={example}.")
    return found


def site(name: str, default: str) -> str:
    """How browsers reach Signoff: scheme, host and port, without a last slash. Raises BadEnvironment."""
    given = text(name, default).rstrip("/")
    if not _is_url(given, ("http", "https")) or urlsplit(given).path or urlsplit(given).query or "@" in given:
        example = f"{name}=https://signoff.example.org"
        raise refused(name, f"write http:// or https:// and a host, without a path, for example {example}.")
    return given


def address(name: str, default: str = "") -> str:
    """The address of a service over HTTP; empty where none is given. Raises BadEnvironment."""
    given = text(name, default)
    if given and not _is_url(given, ("http", "https")):
        raise refused(name, f"write an address, for example {name}=https://api.example.org.")
    return given


def networks(name: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas; none by default. Raises BadEnvironment."""
    parts = [part.strip() for part in text(name).split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in parts)
    except ValueError:
        raise refused(name, f"write addresses or networks, for example {name}=127.0.0.1,10.0.0.0/8.") from None


def file_or_address(name: str, default: str) -> str:
    """A path, or an address over HTTP. Raises BadEnvironment for any other address."""
    given = text(name, default)
    return address(name, default) if "://" in given else given


def url(name: str, schemes: Sequence[str], example: str) -> str:
    """The address of a database or broker, which may hold a password; empty where none is given. Raises BadEnvironment."""
    given = text(name)
    if given and not _is_url(given, schemes):
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        raise refused(name, f"write an address that begins with {begins}, for example {example}.", secret=True)
    return given


def host_of(given: str) -> str:
    """The host of an address, as ALLOWED_HOSTS has it."""
    host = urlsplit(given).hostname or ""
    return f"[{host}]" if ":" in host else host


def mail_address(name: str, default: str) -> str:
    """An e-mail address, with or without a name before it. Raises BadEnvironment."""
    given = text(name, default)
    local, _, host = parseaddr(given)[1].rpartition("@")
    if not local or not host or "\n" in given or "\r" in given:
        raise refused(name, f"write an e-mail address, for example {name}=signoff@example.org.")
    return given


def only_one(*names: str) -> None:
    """Raises BadEnvironment where more than one of these is switched on."""
    on = [name for name in names if flag(name)]
    if len(on) > 1:
        raise BadEnvironment(f"{' and '.join(on)} are both 1: they exclude each other, so set one of them.")


def parsed(
    name: str, read: Callable[[], Value], problems: type[Exception] | tuple[type[Exception], ...], allowed: str
) -> Value:
    """What another package reads of a variable. Raises BadEnvironment where it cannot."""
    try:
        return read()
    except problems as error:
        raise refused(name, allowed, secret=True) from error


def _is_url(given: str, schemes: Sequence[str]) -> bool:
    try:
        parts = urlsplit(given)
        reachable = parts.port is None or parts.port > 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    needs_host = parts.scheme not in ("sqlite", "redis+socket", "unix", "postgresql", "postgres")
    whole_text = not re.search(r"[\s<>\"\x00-\x1f]", given)
    return whole_text and reachable and parts.scheme in schemes and (bool(parts.hostname) or not needs_host) and "://" in given


def without_password(given: str) -> str:
    """An address as people may see it."""
    return re.sub(r"//[^/@]*@", "//…@", given)
