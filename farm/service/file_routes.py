"""The routes of files: thumbnails, results, uploads, runs, previews, events and metrics."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from farm.model.sent_files import UPLOADS
from farm.service import wire
from farm.service.routes import After, JobId, Limit, Number, Text, desk_of, holder_of
from farm.service.uploads import Piece

__all__ = ["router"]

router: Final = APIRouter()

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file.")]
FileName = Annotated[str, Query(min_length=1, max_length=200, description="Its name.")]
WrittenBy = Annotated[
    int,
    Query(ge=0, le=10_000_000, description="The unit that wrote it, so that it is found at once."),
]
JPEG: Final[dict[int | str, Any]] = {
    200: {"content": {"image/jpeg": {}}, "description": "A JPEG."},
    304: {},
}
BYTES: Final[dict[int | str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file."}
}
_SANDBOX: Final = "default-src 'none'; sandbox"


class _Bytes(Response):
    media_type = "application/octet-stream"


@router.get(
    "/api/jobs/{job}/units/{number}/picture",
    tags=["units"],
    response_class=Response,
    responses={**JPEG, 304: {"description": "It is as the client has it."}},
)
def picture(
    request: Request,
    job: JobId,
    number: Number,
    of: Literal["result", "source"] = "result",
    side: Literal["200", "600", "1200"] = "200",
) -> Response:
    """Return what a unit reads or has written, as a small JPEG."""
    small = desk_of(request).unit_picture(job, number, of, int(side))
    return _picture(request, small.jpeg, small.tag)


def _picture(request: Request, jpeg: bytes, tag: str) -> Response:
    headers = {"etag": f'"{tag}"', "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(None, 304, headers)
    return Response(jpeg, 200, headers, "image/jpeg")


@router.get("/api/jobs/{job}/results", tags=["files"])
def results(request: Request, job: JobId, after: After = -1, limit: Limit = 200) -> wire.Results:
    """Return a page of the files that a job has written."""
    return desk_of(request).results(job, after, limit)


@router.get(
    "/api/jobs/{job}/result",
    tags=["files"],
    response_class=_Bytes,
    responses={
        **BYTES,
        206: {"description": "A part of it."},
        416: {"description": "No such part."},
    },
)
def result(request: Request, job: JobId, path: Text, unit: WrittenBy | None = None) -> FileResponse:
    """Return a file that a job has written, or a range of it."""
    file, name = desk_of(request).result(job, path, unit)
    headers = {"content-security-policy": _SANDBOX, "content-disposition": _attachment(name)}
    return FileResponse(file, headers=headers, media_type="application/octet-stream")


@router.get(
    "/api/jobs/{job}/results.zip",
    tags=["files"],
    response_class=_Bytes,
    responses={200: {"content": {"application/zip": {}}, "description": "A zip."}},
)
def results_zip(request: Request, job: JobId) -> StreamingResponse:
    """Return all files that a job has written as a zip, made while it is sent."""
    pieces = desk_of(request).zip(job)
    headers = {"content-disposition": _attachment(f"{job}.zip")}
    return StreamingResponse(pieces, headers=headers, media_type="application/zip")


def _attachment(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


@router.get("/api/jobs/{job}/run", tags=["runs"])
def run(request: Request, job: JobId) -> wire.RunView:
    """Return the curves of a run, of at most 1,000 points, and its pictures."""
    return desk_of(request).run(job)


@router.get(
    "/api/jobs/{job}/run/picture",
    tags=["runs"],
    response_class=Response,
    responses={**JPEG, 304: {"description": "It is as the client has it."}},
)
def run_picture(request: Request, job: JobId, path: Text) -> Response:
    """Return a picture of a run as a JPEG."""
    small = desk_of(request).run_picture(job, path)
    return _picture(request, small.jpeg, small.tag)


@router.post("/api/preview", tags=["jobs"], status_code=201)
def preview(request: Request, body: wire.PreviewRequest) -> wire.JobView:
    """Render one picture small, soon. The job is forgotten an hour later."""
    job = desk_of(request).preview(body, holder_of(request))
    request.state.job = job.id
    return job


@router.put(
    "/api/uploads/{sha256}",
    tags=["files"],
    responses={308: {"description": "More is to come: the header Range tells what has arrived."}},
)
async def upload(
    request: Request,
    response: Response,
    sha256: Digest,
    name: FileName,
    content_range: Annotated[str | None, Header(max_length=100)] = None,
) -> wire.Uploaded:
    """Send a file, whole or a piece of it (Content-Range). It counts once its digest is right."""
    piece = Piece.parse(content_range)
    uploads = desk_of(request).uploads
    size, is_whole = await uploads.add(sha256, name, piece, _content(request))
    _tell(response, size, 200 if is_whole else 308)
    return wire.Uploaded(path=f"{UPLOADS}/{sha256}/{name}")


async def _content(request: Request) -> AsyncIterator[bytes]:
    async for some in request.stream():
        yield some


@router.head(
    "/api/uploads/{sha256}",
    tags=["files"],
    responses={308: {"description": "More is to come: the header Range tells what has arrived."}},
)
def arrived(request: Request, sha256: Digest, name: FileName) -> Response:
    """Tell how much of a file has arrived."""
    size, is_whole = desk_of(request).uploads.arrived(sha256, name)
    response = Response()
    _tell(response, size, 200 if is_whole else 308 if size else 404)
    return response


def _tell(response: Response, size: int, status: int) -> None:
    response.status_code = status
    if size:
        response.headers["range"] = f"bytes=0-{size - 1}"


@router.get(
    "/api/events",
    tags=["events"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events."}},
)
async def events(
    request: Request,
    job: Annotated[str | None, Query(pattern=wire.ID)] = None,
    last_event_id: Annotated[str | None, Header(max_length=20, pattern=r"^[0-9]*$")] = None,
) -> StreamingResponse:
    """Follow what happens. Last-Event-ID continues where a reader was, without a gap."""
    desk = desk_of(request)
    if job:
        await run_in_threadpool(desk.stored, job)
    stream = desk.feed.open(job, int(last_event_id) if last_event_id else None)
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


@router.get(
    "/metrics",
    tags=["farm"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Metrics for Prometheus."}},
)
def metrics(request: Request) -> Response:
    """Return the farm's metrics for Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
