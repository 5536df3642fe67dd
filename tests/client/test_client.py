"""A client and a service that breaks."""

import hashlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from farm.client import Client, Event, connection, sending
from farm.client.watching import parse
from farm.errors import (
    BadInput,
    BadOutput,
    Conflict,
    OutsideRoots,
    ServerFailed,
    ServerSilent,
    ServerUnavailable,
    UserError,
)
from farm.service.serving import listen, serving

from .fake_service import Fake, served

Pair = tuple[Fake, Client]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


# Which service


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(token="farm_key")  # noqa: S106 - of a test
    with served(fake) as url:
        monkeypatch.setenv("FARM_SERVER", url)
        monkeypatch.setenv("FARM_TOKEN", "farm_key")
        with Client() as client:
            assert client.roots()


def test_without_a_service_the_message_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FARM_SERVER", raising=False)
    with pytest.raises(UserError, match="farm serve"):
        Client()


@pytest.mark.parametrize(
    "server", ["render:8420", "ftp://render", "http://", "http://[::1", "http://a:99999"]
)
def test_an_address_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(UserError, match="give a URL such as"):
        Client(server)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as refused:
        Client("http://me:pa55word@render:8420")
    assert "pa55word" not in str(refused.value)


def test_a_token_with_line_breaks_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="copy it again") as refused:
        Client("http://render:8420", "secret\nx: y")
    assert "secret" not in str(refused.value)


def test_no_service_at_the_address_is_said_at_once() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}")
    with client, pytest.raises(ServerUnavailable, match="farm serve"):
        list(client.jobs())


