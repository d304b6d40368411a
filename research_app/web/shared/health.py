"""/healthz: whether this installation works, for machines."""

from django.http import HttpRequest
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from research_app import health as installation
from research_app.access import may_see
from research_app.strict_json import StrictJsonResponse
from research_app.version import VERSION


@never_cache
@require_safe
def healthz(request: HttpRequest) -> StrictJsonResponse:
    """200 when all is well, 503 otherwise. Details, which name paths and hosts, are for signed-in persons."""
    findings = installation.examine()
    keys = ("name", "ok", "detail", "fix") if may_see(request.user) else ("name", "ok")
    well = all(finding.ok for finding in findings)
    body = {"ok": well, "version": VERSION, "findings": [{key: getattr(finding, key) for key in keys} for finding in findings]}
    return StrictJsonResponse(body, status=200 if well else 503)
