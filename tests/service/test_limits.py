"""What one client may use of a service is bounded, and what it lets go of is there for the next."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from farm.errors import Busy
from farm.service.thumbnails import Pictures

from .conftest import Serve, Served


@pytest.mark.parametrize("depth", [21, 600, 900, 100_000])
def test_a_value_has_a_largest_depth(served: Served, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = f'{{"task": "copy", "inputs": ["photos/"], "output": "out/", "params": {{"a": {deep}}}}}'
    headers = {"content-type": "application/json"}
    answer = served.client.post("/api/jobs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert len(answer.content) < 500


PAGES = ("/api/jobs", "/api/jobs/{job}/units", "/api/jobs/{job}/log", "/api/jobs/{job}/results")


@pytest.mark.parametrize("path", [*PAGES, "/api/roots?under=photos"])
def test_no_page_has_more_than_a_thousand_rows(served: Served, path: str) -> None:
    job = served.finished()["id"]
    url = httpx.URL(path.replace("{job}", job))
    assert served.client.get(url.copy_merge_params({"limit": 1000})).status_code == 200
    assert served.client.get(url.copy_merge_params({"limit": 1001})).status_code == 400


def test_a_job_has_a_largest_number_of_inputs(served: Served) -> None:
    answer = served.submit(inputs=["photos/a.png"] * 10_001)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "inputs")


def test_few_uploads_arrive_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.uploads.AT_ONCE", 1)
    slow, other = bytes(1000), b"other"
    part = served.folder / "private" / "uploads" / ".parts" / sha256(slow)
    may_end = Event()

    def slowly() -> Iterator[bytes]:
        yield slow[:500]
        may_end.wait(30)
        yield slow[500:]

    def send(whole: bytes, content: Iterator[bytes] | bytes) -> int:
        url = f"{served.client.base_url}/api/uploads/{sha256(whole)}"
        return httpx.put(url, params={"name": "a"}, content=content, timeout=40).status_code

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(send, slow, slowly())
        wait_for(part.is_file)
        refused = send(other, other)
        may_end.set()
        assert (refused, first.result()) == (409, 200)
    assert send(other, other) == 200


def test_few_pictures_are_made_small_at_once(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.thumbnails.AT_ONCE", 0)
    monkeypatch.setattr("farm.service.thumbnails.WAIT_SECONDS", 0.0)
    with pytest.raises(Busy, match="ask again later"):
        Pictures().small(str(pictures / "a.png"), 200)


def test_few_zips_are_sent_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.desk.ZIPS", 1)
    with serve() as served:
        job = served.finished()["id"]
        with (served.folder / "out" / "job" / "a.png").open("r+b") as file:
            file.truncate(2**28)  # more than waits between two ends of a connection
        url = f"/api/jobs/{job}/results.zip"
        with served.client.stream("GET", url) as slow:
            assert (slow.status_code, served.client.get(url).status_code) == (200, 429)
        wait_for(lambda: status_of_stream(served, url) == 200)


def status_of_estimate(served: Served, **changes: object) -> int:
    body = {"task": "copy", "inputs": ["photos/"], "output": "out/new/"} | changes
    return served.client.post("/api/jobs?dry_run=true", json=body).status_code


def test_few_estimates_are_made_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.desk.ESTIMATES", 1)
    with serve() as served:
        answers = [
            status_of_estimate(served, output=out) for out in ("out/", "out/new.png", "out/")
        ]
        assert answers == [200, 409, 200]
    monkeypatch.setattr("farm.service.desk.ESTIMATES", 0)
    with serve() as served:
        assert status_of_estimate(served) == 429


def test_a_still_is_estimated_while_as_many_films_are_as_may_be(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.desk.ESTIMATES", 0)
    with serve() as served:
        assert status_of_estimate(served, inputs=["photos/a.png"]) == 200


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def status_of_stream(served: Served, url: str) -> int:
    with served.client.stream("GET", url) as answer:
        return answer.status_code


def wait_for(is_there: Callable[[], bool]) -> None:
    for _ in range(750):
        if is_there():
            return
        Event().wait(0.02)
    raise AssertionError(is_there)
