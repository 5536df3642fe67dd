"""A root cannot be left: by dots, links, encodings, absolute paths, or keys of a bucket."""

from pathlib import Path

import pytest

from farm.errors import OutsideRoots, UserError
from farm.service.roots import Roots

from .conftest import Served

OUTSIDE = (
    "photos/../secret.png",
    "photos/a/../../secret.png",
    "photos/./a.png",
    "photos//a.png",
    "photos/.hidden.png",
    "photos/a\0.png",
    "photos/a\n.png",
    "/etc/passwd",
    "file:///etc/passwd",
    "s3://other/key",
    "~/a.png",
    "elsewhere/a.png",
    "",
    "-/a.png",
    "photos/" + "a" * 3000,
)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "photos").mkdir()
    return Roots({"photos": str(tmp_path / "photos"), "bucket": "s3://bucket/prefix/"})


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_location_outside_is_refused(roots: Roots, path: str) -> None:
    with pytest.raises(OutsideRoots):
        roots.resolve(path)


@pytest.mark.parametrize("path", ["bucket/../other", "bucket/a/../../b", "bucket//a", "bucket/a\0"])
def test_a_key_outside_of_the_prefix_is_refused(roots: Roots, path: str) -> None:
    with pytest.raises(OutsideRoots):
        roots.resolve(path)


def test_locations_are_shown_as_they_are_asked_for(roots: Roots, tmp_path: Path) -> None:
    for path in ("photos/a/b.png", "photos/a/", "bucket/a/b.png", "photos/%2e%2e", "photos/a..b"):
        assert roots.shown(roots.resolve(path)) == path
    assert roots.resolve("bucket/a.png") == "s3://bucket/prefix/a.png"
    assert roots.shown(f"{tmp_path}/other/secret.png") == "-/secret.png"
    assert roots.shown(f"{tmp_path}/photos-2/a.png") == "-/a.png"


def test_a_link_out_of_a_root_is_not_followed(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").touch()
    (tmp_path / "photos" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "photos" / "a.png").symlink_to(tmp_path / "secret" / "a.png")
    (tmp_path / "photos" / "b.png").touch()
    (tmp_path / "photos" / "c.png").symlink_to(tmp_path / "photos" / "b.png")
    for path in ("photos/out/a.png", "photos/out/new.png", "photos/a.png"):
        with pytest.raises(OutsideRoots, match="link"):
            roots.resolve(path)
    assert roots.resolve("photos/c.png") == str(tmp_path / "photos" / "c.png")


@pytest.mark.parametrize("given", ["a", "=x", "A=x", "../a=x", "a b=x", "none=/nowhere/at/all"])
def test_a_root_needs_a_name_and_a_folder(given: str) -> None:
    with pytest.raises(UserError):
        Roots.parse([given])


def test_two_roots_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="twice"):
        Roots.parse([f"a={tmp_path}", f"a={tmp_path}"])


# Over HTTP


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("field", ["inputs", "output"])
def test_no_job_reads_or_writes_outside(served: Served, path: str, field: str) -> None:
    answer = served.submit(**{field: [path] if field == "inputs" else path})
    assert answer.status_code in {400, 403}
    assert answer.json()["error"]["code"] in {"bad_request", "forbidden"}


def test_a_link_among_the_inputs_is_refused(served: Served, pictures: Path) -> None:
    secret = served.folder / "secret.png"
    secret.write_bytes((pictures / "a.png").read_bytes())
    (pictures / "d.png").symlink_to(secret)
    for given in ("photos/", "photos/*.png", "photos/d.png"):
        answer = served.submit(inputs=[given])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "params",
    [
        {"guide": "/etc/passwd"},
        {"guide": "guide.png"},
        {"guide": "photos/../../guide.png"},
        {"guide": "s3://bucket/key"},
        {"weights": "weights.pth"},
        {"network": "run-folder"},
        {"network": "/somewhere/run@3"},
        {"network": "../net.caffemodel"},
    ],
)
def test_no_parameter_names_a_file_outside(served: Served, params: dict[str, str]) -> None:
    answer = served.submit(task="dream", params=params)
    assert answer.status_code in {400, 403}
    assert "/etc" not in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "style", ["/etc/passwd=0.5", "a.png=0.5", "../a.png", "photos/../../a.png"]
)
def test_no_style_is_read_from_outside(served: Served, style: str) -> None:
    assert served.submit(task="style", params={"styles": [style]}).status_code in {400, 403}


@pytest.mark.parametrize("field", ["guide", "mask"])
def test_a_file_in_the_services_own_folder_is_no_parameter(
    served: Served, pictures: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.chdir(served.folder)
    (served.folder / "secret.png").write_bytes((pictures / "a.png").read_bytes())
    answer = served.submit(task="dream", params={field: "secret.png"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("network", ["run-folder", "run-folder@3"])
def test_a_network_has_a_known_name_or_is_in_a_root(served: Served, network: str) -> None:
    error = served.submit(task="dream", params={"network": network}).json()["error"]
    assert error["field"] == "params.network"
    assert "nor ROOT/path" in error["message"]


def test_a_file_that_a_parameter_names_is_found_below_its_root(served: Served) -> None:
    answer = served.submit(task="dream", params={"guide": "photos/b.png"})
    assert answer.status_code == 201
    assert answer.json()["spec"]["params"]["guide"] == "photos/b.png"


@pytest.mark.parametrize(
    "under", ["photos/..", "photos/%2e%2e", "/", "photos/../out", "nowhere", "photos/\u0000"]
)
def test_no_folder_outside_is_listed(served: Served, under: str) -> None:
    assert served.client.get("/api/roots", params={"under": under}).status_code in {400, 403, 404}


def test_the_folder_of_a_root_is_listed_by_pages(served: Served) -> None:
    page = served.client.get("/api/roots", params={"under": "photos", "limit": 2}).json()
    assert [entry["path"] for entry in page["entries"]] == ["photos/a.png", "photos/b.png"]
    params = {"under": "photos", "after": page["next"]}
    (last,) = served.client.get("/api/roots", params=params).json()["entries"]
    assert (last["path"], last["kind"]) == ("photos/c.png", "picture")
