"""The API's endpoints, under /api/v1/: thin, typed, each with the scope that it needs."""

from typing import Annotated, Any, TypeAlias

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Field, Header, NinjaAPI, Query, Status
from ninja.openapi.schema import OpenAPISchema
from ninja.renderers import JSONRenderer

from agent.proposal import Edit, Proposal
from research_app.api import problems, representations, schemas
from research_app.api.auth import READING, READS, SUBMITS, SUBMITTING, token_of
from research_app.api.idempotency import once
from research_app.api.reach import candidate_of, candidate_to_revise, project_of, run_of
from research_app.door.problem import MEDIA_TYPE, Problem, problem
from research_app.loop.check.check import vet
from research_app.loop.disclosure import speaker
from research_app.loop.propose.propose import enter, program_of, tried_before
from research_app.loop.propose.revise import revise
from research_app.models import Author, Candidate, Comment, Run, RunLog, Thread
from research_app.strict_json import strict

PAGE, MOST_ON_PAGE = 50, 200
ROOT = "/api/v1"
DESCRIPTION = """Research on a project from outside: read what was tried, submit a change, wait for its evidence.

Send `Authorization: Bearer <token>`; tokens are made in Signoff under *Access tokens*. Scores and effects are rounded to half a
sigma. Nothing here votes or lands: that is for people, in their browsers."""
FAILS = {401: Problem, 403: Problem, 404: Problem, 422: Problem, 429: Problem}
SUBMIT_FAILS = FAILS | {400: Problem, 409: Problem, 503: Problem}
CANDIDATE, RUN = "/projects/{slug}/candidates/{number}", "/projects/{slug}/runs/{run}"
IdempotencyKey: TypeAlias = Annotated[str | None, Header(alias="Idempotency-Key")]
Number: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Api(NinjaAPI):
    """Errors are documented with the media type that they are sent with."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """OpenAPI 3.1."""
        schema = super().get_openapi_schema(**options)
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400 and "application/json" in response.get("content", {}):
                        response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
        return schema


class StrictRenderer(JSONRenderer):
    """JSON as the standard has it: what is no finite number is null."""

    json_dumps_params = {"allow_nan": False}

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> Any:
        """The answer's text."""
        return super().render(request, strict(data), response_status=response_status)


api = Api(title="Signoff", version="1", description=DESCRIPTION, urls_namespace="api", renderer=StrictRenderer())
problems.install(api)


@api.get(
    "/projects", response={200: list[schemas.ProjectOut], **FAILS}, auth=READS, throttle=[READING], operation_id="list_projects"
)
def list_projects(request: HttpRequest) -> Any:
    """Every project that the token reaches."""
    return [representations.project(row) for row in token_of(request).reach().order_by("slug")]


