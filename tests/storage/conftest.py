"""The kinds of storage that the tests of this room use, and a cache of their own."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.storage import Scheme, add_schemes
from farm.storage.local_disk import LocalDisk

from ..fake_storage import farm_storage  # noqa: TID252 - shared between rooms

KINDS = ("disk", "folder")


@dataclass(frozen=True)
class Storage:
    """A kind of storage, and an empty place in it. refused: a URL where nothing may be written."""

    scheme: Scheme
    root: str
    refused: str = ""

    def url(self, name: str) -> str:
        return f"{self.root}/{name}"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for the test alone."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of storage."""
    return make_storage(request.param, tmp_path)


@pytest.fixture(params=KINDS[1:])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of remote storage."""
    return make_storage(request.param, tmp_path)


def make_storage(kind: str, tmp_path: Path) -> Storage:
    place = tmp_path / "storage"
    if kind == "disk":
        place.mkdir()
        return Storage(LocalDisk(), str(place))
    add_schemes(farm_storage())
    refused = f"folder://{tmp_path}/.refuse/a.png"
    return Storage(farm_storage()["folder"](), f"folder://{place}", refused)
