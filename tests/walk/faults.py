"""What is wrong with an answer, or with what an installation leaves behind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.html import is_whole
from tests.installation import Installation, alive, carrying
from tests.walk import budgets
from tests.walk.crawl import ANYBODY, Target
from tests.walk.visitor import Answer

FOR_ANYBODY = ("sign-in", "sign-in-link", "healthz", "unsubscribe")  # routes that answer without a sign-in
FOR_OPERATORS = ("new-project", "trial")  # pages that are not for viewers
FINE = (200, 204, 302, 304)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what kind, where, and in words."""

    kind: str
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.words}"


def faults_of(answer: Answer, target: Target) -> list[Fault]:
    """All that is wrong with one answer."""
    who = f"{target.how} as {answer.role}, found on {target.found_on}"
    found = []
    if answer.status >= 500 and not (answer.route == "healthz" and answer.status == 503):
        found.append(Fault("error", answer.address, f"{answer.status}, {who}"))
    elif answer.role == ANYBODY:
        found += open_to_anybody(answer, target)
    elif answer.route in FOR_OPERATORS and answer.role == "viewer":
        found += [] if answer.status == 403 else [Fault("open to a viewer", answer.address, f"{answer.status}, {who}")]
    elif answer.status not in FINE and answer.route != "healthz":
        found.append(Fault("dead link", answer.address, f"{answer.status}, {who}"))
    if problem := not_json(answer):
        found.append(Fault("no JSON", answer.address, f"{problem}, {who}"))
    if (slow := max(answer.seconds, answer.stood_still)) > budgets.seconds(answer.route):
        found.append(Fault("slow", answer.address, f"{slow:.1f} s ({dict(answer.probe)}), {who}"))
    if answer.queries > budgets.most(answer.route):
        told = f"{answer.queries} queries of at most {budgets.most(answer.route)} ({answer.route}), {who}"
        found.append(Fault("queries", answer.address, told))
    if answer.kind == "text/html" and is_whole(answer.text) and not answer.text.rstrip().endswith("</html>"):
        found.append(Fault("cut off", answer.address, f"the page has no end, {who}"))
    return found


def open_to_anybody(answer: Answer, target: Target) -> list[Fault]:
    """What somebody sees who did not sign in."""
    if answer.route in FOR_ANYBODY or target.how == "file" or answer.status in (302, 401, 403, 404):
        return []
    return [Fault("open to anybody", answer.address, f"{answer.status} without a sign-in")]


def not_json(answer: Answer) -> str:
    """Why an answer that calls itself JSON is none; empty where it is."""
    if "json" not in answer.kind or answer.status in (204, 304):
        return ""

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}")

    try:
        json.loads(answer.body, parse_constant=refuse)
    except ValueError as error:
        return str(error)
    return ""


def strays(signoff: Installation) -> list[Fault]:
    """Processes that outlive the installation."""
    left = alive(carrying("SIGNOFF_HOME", str(signoff.home)), within=60)
    return [Fault("left behind", str(process.pid), " ".join(process.cmdline())) for process in left]


def kinds_of(faults: list[Fault]) -> Mapping[str, int]:
    """How many there are of each kind."""
    found: dict[str, int] = {}
    for fault in faults:
        found[fault.kind] = found.get(fault.kind, 0) + 1
    return found
