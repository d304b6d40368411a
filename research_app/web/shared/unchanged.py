"""Pulses of pages where nothing happened: answered before anything is read or rendered.

A page depends on far more rows than can be asked for in each pulse, but nearly all of them change with an event of the audit
log. So a few numbers stand for the state of everything: the newest event, what trains and waits, which devices are there, what
this person put off. While they are what they were when a page's content was last sent, the browser has that content. What
changes without any of them (words such as “3 min ago”, limits that pass) is seen within a minute.
"""

import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, ParamSpec, cast

from django.db.models import Count, Max, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils import timezone

from research_app.models import ConversationMessage, Device, Event, Landing, Preferences, Run, Snooze, Turn
from research_app.models.landing import ACTIVE
from research_app.models.run import State
from research_app.web.shared import live

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
State_ = tuple[Any, ...]
MINUTE = 60
MOST = 4096  # contents that a process remembers

_sent: OrderedDict[tuple[Any, ...], State_] = OrderedDict()  # of this process: {person, address, version: state}
_lock = Lock()


def still(*, curves: bool = False) -> Callable[[View[P]], View[P]]:
    """A view whose pulses are answered by 304 while nothing changed since its content was sent to this person.

    `curves`: it shows how far runs are, which changes with every point that they report.
    """

    def decorated(view: View[P]) -> View[P]:
        @wraps(view)
        def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not live.is_pulse(request):
                return view(request, *args, **kwargs)
            state, known = state_of(request, curves), request.headers.get("If-None-Match", "")
            if known and sent_at(request, known) == state:
                return not_modified(known)
            response = view(request, *args, **kwargs)
            remember(request, response.headers.get("ETag", ""), state)
            return response

        return cast(View[P], answer)

    return decorated


def state_of(request: HttpRequest, curves: bool) -> State_:
    """What stands for everything that a page may show; it costs eight short queries, whatever the history."""
    newest = Event.objects.aggregate(newest=Max("sequence"))["newest"]
    landing = tuple(Landing.objects.filter(state__in=ACTIVE).order_by("pk").values_list("pk", "state"))
    message = ConversationMessage.objects.aggregate(newest=Max("pk"))["newest"]
    turn = Turn.objects.aggregate(newest=Max("pk"))["newest"]  # it begins without an event, and ends with one
    unfinished = (
        Run.objects.unfinished().order_by("state").values_list("state").annotate(Count("pk"), Sum("pk"), Sum("progress"))
    )
    runs = [row if curves and row[0] == State.RUNNING else row[:3] for row in unfinished]
    devices = list(Device.objects.online().order_by("pk").values_list("pk", "refusal", "queue"))
    later = Snooze.objects.filter(person_id=request.user.pk).aggregate(Count("pk"), Max("until"))
    choices = Preferences.objects.filter(pk=request.user.pk).values_list("columns", "keys_off", "first_steps_away").first()
    return newest, message, turn, landing, tuple(runs), tuple(devices), tuple(later.values()), str(choices), minute_of(request)


def minute_of(request: HttpRequest) -> int:
    """The minute that it is; of each page at another second, so that not all are rendered at once."""
    return (int(timezone.now().timestamp()) + zlib.crc32(request.path.encode()) % MINUTE) // MINUTE


def sent_at(request: HttpRequest, etag: str) -> State_ | None:
    """The state at which this content was the page's; None where this process does not know."""
    with _lock:
        return _sent.get((request.user.pk, request.get_full_path(), etag))


def remember(request: HttpRequest, etag: str, state: State_) -> None:
    """That this content was the page's at a state; what was not asked for longest is forgotten."""
    key = request.user.pk, request.get_full_path(), etag
    with _lock:
        _sent[key] = state
        _sent.move_to_end(key)
        while len(_sent) > MOST:
            _sent.popitem(last=False)


def not_modified(etag: str) -> HttpResponse:
    """304, as the whole page's pulse would have said it."""
    response = HttpResponseNotModified()
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    live.vary(response)
    return response
