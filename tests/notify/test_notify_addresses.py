"""Which addresses of webhooks are called: nothing inside the network that the server stands in, whoever typed it."""

import socket
from typing import Any

import pytest
from pytest_django import Settings

from research_app.loop.notify.address import checked, is_public
from research_app.loop.notify.channels.webhook_channel import send_webhook
from research_app.loop.notify.notice import BadAddress, Item, NotDelivered, Notice
from research_app.models.notification import new_secret
from tests.notify_samples import hook
from tests.receivers import Webhook

__all__ = ["hook"]  # a fixture
TRIAL = Notice("Trial", [Item("C-1", [], "https://signoff.example/1")], "signoff-1")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://hooks.example.org/x", "Only https is called"),
        ("https://127.0.0.1/x", "private network"),
        ("https://localhost/x", "private network"),
        ("https://[::1]/x", "private network"),
        ("https://[::ffff:127.0.0.1]/x", "private network"),
        ("https://[64:ff9b::7f00:1]/x", "private network"),
        ("https://169.254.169.254/latest/meta-data/", "private network"),
        ("https://10.1.2.3/x", "private network"),
        ("https://192.168.0.1/x", "private network"),
        ("https://172.16.0.1/x", "private network"),
        ("https://100.64.0.1/x", "private network"),
        ("https://0.0.0.0/x", "private network"),
        ("https://2130706433/x", "private network"),
        ("https://0x7f.1/x", "private network"),
        ("https://user:pass@example.org/x", "without a user name"),
        ("file:///etc/passwd", "looks like https"),
        ("gopher://127.0.0.1/x", "looks like https"),
        ("https:///x", "looks like https"),
        ("https://example.org:99999/x", "no address"),
        ("https://example.org/a b", "no spaces"),
        ("https://example.org/\r\nHost: x", "no spaces"),
        (f"https://example.org/{'x' * 1000}", "at most 1000"),
        ("https://no-such-host.invalid/x", "not known to the name service"),
    ],
)
def test_an_address_that_points_inside_is_never_called(url: str, error: str) -> None:
    with pytest.raises(BadAddress, match=error):
        checked(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("2002:7f00:1::", False),
        ("192.0.2.1", False),
    ],
)
def test_only_public_addresses_count_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_address_that_was_checked_is_the_one_that_is_called(
    hook: Webhook, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name service that answers with something else the second time changes nothing."""
    answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", hook.port))]])
    settings.WEBHOOK_HOSTS = ["rebinding.example"]
    resolve = socket.getaddrinfo

    def lookup(host: str, *arguments: Any, **named: Any) -> Any:
        return next(answers) if host == "rebinding.example" else resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    send_webhook(f"http://rebinding.example:{hook.port}/x", TRIAL, new_secret())
    assert hook.headers[0]["Host"] == f"rebinding.example:{hook.port}"


def test_a_redirect_is_not_followed(hook: Webhook) -> None:
    hook.answers = [302]
    with pytest.raises(NotDelivered, match="status 302") as refused:
        send_webhook(hook.url, TRIAL, new_secret())
    assert refused.value.final and len(hook.posts) == 1
