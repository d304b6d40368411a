"""Every address of the application. A page maps to one folder in web/ and one folder of templates of the same name."""

from django.contrib.auth.views import LogoutView
from django.urls import path, re_path

from research_app.api import git_over_http
from research_app.api.application import api, nothing
from research_app.web.account import notifications, preferences, sign_in, tokens
from research_app.web.agents import conversation, conversations, program, steering
from research_app.web.audit import audit
from research_app.web.baseline import baseline, moved
from research_app.web.candidate import candidate, card, comments, decide, file, similar
from research_app.web.candidates import bulk, candidates
from research_app.web.compare import compare
from research_app.web.constant import constant
from research_app.web.csv_lists import csv_list
from research_app.web.digest import digest
from research_app.web.figure import figure
from research_app.web.fleet import fleet
from research_app.web.history import history, imported, report, revert
from research_app.web.inbox import first_steps, inbox, later, preview
from research_app.web.landings import landings
from research_app.web.project import new_project, progress, project, settings
from research_app.web.run import run
from research_app.web.scale_up import scale_up
from research_app.web.scoreboard import scoreboard
from research_app.web.shared import charts, docs, health
from research_app.web.shortlist import shortlist
from research_app.web.stacks import stacks

PROJECT = "projects/<slug:slug>/"
CANDIDATE = f"{PROJECT}candidates/<int:number>/"
RUN = f"{PROJECT}runs/<int:pk>/"

