"""Nobody gets past the guard: tokens, hosts, other sites' pages, sizes, and a line for each change."""

import base64
import json
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest
from starlette.routing import BaseRoute, Route

from farm.errors import BadParameter
from farm.service.file_routes import router as routes_of_files
from farm.service.routes import router as routes_of_jobs
from farm.service.tokens import TokenFile

from .conftest import Serve, Served, has_ended

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def closed(serve: Serve) -> Iterator[Served]:
    """A service that asks for a token. Its client has one."""
    with serve(token=True) as served:
        yield served


def paths() -> Iterator[tuple[str, str]]:
    """Yield the method and a path of every route, and of what else answers."""
    routes: list[BaseRoute] = [*routes_of_jobs.routes, *routes_of_files.routes]
    for route in routes:
        assert isinstance(route, Route)
        for method in sorted(route.methods or ()):
            path = route.path.replace("{job}", "copy-1").replace("{number}", "0")
            yield method, path.replace("{sha256}", "0" * 64)
    yield from [
        ("POST", "/"),
        ("GET", "/js/../api/jobs"),
        ("GET", "/api/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
    ]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer farm_wrong", "Basic !", "Digest x"]
)
def test_no_route_answers_without_a_token(closed: Served, authorization: str) -> None:
    headers = {"authorization": authorization} if authorization else {}
    with httpx.Client(base_url=closed.client.base_url, headers=headers) as stranger:
        answers = {(m, p): stranger.request(m, p).status_code for m, p in paths()}
    assert len(answers) > 25
    assert answers.pop(("GET", "/healthz")) == 200
    assert set(answers.values()) == {401}


