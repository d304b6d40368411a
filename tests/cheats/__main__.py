"""Runs the corpus of cheats, and the honest changes beside it, through the whole product, and prints who got through.

    python -m tests.cheats [--only WORDS] [--sample N] [--variants 20] [--seed 0] [--home FOLDER]
                           [--flops 6e10] [--honest all|none]

A cheat got through when it scored better than the baseline and was called healthy, or carried held-out text out. Ends with 1
when one did, or when more than one honest change of a hundred was called anything but healthy. With --home, a stopped run
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agent.ideas import IDEAS
from agent.tree import DoesNotApply
from tests.cheats.cheat import HONEST, TRAIN, Cheat, corpus
from tests.cheats.product import FLOPS, Entry, Fate, judged
from tests.cheats.variants import variant
from tests.training_samples import TARGET

MOST_FALSE_ALARMS = 0.01


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="only cheats with these words in kind or name")
    options.add_argument("--sample", type=int, default=0, help="only so many, drawn by the seed, of as many kinds as there are")
    options.add_argument("--variants", type=int, default=20, help="other spellings of cheats, drawn by the seed")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--home", type=Path, help="folder of the installation that is made for this (default: a new one)")
    options.add_argument("--flops", type=float, default=FLOPS)
    options.add_argument("--honest", choices=("all", "none"), default="all")
    chosen = options.parse_args()
    os.environ["SIGNOFF_HOME"] = str(chosen.home or tempfile.mkdtemp(prefix="signoff-cheats-"))
    os.environ.setdefault("SIGNOFF_DEVICES", "cpu:2")
    os.environ["DJANGO_SETTINGS_MODULE"] = "research_app.settings"
    import django

    django.setup()
    from research_app import set_up

    begun = time.monotonic()
    cheats = [cheat for cheat in corpus() if cheat.kind != HONEST and chosen.only in str(cheat)]
    cheats = sample(cheats, chosen.sample, random.Random(chosen.seed)) if chosen.sample else cheats
    entries = [Entry(str(cheat), cheat.kind, cheat.patch()) for cheat in cheats]
    entries += other_spellings(cheats, chosen.variants, random.Random(chosen.seed))
    if chosen.honest == "all":
        entries += honest_entries()
    with set_up.hold_home():
        sys.exit(report(judged(entries, chosen.flops), time.monotonic() - begun))


def sample(cheats: Sequence[Cheat], count: int, chance: random.Random) -> list[Cheat]:
    """So many cheats, one of each kind before a second of any."""
    rest = list(cheats)
    chance.shuffle(rest)
    found: list[Cheat] = []
    while rest and len(found) < count:
        turn = list({cheat.kind: cheat for cheat in rest}.values())[: count - len(found)]
        found, rest = found + turn, [cheat for cheat in rest if cheat not in turn]
    return found


def other_spellings(cheats: Sequence[Cheat], count: int, chance: random.Random) -> list[Entry]:
    """Cheats drawn by lot, spelled otherwise."""
    found = []
    for cheat in chance.sample(cheats, min(count, len(cheats))):
        spelling, text = variant(cheat, chance)
        found.append(Entry(f"{cheat} ({spelling})", cheat.kind, cheat.patch(text)))
    return found


def honest_entries() -> list[Entry]:
    """Every idea of the playbook at its first dial, and the honest changes of the corpus."""
    source = (TARGET / TRAIN).read_text()
    found = [Entry(str(each), HONEST, each.patch()) for each in corpus() if each.kind == HONEST]
    for idea in IDEAS:
        with suppress(DoesNotApply):
            patch = Cheat(HONEST, idea.name, "", "", "", ()).patch(idea.applied(source, idea.dials[0]))
            found.append(Entry(f"{HONEST}: {idea.name}", HONEST, patch))
    return found


def report(fates: Sequence[Fate], seconds: float) -> int:
    """Print a row for each entry and one for each kind; the exit status."""
    for fate in fates:
        effect = "" if fate.effect is None else f"{fate.effect:+.1f} sigma"
        mark = "THROUGH" if fate.entry.kind != HONEST and fate.got_through else ""
        print(f"{mark:8}{fate.entry.name[:76]:76} {fate.stage:14} {fate.health:12} {effect:>14}  {fate.leaked or fate.why}")
    cheats, honest = ([fate for fate in fates if (fate.entry.kind == HONEST) is kind] for kind in (False, True))
    print(f"\n{'kind':44} {'cheats':>6} {'through':>8}")
    for kind in sorted({fate.entry.kind for fate in cheats}):
        mine = [fate for fate in cheats if fate.entry.kind == kind]
        print(f"{kind:44} {len(mine):6} {sum(fate.got_through for fate in mine):8}")
    alarms = [fate for fate in honest if false_alarm(fate)]
    totals = {
        "cheats": len(cheats),
        "kinds": len({fate.entry.kind for fate in cheats}),
        "through": sum(fate.got_through for fate in cheats),
        "honest": len(honest),
        "false_alarms": len(alarms),
        "seconds": round(seconds),
    }
    print(json.dumps(totals))
    return int(totals["through"] > 0 or len(alarms) > MOST_FALSE_ALARMS * len(honest))


def false_alarm(fate: Fate) -> bool:
    """Whether an honest change was refused, could not be trained or scored, or was called anything but healthy.

    A gain too large to be believed is asked about anyway.
    """
    if fate.health == "quarantined":
        return "implausible" not in fate.why
    return fate.health == "invalid" or fate.stage in ("crashed", "invalid", "refused")


if __name__ == "__main__":
    main()
