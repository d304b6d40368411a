"""/settings/notifications/ : how this person hears that it is their turn. /turns.json : the same for their browser."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from research_app.loop.notify import item_of, send_test
from research_app.loop.outgoing import BadAddress, MaybeDelivered, NotDelivered, checked
from research_app.loop.votes import turns_of
from research_app.models import Channel, Notification, NotificationSettings, Pace
from research_app.web import live
from research_app.web.access import researcher

SHOWN = 20  # of what was sent lately
TURNS = 50  # that a browser is told of


class Wishes(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no parameter when it runs
    """The form. A webhook's address is a secret: it is never shown again, and an empty field keeps the one that is there."""

    address = forms.EmailField(label="E-mail address", required=False, max_length=254)
    new_webhook = forms.CharField(label="Webhook", required=False, max_length=1000, strip=True)
    forget = forms.BooleanField(label="Forget the webhook", required=False)

    class Meta:
        model = NotificationSettings
        fields = ["email", "webhook", "digest_hour"]

    def clean_new_webhook(self) -> str:
        url = str(self.cleaned_data["new_webhook"])
        if url:
            try:
                checked(url)
            except BadAddress as problem:
                raise forms.ValidationError(str(problem)) from problem
        return url

    def clean(self) -> dict[str, Any]:
        told = super().clean() or self.cleaned_data
        if told.get("email") != Pace.OFF and not told.get("address") and "address" not in self.errors:
            self.add_error("address", "Say where e-mails should go, or choose “never”.")
        there = told.get("new_webhook") or (self.instance.webhook_url and not told.get("forget"))
        if told.get("webhook") != Pace.OFF and not there and "new_webhook" not in self.errors:
            self.add_error("new_webhook", "Say which address should be called, or choose “never”.")
        return told

    def save(self, commit: bool = True) -> NotificationSettings:
        wishes, told = self.instance, self.cleaned_data
        if told["forget"]:
            wishes.webhook_url = ""
        if told["new_webhook"]:
            wishes.webhook_url = told["new_webhook"]
        User.objects.filter(pk=wishes.user_id).update(email=told["address"])
        return super().save(commit)


def wishes_of(request: HttpRequest) -> NotificationSettings:
    """This person's wishes, unsaved where they never had any (one query)."""
    assert isinstance(request.user, User)
    found = NotificationSettings.objects.filter(user=request.user).select_related("user").first()
    return found or NotificationSettings(user=request.user)


@researcher
@sensitive_post_parameters("new_webhook")
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: HttpRequest) -> HttpResponse:
    """The page and its form."""
    wishes = wishes_of(request)
    form = Wishes(request.POST or None, instance=wishes, initial={"address": wishes.user.email})
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("notifications")
    sent = Notification.objects.filter(user=wishes.user).select_related("candidate__project").order_by("-pk")[:SHOWN]
    context = {"form": form, "wishes": wishes, "masked": masked(wishes.webhook_url), "sent": sent}
    return render(request, "notifications.html", context, status=422 if form.errors else 200)


@researcher
@require_POST
def try_notification(request: HttpRequest, channel: str) -> HttpResponse:
    """Send a trial message now, and say what became of it."""
    try:
        send_test(wishes_of(request), Channel(channel))
    except (BadAddress, NotDelivered, MaybeDelivered) as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, f"A trial message went out by {Channel(channel).label}.")
    return redirect("notifications")


@researcher
@require_safe
def turns(request: HttpRequest) -> HttpResponse:
    """What waits for this person, newest first, for the browser's notices. A constant number of queries."""
    assert isinstance(request.user, User)
    waiting = turns_of(request.user).with_evidence().order_by("-stage_since")[:TURNS]
    told = []
    for candidate in waiting:
        item = item_of(candidate)
        key = f"{candidate.pk}@{candidate.stage_since.timestamp():.3f}"
        told.append({"key": key, "title": item.title, "body": "\n".join(item.lines), "address": candidate.get_absolute_url()})
    response = JsonResponse({"turns": told})
    return live.with_etag(request, response, live.version(response.content.decode()))


def masked(url: str) -> str:
    """Where a webhook goes, without what makes it secret."""
    return f"{urlsplit(url).hostname}, …{url[-4:]}" if url else ""
