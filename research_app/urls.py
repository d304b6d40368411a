"""Every address of the application. A page maps to one module in web/ and one template of the same name."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from research_app.web import (
    audit,
    baseline,
    candidate,
    candidates,
    charts,
    decide,
    fleet,
    health,
    inbox,
    project,
    run,
    sign_in,
)

PROJECT = "projects/<slug:slug>/"
CANDIDATE = f"{PROJECT}candidates/<int:number>/"
RUN = f"{PROJECT}runs/<int:pk>/"

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("sign-in/", sign_in.sign_in, name="sign-in"),
    path("sign-in/<str:token>/", sign_in.sign_in_link, name="sign-in-link"),
    path("sign-out/", LogoutView.as_view(next_page="sign-in"), name="sign-out"),
    path("healthz", health.healthz, name="healthz"),
    path("fleet/", fleet.fleet, name="fleet"),
    path("audit/", audit.audit, name="audit"),
    path(PROJECT, project.project, name="project"),
    path(f"{PROJECT}pause/", project.pause, name="pause"),
    path(f"{PROJECT}resume/", project.resume, name="resume"),
    path(f"{PROJECT}progress.json", charts.progress, name="progress"),
    path(f"{PROJECT}baseline/", baseline.baseline, name="baseline"),
    path(f"{PROJECT}candidates/", candidates.candidates, name="candidates"),
    path(CANDIDATE, candidate.candidate, name="candidate"),
    path(f"{CANDIDATE}change.diff", candidate.change_diff, name="change-diff"),
    path(f"{CANDIDATE}curves.json", charts.candidate_curves, name="candidate-curves"),
    path(f"{CANDIDATE}approve/", decide.approve, name="approve"),
    path(f"{CANDIDATE}reject/", decide.reject, name="reject"),
    path(f"{CANDIDATE}request-changes/", decide.request_changes, name="request-changes"),
    path(f"{CANDIDATE}undo/", decide.undo, name="undo"),
    path(f"{CANDIDATE}reopen/", decide.reopen, name="reopen"),
    path(f"{CANDIDATE}revise/", decide.revise, name="revise"),
    path(RUN, run.run, name="run"),
    path(f"{RUN}log/", run.log, name="run-log"),
    path(f"{RUN}curves.json", charts.run_curves, name="run-curves"),
]