@api.get(
    "/projects/{slug}", response={200: schemas.ProjectOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_project"
)
def get_project(request: HttpRequest, slug: str) -> Any:
    """One project: metric, noise, what may be edited, the baseline."""
    return representations.project(project_of(token_of(request), slug))


@api.get(
    "/projects/{slug}/source",
    response={200: schemas.SourceOut, **FAILS},
    auth=READS,
    throttle=[READING],
    operation_id="get_source",
)
def get_source(request: HttpRequest, slug: str) -> Any:
    """The code to change, at the baseline's tip, and the researchers' instructions (program.md)."""
    row = project_of(token_of(request), slug)
    base = row.tip()
    files = row.repository.texts(base.commit, row.file.edit.editable)
    return schemas.SourceOut(commit=representations.commit(row, base.commit), files=files, program=program_of(row, base)[0])


@api.get(
    "/projects/{slug}/history",
    response={200: schemas.HistoryOut, **FAILS},
    auth=READS,
    throttle=[READING],
    operation_id="get_history",
)
def get_history(
    request: HttpRequest,
    slug: str,
    before: Annotated[Number | None, Query(description="Candidates with a lower number than this")] = None,
    limit: Annotated[int, Field(ge=1, le=MOST_ON_PAGE)] = PAGE,
) -> Any:
    """What was tried and its outcome, newest first, a page at a time."""
    rows = tried_before(project_of(token_of(request), slug), before, limit + 1)
    page = rows[:limit]
    more = page[-1].candidate if len(rows) > limit else None
    return schemas.HistoryOut(items=[schemas.TriedOut(**representations.attempt(row)) for row in page], before=more)


@api.post(
    "/projects/{slug}/candidates",
    response={201: schemas.EnteredOut, **SUBMIT_FAILS},
    auth=SUBMITS,
    throttle=[SUBMITTING],
    operation_id="submit_candidate",
)
def submit_candidate(
    request: HttpRequest,
    slug: str,
    proposal: schemas.ProposalIn,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Submit a change. It is checked at once; training and judging follow, and only people take it further."""
    project, token = project_of(token_of(request), slug), token_of(request)

    def prepare() -> Any:
        edits = tuple(Edit(each.path, each.old, each.new) for each in proposal.edits)
        edits = edits or (Edit("", "", proposal.patch),)  # the contract wants an edit; the patch itself is what is kept
        kept = Proposal(proposal.hypothesis, proposal.category, edits, proposal.expected_effect, title=proposal.title)
        base = vet(project, kept, token.name, proposal.patch)

        def write() -> dict[str, Any]:
            row = enter(
                project,
                base,
                kept,
                author=token.name,
                kind=Author.AGENT,
                patch=proposal.patch,
                submitted_by_id=token.user_id,
            )
            return entered(row)

        return write

    return Status(201, once(request, idempotency_key, prepare))


@api.get(CANDIDATE, response={200: schemas.CandidateOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_candidate")
def get_candidate(request: HttpRequest, slug: str, number: Number) -> Any:
    """Where a candidate stands."""
    return representations.candidate(candidate_of(token_of(request), slug, number))


@api.get(f"{CANDIDATE}/diff", response={200: schemas.TextOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_diff")
def get_diff(request: HttpRequest, slug: str, number: Number) -> Any:
    """The diff of its newest patch set; 404 before it was checked."""
    row = candidate_of(token_of(request), slug, number)
    if row.patch_set is None:
        raise Http404
    return schemas.TextOut(text=row.patch_set.diff)


@api.get(
    f"{CANDIDATE}/evidence",
    response={200: schemas.EvidenceOut, **FAILS},
    auth=READS,
    throttle=[READING],
    operation_id="get_evidence",
)
def get_evidence(request: HttpRequest, slug: str, number: Number) -> Any:
    """Its newest evidence; 404 before there is any."""
    row = candidate_of(token_of(request), slug, number)
    if row.evidence is None:
        raise Http404
    return representations.evidence(row, row.evidence)


@api.get(
    f"{CANDIDATE}/comments",
    response={200: schemas.ThreadsOut, **FAILS},
    auth=READS,
    throttle=[READING],
    operation_id="get_comments",
)
def get_comments(request: HttpRequest, slug: str, number: Number) -> Any:
    """What reviewers said about its lines."""

    def remark(comment: Comment) -> schemas.RemarkOut:
        return schemas.RemarkOut(by=speaker(comment), at=comment.created_at, text=comment.text)

    threads = [
        schemas.ThreadOut(
            place=f"{thread.patch_set} {thread.place}",
            quoted=thread.quoted,
            resolved=thread.resolved,
            comments=[remark(comment) for comment in thread.comments.all()],
        )
        for thread in Thread.objects.of(candidate_of(token_of(request), slug, number))
    ]
    return schemas.ThreadsOut(items=threads)


@api.post(
    f"{CANDIDATE}/patch-sets",
    response={201: schemas.EnteredOut, **SUBMIT_FAILS},
    auth=SUBMITS,
    throttle=[SUBMITTING],
    operation_id="revise_candidate",
)
def revise_candidate(
    request: HttpRequest,
    slug: str,
    number: Number,
    revision: schemas.RevisionIn,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """The next patch set of a candidate that the token's person submitted, against the baseline's tip. Votes given before are
    void."""
    row, token = candidate_to_revise(token_of(request), slug, number), token_of(request)

    def prepare() -> Any:
        edits = [Edit(each.path, each.old, each.new) for each in revision.edits]
        revise(
            row, author=token.name, patch=revision.patch, edits=edits, message=revision.message, submitted_by=token.user
        )  # the same patch again is refused, so it needs no kept answer to be done once
        return lambda: entered(row)

    return Status(201, once(request, idempotency_key, prepare))


@api.get(
    f"{CANDIDATE}/runs", response={200: schemas.RunsOut, **FAILS}, auth=READS, throttle=[READING], operation_id="list_runs"
)
def list_runs(request: HttpRequest, slug: str, number: Number) -> Any:
    """All runs of all its patch sets, oldest first."""
    row = candidate_of(token_of(request), slug, number)
    runs = Run.objects.select_related("baseline", "patch_set__candidate").filter(patch_set__candidate=row).order_by("pk")
    noise = row.project.noise()
    return schemas.RunsOut(items=[representations.run(run, noise) for run in runs])


@api.get(RUN, response={200: schemas.RunOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_run")
def get_run(request: HttpRequest, slug: str, run: Number) -> Any:
    """One run."""
    row = run_of(token_of(request), slug, run)
    return representations.run(row, row.project.noise())


@api.get(f"{RUN}/log", response={200: schemas.TextOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_log")
def get_log(request: HttpRequest, slug: str, run: Number) -> Any:
    """What a run printed; empty while it runs."""
    log = RunLog.objects.filter(run=run_of(token_of(request), slug, run)).first()
    return schemas.TextOut(text=log.text if log else "")


@api.get(f"{RUN}/series", response={200: schemas.SeriesOut, **FAILS}, auth=READS, throttle=[READING], operation_id="get_series")
def get_series(
    request: HttpRequest,
    slug: str,
    run: Number,
    name: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006
) -> Any:
    """Its logged curves, of these names or all."""
    return representations.curves(run_of(token_of(request), slug, run), name)


def entered(row: Candidate) -> dict[str, Any]:
    """What a submission is answered."""
    here = settings.SITE_URL
    path = f"{ROOT}/projects/{row.project.slug}/candidates/{row.number}"
    return {"number": row.number, "address": f"{here}{row.get_absolute_url()}", "api": f"{here}{path}"}


def nothing(request: HttpRequest, path: str = "") -> HttpResponse:
    """Any other address of the API: a problem, not a page."""
    return problem(404, f"There is no such endpoint. All of them: {ROOT}/openapi.json")