@contextmanager
def answering(status: int) -> Iterator[Client]:
    """Yield a client of a server that answers everything with a page for people."""

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>hello</html>"})

    with (
        listen("127.0.0.1", 0) as listener,
        serving(app, listener),
        Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        yield client


@pytest.mark.parametrize("status", [200, 404, 502])
def test_something_else_at_the_address_is_said(status: int) -> None:
    with answering(status) as client, pytest.raises(ServerUnavailable, match="something else"):
        client.roots()


def test_an_error_without_details_is_told_from_no_answer() -> None:
    with answering(500) as client, pytest.raises(ServerFailed) as failed:
        client.roots()
    assert "answers with an error, status 500: internal server error; its log" in str(failed.value)


def test_what_a_farm_cannot_do_at_present_is_said_in_its_own_words(fake: Pair) -> None:
    service, client = fake
    service.down = 1
    with pytest.raises(ServerFailed, match="status 503: the ledger is locked; its log") as failed:
        client._connection.get("/api/events", job="none")
    assert failed.value.status == 503


# Lost answers


def test_a_job_is_submitted_once_though_the_answer_is_lost(fake: Pair) -> None:
    service, client = fake
    service.lost = 2
    job = client.submit("copy", "photos/", "out/job/")
    assert list(service.jobs) == [job.id]


@pytest.fixture
def impatient(fake: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that waits for an answer for three seconds only."""
    monkeypatch.setattr(connection, "SECONDS", 3.0)
    with Client(fake[1].server) as client:
        yield client


def test_a_farm_that_does_not_answer_a_submission_is_asked_again_for_the_same_job(
    fake: Pair, impatient: Client
) -> None:
    service, _ = fake
    service.silent = 1
    job = impatient.submit("copy", "photos/", "out/job/")
    assert list(service.jobs) == [job.id]
    assert service.silent == 0


def test_a_submission_without_an_answer_may_be_taken_and_the_error_leads_to_its_job(
    fake: Pair, impatient: Client
) -> None:
    service, patient = fake
    service.silent = 100
    with pytest.raises(ServerSilent) as silent:
        impatient.submit("copy", "photos/", "out/job/")
    said = str(silent.value)
    assert "has not answered for 6 s; it may take the job all the same: look for it with" in said
    token = re.search(r"--submit-once ([0-9a-f]{32})`,", said)
    assert token
    service.silent = 0
    again = patient.submit("copy", "photos/", "out/job/", options={"token": token[1]})
    assert list(service.jobs) == [again.id]


def test_what_a_farm_says_of_inputs_is_logged_and_kept_with_the_job(
    fake: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    service, client = fake
    note = "2 pictures or films in subfolders were left out"
    service.ends = {"notes": [note]}
    job = client.submit("copy", "photos/", "out/job/")  # raises nothing though warnings are errors
    assert job.id in service.jobs
    assert job.status.notes == (note,)
    assert caplog.record_tuples == [("farm.client", logging.WARNING, note)]


def test_nothing_is_sent_for_an_output_outside_the_roots(fake: Pair, picture: Path) -> None:
    service, client = fake
    says = r"below a root of the farm \(out, photos\): give ROOT/path, then fetch it$"
    with pytest.raises(OutsideRoots, match=says):
        client.submit("copy", picture, "elsewhere/job/")
    assert service.uploads == {}


def test_a_request_whose_answer_is_always_lost_fails(fake: Pair) -> None:
    service, client = fake
    service.lost = 100
    with pytest.raises(ServerUnavailable):
        client.submit("copy", "photos/", "out/job/")


# Watching


def ended(events: list[Event]) -> list[str]:
    return [e.data["unit"] for e in events if e.kind == "unit" and e.data["state"] == "succeeded"]


def test_a_reader_that_was_cut_off_misses_nothing() -> None:
    service = Fake(["a", "b", "c"])
    service.cut = 1
    with served(service) as url, Client(url) as client:
        job = client.submit("copy", "photos/", "out/job/")
        events = []
        for event in job.watch(60):
            events.append(event)
            if len(events) == 1:
                service.finish(job.id)
    assert ended(events) == ["a", "b", "c"]
    assert len(service.streams) == 2
    assert job.status.state == "completed"


def test_a_reader_goes_on_after_the_last_event_that_it_has_seen() -> None:
    service = Fake(["a", "b", "c"])
    service.cut = 1
    with served(service) as url, Client(url) as client:
        job = client.submit("copy", "photos/", "out/job/")
        events = []
        for event in job.watch(10):
            events.append(event)
            if len(events) == 1:
                service.tell(job.id, "a", "succeeded")
                service.tell(job.id, "b", "succeeded")
            elif ended(events) == ["a", "b"]:
                service.hanging = ["c"]
                service.finish(job.id)
    assert ended(events) == ["a", "b", "c"]


def test_a_service_that_restarts_is_waited_for() -> None:
    service, port = Fake(["a"]), free_port()
    url = f"http://127.0.0.1:{port}"
    events: list[Event] = []
    with Client(url) as client:
        with served(service, port):
            job = client.submit("copy", "photos/", "out/job/")
            watched = job.watch(60)
            events.append(next(watched))
        service.finish(job.id)
        thread = Thread(target=events.extend, args=(watched,))
        thread.start()
        with served(service, port):
            thread.join()
    assert events[-1].data["state"] == "completed"


def test_a_service_that_is_busy_is_asked_again(fake: Pair) -> None:
    service, client = fake
    service.down = 3
    assert client.submit("copy", "photos/", "out/job/").wait(60).is_complete
    assert len(service.streams) == 1


def test_nobody_waits_for_a_service_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.client.watching.PATIENCE_SECONDS", 0.2)
    url = f"http://127.0.0.1:{(port := free_port())}"
    with Client(url) as client:
        with served(Fake(["a"]), port):
            job = client.submit("copy", "photos/", "out/job/")
        with pytest.raises(ServerUnavailable):
            job.wait()


def test_a_stream_is_read_as_the_standard_says() -> None:
    lines = [": hello", "", "id: 7", "event: unit", 'data: {"a":', "data:1}", "", "data: {}"]
    assert list(parse(lines)) == [Event("heartbeat", {}), Event("unit", {"a": 1}, "7")]


def test_a_reader_hears_why_a_job_waits_though_nothing_happens() -> None:
    service = Fake(["a"])
    with served(service) as url, Client(url) as client:
        job = client.submit("copy", "photos/", "out/job/")
        reasons = []
        for event in job.watch(20):
            reasons.append(event.data.get("reason"))
            if len(reasons) == 1:
                service.jobs[job.id]["reason"] = "all workers are busy"
            else:
                service.finish(job.id)
                break
    assert reasons == ["", "all workers are busy"]


def test_a_reader_hears_once_that_the_service_is_away(fake: Pair) -> None:
    service, client = fake
    service.down = 5
    kinds = [event.kind for event in client.submit("copy", "photos/", "out/job/").watch(60)]
    assert kinds == ["away", "job"]


# Uploads


def test_an_upload_is_sent_in_pieces_and_goes_on_where_it_ended(
    fake: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = fake
    monkeypatch.setattr(sending, "PIECE_BYTES", 10)
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(35))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    service.uploads[digest] = bytearray(path.read_bytes()[:10])
    assert client.upload(path) == f"uploads/{digest}/film.mp4"
    assert service.uploads[digest] == path.read_bytes()
    assert service.pieces == ["bytes 10-19/35", "bytes 20-29/35", "bytes 30-34/35"]


def test_an_upload_goes_on_after_a_lost_answer(
    fake: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = fake
    monkeypatch.setattr(sending, "PIECE_BYTES", 10)
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(35))
    service.lost = 2
    digest = client.upload(path).split("/")[1]
    assert service.uploads[digest] == path.read_bytes()


def test_a_file_that_is_refused_again_and_again_fails(
    fake: Pair, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending.storage, "sha256_file", lambda _: "0" * 64)
    with pytest.raises(Conflict, match="digest"):
        fake[1].upload(picture)


def test_an_empty_file_is_uploaded(fake: Pair, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert fake[1].upload(tmp_path / "empty.png").endswith("/empty.png")


def test_a_file_that_is_not_here_is_refused(fake: Pair, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        fake[1].upload(tmp_path / "none.png")
    with pytest.raises(BadInput, match="below a root of the farm: out, photos, uploads"):
        fake[1].submit("copy", "none.png", "out/job/")
    with pytest.raises(BadInput, match="is a folder; give its files"):
        fake[1].submit("copy", str(tmp_path), "out/job/")


def test_files_that_parameters_name_are_uploaded(
    fake: Pair, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    Path("tabby").touch()
    params = {
        "guide": picture.name,
        "styles": [f"{picture.name}=0.5", "photos/there.png"],
        "word": "tabby",
        "more": {"deep": picture},
    }
    job = fake[1].submit("copy", "photos/a.png", "out/job/", **params)
    there = fake[1].upload(picture)
    assert job.status.spec["params"] == {
        "guide": there,
        "styles": [f"{there}=0.5", "photos/there.png"],
        "word": "tabby",
        "more": {"deep": there},
    }


def test_a_path_below_a_root_means_the_one_of_the_service(
    fake: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    service, client = fake
    client.submit("copy", "photos/a.png", "out/job/")
    assert not service.uploads
    client.submit("copy", "./photos/a.png", "out/job/")
    assert service.uploads


# Results


@pytest.mark.parametrize("path", ["out/job/../../x.png", "out/job//etc/x.png", "..", "out/job/.."])
def test_no_result_leaves_the_folder(fake: Pair, tmp_path: Path, path: str) -> None:
    service, client = fake
    job = client.submit("copy", "photos/", "out/job/")
    service.paths = [path]
    with pytest.raises(BadOutput, match="not below its job's output"):
        job.fetch(tmp_path / "fetched")
    assert not list(tmp_path.rglob("*.png"))


def test_fetching_replaces_no_file_unless_it_is_asked_to(fake: Pair, tmp_path: Path) -> None:
    job = fake[1].submit("copy", "photos/", "out/job/")
    first, *others = job.fetch(tmp_path)
    true = first.read_bytes()
    for other in others:
        other.write_bytes(true[::-1])
    first.unlink()
    with pytest.raises(BadOutput, match=r"b\.png: it exists .*, and so does 1 more of the 3 files"):
        job.fetch(tmp_path)
    assert not first.exists()
    assert {other.read_bytes() for other in others} == {true[::-1]}
    assert job.fetch(tmp_path, overwrite=True) == [first, *others]
    assert true[::-1] not in {other.read_bytes() for other in others}


def test_fetching_again_goes_on_and_keeps_what_is_there(fake: Pair, tmp_path: Path) -> None:
    job = fake[1].submit("copy", "photos/", "out/job/")
    first, second, _ = paths = job.fetch(tmp_path)
    kept = second.stat().st_ino
    first.unlink()
    assert job.fetch(tmp_path) == paths
    assert first.exists()
    assert second.stat().st_ino == kept


def test_a_film_is_fetched_under_its_own_name(fake: Pair, tmp_path: Path) -> None:
    service, client = fake
    job = client.submit("copy", "photos/a.mp4", "out/b.mp4")
    service.paths = ["out/b.mp4"]
    assert job.fetch(tmp_path) == [tmp_path / "b.mp4"]
