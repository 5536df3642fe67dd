"""Files that somebody put in a root lead nowhere else, and no request makes the service look elsewhere."""

import io
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from farm.storage import Scheme
from farm.storage.schemes import add_schemes

from ..fake_storage import FolderStorage  # noqa: TID252 - shared between rooms
from .conftest import Served


@pytest.fixture
def secret(served: Served) -> Path:
    """A picture outside the roots."""
    path = served.folder / "secret.png"
    Image.new("RGB", (8, 8), "blue").save(path)
    return path


def test_no_request_makes_the_service_look_elsewhere(served: Served, tmp_path: Path) -> None:
    looks: list[str] = []

    def look() -> Scheme:
        looks.append("here")
        return FolderStorage()

    add_schemes({"folder": look})
    url = f"folder://{tmp_path}/elsewhere/a.png"
    params = [{"guide": url}, {"mask": url}, {"weights": url}, {"network": url}]
    requests: list[dict[str, object]] = [{"task": "dream", "params": each} for each in params]
    requests += [
        {"inputs": [url]},
        {"inputs": ["photos/", url]},
        {"output": url},
    ]
    answers = [served.submit(**changes).status_code for changes in requests]
    answers += [
        served.client.post("/api/preview", json={"task": "copy", "inputs": [url]}).status_code,
        served.client.get("/api/roots", params={"under": url}).status_code,
    ]
    assert set(answers) <= {400, 403}
    assert looks == []


def test_a_picture_of_this_machine_is_no_input(
    served: Served, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(served.folder)
    for given in (str(secret), secret.name, f"file://{secret}"):
        answer = served.submit(inputs=[given])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_run_reads_no_picture_that_a_link_leads_to(
    served: Served, pictures: Path, secret: Path
) -> None:
    (pictures / "inner").mkdir()
    (pictures / "inner" / "d.png").symlink_to(secret)
    answer = served.submit(task="dcgan", inputs=["photos/"], output="out/run/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_an_output_beside_the_roots_is_refused_with_where_outputs_lie(served: Served) -> None:
    answer = served.submit(inputs=["photos/a.png"], output="/elsewhere/x.png")
    assert answer.status_code == 403
    where = "outputs lie below a root of the farm (out, photos): give ROOT/path, then fetch it"
    assert where in answer.json()["error"]["message"]


@pytest.mark.parametrize("of", ["result", "source"])
def test_a_link_in_the_place_of_a_picture_is_not_shown(
    served: Served, secret: Path, of: str
) -> None:
    job = served.finished()["id"]
    path = served.folder / ("out/job/a.png" if of == "result" else "in/a.png")
    path.unlink()
    path.symlink_to(secret)
    answer = served.client.get(f"/api/jobs/{job}/units/0/picture", params={"of": of})
    assert answer.status_code == 403


def test_a_link_in_the_place_of_a_result_is_in_no_zip(served: Served, secret: Path) -> None:
    job = served.finished()["id"]
    path = served.folder / "out" / "job" / "b.png"
    path.unlink()
    path.symlink_to(secret)
    answer = served.client.get(f"/api/jobs/{job}/results.zip")
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["a.png", "c.png", "MISSING.txt"]
        assert archive.read("MISSING.txt") == b"b.png\n"


def test_names_in_a_zip_lead_nowhere_on_any_system(served: Served, pictures: Path) -> None:
    (pictures / "a.png").rename(pictures / "x\\..\\..\\y:z.png")
    job = served.finished()["id"]
    answer = served.client.get(f"/api/jobs/{job}/results.zip")
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert "x_.._.._y_z.png" in archive.namelist()


@pytest.mark.parametrize(
    "inputs", [["photos/**/**/**/*.png"], [f"photos/{'?' * n}*" for n in range(101)]]
)
def test_inputs_that_take_long_to_list_are_refused(served: Served, inputs: list[str]) -> None:
    answer = served.submit(inputs=inputs)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_no_refusal_names_a_path_of_this_machine(served: Served) -> None:
    (served.folder / "in" / "text.png").write_text("no picture")
    served.finished()
    answers = [
        served.submit(inputs=["photos/none.png"]),
        served.submit(inputs=["photos/text.png"]),
        served.submit(),
        served.submit(task="dream", params={"guide": "photos/none.png"}),
        served.client.get("/api/roots", params={"under": "photos/none"}),
        served.client.post("/api/preview", json={"task": "copy", "inputs": ["photos/text.png"]}),
    ]
    messages = [answer.json()["error"]["message"] for answer in answers if answer.is_error]
    assert len(messages) >= 5
    assert "photos/none.png" in messages[0]
    assert not [message for message in messages if str(served.folder) in message]


@pytest.mark.parametrize("inner", ["", "/", "/a.png", "/other/"])
def test_no_job_replaces_a_file_that_was_sent(served: Served, inner: str) -> None:
    digest = "0" * 64
    (served.folder / "private" / "uploads" / digest).mkdir()
    answer = served.submit(output=f"uploads/{digest}{inner}", inputs=["photos/a.png"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
