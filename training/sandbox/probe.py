"""Which level holds on this machine: found by running what tries to get out, with the very command line of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from training.sandbox.confinement import Level

INSTALL = (
    "Install bubblewrap 0.8 or newer (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap) and start "
    "the worker again."
)
ALLOW = (
    "Let the worker's user make name spaces: sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces above 0; "
    "on Ubuntu 24.04 also sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap; in a "
    "container, a seccomp profile that lets unshare and mount through."
)
LANDLOCK = "For the basic level, use Linux 5.13 or newer with Landlock among the security modules (boot option lsm=landlock,…)."


class NoSandbox(Exception):
    """No level at or above the wanted one holds on this machine; the message says why and how to mend it."""


@dataclass(frozen=True)
class ProbeResult:
    """The best level that holds, why no better one does, and what to do about that ("" when there is nothing)."""

    level: Level
    reasons: tuple[str, ...] = ()
    fix: str = ""


def probe(minimum: Level = Level.basic, why_not: Callable[[Level], str] | None = None) -> ProbeResult:
    """The best level that holds here. Takes about a second for each level tried; below `minimum` none is.

    `why_not` says of a level what is wrong with it on this machine, "" when it holds.
    """
    ask = why_not or attempts_at
    reasons: list[str] = []
    for level in (Level.strong, Level.basic):
        if reasons and not level.at_least(minimum):
            break
        why = ask(level)
        if not why:
            return ProbeResult(level, tuple(reasons), _fix(reasons))
        reasons.append(f"The sandbox level {level} does not hold here: {why}.")
    return ProbeResult(Level.none, tuple(reasons), _fix(reasons))


def attempts_at(level: Level) -> str:
    """Run the escape attempts at a level: what got out or went wrong, "" when all were stopped."""
    from training.escape.stage import Stage  # which itself runs things in the sandbox

    with Stage() as stage:
        findings = stage.examine(level)
    if findings.trouble:
        return findings.trouble
    return "; ".join(findings.escaped[:5])


def _fix(reasons: list[str]) -> str:
    """What to do for a better level; "" when the best one holds."""
    if not reasons:
        return ""
    first = INSTALL if "not installed" in reasons[0] or "nknown option" in reasons[0] else ALLOW
    return f"{first} {LANDLOCK}" if len(reasons) > 1 else first


@cache
def found() -> ProbeResult:
    """The result of `probe`, found once in a process."""
    return probe(Level.none)


def best_level(minimum: Level = Level.basic) -> Level:
    """The best level that holds. Raises NoSandbox when it is below `minimum`."""
    result = found()
    if not result.level.at_least(minimum):
        raise NoSandbox(f"This project needs the sandbox level {minimum}. {' '.join(result.reasons)} {result.fix}".strip())
    return result.level


def level_for(minimum: Level) -> Level:
    """The level of a run whose project asks for at least this one; a project that asks for none has none. Raises NoSandbox."""
    return Level.none if minimum is Level.none else best_level(minimum)
