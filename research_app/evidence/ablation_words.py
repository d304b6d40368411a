"""What an ablation found, in sentences: each effect with its interval and with what else was on when it was measured."""

from __future__ import annotations

from research_app.evidence.ablation import Advice, MemberEffect, Report
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
    sentences = [in_words(each) for each in report.found[:3]]
    for advice, words in SUMMARY.items():
        if listed := names(report, advice):
            sentences.append(f"{words}: {listed}.")
    if all(each.advice in (Advice.KEEP, Advice.ADD) for each in report.effects):
        sentences.append(f"Each of them helps {HERE}.")
    return " ".join(sentences)


def names(report: Report, advice: Advice) -> str:
    """The changes that this is said of."""
    return ", ".join(name(each.change) for each in report.effects if each.advice is advice)


def name(change: str) -> str:
    """What pages call a change."""
    return f"C-{change}"


def in_words(interaction: Interaction) -> str:
    """What two changes bring together beside the sum of what each brings alone."""
    one, other = map(name, interaction.changes)
    low, high = sorted(abs(bound) for bound in interaction.interval)
    amount, least, most = (written(value, interaction.standard_error) for value in (abs(interaction.effect), low, high))
    side = "less" if interaction.effect < 0 else "more"
    return f"{one} and {other} together bring {amount} {side} than the sum of their effects ({least} to {most})."


def advice_of(report: Report, member: MemberEffect) -> str:
    """What to do with one change and why: what it brings to the current baseline, and what alone and beside the others."""
    here = f"not measured {HERE}"
    if member.effect is not None and member.standard_error is not None and member.interval:
        here = f"{gain_of(Effect(member.change, member.effect, member.standard_error, member.interval))} {HERE}"
    sentence = ADVICE[member.advice].format(name=name(member.change), here=here, margin=written(member.margin, member.margin))
    others = ", ".join(f"{where} {gain_of(effect)}" for where, effect in contexts(report, member))
    return f"{sentence} {others[0].upper()}{others[1:]}." if others else sentence


def contexts(report: Report, member: MemberEffect) -> list[tuple[str, Effect]]:
    """What it brings elsewhere than on the current baseline, where that is somewhere else."""
    landed = [each.landed for each in report.effects]
    alone = [("alone", member.alone)] if member.alone and any(landed) else []
    beside = [("beside all others", member.beside)] if member.beside and not all(landed) else []
    return [*alone, *beside]


def gain_of(effect: Effect) -> str:
    """+0.0100 (+0.0086 … +0.0114)"""
    estimate = Gain(effect.effect, effect.standard_error, *effect.interval)
    return f"{estimate.text} ({estimate.interval})"
