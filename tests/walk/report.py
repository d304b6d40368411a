"""What a walk comes to: for people, and as var/walk.json."""

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.walk.crawl import ANYBODY, ROLES
from tests.walk.faults import Fault, kinds_of

if TYPE_CHECKING:
    from tests.walk.walk import Walk

SHOWN = 12  # faults of one kind that are printed


def summary(walk: "Walk") -> dict[str, Any]:
    """`{"commit": …, "opened": n, "failed": n, …}`; what follows says more."""
    tree = walk.signoff.code
    return {
        "commit": git(tree, "rev-parse", "HEAD"),
        "opened": sum(walk.opened.values()),
        "failed": len(walk.faults),
        "changed": bool(git(tree, "status", "--porcelain", "--untracked-files=no")),
        "short": walk.plan.short,
        "seconds": round(time.monotonic() - walk.began),
        "cells": len(walk.crawl.cells),
        "in_the_browser": walk.windows.opened,
        "ends": {end: sorted(walk.seen_as[end], key=ROLES.index) for end in walk.plan.ends},
        "roles": {role: sum(n for (_, who), n in walk.opened.items() if who == role) for role in (*ROLES, ANYBODY)},
        "pages": {route: sum(n for (name, _), n in walk.opened.items() if name == route) for route in sorted(walk.slowest)},
        "slowest": {route: round(seconds, 3) for route, seconds in by_size(walk.slowest)[:10]},
        "queries": dict(by_size(walk.queries)),
        "faults": [str(fault)[:2000] for fault in walk.faults[:200]],
    }


def git(tree: Path, *words: str) -> str:
    """What git says of a tree; empty where it is none."""
    done = subprocess.run(["git", *words], cwd=tree, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def by_size(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(figures.items(), key=lambda each: -each[1])


def write(told: Mapping[str, Any], path: Path) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".json.new")
    draft.write_text(json.dumps(told, indent=1) + "\n")
    draft.replace(path)


def printed(walk: "Walk", told: Mapping[str, Any]) -> str:
    """For whoever started it."""
    counted = f"{len(told['pages'])} routes, {told['cells']} different (page, state, role)"
    lines = [f"{told['opened']} openings in {told['seconds']} s: {counted}."]
    lines += [f"  {role:<10} {count}" for role, count in told["roles"].items()]
    lines.append("Stages and ends, opened as:")
    lines += [f"  {end:<18} {', '.join(roles) or 'nobody'}" for end, roles in told["ends"].items()]
    lines.append("Slowest: " + ", ".join(f"{route} {seconds:.2f} s" for route, seconds in told["slowest"].items()))
    lines.append("Most queries: " + ", ".join(f"{route} {n}" for route, n in list(told["queries"].items())[:12]))
    for kind, count in kinds_of(walk.faults).items():
        lines.append(f"{kind}: {count}")
        lines += [f"  {short(fault)}" for fault in [f for f in walk.faults if f.kind == kind][:SHOWN]]
    lines.append(f"{told['failed']} faults on {told['commit'][:12]}{' with changes' if told['changed'] else ''}.")
    return "\n".join(lines)


def short(fault: Fault) -> str:
    text = f"{fault.where}: {fault.words}"
    return text if len(text) < 3000 else f"{text[:3000]} …"
