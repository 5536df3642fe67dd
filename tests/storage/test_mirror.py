"""A run's folder and its copy in a bucket stay alike, and no stale run replaces a newer one."""

from pathlib import Path

import pytest

from farm.errors import OutputReplaced, StorageUnavailable
from farm.storage import Mirror, Stat, add_schemes, input_path, is_file, open_whole
from farm.storage.door import files_below

from ..fake_storage import FolderStorage  # noqa: TID252 - shared between rooms
from .conftest import Storage


@pytest.fixture
def url(remote: Storage) -> str:
    return remote.url("run")


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def remote_names(url: str) -> list[str]:
    return sorted(file.url.removeprefix(f"{url}/") for file in files_below(url))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_changed_is_pushed_and_what_is_gone_is_removed(url: str, tmp_path: Path) -> None:
    mirror = Mirror(url, tmp_path / "run")
    fill(tmp_path / "run", log="1", checkpoints__100="a", checkpoints__200="b")
    fill(tmp_path / "run", **{".farm-0.part": "half"})
    mirror.push()
    assert remote_names(url) == ["checkpoints/100", "checkpoints/200", "log"]
    fill(tmp_path / "run", log="1, 2")
    (tmp_path / "run" / "checkpoints" / "100").unlink()
    mirror.push()
    assert remote_names(url) == ["checkpoints/200", "log"]
    assert input_path(f"{url}/log").read_text() == "1, 2"


def test_another_machine_goes_on_with_what_it_wants(url: str, tmp_path: Path) -> None:
    fill(tmp_path / "a", log="1", page="p", checkpoints__100="a", checkpoints__200="b")
    Mirror(url, tmp_path / "a").push()
    later = Mirror(url, tmp_path / "b")
    later.pull(lambda name: name in {"log", "checkpoints/200"})
    assert names(tmp_path / "b") == ["checkpoints/200", "log"]
    fill(tmp_path / "b", log="1, 2", page="q")
    later.push()
    assert remote_names(url) == ["checkpoints/100", "checkpoints/200", "log", "page"]
    assert input_path(f"{url}/page").read_text() == "q"


def test_a_second_pull_fetches_what_is_new(url: str, tmp_path: Path) -> None:
    writer, reader = Mirror(url, tmp_path / "a"), Mirror(url, tmp_path / "b")
    fill(tmp_path / "a", log="1", page="p")
    writer.push()
    reader.pull()
    fill(tmp_path / "a", log="1, 2")
    writer.push()
    reader.pull()
    assert (tmp_path / "b" / "log").read_text() == "1, 2"


def test_a_stale_run_replaces_nothing_of_a_newer_one(url: str, tmp_path: Path) -> None:
    stale, fresh = Mirror(url, tmp_path / "a"), Mirror(url, tmp_path / "b")
    fill(tmp_path / "a", log="1")
    stale.push()
    fresh.pull()
    fill(tmp_path / "b", log="1, 2 anew")
    fresh.push()
    fill(tmp_path / "a", log="1, 2 stale")
    with pytest.raises(OutputReplaced):
        stale.push()
    assert input_path(f"{url}/log").read_text() == "1, 2 anew"


def test_files_that_depend_on_others_are_written_after_them(
    remote: Storage, url: str, tmp_path: Path
) -> None:
    fill(tmp_path / "run", a="result", z="what it names")
    mirror = Mirror(url, tmp_path / "run")
    order = {"a": 1, "z": 0}.__getitem__
    with open_whole(f"{url}/z") as file:
        file.write(b"somebody else's")
    mirror.pull(lambda _name: False)
    with open_whole(f"{url}/z") as file:
        file.write(b"and again")
    with pytest.raises(OutputReplaced):
        mirror.push(order)
    assert not is_file(f"{url}/a")


class Full(FolderStorage):
    """A storage that has room for some files."""

    room = 1

    def put(self, url: str, source: Path, sha256: str, *, expected: str | None = None) -> Stat:
        if not self.room:
            raise StorageUnavailable(url, "the quota is used up; free some space")
        self.room -= 1
        return super().put(url, source, sha256, expected=expected)


def test_a_push_that_failed_is_gone_on_with(tmp_path: Path) -> None:
    storage, url = Full(), f"folder://{tmp_path}/storage/run"
    add_schemes({"folder": lambda: storage})
    fill(tmp_path / "run", log="1", page="p")
    mirror = Mirror(url, tmp_path / "run")
    with pytest.raises(StorageUnavailable):
        mirror.push()
    assert remote_names(url) == ["log"]
    storage.room = 1
    mirror.push()
    assert remote_names(url) == ["log", "page"]
