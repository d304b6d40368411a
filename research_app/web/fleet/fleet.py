"""/fleet/ : the devices, what they train, how well they are sandboxed."""

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.access import may_operate
from research_app.models import Device, Run, Trial
from research_app.web.shared import live
from research_app.web.shared.access import researcher


@researcher
@require_safe
def fleet(request: HttpRequest) -> HttpResponse:
    """Every device that was ever seen. Four queries."""
    running = Run.objects.training().select_related("project", "baseline", "patch_set__candidate")
    running = running.defer("patch_set__diff")
    devices = Device.objects.prefetch_related(
        Prefetch("runs", running, to_attr="leading"),
        Prefetch("shared_runs", running, to_attr="joining"),
        Prefetch("trials", Trial.objects.on_devices().only("source", "slug"), to_attr="tried"),
    )
    context = {"devices": devices.order_by("name"), "may_operate": may_operate(request.user)}
    return live.page(request, "fleet/fleet.html", {"devices": "fleet/_devices.html"}, context)
