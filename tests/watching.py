"""What goes wrong in a browser's windows: script errors, complaints on the console, forbidden content, broken answers."""

import os
import re
import shutil
from collections.abc import Callable

from playwright.sync_api import BrowserContext, ConsoleMessage, Response

VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) => console.error(
    `content-security policy: ${event.effectiveDirective} forbids ${event.blockedURI}, line ${event.lineNumber}`))"""


def chromium() -> str:
    """The system's Chromium, or the one that CHROMIUM names. Raises FileNotFoundError with what to install."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    if not os.access(path, os.X_OK):
        advice = "Install one (Debian: apt install chromium), or name yours in CHROMIUM."
        raise FileNotFoundError(f"No Chromium at {path}. {advice}")
    return path


def arguments() -> list[str]:
    """What Chromium must be told."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def watch(context: BrowserContext, tell: Callable[[list[str]], None]) -> None:
    """Tell of everything that goes wrong in the windows of this context, whoever opens them."""
    context.add_init_script(VIOLATIONS)
    context.on("weberror", lambda error: tell([f"{error.error}"]))
    context.on("console", lambda message: tell(complaints(message)))
    context.on("response", lambda response: tell(refusals(response)))


def complaints(message: ConsoleMessage) -> list[str]:
    """What the browser complains about; answers with 4xx and requests that were cut off are looked at where they belong."""
    answered = r"status of 4|Status Error Code 4"
    cut_off = r"net::ERR_(FAILED|ABORTED|CONNECTION_)|Send Error|htmx:(afterRequest|sendError|sendAbort),"
    if message.type not in ("error", "warning") or re.search(f"{answered}|{cut_off}", message.text):
        return []
    if not message.location.get("url") and re.search(r"forbids eval|Evaluating a string", message.text):
        return []  # Playwright's own wait_for_function; a script of ours would be named
    return [f"{message.location.get('url', '')}: {message.text}"]


def refusals(response: Response) -> list[str]:
    """An answer that broke, or a script or style sheet that is not there."""
    missing = response.status >= 400 and "/static/" in response.url
    return [f"{response.status} from {response.url}"] if response.status >= 500 or missing else []
