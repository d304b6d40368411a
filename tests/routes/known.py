"""Every route that the matrix knows: what its arguments name, and how it is asked. A new route is one line here.

An unlisted route fails `test_every_route_is_known`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class About(StrEnum):
    """What the arguments of a route name; `rows.py` has the rows of each."""

    NOTHING = "nothing"
    PROJECT = "project"
    CANDIDATE = "candidate"
    CHANGED_FILE = "a file that a candidate changes"
    THREAD = "thread"
    RUN = "run"
    VERSION = "version"
    STACK = "stack"
    STACK_MEMBER = "member of a stack"
    CONVERSATION = "conversation"
    NOTE = "note"
    VIEW = "saved view"
    TOKEN = "token"
    DELIVERY = "message to a person"
    HISTORY = "imported history"
    IMPORTED = "row of an imported history"
    TRIAL = "repository that is brought"
    MOVE = "move of the branch outside Signoff"


class By(StrEnum):
    """Who asks: somebody signed in, an agent with its token in the header, or git with it as a password."""

    SESSION = "session"
    TOKEN = "token"
    GIT = "git"


@dataclass(frozen=True)
class Known:
    """How one route is asked. `fixed` are arguments that no row names."""

    about: About = About.NOTHING
    methods: tuple[str, ...] = ("GET",)
    by: By = By.SESSION
    fixed: Mapping[str, str] | None = None
    outside: bool = False  # what a POST does leaves the database: it is asked once, plainly, and not with every spelling
    also: tuple[str, ...] = ()  # queries that lead to another part of the view; {c} and {r}: a candidate, a run
    form_on: tuple[str, ...] = ()  # routes of pages whose form is sent here
    body: Mapping[str, Any] | None = None  # for agents: what is sent as JSON


POST = ("POST",)
BOTH = ("GET", "POST")
CURVES = (
    "c={c}&r={r}&series=train_loss&band=all&smooth=0.9", "c={c}&r={r}&x=flops&band=interval&view=difference&log=x",
    "c={c}&r={r}&x=seconds&from=1&to=3", "c={c}&r={r}&format=csv&x=tokens", "c={c}&scale=M",
)  # fmt: skip
EDIT = {"path": "train.py", "old": "WARMUP = 0.05", "new": "WARMUP = 0.07"}
PROPOSAL = {"hypothesis": "It helps", "category": "schedule", "edits": [EDIT], "patch": "", "expected_effect": "less"}
REVISION = {"message": "As asked.", "edits": [EDIT], "patch": ""}
P, C, F, T, R = About.PROJECT, About.CANDIDATE, About.CHANGED_FILE, About.THREAD, About.RUN

KNOWN: Mapping[str, Known] = {
    "inbox": Known(also=("tab=others&order=age&q=C-{c}", "tab=later&order=cost", "tab=gate-1&order=value&project=demo")),
    "preview": Known(About.CANDIDATE),
    "later": Known(About.CANDIDATE, methods=POST),
    "sign-in": Known(methods=BOTH, form_on=("sign-in",)),
    "sign-in-link": Known(methods=BOTH, fixed={"token": "none"}),
    "sign-out": Known(methods=POST, outside=True),
    "healthz": Known(),
    "fleet": Known(),
    "first-steps": Known(methods=POST),
    "docs-index": Known(),
    "docs": Known(fixed={"name": "operating.md"}),
    "audit": Known(also=("about=C-{c}&by=grace&since=2020-01-01", "about=run {r}&q=seed", "before=40")),
    "turns": Known(),
    "notifications": Known(methods=BOTH, form_on=("notifications",)),
    "try-notification": Known(methods=POST, fixed={"channel": "email"}),
    "notification-secret": Known(methods=POST, fixed={"channel": "webhook"}),
    "delivery": Known(About.DELIVERY),
    "unsubscribe": Known(methods=BOTH, fixed={"token": "none"}),
    "tokens": Known(methods=BOTH, form_on=("tokens",)),
    "revoke-token": Known(About.TOKEN, POST),
    "keys": Known(methods=POST, form_on=("inbox",)),
    "new-project": Known(methods=BOTH, form_on=("new-project",)),
    "trial": Known(About.TRIAL),
    "change-trial": Known(About.TRIAL, POST, form_on=("trial",)),
    "stop-trial": Known(About.TRIAL, POST),
    # Of a project
    "project": Known(P),
    "project-settings": Known(P, BOTH, form_on=("project-settings",)),
    "archive-project": Known(P, POST, form_on=("project-settings",)),
    "delete-project": Known(P, POST, outside=True, form_on=("project-settings",)),
    "pause": Known(P, POST),
    "resume": Known(P, POST),
    "progress": Known(P, also=("measure=saved", "measure=target")),
    "constant": Known(P, fixed={"name": "WARMUP"}),
    "digest": Known(P),
    "digest-week": Known(P, fixed={"week": "2026-W48"}),
    "report": Known(P),
    "report-markdown": Known(P),
    "compare": Known(P, also=("c={c}&r={r}", "items=C-{c}, run {r}")),
    "compare-curves": Known(P, also=CURVES),
    "csv-of-all": Known(fixed={"name": "audit"}, also=("about=C-{c}&by=grace",)),
    "project-csv": Known(P, fixed={"name": "candidates"}, also=("sort=best&effect=unclear",)),
    "compare-figure": Known(P, also=("c={c}&width=6.75&log=x",)),
    "compare-figure-file": Known(P, fixed={"name": "figure.csv"}, also=("c={c}",)),
    "baseline-figure": Known(P),
    "baseline-figure-file": Known(P, fixed={"name": "table.tex"}),
    "compare-constants": Known(P, also=("c={c}&r={r}",)),
    "baseline": Known(P),
    "measure-target": Known(P, POST, form_on=("baseline",)),
    "revert": Known(About.VERSION, POST),
    "moved": Known(About.MOVE),
    "adopt-move": Known(About.MOVE, POST, form_on=("moved",)),
    "landings": Known(P),
    "push-now": Known(P, POST),
    "stacks": Known(P, also=("c={c}&c=2&design=plain",)),
    "stack-start": Known(P, POST, form_on=("stacks",)),
    "stack": Known(About.STACK),
    "stack-stop": Known(About.STACK, POST),
    "stack-remove": Known(About.STACK_MEMBER, POST),
    "candidates": Known(P, also=("sort=best&effect=unclear&gain=-1", "stage=within-noise&columns=effect,sigmas,saved,spent")),
    "columns": Known(P, POST, form_on=("candidates",)),
    "save-view": Known(P, POST, form_on=("candidates",)),
    "forget-view": Known(About.VIEW, POST),
    "bulk": Known(P, POST, form_on=("candidates",)),
    "history": Known(P, also=("show=tree", "show=landings")),
    "imports": Known(P),
    "imported": Known(About.HISTORY),
    "imported-progress": Known(About.HISTORY),
    "imported-result": Known(About.IMPORTED),
    "rejudge-imported": Known(About.IMPORTED, POST, form_on=("imported-result",)),
    "program": Known(P, BOTH, also=("version=1",), form_on=("program",)),
    "add-note": Known(P, POST, form_on=("program",)),
    "withdraw-note": Known(About.NOTE, POST),
    "scoreboard": Known(P),
    "conversations": Known(P),
    "combine": Known(P, POST, form_on=("conversations",)),
    "join": Known(P, POST, form_on=("conversations",)),
    "conversation": Known(About.CONVERSATION),
    "stop-conversation": Known(About.CONVERSATION, POST),
    "resume-conversation": Known(About.CONVERSATION, POST),
    "candidate-card": Known(C),
    "candidate-figure": Known(C),
    "candidate-figure-file": Known(C, fixed={"name": "caption.txt"}),
    "shortlist": Known(P, also=("sort=gain&within=20&pick={s}", "sort=conflicts&within=-1&pick=9")),
    "shortlist-conflicts": Known(P),
    "shortlist-price": Known(P, also=("pick={s}&rungs-{s}=M&seeds-{s}-M=4",)),
    "approve-scale-ups": Known(P, POST, form_on=("shortlist",)),
    "form-stack": Known(P, POST, form_on=("shortlist",)),
    "skip-scale-up": Known(C, POST, form_on=("shortlist",)),
    "try-again": Known(P, POST),
    # Of a candidate
    "candidate": Known(C, also=("view=split", "ps=1&against=1&space=ignore")),
    "change-diff": Known(C),
    "candidate-file": Known(F, also=("line=9",)),
    "candidate-lines": Known(F),
    "candidate-line": Known(F, also=("line=1",)),
    "candidate-viewed": Known(C, POST),
    "candidate-threads": Known(C, POST, form_on=("candidate",)),
    "candidate-thread": Known(T),
    "candidate-thread-reply": Known(T, POST),
    "add-candidate-note": Known(C, POST),
    "rework": Known(C, POST, form_on=("candidate",)),
    "candidate-similar": Known(C),
    "candidate-curves": Known(C, also=CURVES),
    "approve": Known(C, POST, form_on=("candidate",)),
    "reject": Known(C, POST, form_on=("candidate",)),
    "request-changes": Known(C, POST, form_on=("candidate",)),
    "undo": Known(C, POST, form_on=("candidate",)),
    "reopen": Known(C, POST, form_on=("candidate",)),
    "widen": Known(C, POST, form_on=("candidate",)),
    "stop-candidate": Known(C, POST, form_on=("candidate",)),
    "retry-candidate": Known(C, POST, form_on=("candidate",)),
    "scale-up": Known(C),
    "stop-scale-up": Known(C, POST, form_on=("scale-up",)),
    "scale-up-further": Known(C, POST, form_on=("scale-up",)),
    "revise": Known(C, POST, form_on=("candidate",)),
    # Of a run
    "run": Known(R),
    "run-log": Known(R),
    "run-curves": Known(R, also=CURVES),
    # For agents from outside
    "api:api-root": Known(by=By.TOKEN),
    "api:openapi-json": Known(by=By.TOKEN),
    "api:openapi-view": Known(by=By.TOKEN),
    "api:list_projects": Known(by=By.TOKEN),
    "api:get_project": Known(P, by=By.TOKEN),
    "api:get_source": Known(P, by=By.TOKEN),
    "api:get_history": Known(P, by=By.TOKEN, also=("before=5&limit=2",)),
    "api:submit_candidate": Known(P, POST, by=By.TOKEN, body=PROPOSAL),
    "api:get_candidate": Known(C, by=By.TOKEN),
    "api:get_diff": Known(C, by=By.TOKEN),
    "api:get_evidence": Known(C, by=By.TOKEN),
    "api:get_comments": Known(C, by=By.TOKEN),
    "api:revise_candidate": Known(C, POST, by=By.TOKEN, body=REVISION),
    "api:list_runs": Known(C, by=By.TOKEN),
    "api:get_run": Known(R, by=By.TOKEN),
    "api:get_log": Known(R, by=By.TOKEN),
    "api:get_series": Known(R, by=By.TOKEN, also=("name=val_loss",)),
    "api-nothing": Known(fixed={"path": "nothing"}, by=By.TOKEN),
    "git-refs": Known(P, by=By.GIT),
    "git-fetch": Known(P, POST, by=By.GIT, outside=True),
    "git-push": Known(P, POST, by=By.GIT, outside=True),
}
