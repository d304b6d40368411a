"""What holds for every page: headers, nothing inline, error pages, health, colours that can be read."""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import engines
from django.test import Client

from research_app.health import Finding
from research_app.home import CODE
from research_app.version import VERSION
from tests.factories import make_user

TEMPLATES = sorted((CODE / "templates").rglob("*.html"))


def test_the_policy_allows_our_own_files_and_nothing_inline(client: Client) -> None:
    policy = client.get("/sign-in/x/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    for word in ("unsafe-inline", "unsafe-eval", "http:", "https:", "*"):
        assert word not in policy


@pytest.mark.django_db
def test_static_files_and_errors_carry_the_policy_too(client: Client) -> None:
    assert "Content-Security-Policy" in client.get("/no-such-page/").headers


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_names_no_other_host(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|\shx-on|javascript:", text)
    assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", text)
    assert "|safe" not in text
    engines["django"].from_string(text)


@pytest.mark.parametrize("path", sorted((CODE / "static" / "js").glob("*.js")), ids=lambda path: path.name)
def test_a_script_builds_no_html_from_text_and_runs_no_text(path: Path) -> None:
    assert not re.search(r"\.(innerHTML|outerHTML)|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text())


def test_plotlys_script_comes_from_the_installed_package() -> None:
    found = finders.find("plotly/plotly.min.js")
    assert isinstance(found, str)
    assert "site-packages/plotly" in found
    assert finders.find("plotly/widgetbundle.js") is None


@pytest.mark.django_db
def test_a_broken_page_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from research_app.web.inbox import inbox

    def broken() -> list[inbox.Card]:
        raise RuntimeError("secret detail")

    make_user("ada")
    client = Client(raise_request_exception=False)
    client.login(username="ada", password="correct horse battery")
    monkeypatch.setattr(inbox, "cards", broken)
    response = client.get("/")
    page = response.content.decode()
    assert response.status_code == 500
    assert "Something broke" in page
    assert "secret detail" not in page
    assert "Traceback" not in page


@pytest.mark.django_db
def test_healthz_says_503_when_something_is_wrong_and_keeps_details_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from research_app import health

    finding = Finding(name="broker", ok=False, detail="redis://:password@host", fix="Start it.")
    monkeypatch.setattr(health, "examine", lambda *_, **__: [finding])
    response = Client().get("/healthz")
    assert response.status_code == 503
    assert json.loads(response.content) == {"ok": False, "version": VERSION, "findings": [{"name": "broker", "ok": False}]}


def tokens(theme: str) -> dict[str, str]:
    text = (CODE / "static/css/tokens.css").read_text()
    block = {
        "light": r"^:root \{(.*?)\}",
        "dark": r'^:root\[data-theme="dark"\] \{(.*?)\}',
        "system": r"\[data-theme=\"light\"\]\) \{(.*?)\}",
    }
    match = re.search(block[theme], text, re.DOTALL | re.MULTILINE)
    assert match
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", match[1]))


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def pairs() -> Iterator[tuple[str, str]]:
    yield from product(("ink", "ink-2", "ink-3", "accent", "good", "bad", "warn"), ("bg", "surface", "sunken"))
    yield from ((tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "accent"))
    yield from (
        ("ink-2", "mute-soft"),
        ("go-ink", "good"),
        ("surface", "accent"),
        ("ink", "accent-soft"),
        ("ink-3", "accent-soft"),
    )
    code = ("ink", "ink-2", *(f"code-{kind}" for kind in "ksmfbd"))
    yield from product(code, ("surface", "add", "del"))
    yield from product(("ink", "ink-2"), ("add-word", "del-word"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_reaches_the_contrast_of_wcag_aa_on_every_ground(theme: str) -> None:
    colours = tokens(theme)
    low = {f"{ink} on {ground}": round(contrast(colours[ink], colours[ground]), 2) for ink, ground in pairs()}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


# Curves, dots and the borders of what can be used; what only decorates (--line, --grid, --band) says nothing by itself.
DRAWN = (*(f"c{hue}" for hue in range(10)), "base-curve", "cand-curve", "tried", "line-strong", "accent", "good", "bad", "warn")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_drawn_stands_out_from_every_ground_at_3_to_1(theme: str) -> None:
    colours = tokens(theme)
    ratios = {
        (name, ground): contrast(colours[name], colours[ground]) for name, ground in product(DRAWN, ("surface", "bg", "sunken"))
    }
    assert {f"{name} on {ground}": round(ratio, 2) for (name, ground), ratio in ratios.items() if ratio < 3} == {}


def test_no_control_has_a_border_that_only_decorates() -> None:
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", "".join(path.read_text() for path in (CODE / "static/css").glob("*.css")))
    pale = [at.strip() for at, rule in rules if re.search(r"border(-color)?: [^;]*var\(--line\)", rule)]
    assert [at for at in pale if re.search(r"\b(input|select|textarea|button)\b(?!.*(>|\+|::))", at)] == []


def test_both_ways_to_the_dark_theme_have_the_same_colours() -> None:
    assert tokens("dark") == tokens("system")
    assert set(tokens("dark")) == set(tokens("light"))
