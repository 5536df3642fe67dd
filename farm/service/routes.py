"""The routes of jobs, units, workers and the farm. They ask the desk, and decide nothing."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from farm.model.job import JobState
from farm.model.unit import UnitState
from farm.service import desk as desks
from farm.service import wire
from farm.service.answers import wait_done
from farm.service.desk import Desk
from farm.service.wire import ID

__all__ = ["After", "JobId", "Limit", "Number", "Text", "desk_of", "holder_of", "router"]

router: Final = APIRouter()

JobId = Annotated[str, Path(pattern=ID, description="Id of a job.")]
Number = Annotated[int, Path(ge=0, le=10_000_000, description="Number of a unit, from 0.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most rows of the page.")]
After = Annotated[int, Query(ge=-1, le=2**62, description="The `next` of the page before.")]
Text = Annotated[str, Query(max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")]


def desk_of(request: Request) -> Desk:
    """Return the desk of the service that answers a request."""
    desk: Desk = request.app.state.desk
    return desk


@router.get("/healthz", tags=["farm"])
def health() -> wire.Health:
    """Say that the process answers. Needs no token."""
    return wire.Health()


@router.get("/readyz", tags=["farm"], responses={503: {"model": wire.Readiness}})
def readiness(request: Request, response: Response) -> wire.Readiness:
    """Say whether the farm takes jobs."""
    ready = desk_of(request).readiness()
    response.status_code = 200 if ready.ready else 503
    return ready


@router.get("/api/farm", tags=["farm"])
def farm(request: Request) -> wire.FarmView:
    """Return the farm in one word, with the reason, and its figures."""
    return desk_of(request).farm()


@router.get("/api/workers", tags=["farm"])
def workers(request: Request) -> wire.Workers:
    """Return every worker with what it does."""
    return desk_of(request).workers()


@router.get("/api/tasks", tags=["farm"])
def tasks(request: Request) -> wire.Tasks:
    """Return the tasks that jobs can have, with the schema of their parameters."""
    return desk_of(request).tasks()


@router.get("/api/roots", tags=["files"], response_model_exclude_none=True)
def roots(request: Request, under: Text = "", after: Text = "", limit: Limit = 200) -> wire.Places:
    """Return the roots, or a page of what is in a folder of one."""
    return desk_of(request).places(under, after, limit)


@router.post(
    "/api/jobs",
    tags=["jobs"],
    status_code=201,
    response_model=wire.JobView | wire.Estimate,
    responses={200: {"description": "The job that this token gave before, or an estimate."}},
)
async def submit(
    request: Request, response: Response, body: wire.JobRequest, *, dry_run: bool = False
) -> wire.JobView | wire.Estimate:
    """Submit a job, or with dry_run learn what it would cost."""
    desk = desk_of(request)
    if dry_run:
        response.status_code = 200
        return await run_in_threadpool(desk.estimate, body, holder_of(request))
    answer, is_new = await run_in_threadpool(desk.submit, body, holder_of(request))
    await wait_done(answer, desks.PLAN_SECONDS)
    job = await run_in_threadpool(desk.submitted, answer)
    response.status_code = 201 if is_new else 200
    request.state.job = job.id
    return job


def holder_of(request: Request) -> str:
    """Return the name of the holder of the token that a request has, if it has one."""
    token = request.state.token
    return token.name if token else ""


@router.get("/api/jobs", tags=["jobs"])
def jobs(  # noqa: PLR0917 - named in the query
    request: Request,
    state: JobState | None = None,
    task: Annotated[str | None, Query(max_length=32)] = None,
    owner: Annotated[str | None, Query(max_length=200)] = None,
    after: Annotated[
        str, Query(pattern=f"^$|{ID}", description="The `next` of the page before.")
    ] = "",
    limit: Limit = 50,
) -> wire.JobsPage:
    """Return a page of jobs, newest first."""
    return desk_of(request).jobs(state, task, owner, after, limit)


@router.get("/api/jobs/{job}", tags=["jobs"])
def show(request: Request, job: JobId) -> wire.JobView:
    """Return a job by its id, or by the beginning of it, if no other id begins so."""
    return desk_of(request).job(job)


@router.delete("/api/jobs/{job}", tags=["jobs"], status_code=204)
def forget(request: Request, job: JobId) -> None:
    """Forget a job that has ended. Its files stay."""
    desk_of(request).forget(job)


@router.patch("/api/jobs/{job}", tags=["jobs"])
def change(request: Request, job: JobId, body: wire.Changes) -> wire.JobView:
    """Pause, continue or cancel a job, or change its priority."""
    return desk_of(request).change(job, body)


@router.post("/api/jobs/{job}/retry", tags=["jobs"])
def retry(request: Request, job: JobId, body: wire.Retry) -> wire.JobView:
    """Try units again that failed, or render a range of frames again."""
    return desk_of(request).retry(job, body)


@router.get("/api/jobs/{job}/why", tags=["jobs"])
def why(request: Request, job: JobId) -> wire.Why:
    """Say in words what a job waits for."""
    return desk_of(request).why(job)


@router.get("/api/jobs/{job}/units", tags=["units"])
def units(
    request: Request,
    job: JobId,
    after: After = -1,
    limit: Limit = 200,
    state: UnitState | None = None,
) -> wire.UnitsPage:
    """Return a page of a job's units in their order."""
    return desk_of(request).units(job, after, limit, state)


@router.get("/api/jobs/{job}/units/{number}", tags=["units"])
def unit(request: Request, job: JobId, number: Number) -> wire.UnitDetails:
    """Return a unit with its story and its failures."""
    return desk_of(request).unit(job, number)


@router.get("/api/jobs/{job}/log", tags=["units"])
def log(request: Request, job: JobId, after: After = 0, limit: Limit = 200) -> wire.StoryPage:
    """Return a page of what happened to a job's units, oldest first."""
    return desk_of(request).log(job, after, limit)
