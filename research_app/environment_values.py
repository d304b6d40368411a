"""The kinds of values that a variable of the environment may hold.

Each reads the text of a variable and raises ValueError otherwise; `allowed` says in one sentence, to whoever set it, what is
allowed.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Protocol
from urllib.parse import urlsplit

from training.devices import KINDS, MASK

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_HOST = re.compile(r"\*|\[[0-9a-fA-F:.]+\]|\.?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


class Refused(ValueError):
    """The value is of the kind and still cannot be; the message says what is allowed instead."""


class Kind(Protocol):
    """Reads a value and says what is allowed."""

    def __call__(self, given: str) -> object:
        """The value that the text means. Raises ValueError, or Refused with a sentence of its own."""

    def allowed(self, name: str) -> str:
        """What may be written, with an example for this variable."""


@dataclass(frozen=True)
class WholeNumber:
    """ASCII digits between two bounds."""

    least: int
    most: int
    example: str

    def __call__(self, given: str) -> int:
        if not (given.isascii() and given.isdigit() and len(given) < 12 and self.least <= int(given) <= self.most):
            raise ValueError
        return int(given)

    def allowed(self, name: str) -> str:
        return f"give a whole number from {self.least:,} to {self.most:,}, for example {name}={self.example}."


@dataclass(frozen=True)
class Number:
    """A finite number of some unit between two bounds."""

    least: float
    most: float
    unit: str

    def __call__(self, given: str) -> float:
        value = float(given)
        if not self.least <= value <= self.most:  # NaN is not
            raise ValueError
        return value

    def allowed(self, name: str) -> str:
        return f"give a number of {self.unit} from {self.least:,} to {self.most:,}."


@dataclass(frozen=True)
class Flag:
    """On or off, in one of their spellings."""

    def __call__(self, given: str) -> bool:
        if given.lower() not in (*YES, *NO):
            raise ValueError
        return given.lower() in YES

    def allowed(self, name: str) -> str:
        return f"write {name}=1 to switch it on, and {name}=0, or nothing, to leave it off."


@dataclass(frozen=True)
class OneOf:
    """One of a few words, in any case; returned in upper case."""

    words: tuple[str, ...]

    def __call__(self, given: str) -> str:
        if given.upper() not in self.words:
            raise ValueError
        return given.upper()

    def allowed(self, name: str) -> str:
        return f"write one of {', '.join(self.words)}."


@dataclass(frozen=True)
class HostNames:
    """Host names separated by commas, with ports where those matter."""

    ports: bool = False

    def __call__(self, given: str) -> tuple[str, ...]:
        names = tuple(part.strip() for part in given.split(",") if part.strip())
        for part in names:
            has_port = self.ports and re.search(r"[^:\]]:\d+$|\]:\d+$", part)
            host, _, port = part.rpartition(":") if has_port else (part, "", "")
            if not _HOST.fullmatch(host) or (port and not 0 < int(port) < 65536):
                raise ValueError
        return names

    def allowed(self, name: str) -> str:
        example = "hooks.example.org:8443" if self.ports else "signoff.example.org"
        return f"write host names without http:// and separated by commas, for example {name}={example}."


@dataclass(frozen=True)
class Site:
    """How browsers reach Signoff: scheme, host and port, returned without a last slash."""

    def __call__(self, given: str) -> str:
        given = given.rstrip("/")
        if not is_url(given, ("http", "https")) or urlsplit(given).path or urlsplit(given).query or "@" in given:
            raise ValueError
        return given

    def allowed(self, name: str) -> str:
        return f"write http:// or https:// and a host, without a path, for example {name}=https://signoff.example.org."


@dataclass(frozen=True)
class HttpAddress:
    """The address of a service over HTTP; with `or_path`, a path, too."""

    or_path: bool = False

    def __call__(self, given: str) -> str:
        if not (self.or_path and "://" not in given) and not is_url(given, ("http", "https")):
            raise ValueError
        return given

    def allowed(self, name: str) -> str:
        return (
            f"write an address{', or the path of a file' if self.or_path else ''}, for example {name}=https://api.example.org."
        )


@dataclass(frozen=True)
class ServiceUrl:
    """The address of a database or broker, which may hold a password."""

    schemes: Sequence[str]
    example: str

    def __call__(self, given: str) -> str:
        if not is_url(given, self.schemes):
            raise ValueError
        return given

    def allowed(self, name: str) -> str:
        begins = " or ".join(f"{scheme}://" for scheme in self.schemes)
        return f"write an address that begins with {begins}, for example {name}={self.example}."


@dataclass(frozen=True)
class DatabaseUrl(ServiceUrl):
    """The same, of a database that several processes can share."""

    def __call__(self, given: str) -> str:
        import dj_database_url

        if dj_database_url.parse(super().__call__(given))["NAME"] in ("", ":memory:"):
            raise Refused(f"name a database or a file, for example DATABASE_URL={self.example}.")
        return given


@dataclass(frozen=True)
class WorkerDevices:
    """The kind of one worker's devices, and which these are: numbers, or for GPUs also UUIDs."""

    def __call__(self, given: str) -> str:
        kind, _, rest = given.partition(":")
        kind, masks = kind.lower(), rest.split(",") if rest else ["0"]
        well_formed = all(MASK.fullmatch(mask) and (mask.isdigit() or kind == "cuda") for mask in masks)
        if kind not in KINDS or given.endswith(":") or not well_formed or len(set(masks)) < len(masks):
            raise ValueError
        return given

    def allowed(self, name: str) -> str:
        return "write cpu:0, cuda:3, cuda:4,5,6,7 for a worker with several GPUs, or cuda:UUID for a GPU or slice."


@dataclass(frozen=True)
class Networks:
    """Addresses and networks, separated by commas."""

    def __call__(self, given: str) -> tuple[Network, ...]:
        parts = [part.strip() for part in given.split(",") if part.strip()]
        return tuple(ipaddress.ip_network(part, strict=False) for part in parts)

    def allowed(self, name: str) -> str:
        return f"write addresses or networks, for example {name}=127.0.0.1,10.0.0.0/8."


@dataclass(frozen=True)
class MailAddress:
    """An e-mail address, with or without a name before it."""

    def __call__(self, given: str) -> str:
        local, _, host = parseaddr(given)[1].rpartition("@")
        if not local or not host or "\n" in given or "\r" in given:
            raise ValueError
        return given

    def allowed(self, name: str) -> str:
        return f"write an e-mail address, for example {name}=signoff@example.org."


def is_url(given: str, schemes: Sequence[str]) -> bool:
    """Whether it is an address with one of these schemes."""
    try:
        parts = urlsplit(given)
        reachable = parts.port is None or parts.port > 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    needs_host = parts.scheme not in ("sqlite", "redis+socket", "unix", "postgresql", "postgres")
    whole_text = not re.search(r"[\s<>\"\x00-\x1f]", given)
    return whole_text and reachable and parts.scheme in schemes and (bool(parts.hostname) or not needs_host) and "://" in given


def host_of(given: str) -> str:
    """The host of an address, as ALLOWED_HOSTS has it."""
    host = urlsplit(given).hostname or ""
    return f"[{host}]" if ":" in host else host
