"""What an ablation found, in sentences: each effect with its interval and with what else was on when it was measured."""

from __future__ import annotations

from research_app.evidence.ablation import Ablation, Advice, Report
from research_app.evidence.digits import Gain, written
from research_app.evidence.stacking import Effect, Interaction

HERE = "on the current baseline"
ADVICE = {
    Advice.KEEP: "{name} helps: it brings {here}.",
    Advice.KEEP_FOR_OTHERS: "{name} helps beside what waits, so keep it for that: by itself it brings {here}.",
    Advice.REMOVE_HARM: "The baseline is better without {name}: it brings {here}.",
    Advice.REMOVE_NOTHING: "{name} can be taken out: it brings {here}, and less than {margin} would not be missed.",
    Advice.ADD: "{name} helps: it would bring {here}.",
    Advice.ADD_WITH_OTHERS: "{name} helps beside the others alone: by itself it would bring {here}.",
    Advice.ADD_NOTHING: "{name} adds nothing: it would bring {here}, and less than {margin} would not be missed.",
    Advice.ADD_HARM: "{name} would do harm: it would bring {here}.",
    Advice.UNCLEAR: "Whether {name} helps cannot be told: {here}.",
}

SUMMARY = {
    Advice.REMOVE_HARM: "The baseline is better without",
    Advice.REMOVE_NOTHING: "Can be taken out",
    Advice.ADD_HARM: "Would do harm",
    Advice.ADD_NOTHING: "Would add nothing",
    Advice.UNCLEAR: "Cannot be told",
}


def summary(report: Report) -> str:
    """What matters, without the figures of each change: interactions, then what should go and what should not land."""
    said = [in_words(each) for each in report.found[:3]]
    for advice, words in SUMMARY.items():
        if listed := names(report, advice):
            said.append(f"{words}: {listed}.")
    if all(each.advice in (Advice.KEEP, Advice.ADD) for each in report.effects):
        said.append(f"Each of them helps {HERE}.")
    return " ".join(said)


def names(report: Report, advice: Advice) -> str:
    """The changes that this is said of."""
    return ", ".join(name(each.change) for each in report.effects if each.advice is advice)


def name(change: str) -> str:
    """What pages call a change."""
    return f"C-{change}"


def in_words(found: Interaction) -> str:
    """What two changes bring together beside the sum of what each brings alone."""
    one, other = map(name, found.changes)
    low, high = sorted(abs(bound) for bound in found.interval)
    amount, least, most = (written(value, found.standard_error) for value in (abs(found.effect), low, high))
    side = "less" if found.effect < 0 else "more"
    return f"{one} and {other} together bring {amount} {side} than the sum of their effects ({least} to {most})."


def advice_of(report: Report, found: Ablation) -> str:
    """What to do with one change and why: what it brings to the current baseline, and what alone and beside the others."""
    here = f"not measured {HERE}"
    if found.effect is not None and found.standard_error is not None and found.interval:
        here = f"{gain_of(Effect(found.change, found.effect, found.standard_error, found.interval))} {HERE}"
    said = ADVICE[found.advice].format(name=name(found.change), here=here, margin=written(found.margin, found.margin))
    others = ", ".join(f"{where} {gain_of(effect)}" for where, effect in contexts(report, found))
    return f"{said} {others[0].upper()}{others[1:]}." if others else said


def contexts(report: Report, found: Ablation) -> list[tuple[str, Effect]]:
    """What it brings elsewhere than on the current baseline, where that is somewhere else."""
    landed = [each.landed for each in report.effects]
    alone = [("alone", found.alone)] if found.alone and any(landed) else []
    beside = [("beside all others", found.beside)] if found.beside and not all(landed) else []
    return [*alone, *beside]


def gain_of(effect: Effect) -> str:
    """+0.0100 (+0.0086 … +0.0114)"""
    told = Gain(effect.effect, effect.standard_error, *effect.interval)
    return f"{told.text} ({told.interval})"
