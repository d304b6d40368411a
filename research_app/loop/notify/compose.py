"""What a message says: what waits for a person, in how many words, and the right number of it."""

import hashlib
from collections.abc import Sequence

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from research_app.evidence.digits import CONVENTION
from research_app.loop.notify.channel import CHANNELS
from research_app.loop.notify.notice import Item, Notice
from research_app.loop.review.votes import gate_of
from research_app.loop.week import Span, week_of
from research_app.models import Candidate, Delivery, Gate, NotificationSettings, Occasion, Stage, Verdict

MAX_LISTED = 50
"""Candidates that one message lists; the rest is a number and the address of the inbox."""
MAX_PROJECTS = 10  # whose week one message tells
MONDAY = 0
SALT = "research_app.notify.unsubscribe"


def notice_of(delivery: Delivery, candidates: Sequence[Candidate], total: int) -> Notice:
    """The message about these candidates. `total` is how many wait for the person now, told of before or not."""
    listed, count = candidates[:MAX_LISTED], len(candidates)
    items = [item_of(candidate) for candidate in listed]
    if delivery.occasion == Occasion.TRIAL:
        items = [Item("This is a test message: nothing is waiting for you.", [], settings.SITE_URL)]
        subject = "Signoff: test message"
    elif count == 1:
        subject = items[0].title + (f"; {total} decisions are waiting for you in total" if total > 1 else "")
    else:
        subject = f"Signoff: {count} decisions are waiting for you"
        subject = subject if total == count else f"Signoff: {total} decisions are waiting for you, {count} of them new"
    if delivery.occasion == Occasion.DIGEST and timezone.localdate().weekday() == MONDAY:
        items += weeks_of(candidates)
    left = count - len(listed)
    site, only = settings.SITE_URL.rstrip("/"), candidates[0] if count == 1 else None
    return Notice(
        subject=subject,
        items=items,
        more=f"And {left} more: {site}/" if left else "",
        reference=f"signoff-{delivery.pk}-{int(delivery.opened_at.timestamp())}",
        foot=f"Notification settings: {site}/settings/notifications/",
        thread=f"signoff-{only.project.slug}-{only.number}" if only else "",
        unsubscribe=unsubscribe_address(delivery.user.notification_settings) if CHANNELS[delivery.channel].unsubscribes else "",
    )


def weeks_of(candidates: Sequence[Candidate]) -> list[Item]:
    """The week that is over, in a line for each project of these candidates, with the address of its digest."""
    projects = {candidate.project_id: candidate.project for candidate in candidates}
    last = Span.of(timezone.localdate()).before
    site = settings.SITE_URL.rstrip("/")
    return [
        Item(
            f"Week {last} of {project.slug}",
            [week_of(project, last).sentence],
            site + reverse("digest-week", args=[project.slug, last]),
        )
        for project in list(projects.values())[:MAX_PROJECTS]
    ]


def item_of(candidate: Candidate) -> Item:
    """What a person is told: where it waits, the title, the evidence in a line, the address. No secret is in it."""
    where = "conflicts with the baseline" if candidate.stage == Stage.CONFLICT else "needs changes"
    if gate := gate_of(candidate):
        where = "awaits scale-up approval" if gate == Gate.SHORTLIST else "awaits landing approval"
    lines = [candidate.title, evidence_line(candidate)]
    if candidate.stage == Stage.CHANGES:
        lines.append(f"Requested changes: {' '.join(candidate.why.split())[:300]}")
    elif candidate.stage == Stage.CONFLICT:
        lines.append(" ".join(candidate.why.split())[:300])
    url = settings.SITE_URL.rstrip("/") + candidate.get_absolute_url()
    return Item(f"{candidate} of {candidate.project.slug} {where}", [line for line in lines if line], url)


def evidence_line(candidate: Candidate) -> str:
    """The evidence in one line: verdict, effect in the metric's unit, interval, n, guards that fail.

    Invalid evidence shows no effect.
    """
    evidence = candidate.evidence
    if evidence is None:
        return ""
    verdict = Verdict(evidence.verdict).label
    if evidence.gain is None:
        return f"Evidence: {verdict}."
    unit = candidate.project.file.metric.name
    guards = f" A guard fails: {'; '.join(failed)}." if (failed := candidate.failed_guards) else ""
    return f"Evidence: {verdict}, gain {evidence.gain.in_unit(unit)} ({CONVENTION}), n = {evidence.candidate_n}.{guards}"


def unsubscribe_address(wishes: NotificationSettings) -> str:
    """An address that switches this person's e-mails off without a sign-in. It is good for the address it was sent to."""
    token = signing.dumps([wishes.user_id, _mark(wishes.user.email)], salt=SALT)
    return settings.SITE_URL.rstrip("/") + reverse("unsubscribe", args=[token])


def subscriber(token: str) -> NotificationSettings | None:
    """Whose e-mails a token of ours switches off; None for any other text, and where the address is another one by now."""
    try:
        user_id, mark = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    wishes = NotificationSettings.objects.select_related("user").filter(user=user_id).first()
    return wishes if wishes and mark == _mark(wishes.user.email) else None


def _mark(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]
