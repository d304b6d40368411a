"""/fleet/ : the devices, what they train, how well they are sandboxed."""

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.models import Device, Run, State
from research_app.web.shared import live
from research_app.web.shared.access import researcher


@researcher
@require_safe
def fleet(request: HttpRequest) -> HttpResponse:
    """Every device that was ever seen. Three queries."""
    running = Run.objects.filter(state=State.RUNNING).select_related("project", "baseline", "patch_set__candidate")
    running = running.defer("patch_set__diff")
    devices = Device.objects.prefetch_related(
        Prefetch("runs", running, to_attr="leading"), Prefetch("shared_runs", running, to_attr="joining")
    )
    context = {"devices": devices.order_by("name")}
    return live.page(request, "fleet/fleet.html", {"devices": "fleet/_devices.html"}, context)
