"""Propose to take a landing back: a click on the baseline page or in the history."""

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from research_app.loop.propose import revert as step
from research_app.web.shared.access import get_project, operator
from research_app.web.shared.drafts import refuse


@operator
@require_POST
def revert(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Enter the inverse diff of one landing as a candidate and show that; or say why it cannot be."""
    project = get_project(request, slug)
    version = get_object_or_404(project.baseline_versions.select_related("project"), number=number)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    try:
        return redirect(step.revert(version, request.user))
    except step.RevertRefused as problem:
        refuse(request, str(problem))
        return redirect("baseline", slug=slug)
