"""What jobs write is downloaded; what they read is uploaded; small pictures show both."""

import asyncio
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image

from farm.service.event_stream import READERS, Feed
from farm.service.roots import Roots

from .conftest import Serve, Served

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = f"/api/uploads/{DIGEST}"
NAMED = {"name": "a.bin"}


# Results


def test_results_are_listed_by_pages_and_downloaded(served: Served) -> None:
    job = served.finished()["id"]
    page = served.client.get(f"/api/jobs/{job}/results", params={"limit": 2}).json()
    rest = served.client.get(f"/api/jobs/{job}/results", params={"after": page["next"]}).json()
    results = page["results"] + rest["results"]
    assert [result["path"] for result in results] == [f"out/job/{n}.png" for n in "abc"]
    for result in results:
        answer = served.client.get(f"/api/jobs/{job}/result", params={"path": result["path"]})
        assert answer.content == (served.folder / result["path"]).read_bytes()
        assert len(answer.content) == result["size"]
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]


def test_a_result_is_found_by_the_unit_that_wrote_it(served: Served) -> None:
    job = served.finished()["id"]
    path, url = "out/job/b.png", f"/api/jobs/{job}/result"
    whole = served.client.get(url, params={"path": path}).content
    assert served.client.get(url, params={"path": path, "unit": 1}).content == whole
    for other in (0, 2, 7):
        assert served.client.get(url, params={"path": path, "unit": other}).status_code == 404


def test_a_range_of_a_result_is_sent(served: Served) -> None:
    job = served.finished()["id"]
    whole = (served.folder / "out" / "job" / "a.png").read_bytes()
    answer = served.client.get(
        f"/api/jobs/{job}/result", params={"path": "out/job/a.png"}, headers={"range": "bytes=4-9"}
    )
    assert (answer.status_code, answer.content) == (206, whole[4:10])


@pytest.mark.parametrize(
    "path", ["photos/a.png", "out/job/other.png", "out/job/../job/a.png", "/etc/passwd", "out/job"]
)
def test_only_what_the_job_wrote_is_sent(served: Served, path: str) -> None:
    job = served.finished()["id"]
    (served.folder / "out" / "job" / "other.png").touch()
    answer = served.client.get(f"/api/jobs/{job}/result", params={"path": path})
    assert answer.status_code in {403, 404}


def test_all_results_come_as_a_zip(served: Served) -> None:
    job = served.finished()["id"]
    (served.folder / "out" / "job" / "b.png").unlink()
    answer = served.client.get(f"/api/jobs/{job}/results.zip")
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "c.png"]
        assert archive.read("a.png") == (served.folder / "out" / "job" / "a.png").read_bytes()


# Thumbnails


@pytest.mark.parametrize("of", ["result", "source"])
def test_a_picture_is_shown_small_and_only_once(served: Served, of: str) -> None:
    Image.new("RGB", (900, 300), "red").save(served.folder / "in" / "wide.png")
    job = served.finished(inputs=["photos/wide.png"])["id"]
    url = f"/api/jobs/{job}/units/0/picture"
    answer = served.client.get(url, params={"of": of})
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("JPEG", (200, 67))
    tag = {"if-none-match": answer.headers["etag"]}
    assert served.client.get(url, params={"of": of}, headers=tag).status_code == 304


def test_there_is_no_picture_before_it_is_rendered(serve: Serve) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        assert served.client.get(f"/api/jobs/{job}/units/0/picture").status_code == 404


def test_a_picture_that_is_too_large_to_show_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = served.finished()["id"]
    monkeypatch.setattr("farm.service.thumbnails.MAX_PIXELS", 63)
    answer = served.client.get(f"/api/jobs/{job}/units/0/picture")
    assert answer.status_code == 400
    assert "the limit is 63" in answer.json()["error"]["message"]


# Uploads


def ranged(first: int, last: int, total: int = len(CONTENT)) -> dict[str, str]:
    return {"content-range": f"bytes {first}-{last}/{total}"}


