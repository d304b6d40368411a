"""/settings/notifications/ : how this person hears that it is their turn. /turns.json : the same for their browser."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from research_app.loop.notify.announce import waiting_delivery
from research_app.loop.notify.breaker import destinations_of
from research_app.loop.notify.channel import CHANNELS, NotificationChannel
from research_app.loop.notify.channels.email_channel import CHANNEL as EMAIL_CHANNEL
from research_app.loop.notify.compose import item_of, subscriber
from research_app.loop.notify.notice import BadAddress
from research_app.loop.notify.wake import QUEUE
from research_app.loop.review.votes import turns_of
from research_app.models import (
    Delivery,
    Destination,
    Event,
    Message,
    NotificationSettings,
    Occasion,
    Pace,
)
from research_app.models.event_kinds import EventKind
from research_app.models.notification import new_secret
from research_app.models.snooze import put_off_by
from research_app.strict_json import StrictJsonResponse
from research_app.web.shared import live
from research_app.web.shared.access import researcher
from research_app.web.shared.drafts import refuse

STANDS_STILL = timedelta(minutes=1)  # what is due for so long, nobody sends
SHOWN = 20  # of what was sent lately
TURNS = 50  # that a browser is told of
EMAIL = EMAIL_CHANNEL.name
FRAGMENTS = {"places": "account/notifications/_places.html", "sent": "account/notifications/_sent.html"}


class Wishes(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no parameter when it runs
    """The form, with fields for every channel. An address that is a secret is never shown again; an empty field keeps it."""

    class Meta:
        model = NotificationSettings
        fields = ["digest_hour", "hourly_limit"]

    def __init__(self, data: Any, instance: NotificationSettings) -> None:
        super().__init__(data, instance=instance)
        for name, channel in CHANNELS.items():
            row, address = instance.by(name), "" if channel.secret else channel.address(instance)
            self.fields[name] = forms.ChoiceField(label="When", choices=Pace.choices, initial=row.pace)
            self.fields[f"{name}_address"] = forms.CharField(
                label="Address", required=False, max_length=1000, initial=address, widget=address_input(channel, instance)
            )
            self.fields[f"{name}_forget"] = forms.BooleanField(label=f"Forget the {channel.label}", required=False)

    @property
    def channels(self) -> list[dict[str, Any]]:
        """The fields of each channel, for the page."""
        return [
            {
                "channel": channel,
                "pace": self[name],
                "address": self[f"{name}_address"],
                "forget": self[f"{name}_forget"] if channel.secret and channel.address(self.instance) else None,
            }
            for name, channel in CHANNELS.items()
        ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name, channel in CHANNELS.items():
            address = cleaned.get(f"{name}_address", "")
            try:
                if address:
                    channel.check(address)
            except BadAddress as problem:
                self.add_error(f"{name}_address", str(problem))
            keeps = channel.secret and channel.address(self.instance) and not cleaned.get(f"{name}_forget")
            if cleaned.get(name) != Pace.OFF and not address and not keeps and f"{name}_address" not in self.errors:
                self.add_error(f"{name}_address", f"Say {channel.missing}, or choose “never”.")
        return cleaned

    def save(self, commit: bool = True) -> NotificationSettings:
        if self.instance.pk is None:  # a double click may have made the row meanwhile
            self.instance.pk = NotificationSettings.objects.get_or_create(user=self.instance.user)[0].pk
        wishes: NotificationSettings = super().save(commit)
        for name, channel in CHANNELS.items():
            wishes.by(name).pace = self.cleaned_data[name]
            address = self.cleaned_data[f"{name}_address"]
            if address or not channel.secret or self.cleaned_data[f"{name}_forget"]:
                channel.keep(wishes, address)
        wishes.save_channels()
        return wishes


def address_input(channel: NotificationChannel, wishes: NotificationSettings) -> forms.TextInput:
    """The field of an address; one that is a secret is kept out of drafts and shows what is there masked."""
    hint = channel.placeholder
    if channel.secret and (there := channel.address(wishes)):
        hint = f"{channel.masked(there)} — empty keeps it"
    unkept = {"data-secret": "", "autocomplete": "off", "spellcheck": "false"} if channel.secret else {}
    return forms.TextInput({"type": channel.input_type, "placeholder": hint, **unkept})


def wishes_of(request: HttpRequest) -> NotificationSettings:
    """This person's wishes, unsaved where they never had any (one query)."""
    assert isinstance(request.user, User)
    settings = NotificationSettings.objects.filter(user=request.user).select_related("user").first()
    return settings or NotificationSettings(user=request.user)


@researcher
@sensitive_post_parameters(*(f"{name}_address" for name in CHANNELS))
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: HttpRequest) -> HttpResponse:
    """The page and its form. A constant number of queries."""
    wishes = wishes_of(request)
    form = Wishes(request.POST or None, wishes)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("notifications")
    response = live.page(request, "account/notifications.html", FRAGMENTS, context_of(wishes, form))
    response.status_code = 422 if form.errors else response.status_code
    return response


