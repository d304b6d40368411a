"""Which addresses of webhooks are called.

A webhook's address is typed by a person and called by the server, so it could point into the network that the server
stands in. Only https to public addresses is called, unless the operator names the host.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from research_app.loop.notify.deadline import CONNECT_SECONDS, lookup
from research_app.loop.notify.notice import BadAddress, UnknownHost

MAX_URL = 1000  # characters


def checked(url: str, seconds: float = CONNECT_SECONDS) -> tuple[SplitResult, list[str]]:
    """The parts of a webhook's address and the network addresses that may be connected to. Raises BadAddress."""
    if len(url) > MAX_URL or any(character.isspace() or not character.isprintable() for character in url):
        raise BadAddress(f"A webhook's address has at most {MAX_URL} printable characters and no spaces.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, port_of(parts)
    except ValueError as error:
        raise BadAddress(f"This is no address: {error}.") from error
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
        raise BadAddress("A webhook's address looks like https://host/path, without a user name or password in it.")
    trusted = host in settings.WEBHOOK_HOSTS or f"{host}:{port}" in settings.WEBHOOK_HOSTS
    if not trusted and parts.scheme != "https":
        raise BadAddress(f"Only https is called. The operator can allow {host} in SIGNOFF_WEBHOOK_HOSTS.")
    try:
        addresses = lookup(host, port, seconds)
    except OSError as error:
        raise UnknownHost(f"{host} is not known to the name service: {error}") from error
    if not trusted and not all(map(is_public, addresses)):
        raise BadAddress(f"{host} stands in a private network. The operator can allow it in SIGNOFF_WEBHOOK_HOSTS.")
    return parts, addresses


def port_of(parts: SplitResult) -> int:
    """The port that is connected to. Raises ValueError where it is none."""
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_public(address: str) -> bool:
    """Whether a network address belongs to the public internet; one that embeds another is judged by both."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        nat64 = parsed in ipaddress.ip_network("64:ff9b::/96") or parsed in ipaddress.ip_network("64:ff9b:1::/48")
        if nat64 or (inner is not None and not is_public(str(inner))):
            return False
        if parsed.ipv4_mapped:
            return True
    return parsed.is_global and not parsed.is_multicast
