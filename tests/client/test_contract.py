"""What a client may rely on, with a fake service and with the real one."""

import hashlib
import os
from pathlib import Path

import pytest

from farm.client import Client, sending
from farm.errors import BadParameter, Conflict, NotFound, UserError

from .conftest import Services
from .fake_service import ESTIMATE


def test_a_job_is_submitted_and_waited_for(client: Client) -> None:
    job = client.submit("copy", "photos/", "out/job/", amount=0.5)
    status = job.wait(timeout=60)
    assert (status.state, status.frames, status.done, status.progress) == ("completed", 3, 3, 1.0)
    assert status.is_complete
    assert status.spec["params"] == {"amount": 0.5}


def test_a_job_is_found_by_its_id(client: Client) -> None:
    job = client.submit("copy", ["photos/"], "out/job/")
    assert client.job(job.id).id == job.id
    with pytest.raises(NotFound, match="no job has the id copy-nothing"):
        client.job("copy-nothing")
    with pytest.raises(UserError):
        client.job("../roots")


def test_a_job_is_found_by_the_beginning_of_its_id(client: Client) -> None:
    job = client.submit("copy", ["photos/"], "out/job/")
    assert client.job("copy-").id == client.job(job.id[:-1]).id == job.id
    other = client.submit("copy", ["photos/"], "out/other/")
    both = ", ".join(sorted((job.id, other.id)))
    with pytest.raises(NotFound, match=f"an id that begins with copy-: {both}; give more of it"):
        client.job("copy-")
    assert client.job(job.id).id == job.id


def test_the_same_token_gives_the_same_job(client: Client) -> None:
    first, again = (
        client.submit("copy", "photos/", "out/job/", {"token": "nightly"}) for _ in range(2)
    )
    other = client.submit("copy", "photos/", "out/other/")
    assert first.id == again.id != other.id


def test_jobs_are_listed_newest_first(client: Client) -> None:
    made = [client.submit("copy", "photos/", f"out/{n}/") for n in range(4)]
    for job in made:
        job.wait(60)
    newest = [job.id for job in reversed(made)]
    assert [job.id for job in client.jobs()] == newest
    assert [job.id for job in client.jobs(limit=3)] == newest[:3]
    assert [job.id for job in client.jobs(state="completed", limit=1)] == newest[:1]
    assert list(client.jobs(state="failed")) == []


def test_a_job_is_estimated_and_not_submitted(client: Client) -> None:
    found = client.estimate("copy", "photos/", "out/job/")
    assert found["units"] == 3
    assert found.keys() == ESTIMATE.keys()
    assert list(client.jobs()) == []


def test_a_parameter_is_refused_by_name(client: Client) -> None:
    with pytest.raises(BadParameter, match=r"amount: .*1") as refused:
        client.submit("copy", "photos/", "out/job/", amount=7)
    assert refused.value.name == "amount"
    assert str(refused.value).count("amount") == 1


def test_an_unknown_task_and_a_place_outside_the_roots_are_refused(client: Client) -> None:
    with pytest.raises(UserError, match="unknown task"):
        client.submit("cpoy", "photos/", "out/job/")
    with pytest.raises(UserError, match="no root has this name"):
        client.submit("copy", "photos/", "elsewhere/job/")
    with pytest.raises(UserError, match=r"'/tmp/job\.png': no root has this name"):
        client.submit("copy", "photos/", "/tmp/job.png")  # noqa: S108 - refused


def test_an_empty_input_does_not_stand_for_the_current_folder(client: Client) -> None:
    for inputs in ("", ["photos/a.png", ""]):
        with pytest.raises(UserError, match="an input is empty; give ROOT/path"):
            client.submit("copy", inputs, "out/job/")


def test_a_job_is_paused_goes_on_and_is_cancelled(services: Services) -> None:
    with services(["a"]) as place, place.client() as client:
        job = client.submit("copy", "photos/", "out/job/")
        assert job.pause().wanted == "pause"
        assert job.resume().wanted == "run"
        assert job.set_priority(80).priority == 80
        assert job.cancel().wanted == "cancel"
        assert job.wait(60).state == "cancelled"
        with pytest.raises(Conflict, match="has ended"):
            job.pause()


def test_waiting_ends_in_time(services: Services) -> None:
    with services(["a"]) as place, place.client() as client:
        job = client.submit("copy", "photos/", "out/job/")
        with pytest.raises(TimeoutError, match=f"{job.id} has not ended after 0.2 s"):
            job.wait(0.2)
        job.cancel()


def test_units_and_log_are_complete_and_in_order(client: Client) -> None:
    job = client.submit("copy", "photos/", "out/job/")
    job.wait(60)
    assert [unit["name"] for unit in job.units()] == ["a", "b", "c"]
    lines = list(job.log())
    ids = [line["id"] for line in lines]
    assert ids == sorted(set(ids))
    done = [line["unit"] for line in lines if line["state"] == "succeeded"]
    assert sorted(done) == ["a", "b", "c"]
    assert job.why() == ""


def test_watching_tells_of_the_end(client: Client) -> None:
    events = list(client.submit("copy", "photos/", "out/job/").watch(60))
    assert {event.kind for event in events} <= {"job", "unit", "progress"}
    assert (events[-1].kind, events[-1].data["state"]) == ("job", "completed")


def test_results_are_fetched(client: Client, tmp_path: Path) -> None:
    job = client.submit("copy", "photos/", "out/job/")
    job.wait(60)
    paths = job.fetch(tmp_path / "fetched")
    assert [path.name for path in paths] == ["a.png", "b.png", "c.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert {path.parent for path in paths} == {tmp_path / "fetched"}


def test_a_file_of_this_machine_is_uploaded_once(client: Client, picture: Path) -> None:
    there = client.upload(picture)
    assert client.upload(picture) == there
    assert there.startswith("uploads/")
    assert there.endswith("/my picture.png")
    job = client.submit("copy", picture, "out/job/")
    assert job.status.spec["inputs"] == [there]


def test_a_large_file_is_uploaded_in_pieces(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PIECE_BYTES", 1000)
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(3500))
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    assert client.upload(film) == f"uploads/{digest}/film.mp4"


def test_what_the_farm_has_is_listed(client: Client) -> None:
    assert client.roots() == ["out", "photos", "uploads"]
    assert "copy" in {task["name"] for task in client.tasks()}
    assert {"name", "kind", "node", "device", "state", "unit"} <= client.workers()[0].keys()


def test_a_service_beyond_this_machine_wants_a_token(services: Services) -> None:
    with services(token=True) as place:
        with place.client("wrong") as stranger, pytest.raises(UserError, match="FARM_TOKEN"):
            list(stranger.jobs())
        with place.client() as friend:
            assert list(friend.jobs()) == []