def context_of(wishes: NotificationSettings, form: Wishes, **more: object) -> dict[str, object]:
    """What the page and its fragments show."""
    sent = Delivery.objects.filter(user=wishes.user).annotate(gathered=Count("notifications")).order_by("-pk")[:SHOWN]
    return {
        "form": form,
        "wishes": wishes,
        "signed": [channel for channel in CHANNELS.values() if channel.signs and channel.address(wishes)],
        "sent": sent,
        "places": places_of(wishes),
        "unsent": unsent_of(wishes),
        **more,
    }


def unsent_of(wishes: NotificationSettings) -> int:
    """Messages to this person that a worker should have taken and none did (one query)."""
    late = timezone.now() - STANDS_STILL
    return Delivery.objects.waiting().filter(user=wishes.user, due_at__lt=late).count()


@dataclass(frozen=True)
class Shown:
    """One channel that a person uses: where it goes, and what stands in the way."""

    channel: NotificationChannel
    where: str
    paused: Destination | None
    last: Destination | None  # the address, once it was used


def places_of(wishes: NotificationSettings) -> list[Shown]:
    """The channels with an address. One query for each."""
    places = []
    for name, channel in CHANNELS.items():
        if address := channel.address(wishes):
            rows = destinations_of(wishes, name)
            paused = next((row for row in reversed(rows) if row.paused_until), None)
            last = next((row for row in rows if not row.server), None)
            places.append(Shown(channel, channel.masked(address), paused, last))
    return places


@researcher
@require_POST
def try_notification(request: HttpRequest, channel: str) -> HttpResponse:
    """Ask for a test message, also where the address is paused: it goes out at once, and the page says its outcome."""
    if channel not in CHANNELS:
        raise Http404(f"There is no channel {channel}.")
    wishes, wanted = wishes_of(request), CHANNELS[channel]
    if not wishes.pk or not wanted.address(wishes):
        refuse(request, f"Say first {wanted.missing}, and save it.")
        return redirect("notifications")
    with transaction.atomic():
        delivery = waiting_delivery(wishes, channel, Occasion.TRIAL)
        Message.objects.enqueue("deliver", delivery.pk, QUEUE)
    messages.info(request, f"A test message is on its way by {wanted.label}. See the outcome below.")
    return redirect("notifications")


@never_cache
@researcher
@require_POST
@sensitive_variables("secret")
def make_secret(request: HttpRequest, channel: str) -> HttpResponse:
    """A new secret for signing what a channel sends; shown once."""
    if channel not in CHANNELS or not CHANNELS[channel].signs:
        raise Http404(f"There is no channel {channel} that signs.")
    assert isinstance(request.user, User)
    wishes, _ = NotificationSettings.objects.select_related("user").get_or_create(user=request.user)
    secret = wishes.by(channel).secret = new_secret()
    wishes.save_channels()
    form = Wishes(None, wishes)
    return live.page(
        request, "account/notifications.html", FRAGMENTS, context_of(wishes, form, secret=secret, secret_of=channel)
    )


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Switch e-mails off without a sign-in: a page with a button, or a mail program's own click (RFC 8058).

    The token is signed and good for one address, so a forged post can do no more than whoever holds the e-mail.
    """
    wishes = subscriber(token)
    if wishes is None:
        return render(request, "account/unsubscribe.html", {"refused": True}, status=410)
    if request.method == "POST":
        with transaction.atomic():
            if wishes.channels.filter(channel=EMAIL).exclude(pace=Pace.OFF).update(pace=Pace.OFF):
                Event.objects.record(EventKind.UNSUBSCRIBED, wishes, wishes.user.get_username(), None, by="link in an e-mail")
    return render(request, "account/unsubscribe.html", {"wishes": wishes, "done": request.method == "POST"})


@researcher
@require_safe
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    """What one message of this person was about, and what was left out of it. Two queries."""
    row = get_object_or_404(Delivery, pk=pk, user_id=request.user.pk)
    about = row.notifications.select_related("candidate__project").order_by("pk")
    return render(request, "account/delivery.html", {"delivery": row, "about": about})


@researcher
@require_safe
def turns(request: HttpRequest) -> HttpResponse:
    """What waits for this person, newest first, for the browser's notices. A constant number of queries."""
    assert isinstance(request.user, User)
    awake = turns_of(request.user).exclude(pk__in=put_off_by(request.user).values("candidate"))
    waiting = awake.with_evidence().order_by("-stage_since")[:TURNS]
    turns_ = []
    for candidate in waiting:
        item = item_of(candidate)
        key = f"{candidate.pk}@{candidate.stage_since.timestamp():.3f}"
        turns_.append({"key": key, "title": item.title, "body": "\n".join(item.lines), "address": candidate.get_absolute_url()})
    response = StrictJsonResponse({"turns": turns_})
    return live.with_etag(request, response, live.version(response.content.decode()))