def test_a_token_is_taken_as_bearer_and_as_a_browsers_password(closed: Served) -> None:
    assert closed.client.get("/api/farm").status_code == 200
    secret = closed.client.headers["authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"me:{secret}".encode()).decode()
    answer = httpx.get(
        f"{closed.client.base_url}/api/farm", headers={"authorization": f"Basic {basic}"}
    )
    assert answer.status_code == 200


def test_the_page_needs_no_token_so_that_it_can_ask_for_one(closed: Served) -> None:
    for path in ("/", "/index.html", "/style.css", "/js/main.js"):
        assert httpx.get(f"{closed.client.base_url}{path}").status_code == 200


def test_a_browser_that_opens_anything_else_is_asked_for_a_token(closed: Served) -> None:
    for path in ("/metrics", "/api/jobs", "/js/nothing.js"):
        answer = httpx.get(f"{closed.client.base_url}{path}", headers={"accept": "text/html"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_revoked_token_counts_no_longer(closed: Served) -> None:
    closed.tokens.new("other")
    closed.tokens.revoke(TokenFile(closed.tokens.path).tokens()[0].id)
    assert closed.client.get("/api/farm").status_code == 401


def test_a_service_that_others_reach_stays_closed_when_its_last_token_is_gone(serve: Serve) -> None:
    with serve(token=True, is_local=False) as served:
        served.tokens.revoke(served.tokens.tokens()[0].id)
        assert httpx.get(f"{served.client.base_url}/api/farm").status_code == 401


def test_a_file_of_tokens_that_others_can_read_opens_nothing(closed: Served) -> None:
    assert closed.client.get("/api/farm").status_code == 200
    closed.tokens.path.chmod(0o644)
    assert closed.client.get("/api/farm").status_code == 503
    closed.tokens.path.chmod(0o600)
    assert closed.client.get("/api/farm").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "localhost@x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_tokens_a_request_must_name_this_machine(
    served: Served, host: str, method: str
) -> None:
    answer = served.client.request(method, "/api/jobs", headers={"host": host})
    assert answer.status_code in {400, 403}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8420", "[::1]:8420"])
def test_this_machine_has_these_names(served: Served, host: str) -> None:
    assert served.client.get("/api/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("with_token", [False, True])
def test_another_sites_page_changes_nothing(
    serve: Serve,
    method: str,
    headers: dict[str, str],
    with_token: bool,  # noqa: FBT001
) -> None:
    with serve(token=with_token) as served:
        path = "/api/jobs" if method == "POST" else "/api/jobs/copy-1"
        answer = served.client.request(method, path, headers=headers, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_the_services_own_page_may_change_things(served: Served) -> None:
    origin = {"origin": f"http://127.0.0.1:{served.port}", "sec-fetch-site": "same-origin"}
    body = {"task": "copy", "inputs": ["photos/a.png"], "output": "out/x/"}
    assert served.client.post("/api/jobs", json=body, headers=origin).status_code == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_a_body_that_is_not_declared_as_json_is_refused(served: Served, kind: str) -> None:
    answer = served.client.post("/api/jobs", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


def test_a_body_has_a_largest_size_whether_or_not_it_is_declared(served: Served) -> None:
    large = b'{"task": "' + b"x" * 1_000_000 + b'"}'

    def pieces() -> Iterator[bytes]:
        yield large

    headers = {"content-type": "application/json"}
    for content in (large, pieces()):
        answer = served.client.post("/api/jobs", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["/", "/api/farm", "/api/jobs/nothing", "/healthz", "/nothing"])
def test_every_answer_tells_browsers_to_be_strict(served: Served, path: str) -> None:
    headers = served.client.get(path).headers
    assert headers["content-security-policy"] == (
        "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_change_leaves_a_line_without_secrets(closed: Served) -> None:
    job = closed.submit(params={"amount": 0.5}).json()["id"]
    closed.wait(job, has_ended)
    closed.client.patch(f"/api/jobs/{job}", json={"wanted": "cancel"})
    closed.client.delete("/api/jobs/nothing")
    httpx.post(f"{closed.client.base_url}/api/jobs", json={})
    text = (closed.folder / "private" / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    token = closed.tokens.tokens()[0].id
    assert [(line["action"], line["job"], line["status"], line["token"]) for line in lines] == [
        ("POST /api/jobs", job, 201, token),
        ("PATCH /api/jobs/{job}", job, 409, token),
        ("DELETE /api/jobs/{job}", "nothing", 404, token),
        ("POST other", "", 401, ""),
    ]
    assert [line["name"] for line in lines] == ["me", "me", "me", ""]
    assert all(datetime.fromisoformat(line["at"]).utcoffset() == timedelta(0) for line in lines)
    secret = closed.client.headers["authorization"].removeprefix("Bearer ")
    assert secret not in text
    assert secret not in closed.tokens.path.read_text()
    assert secret.encode() not in (closed.folder / "ledger.db").read_bytes()


@pytest.mark.parametrize("name", ["me", "Ada", "", "a b", "../a", "a" * 65])
def test_tokens_have_names_like_ids_and_each_its_own(closed: Served, name: str) -> None:
    with pytest.raises(BadParameter, match=f"^name: .*{name[:10]}"):
        closed.tokens.new(name)
    assert len(closed.tokens.tokens()) == 1


def test_a_wrong_token_is_told_from_a_missing_one(closed: Served) -> None:
    def message(**headers: str) -> str:
        answer = httpx.get(f"{closed.client.base_url}/api/farm", headers=headers)
        return str(answer.json()["error"]["message"])

    assert message().startswith("a token is needed")
    assert message(authorization="Bearer farm_old").startswith("no such token, or it was revoked")


def test_reading_leaves_no_line(served: Served) -> None:
    served.client.get("/api/jobs")
    assert not (served.folder / "private" / "audit.jsonl").read_text()


def test_only_their_owner_can_read_the_files_of_a_service(closed: Served) -> None:
    private = closed.folder / "private"
    paths = (private, private / "tokens.json", private / "audit.jsonl")
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o700, 0o600, 0o600]


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/9\r\n\r\n",
        b"\x00\xff\r\n\r\n",
        b"GET /api/jobs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(served: Served, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(line)
        assert connection.recv(20).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert served.client.get("/healthz").status_code == 200
