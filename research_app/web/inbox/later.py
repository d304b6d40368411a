"""“Later” on a decision: it leaves this person's inbox until a time of their choice, or until something about it changes."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from research_app.models import Snooze
from research_app.models.snooze import put_off
from research_app.web.inbox.lists import TAB_OF
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.drafts import refuse

MORNING = 9  # o'clock, in the time zone of the installation
CHOICES = {"tomorrow": "tomorrow morning", "days": "in three days", "monday": "next Monday"}
NOW = "now"


def until(choice: str, now: datetime) -> datetime:
    """When a choice ends: nine in the morning of its day."""
    days = {"tomorrow": 1, "days": 3, "monday": 7 - now.weekday()}[choice]
    return (now + timedelta(days=days)).replace(hour=MORNING, minute=0, second=0, microsecond=0)


@researcher
@require_POST
def later(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Put a decision off, or bring it back. A choice that is not on offer changes nothing."""
    candidate = get_candidate(request, slug, number)
    choice = request.POST.get("until", "")
    if choice == NOW:
        Snooze.objects.filter(person_id=request.user.pk, candidate=candidate).delete()
        messages.info(request, f"{candidate} is back among what waits for you.")
    elif choice not in CHOICES:
        refuse(request, f"Until when? Choose one of: {', '.join(CHOICES.values())}.")
    elif candidate.stage not in TAB_OF:
        refuse(request, f"{candidate} is not waiting for anybody, so there is nothing to put off.")
    else:
        put_off(request.user, candidate, until(choice, timezone.localtime()))
        messages.info(request, f"{candidate} comes back {CHOICES[choice]}, or when something about it changes.")
    back = request.POST.get("back", "")
    return redirect(f"{reverse('inbox')}{back if back.startswith('?') and len(back) < 1000 else ''}")