def test_a_file_is_uploaded_whole_and_a_job_reads_it(served: Served) -> None:
    content = (served.folder / "in" / "a.png").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    url = f"/api/uploads/{digest}"
    answer = served.client.put(url, params={"name": "a b.png"}, content=content)
    assert answer.json() == {"path": f"uploads/{digest}/a b.png"}
    assert served.finished(inputs=[answer.json()["path"]])["state"] == "completed"
    assert served.client.head(url, params={"name": "a b.png"}).status_code == 200


def sent(served: Served, name: str, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    answer = served.client.put(f"/api/uploads/{digest}", params={"name": name}, content=content)
    return str(answer.json()["path"])


def test_files_that_were_sent_under_one_name_keep_it_in_their_outputs(served: Served) -> None:
    paths = [sent(served, "a.png", file.read_bytes()) for file in (served.folder / "in").iterdir()]
    assert served.finished(inputs=paths)["state"] == "completed"
    written = {file.name for file in (served.folder / "out" / "job").iterdir()}
    assert written == {f"{path.split('/')[1][:8]}_a.png" for path in paths}


def test_a_message_names_a_file_that_was_sent_by_its_own_name(tmp_path: Path) -> None:
    roots = Roots.parse([f"uploads={tmp_path}"])
    said = roots.hidden(f"{tmp_path}/{'0a' * 32}/fox.jpg: is no picture; see {tmp_path}/b.jpg")
    assert said == "fox.jpg: is no picture; see uploads/b.jpg"


def test_an_upload_goes_on_where_it_broke_off(served: Served) -> None:
    assert served.client.head(URL, params=NAMED).status_code == 404
    first = served.client.put(URL, params=NAMED, content=CONTENT[:100], headers=ranged(0, 99))
    assert (first.status_code, first.headers["range"]) == (308, "bytes=0-99")
    assert not list((served.folder / "private" / "uploads").glob("[!.]*"))
    known = served.client.head(URL, params=NAMED)
    assert (known.status_code, known.headers["range"]) == (308, "bytes=0-99")
    rest = ranged(100, len(CONTENT) - 1)
    last = served.client.put(URL, params=NAMED, content=CONTENT[100:], headers=rest)
    assert last.status_code == 200
    path = served.folder / "private" / last.json()["path"]
    assert path.read_bytes() == CONTENT


def test_a_piece_that_does_not_follow_is_refused(served: Served) -> None:
    answer = served.client.put(URL, params=NAMED, content=CONTENT[9:20], headers=ranged(9, 19))
    assert answer.status_code == 409


def test_a_file_with_another_digest_is_refused_and_leaves_nothing(served: Served) -> None:
    answer = served.client.put(URL, params=NAMED, content=CONTENT + b"x")
    assert answer.status_code == 409
    assert served.client.head(URL, params=NAMED).status_code == 404
    uploads = served.folder / "private" / "uploads"
    assert not [path for path in uploads.rglob("*") if path.is_file()]


def test_an_upload_longer_than_it_said_is_refused(served: Served) -> None:
    answer = served.client.put(URL, params=NAMED, content=CONTENT, headers=ranged(0, 9, 10))
    assert answer.status_code == 413


def test_uploads_leave_space_on_the_disk(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from shutil import disk_usage

    full = disk_usage("/")._replace(free=1_000_000_000)
    monkeypatch.setattr("farm.service.uploads.shutil.disk_usage", lambda _: full)
    assert served.client.put(URL, params=NAMED, content=CONTENT).status_code == 413


def test_a_file_is_bounded(served: Served) -> None:
    headers = ranged(0, 9, 20_000_000_001)
    assert (
        served.client.put(URL, params=NAMED, content=CONTENT[:10], headers=headers).status_code
        == 413
    )


@pytest.mark.parametrize("name", ["../a", "a/b", ".hidden", "", "a\0", "a\n", "x" * 300])
def test_a_name_that_leaves_the_folder_is_refused(served: Served, name: str) -> None:
    assert served.client.put(URL, params={"name": name}, content=CONTENT).status_code == 400


@pytest.mark.parametrize("digest", ["..", "x" * 64, "A" * 64, "0" * 63, "%2e%2e"])
def test_a_digest_is_a_digest(served: Served, digest: str) -> None:
    answer = served.client.put(f"/api/uploads/{digest}", params=NAMED, content=b"")
    assert answer.status_code in {400, 404, 405}


@pytest.mark.parametrize(
    "header", ["bytes 5-2/10", "bytes */10", "0-1/2", "bytes 0-9/9", "bytes 0-9"]
)
def test_a_strange_range_is_refused(served: Served, header: str) -> None:
    answer = served.client.put(URL, params=NAMED, content=b"x", headers={"content-range": header})
    assert answer.status_code == 400


# Previews


def test_a_preview_is_small_and_soon_and_not_listed(served: Served) -> None:
    Image.new("RGB", (900, 300), "red").save(served.folder / "in" / "wide.png")
    body = {"task": "copy", "inputs": ["photos/wide.png"]}
    answer = served.client.post("/api/preview", json=body)
    assert answer.status_code == 201, answer.text
    job = served.wait(answer.json()["id"], lambda job: job["state"] == "completed")
    assert (job["preview"], job["priority"]) == (True, 100)
    shown = served.client.get(f"/api/jobs/{job['id']}/units/0/picture", params={"side": 600})
    assert Image.open(io.BytesIO(shown.content)).size == (320, 107)
    assert served.client.get("/api/jobs").json()["jobs"] == []


# Events


def read(lines: Iterator[str], count: int) -> list[tuple[str, str]]:
    """Return the kinds and numbers of so many changes of units in a stream of events."""
    found: list[tuple[str, str]] = []
    kind = number = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            number = value
        elif not line and kind == "unit":
            found.append((kind, number))
            kind = number = ""
            if len(found) == count:
                return found
    return found


def test_a_reader_who_was_away_misses_no_change(served: Served) -> None:
    with served.client.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        served.submit()
        first = read(lines, 4)
    served.finished(output="out/next/")
    with served.client.stream(
        "GET", "/api/events", headers={"last-event-id": first[-1][1]}
    ) as answer:
        served.submit(output="out/last/")
        rest = read(answer.iter_lines(), 5)
    numbers = [int(number) for _, number in first + rest]
    assert numbers == list(range(numbers[0], numbers[0] + 9))


def test_a_reader_from_another_ledger_must_load_everything(served: Served) -> None:
    with served.client.stream("GET", "/api/events", headers={"last-event-id": "99999"}) as answer:
        assert "event: reset" in [
            line for line, _ in zip(answer.iter_lines(), range(6), strict=False)
        ]


def test_a_reader_who_is_far_behind_must_load_everything(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.event_stream.MOST_BEHIND", 5)
    monkeypatch.setattr("farm.service.event_stream.PAGE", 5)
    served.finished()
    with served.client.stream("GET", "/api/events", headers={"last-event-id": "1"}) as answer:
        lines = answer.iter_lines()
        assert "event: reset" in [line for line, _ in zip(lines, range(6), strict=False)]
        served.submit(output="out/next/", inputs=["photos/b.png"])  # too few to be far behind
        assert [int(number) for _, number in read(lines, 3)] == [10, 11, 12]


def test_readers_of_events_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.event_stream.READERS", 1)
    with served.client.stream("GET", "/api/events"):
        answer = httpx.get(f"{served.client.base_url}/api/events")
        assert answer.status_code == 429


def test_readers_who_go_before_they_get_anything_take_no_place() -> None:
    async def come_and_go() -> None:
        feed = Feed(lambda _after, _limit: [], lambda: 0, lambda _job: {})
        for _ in range(READERS + 1):
            events: Any = feed.open(None, None)
            await events.aclose()

    asyncio.run(come_and_go())


# Metrics


def test_metrics_count_requests_by_the_template_of_their_route(served: Served) -> None:
    job = served.finished()["id"]
    served.client.get(f"/api/jobs/{job}/why")
    served.client.get("/nothing/at/all")
    text = served.client.get("/metrics").text
    assert (
        'farm_http_requests_total{method="GET",route="/api/jobs/{job}/why",status="200"} 1.0'
        in text
    )
    assert 'farm_units_total{outcome="succeeded",plugin="copying",task="copy"} 3.0' in text
    assert job not in text
    assert "nothing" not in text
