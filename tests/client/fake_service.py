"""A service in memory that breaks on demand; it passes the suite of the real one.

It runs no job: units end as they are told to, at once.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from secrets import token_hex
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from farm.service.serving import listen, serving

Json = dict[str, Any]
NAMES = ("a", "b", "c")
ENDED = {"completed", "failed", "cancelled"}
ESTIMATE = {
    "units": 3,
    "pixels": 6_000_000,
    "seconds": 90.0,
    "seconds_per_megapixel": 15.0,
    "based_on": 40,
    "bytes": None,
    "notes": ["nothing is known of png"],
}
SPEC = ("task", "params", "inputs", "output", "name")
PICTURE = b"\x89PNG of a fake"


class Gone(Exception):
    """The connection breaks."""


class Torn(Response):
    """An answer that breaks off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Gone


class Fake:
    """What a fake service knows, and how it misbehaves.

    hanging: names of units that never end. token: that it asks for. lost: how many answers to
    changes are lost after they were carried out. silent: how many submissions are carried out and not
    answered, until end. cut: after how many events a stream breaks. down:
    how many requests for events it refuses. looks: how often it was asked for a job. paths: of results,
    in place of the true ones. ends: what it says of every job, in place of the truth.
    """

    def __init__(self, hanging: Sequence[str] = (), token: str = "") -> None:
        self.hanging, self.token = hanging, token
        self.lost, self.silent, self.down, self.looks = 0, 0, 0, 0
        self.cut: int | None = None
        self.paths: list[str] | None = None
        self.ends: Json = {}
        self.is_over = False
        self.jobs: dict[str, Json] = {}
        self.story: dict[str, list[Json]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.pieces: list[str] = []
        self.streams: list[str] = []
        self._lines, self._ids = count(1), count(1)

    def app(self) -> ASGIApp:
        routes = [
            Route("/api/roots", self._roots),
            Route("/api/tasks", self._tasks),
            Route("/api/workers", self._workers),
            Route("/api/events", self._events),
            Route("/api/uploads/{digest}", self._arrived, methods=["HEAD"]),
            Route("/api/uploads/{digest}", self._upload, methods=["PUT"]),
            Route("/api/jobs", self._submit, methods=["POST"]),
            Route("/api/jobs", self._list),
            Route("/api/jobs/{job}", self._job, methods=["GET", "PATCH"]),
            Route("/api/jobs/{job}/retry", self._retry, methods=["POST"]),
            Route("/api/jobs/{job}/why", self._why),
            Route("/api/jobs/{job}/units", self._units),
            Route("/api/jobs/{job}/log", self._log),
            Route("/api/jobs/{job}/results", self._results),
            Route("/api/jobs/{job}/result", self._result),
        ]
        inner = Starlette(routes=routes, exception_handlers={404: _no_route})

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            headers = dict(scope["headers"])
            if self.token and headers.get(b"authorization") != f"Bearer {self.token}".encode():
                await refusal(401, "unauthorized", "a token is needed")(scope, receive, send)
                return
            await inner(scope, receive, send)

        return app

    # What the tests do behind the clients' backs

    def end(self) -> None:
        """Let readers go."""
        self.is_over = True

    def finish(self, job: str) -> None:
        """Let the units of a job end that hang."""
        known = self.jobs[job]
        for name in self.hanging:
            self.tell(job, name, "succeeded")
        known |= {"state": "completed", "done": len(NAMES), "progress": 1.0}

    def tell(self, job: str, unit: str, state: str, reason: str = "") -> None:
        """Let a unit be in a new state."""
        line = {"id": next(self._lines), "at": 0.0, "unit": unit, "state": state, "attempt": 1}
        self.story[job].append(line | {"worker": "w1", "reason": reason, "by": "report"})

    # Routes

    async def _roots(self, _request: Request) -> Response:
        return JSONResponse({"roots": ["out", "photos", "uploads"]})

    async def _tasks(self, _request: Request) -> Response:
        return JSONResponse({"tasks": [{"name": "copy", "kind": "effect", "schema": {}}]})

    async def _workers(self, _request: Request) -> Response:
        worker = {"name": "w1", "kind": "render", "node": "n", "device": "cpu", "state": "idle"}
        return JSONResponse({"workers": [worker | {"unit": None}]})

    async def _submit(self, request: Request) -> Response:
        body = await request.json()
        if body["task"] not in {"copy", "invert"}:
            return refusal(400, "bad_request", "unknown task", "task")
        if float(body["params"].get("amount", 1)) > 1:
            return refusal(400, "bad_request", "amount: should be at most 1", "params.amount")
        is_outside = not re.match("(out|photos|uploads)/", body["output"])
        if is_outside:
            return refusal(403, "forbidden", f"{body['output']!r}: no root has this name")
        if request.query_params.get("dry_run") == "true":
            return JSONResponse(ESTIMATE)
        token = body["token"] or token_hex(8)
        key = f"{body['task']}-{hashlib.sha256(token.encode()).hexdigest()[:8]}"
        is_new = key not in self.jobs
        if is_new:
            self._add(key, body)
        if self.silent:
            self.silent -= 1
            while not self.is_over:  # noqa: ASYNC110 - another thread ends it
                await asyncio.sleep(0.005)
        return self._unless_lost(JSONResponse(self.jobs[key], 201 if is_new else 200))

    def _add(self, job: str, body: Json) -> None:
        self.story[job] = []
        for name in NAMES:
            self.tell(job, name, "running" if name in self.hanging else "succeeded")
        done = len(NAMES) - len(self.hanging)
        state = "running" if self.hanging else "completed"
        self.jobs[job] = {
            "id": job,
            "task": body["task"],
            "state": state,
            "wanted": "run",
            "priority": body.get("priority", 50),
            "frames": len(NAMES),
            "done": done,
            "failed": 0,
            "progress": done / len(NAMES),
            "spec": {name: value for name, value in body.items() if name in SPEC},
            "reason": "",
            "after": body.get("after", []),
            "created": 0.0,
            "order": next(self._ids),
        } | self.ends

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        newest = sorted(self.jobs.values(), key=lambda job: -job["order"])
        fitting = [job for job in newest if query.get("state") in {None, job["state"]}]
        ids = [job["id"] for job in fitting]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        page = fitting[start : start + int(query["limit"])]
        is_more = start + len(page) < len(fitting)
        return JSONResponse({"jobs": page, "next": page[-1]["id"] if is_more else None})

    async def _job(self, request: Request) -> Response:
        start = request.path_params["job"]
        like = sorted(name for name in self.jobs if name.startswith(start))
        if start not in self.jobs and len(like) != 1:
            none = f"no job has the id {start}, or one that begins so"
            many = f"several jobs have an id that begins with {start}: {', '.join(like)}; give more of it"
            return refusal(404, "not_found", many if like else none)
        known = self.jobs.get(start) or self.jobs[like[0]]
        if request.method == "PATCH":
            if known["state"] in ENDED:
                return refusal(409, "conflict", f"the job has ended: it is {known['state']}")
            changes = await request.json()
            states = {"pause": "paused", "run": "running", "cancel": "cancelled"}
            if changes.get("wanted"):
                known["state"] = states[changes["wanted"]]
            known |= changes
            return self._unless_lost(JSONResponse(known))
        answer = JSONResponse(known)
        self.looks += 1
        return answer

    async def _retry(self, request: Request) -> Response:
        known = self.jobs[request.path_params["job"]]
        if known["state"] in ENDED and not known["failed"]:
            return refusal(409, "conflict", "no frame of it failed")
        return JSONResponse(known)

    async def _why(self, _request: Request) -> Response:
        return JSONResponse({"waiting": "", "units": {}})

    async def _units(self, request: Request) -> Response:
        query, last = request.query_params, {}
        for line in self.story[request.path_params["job"]]:
            last[line["unit"]] = {"state": line["state"], "reason": line["reason"]}
        after, state = int(query.get("after", -1)), query.get("state")
        rows = [{"number": n, "name": name} | last[name] for n, name in enumerate(NAMES)]
        rows = [r for r in rows if r["number"] > after and state in {None, r["state"]}]
        is_more = len(rows) > 2
        return JSONResponse({"units": rows[:2], "next": rows[1]["number"] if is_more else None})

    async def _log(self, request: Request) -> Response:
        after = int(request.query_params.get("after", 0))
        lines = [x for x in self.story[request.path_params["job"]] if x["id"] > after]
        return JSONResponse(
            {"lines": lines[:2], "next": lines[1]["id"] if len(lines) > 2 else None}
        )

    async def _results(self, request: Request) -> Response:
        output = self.jobs[request.path_params["job"]]["spec"]["output"]
        paths = [f"{output}{name}.png" for name in NAMES] if self.paths is None else self.paths
        rows = [{"path": path, "size": len(_content(path)), "unit": 0} for path in paths]
        return JSONResponse({"results": rows, "next": None})

    async def _result(self, request: Request) -> Response:
        return Response(_content(request.query_params["path"]))

    async def _arrived(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        if digest not in self.uploads:
            return refusal(404, "not_found", "nothing has arrived")
        return Response(headers=_range(self.uploads[digest]))

    async def _upload(self, request: Request) -> Response:
        digest, name = request.path_params["digest"], request.query_params["name"]
        content = self.uploads.setdefault(digest, bytearray())
        given = request.headers.get("content-range", "bytes */0")
        body = await request.body()
        if body:
            if int(given.split()[1].partition("-")[0]) != len(content):
                return refusal(409, "conflict", f"{len(content)} bytes have arrived")
            self.pieces.append(given)
        content.extend(body)
        if self.lost:
            return self._unless_lost(Response())
        if len(content) < int(given.rpartition("/")[2]):
            return Response(status_code=308, headers=_range(content))
        if hashlib.sha256(content).hexdigest() != digest:
            content.clear()
            return refusal(409, "conflict", "what arrived has another digest")
        return JSONResponse({"path": f"uploads/{digest}/{name}"}, 201)

    async def _events(self, request: Request) -> Response:
        if self.down:
            self.down -= 1
            return refusal(503, "unavailable", "the ledger is locked")
        last = request.headers.get("last-event-id", "")
        self.streams.append(last)
        job = request.query_params["job"]
        return StreamingResponse(self._stream(job, int(last or -1)), media_type="text/event-stream")

    async def _stream(self, job: str, after: int) -> AsyncIterator[str]:
        """Send what a reader has missed, or for a new one what follows; break after self.cut events."""
        known, sent = self.jobs[job], 0
        last = self.story[job][-1]["id"] if after < 0 else after
        state, reason = known["state"], known["reason"]
        yield f"event: farm\nid: {last}\ndata: {{}}\n\n"
        while not self.is_over:
            for line in [line for line in self.story[job] if line["id"] > last]:
                if self.cut is not None and sent >= self.cut:
                    self.cut = None
                    raise Gone
                last, sent = line["id"], sent + 1
                yield f"event: unit\nid: {last}\ndata: {json.dumps(line | {'job': job})}\n\n"
            if known["state"] != state:
                state = known["state"]
                yield f"event: job\ndata: {json.dumps(known)}\n\n"
            if known["reason"] != reason:
                reason = known["reason"]
                yield ": still here\n\n"
            await asyncio.sleep(0.005)

    def _unless_lost(self, answer: Response) -> Response:
        if self.lost:
            self.lost -= 1
            return Torn()
        return answer


async def _no_route(_request: Request, _error: Exception) -> Response:
    return refusal(404, "not_found", "there is nothing here")


def _content(path: str) -> bytes:
    return PICTURE + path[-5:].encode()


def _range(content: bytearray) -> dict[str, str]:
    return {"range": f"bytes=0-{len(content) - 1}"} if content else {}


def refusal(status: int, code: str, message: str, field: str | None = None) -> Response:
    return JSONResponse(
        {"error": {"code": code, "field": field, "message": message}}, status_code=status
    )


@contextmanager
def served(fake: Fake, port: int = 0) -> Iterator[str]:
    """Serve a fake, and yield its URL."""
    fake.is_over = False
    with listen("127.0.0.1", port) as listener, serving(fake.app(), listener, fake.end):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
