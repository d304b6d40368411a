"""Template tags and filters: chips, figures, fragments."""

from collections.abc import Iterator
from typing import Any

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from research_app.evidence import digits
from research_app.loop.notify.channel import label_of
from research_app.models import Candidate, Conversation, ConversationState, Event, Project, Run, Stage, State, Verdict
from research_app.models.candidate import DISCARDED, WAITING
from research_app.models.event import HIDDEN
from research_app.version import VERSION
from research_app.web.candidates.columns import Column
from research_app.web.csv_lists.csv_list import LISTS
from research_app.web.shared import figures
from research_app.web.shared.effects import Effect, Row
from research_app.web.shared.live import fragment
from research_app.web.shared.quotes import Quote
from research_app.web.shared.text import beginning, markdown, spelled, visible
from training.spec import Outcome

register = template.Library()
for formatter in (
    digits.score,
    digits.spread,
    digits.gain,
    digits.in_sigma,
    digits.number,
    figures.quantity,
    figures.size,
    figures.percent,
    figures.duration,
    figures.age,
):
    register.filter(formatter.__name__, formatter)
register.filter("channel_label", label_of)
for filtered in (visible, spelled, beginning, markdown):
    register.filter(filtered.__name__, filtered)

# A sign beside every word: nothing is said by colour alone.
VERDICTS = {
    Verdict.SOLID: ("good", "✓"),
    Verdict.MORE_RUNS_NEEDED: ("warn", "…"),
    Verdict.INCONCLUSIVE: ("warn", "~"),
    Verdict.DROP: ("mute", "↓"),
    Verdict.WORSE: ("bad", "▼"),
    Verdict.INVALID: ("bad", "!"),
}
SAME = {Stage.DROPPED: Verdict.DROP, Stage.INVALID: Verdict.INVALID, Stage.INCONCLUSIVE: Verdict.INCONCLUSIVE}
OUTCOMES = {Outcome.completed: ("good", "✓"), Outcome.cancelled: ("mute", "∅")}


def chip(tone: str, sign: str, words: object, title: str = "") -> SafeString:
    hint = format_html(' title="{}"', beginning(spelled(title), 1000)) if title else ""
    mark = format_html('<span aria-hidden="true">{}</span> ', sign) if sign else ""
    return format_html('<span class="chip {}"{}>{}{}</span>', tone, hint, mark, words)


@register.simple_tag
def version() -> str:
    """The version of Signoff that serves this page."""
    return VERSION


@register.simple_tag
def verdict_chip(candidate: Candidate) -> SafeString:
    """The verdict of the newest evidence and the guards that fail; nothing before there is any, or where the stage says it."""
    if candidate.evidence is None or SAME.get(Stage(candidate.stage)) == candidate.evidence.verdict:
        return SafeString("")
    tone, sign = VERDICTS[Verdict(candidate.evidence.verdict)]
    return chip(tone, sign, candidate.evidence.get_verdict_display(), candidate.evidence.reason) + guards_chip(candidate)


@register.simple_tag
def guards_chip(candidate: Candidate) -> SafeString:
    """What the change makes worse than the margins allow: the first of it, the rest in the title."""
    failed = candidate.failed_guards
    if not failed:
        return SafeString("")
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return chip("bad", "!", visible(f"guard fails: {failed[0].partition(',')[0]}{more}"), "; ".join(failed))


@register.simple_tag
def stage_chip(candidate: Candidate) -> SafeString:
    """Where the candidate stands."""
    stage = Stage(candidate.stage)
    if candidate.needs_attention:
        return chip("bad", "!", f"{stage.label}: needs attention", candidate.needs_attention)
    if stage in WAITING:
        return chip("accent", "◆", stage.label, candidate.why)
    if stage == Stage.CHANGES:
        return chip("warn", "↩", stage.label, candidate.why)
    if candidate.undone:
        return chip("mute", "↶", "landed, taken back", candidate.why)
    if stage == Stage.LANDED:
        return chip("good", "●", stage.label, candidate.why)
    if stage == Stage.INVALID and candidate.duplicate_of_id:
        return chip("mute", "=", candidate.get_stage_display(), candidate.why)
    if stage in DISCARDED:
        broken = stage in (Stage.CRASHED, Stage.INVALID, Stage.CONFLICT)
        return chip("bad" if broken else "mute", "!" if broken else "○", stage.label, candidate.why)
    return chip("working", "◔", stage.label, candidate.why)


@register.simple_tag
def aa_chip(candidate: Candidate) -> SafeString:
    """Marks a change that does nothing, once it is decided: before, the mark could lead somebody."""
    if not candidate.aa or candidate.stage not in (*DISCARDED, Stage.LANDED):
        return SafeString("")
    return chip("accent", "=", "A/A", "It changes nothing: it was put in to see how often such a change is accepted.")


@register.simple_tag
def run_chip(run: Run) -> SafeString:
    """Whether the run goes on, and how it ended."""
    if run.state != State.FINISHED:
        return chip(
            "working" if run.state == State.RUNNING else "mute",
            "◔" if run.state == State.RUNNING else "○",
            run.get_state_display(),
        )
    tone, sign = OUTCOMES.get(Outcome(run.outcome), ("bad", "!")) if run.outcome else ("mute", "○")
    return chip(tone, sign, run.get_outcome_display() or "finished", run.reason)


