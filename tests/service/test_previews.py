"""A preview is small, leaves nothing after an hour, and no client has many at once."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from farm.errors import BadInput, BadParameter, Busy
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import JobChanged
from farm.model.job import Job, JobSpec, JobState
from farm.planning.submission import new_id
from farm.service import previews as previews_module
from farm.service.previews import KEPT_SECONDS, MOST, Previews

from ..clips import clip  # noqa: TID252 - shared between rooms
from ..workbench import ledger, ledger_url, spec  # noqa: TID252 - shared between rooms
from .conftest import Served

__all__ = ["clip", "ledger", "ledger_url", "spec"]


@pytest.fixture
def previews(tmp_path: Path, registry: Registry, ledger: Ledger) -> Previews:
    return Previews(tmp_path / "previews", registry, ledger)


def prepare(previews: Previews, spec: JobSpec, ledger: Ledger, client: str = "me") -> Job:
    """Prepare a preview and store its job."""
    small, token = previews.prepare(spec, client)
    job = Job(new_id(spec.task, token), small, time.time())
    ledger.add(job, ())
    return job


def end(ledger: Ledger, job: Job) -> None:
    ledger.record([JobChanged(replace(job, state=JobState.COMPLETED))], time.time())


def grow_old(job: Job) -> Path:
    folder = Path(job.spec.output).parent
    old = time.time() - KEPT_SECONDS - 1
    os.utime(folder, (old, old))
    return folder


def test_a_preview_is_urgent_and_its_input_is_a_small_copy(
    previews: Previews, spec: JobSpec, pictures: Path, ledger: Ledger
) -> None:
    Image.new("RGB", (100, 1600), "red").save(pictures / "a.png")
    asked = spec.model_copy(update={"after": ("other",), "frames": "1-9"})
    job = prepare(previews, asked, ledger)
    assert (job.spec.priority, job.spec.after, job.spec.frames) == (100, (), None)
    with Image.open(job.spec.inputs[0]) as small:
        assert small.size == (20, 320)
    assert previews.has(job.spec.output)
    assert not previews.has(spec.output)


def test_previews_are_forgotten_an_hour_after_they_ended(
    previews: Previews, spec: JobSpec, ledger: Ledger
) -> None:
    young, old = prepare(previews, spec, ledger), prepare(previews, spec, ledger)
    for job in (young, old):
        end(ledger, job)
    folder = grow_old(old)
    previews.forget()
    assert [job.id for job in ledger.jobs()] == [young.id]
    assert not folder.exists()
    assert Path(young.spec.inputs[0]).is_file()


def test_a_preview_that_has_not_ended_is_kept(
    previews: Previews, spec: JobSpec, ledger: Ledger
) -> None:
    folder = grow_old(prepare(previews, spec, ledger))
    previews.forget()
    assert folder.is_dir()


def test_a_client_has_only_so_many_previews_at_once(
    previews: Previews, spec: JobSpec, ledger: Ledger
) -> None:
    jobs = [prepare(previews, spec, ledger) for _ in range(MOST)]
    with pytest.raises(Busy, match=f"{MOST} previews of yours are being rendered; wait for one"):
        previews.prepare(spec, "me")
    prepare(previews, spec, ledger, client="another")
    end(ledger, jobs[0])
    prepare(previews, spec, ledger)


def test_a_preview_that_is_refused_leaves_nothing_and_counts_no_more(
    previews: Previews, spec: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews_module, "MOST", 1)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for _ in range(3):
        with pytest.raises(BadInput):
            previews.prepare(
                spec.model_copy(update={"inputs": (f"{tmp_path / 'broken.png'}",)}), "me"
            )
        _, token = previews.prepare(spec, "me")
        previews.discard(token, spec.task)
    assert list((tmp_path / "previews").iterdir()) == []


def test_of_a_film_its_first_frame_is_previewed(
    previews: Previews, spec: JobSpec, clip: Callable[..., str]
) -> None:
    small, _ = previews.prepare(spec.model_copy(update={"inputs": (clip("a.mp4"),)}), "me")
    with Image.open(small.inputs[0]) as picture:
        assert picture.size == (96, 64)
    assert small.output.endswith("out.png")


def test_only_an_effect_can_be_previewed(previews: Previews, spec: JobSpec) -> None:
    with pytest.raises(BadParameter, match="dcgan trains; only an effect"):
        previews.prepare(spec.model_copy(update={"task": "dcgan"}), "me")


def test_of_a_film_that_is_made_of_a_picture_the_first_frame_is_previewed(served: Served) -> None:
    body = {"task": "zoom", "inputs": ["photos/a.png"], "frames": "750"}
    answer = served.client.post("/api/preview", json=body)
    assert answer.status_code == 201, answer.text
    job = served.wait(answer.json()["id"], lambda found: found["state"] == "completed")
    units = served.client.get(f"/api/jobs/{job['id']}/units").json()["units"]
    first, written = units
    assert first["name"] in written["name"]
    picture = served.client.get(f"/api/jobs/{job['id']}/units/{written['number']}/picture")
    assert picture.status_code == 200


def test_a_preview_that_planning_refuses_leaves_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.desk.PLAN_SECONDS", 60)
    body = {"task": "dream", "inputs": ["photos/a.png"], "params": {"layers": ["nope"]}}
    answer = served.client.post("/api/preview", json=body)
    assert answer.status_code in {400, 409}
    assert list((served.folder / "private" / "previews").iterdir()) == []


def test_a_preview_of_parameters_over_time_shows_the_start_of_the_film(
    previews: Previews, spec: JobSpec, ledger: Ledger
) -> None:
    at = ["0 step=4", "9 step=1 layer=conv3"]
    asked = spec.model_copy(update={"task": "dream", "params": {"at": at}})
    params = prepare(previews, asked, ledger).spec.params
    assert (params["at"], params["step"], params["layers"]) == ([], 4.0, ["inception4c"])