assert len(csv_list.LISTS)  # read here, so that a broken one is named at the start

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("sign-in/", sign_in.SignIn.as_view(), name="sign-in"),
    path("sign-in/<str:token>/", sign_in.sign_in_link, name="sign-in-link"),
    path("sign-out/", LogoutView.as_view(next_page="sign-in"), name="sign-out"),
    path("healthz", health.healthz, name="healthz"),
    path("fleet/", fleet.fleet, name="fleet"),
    path("audit/", audit.audit, name="audit"),
    path("csv/<str:name>.csv", csv_list.csv_of_all, name="csv-of-all"),
    path(f"{PROJECT}csv/<str:name>.csv", csv_list.project_csv, name="project-csv"),
    path("turns.json", notifications.turns, name="turns"),
    path("settings/notifications/", notifications.notifications, name="notifications"),
    path("settings/notifications/try/<str:channel>/", notifications.try_notification, name="try-notification"),
    path("settings/notifications/secret/<str:channel>/", notifications.make_secret, name="notification-secret"),
    path("settings/notifications/sent/<int:pk>/", notifications.delivery, name="delivery"),
    path("unsubscribe/<str:token>/", notifications.unsubscribe, name="unsubscribe"),
    path("settings/tokens/", tokens.tokens, name="tokens"),
    path("settings/tokens/<int:pk>/revoke/", tokens.revoke, name="revoke-token"),
    path("api/v1/", api.urls),
    path("git/<slug:slug>.git/info/refs", git_over_http.advertise, name="git-refs"),
    path("git/<slug:slug>.git/git-upload-pack", git_over_http.fetch, name="git-fetch"),
    path("git/<slug:slug>.git/git-receive-pack", git_over_http.push, name="git-push"),
    re_path(r"^api/(?P<path>(?s:.*))$", nothing, name="api-nothing"),
    path("keys/", preferences.keys, name="keys"),
    path("first-steps/", first_steps.put_away, name="first-steps"),
    path("docs/", docs.docs_index, name="docs-index"),
    path("docs/<path:name>", docs.docs, name="docs"),
    path("new-project/", new_project.new_project, name="new-project"),
    path("new-project/<int:pk>/", new_project.trial, name="trial"),
    path("new-project/<int:pk>/change/", new_project.change_trial, name="change-trial"),
    path("new-project/<int:pk>/stop/", new_project.stop_trial, name="stop-trial"),
    path(f"{CANDIDATE}preview/", preview.preview, name="preview"),
    path(f"{CANDIDATE}later/", later.later, name="later"),
    path(PROJECT, project.project, name="project"),
    path(f"{PROJECT}settings/", settings.settings, name="project-settings"),
    path(f"{PROJECT}archive/", settings.archive, name="archive-project"),
    path(f"{PROJECT}delete/", settings.delete, name="delete-project"),
    path(f"{PROJECT}pause/", project.pause, name="pause"),
    path(f"{PROJECT}resume/", project.resume, name="resume"),
    path(f"{PROJECT}progress.json", progress.progress, name="progress"),
    path(f"{PROJECT}constants/<str:name>/", constant.constant, name="constant"),
    path(f"{PROJECT}digest/", digest.digest, name="digest"),
    path(f"{PROJECT}digest/<str:week>/", digest.digest, name="digest-week"),
    path(f"{PROJECT}report/", report.report, name="report"),
    path(f"{PROJECT}report.md", report.report_markdown, name="report-markdown"),
    path(f"{PROJECT}compare/", compare.compare, name="compare"),
    path(f"{PROJECT}compare/curves.json", compare.compare_curves, name="compare-curves"),
    path(f"{PROJECT}compare/constants/", compare.compare_constants, name="compare-constants"),
    path(f"{PROJECT}compare/figure/", figure.compare_figure, name="compare-figure"),
    path(f"{PROJECT}compare/figure/<str:name>", figure.compare_figure, name="compare-figure-file"),
    path(f"{PROJECT}baseline/figure/", figure.baseline_figure, name="baseline-figure"),
    path(f"{PROJECT}baseline/figure/<str:name>", figure.baseline_figure, name="baseline-figure-file"),
    path(f"{PROJECT}baseline/", baseline.baseline, name="baseline"),
    path(f"{PROJECT}baseline/moved/<int:pk>/", moved.moved, name="moved"),
    path(f"{PROJECT}baseline/moved/<int:pk>/adopt/", moved.adopt_move, name="adopt-move"),
    path(f"{PROJECT}baseline/measure/", baseline.measure, name="measure-target"),
    path(f"{PROJECT}baseline/<int:number>/revert/", revert.revert, name="revert"),
    path(f"{PROJECT}landings/", landings.landings, name="landings"),
    path(f"{PROJECT}landings/push/", landings.push, name="push-now"),
    path(f"{PROJECT}stacks/", stacks.stacks, name="stacks"),
    path(f"{PROJECT}stacks/start/", stacks.start, name="stack-start"),
    path(f"{PROJECT}stacks/<int:pk>/", stacks.stack, name="stack"),
    path(f"{PROJECT}stacks/<int:pk>/stop/", stacks.stop, name="stack-stop"),
    path(f"{PROJECT}stacks/<int:pk>/remove/<int:number>/", stacks.remove, name="stack-remove"),
    path(f"{PROJECT}candidates/", candidates.candidates, name="candidates"),
    path(f"{PROJECT}candidates/columns/", preferences.columns, name="columns"),
    path(f"{PROJECT}candidates/views/", preferences.save_view, name="save-view"),
    path(f"{PROJECT}candidates/views/<int:pk>/forget/", preferences.forget_view, name="forget-view"),
    path(f"{PROJECT}candidates/bulk/", bulk.bulk, name="bulk"),
    path(f"{PROJECT}history/", history.history, name="history"),
    path(f"{PROJECT}imported/", imported.imports, name="imports"),
    path(f"{PROJECT}imported/<int:pk>/", imported.imported_history, name="imported"),
    path(f"{PROJECT}imported/<int:pk>/progress.json", imported.imported_progress, name="imported-progress"),
    path(f"{PROJECT}imported/<int:pk>/<int:number>/", imported.imported_result, name="imported-result"),
    path(f"{PROJECT}imported/<int:pk>/<int:number>/rejudge/", imported.rejudge_imported, name="rejudge-imported"),
    path(f"{PROJECT}program/", program.program, name="program"),
    path(f"{PROJECT}notes/", program.add_note, name="add-note"),
    path(f"{PROJECT}notes/<int:pk>/withdraw/", program.withdraw_note, name="withdraw-note"),
    path(f"{PROJECT}scoreboard/", scoreboard.scoreboard, name="scoreboard"),
    path(f"{PROJECT}agents/", conversations.conversations, name="conversations"),
    path(f"{PROJECT}agents/combine/", conversations.combine, name="combine"),
    path(f"{PROJECT}agents/join/", steering.join, name="join"),
    path(f"{PROJECT}agents/<int:pk>/", conversation.conversation, name="conversation"),
    path(f"{PROJECT}agents/<int:pk>/stop/", conversation.stop, name="stop-conversation"),
    path(f"{PROJECT}agents/<int:pk>/resume/", conversation.resume, name="resume-conversation"),
    path(f"{PROJECT}shortlist/", shortlist.shortlist, name="shortlist"),
    path(f"{PROJECT}shortlist/price/", shortlist.price, name="shortlist-price"),
    path(f"{PROJECT}shortlist/conflicts/", shortlist.conflicts, name="shortlist-conflicts"),
    path(f"{PROJECT}shortlist/approve/", shortlist.approve, name="approve-scale-ups"),
    path(f"{PROJECT}shortlist/stack/", shortlist.stack, name="form-stack"),
    path(f"{PROJECT}shortlist/<int:number>/skip/", shortlist.skip, name="skip-scale-up"),
    path(f"{PROJECT}try-again/", inbox.try_again, name="try-again"),
    path(CANDIDATE, candidate.candidate, name="candidate"),
    path(f"{CANDIDATE}change.diff", candidate.change_diff, name="change-diff"),
    path(f"{CANDIDATE}file/", file.file, name="candidate-file"),
    path(f"{CANDIDATE}lines/", file.lines, name="candidate-lines"),
    path(f"{CANDIDATE}line/", file.line, name="candidate-line"),
    path(f"{CANDIDATE}viewed/", file.viewed, name="candidate-viewed"),
    path(f"{CANDIDATE}threads/", comments.begin, name="candidate-threads"),
    path(f"{CANDIDATE}threads/<int:pk>/", comments.thread, name="candidate-thread"),
    path(f"{CANDIDATE}threads/<int:pk>/reply/", comments.reply, name="candidate-thread-reply"),
    path(f"{CANDIDATE}notes/", program.add_note, name="add-candidate-note"),
    path(f"{CANDIDATE}rework/", conversation.rework, name="rework"),
    path(f"{CANDIDATE}similar/", similar.similar, name="candidate-similar"),
    path(f"{CANDIDATE}curves.json", charts.candidate_curves, name="candidate-curves"),
    path(f"{CANDIDATE}card/", card.card, name="candidate-card"),
    path(f"{CANDIDATE}figure/", figure.candidate_figure, name="candidate-figure"),
    path(f"{CANDIDATE}figure/<str:name>", figure.candidate_figure, name="candidate-figure-file"),
    path(f"{CANDIDATE}approve/", decide.approve, name="approve"),
    path(f"{CANDIDATE}reject/", decide.reject, name="reject"),
    path(f"{CANDIDATE}request-changes/", decide.request_changes, name="request-changes"),
    path(f"{CANDIDATE}undo/", decide.undo, name="undo"),
    path(f"{CANDIDATE}reopen/", decide.reopen, name="reopen"),
    path(f"{CANDIDATE}stop/", decide.stop, name="stop-candidate"),
    path(f"{CANDIDATE}retry/", decide.retry_stopped, name="retry-candidate"),
    path(f"{CANDIDATE}widen/", decide.widen, name="widen"),
    path(f"{CANDIDATE}scale-up/", scale_up.scale_up, name="scale-up"),
    path(f"{CANDIDATE}scale-up/stop/", scale_up.stop_scale_up, name="stop-scale-up"),
    path(f"{CANDIDATE}scale-up/further/", scale_up.scale_up_further, name="scale-up-further"),
    path(f"{CANDIDATE}revise/", decide.revise, name="revise"),
    path(RUN, run.run, name="run"),
    path(f"{RUN}log/", run.log, name="run-log"),
    path(f"{RUN}curves.json", charts.run_curves, name="run-curves"),
]