@register.simple_tag
def conversation_chip(conversation: Conversation) -> SafeString:
    """Where a conversation with a model stands, and how it ended."""
    if conversation.failure:
        tones = {ConversationState.STOPPED: ("warn", "!"), ConversationState.DECLINED: ("mute", "○")}
        tone, sign = tones.get(ConversationState(conversation.state), ("bad", "!"))
        return chip(
            tone, sign, f"{conversation.get_state_display()}: {conversation.get_failure_display()}", conversation.reason
        )
    tone, sign = {"open": ("working", "◔"), "submitted": ("good", "✓")}.get(conversation.state, ("mute", "○"))
    return chip(tone, sign, conversation.get_state_display())


@register.simple_tag
def sandbox_chip(level: str) -> SafeString:
    """The sandbox that a run was in; none at all is marked everywhere."""
    if level == "none":
        return chip(
            "warn", "!", "sandbox none", "The candidate's code ran without a sandbox: it could reach what the worker can reach."
        )
    return chip("mute", "", f"sandbox {level}") if level else SafeString("")


@register.simple_tag
def self_reported_chip(reported: bool) -> SafeString:
    """Marks a number that the candidate's own code printed."""
    if not reported:
        return SafeString("")
    return chip("warn", "!", "self-reported", "Printed by the candidate's own code, not measured by the trusted scorer.")


@register.simple_tag
def one_seed_chip(project: Project) -> SafeString:
    """Marks a project whose code takes no seed."""
    if project.file.seed.how != "fixed":
        return SafeString("")
    return chip(
        "warn",
        "1",
        "one seed",
        "Every run has the same seed: runs differ by what the device does not repeat, and by nothing else.",
    )


@register.simple_tag
def ago(then: Any) -> SafeString:
    """How long ago, with the full time on hover."""
    if then is None:
        return SafeString(figures.NOTHING)
    stamp = timezone.localtime(then)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', stamp.isoformat(), stamp.strftime("%Y-%m-%d %H:%M:%S %Z"), figures.age(then)
    )


@register.simple_tag
def said(event: Event) -> SafeString:
    """The data of an event as words: keys and values, untrusted like everything that an agent may have written."""
    event_data = dict(event.data)
    if earlier := event_data.pop("duplicate_of", None):
        event_data["to"] = f"duplicate of {earlier}"
    return visible(" · ".join(_pairs(event_data)))


def _pairs(data: dict[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        if value not in ("", None, [], {}) and key not in HIDDEN:
            yield f"{key.replace('_', ' ')}: {_brief(value)}"


def _brief(value: Any) -> str:
    text = _plain(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _plain(value: Any) -> str:
    """A value of JSON as a person writes it: lists with commas, objects as key and value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return digits.number(value, 4)
    if isinstance(value, list):
        return ", ".join(f"({_plain(each)})" if isinstance(each, dict) else _plain(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(each)}" for key, each in value.items())
    return "none" if value is None else str(value)


@register.simple_tag(takes_context=True)
def live(context: Context, name: str) -> SafeString:
    """The fragment of this page with this name, see research_app/web/shared/live.py."""
    flat: dict[str, Any] = context.flatten()  # type: ignore[assignment]  # its keys are strings
    return fragment(name, context["fragments"][name], flat, context.get("request"))


@register.simple_tag
def cell_text(column: Column, row: Row) -> str:
    """A cell whose column is text: untrusted, as it may come from an agent."""
    assert column.text is not None
    return visible(str(column.text(row)))


@register.simple_tag(takes_context=True)
def next_sort(context: Context, column: Column, now: str) -> str:
    """Where a click on a column's head leads: the first page in its order, or in the other direction."""
    return query(context, sort=column.next_order(now), page="")


@register.simple_tag(takes_context=True)
def query(context: Context, **changes: Any) -> str:
    """The page's own query string with some keys changed; an empty value removes its key."""
    values = context["request"].GET.copy()
    for key, value in changes.items():
        if value in ("", None):
            values.pop(key, None)
        else:
            values[key] = str(value)
    return f"?{values.urlencode()}"


@register.simple_tag(takes_context=True)
def csv_link(context: Context, name: str) -> SafeString:
    """A link to a list as CSV, with the filters and the order that the page has (research_app/web/csv_lists/)."""
    listed = LISTS[name]
    address = (
        reverse("project-csv", args=[context["project"].slug, name]) if listed.rows else reverse("csv-of-all", args=[name])
    )
    filters = query(context, page="", before="")
    return format_html('<a class="csv" href="{}{}" download title="{} as CSV">CSV</a>', address, filters, listed.words)


@register.inclusion_tag("parts/quote.html")
def quote(name: object, effect: Effect, unit: str, address: str) -> dict[str, Quote]:
    """Buttons that copy a number with its interval and n, for whoever writes about it elsewhere."""
    return {"quote": Quote(str(name), effect, unit, address)}
