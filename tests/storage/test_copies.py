"""A remote file is fetched once by a machine, verified, and kept while there is room or use for it."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.dummy import Pool
from pathlib import Path
from threading import Event

import pytest

from farm.errors import BadInput, BadOutput, StorageFailed, StorageUnavailable
from farm.storage import Scheme, Stat, add_schemes, copy_locks, input_path, local_folder, open_whole
from farm.storage.copies import Copies, local_copies

from ..fake_storage import FolderStorage  # noqa: TID252 - shared between rooms


class Watched(FolderStorage):
    """A storage that notes what is fetched, and can break while it is.

    seconds: how long a fetch waits for a second one to begin. before: called by each fetch.
    """

    def __init__(self) -> None:
        self.fetched: list[tuple[str, int]] = []
        self.cut_after = 0
        self.damage = b""
        self.second, self.seconds = Event(), 0.0
        self.before: Callable[[], None] = lambda: None

    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        start = target.stat().st_size if target.exists() else 0
        self.fetched.append((url, start))
        if len(self.fetched) > 1:
            self.second.set()
        self.second.wait(self.seconds)
        self.before()
        super().fetch(url, seen, target)
        if self.damage:
            target.write_bytes(self.damage)
        if self.cut_after:
            os.truncate(target, self.cut_after)
            raise StorageFailed(url, "the connection was cut")


@pytest.fixture
def watched() -> Watched:
    storage = Watched()
    add_schemes({"folder": lambda: storage})
    return storage


@pytest.fixture
def root(watched: Watched, tmp_path: Path) -> str:
    return f"folder://{tmp_path}/storage"


def put(watched: Scheme, url: str, content: bytes) -> str:
    """Write past the copies, as another machine does."""
    watched.put_bytes(url, content)
    return url


def copies_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("copies/*/*"))


def test_a_file_is_fetched_once_by_all_who_want_it(watched: Watched, root: str) -> None:
    url = put(watched, f"{root}/a", b"content" * 10_000)
    watched.seconds = 0.3  # for a second fetch, which should not come
    with Pool(8) as pool:
        assert {path.read_bytes() for path in pool.map(input_path, [url] * 8)} == {
            b"content" * 10_000
        }
    assert len(watched.fetched) == 1


def test_a_new_version_is_fetched_and_the_old_copy_stays_as_it_was(
    watched: Watched, root: str
) -> None:
    url = put(watched, f"{root}/a", b"old")
    before = input_path(url)
    put(watched, url, b"new")
    assert (input_path(url).read_bytes(), before.read_bytes()) == (b"new", b"old")


def test_a_file_that_is_replaced_while_it_is_fetched_is_looked_at_anew(
    watched: Watched, root: str
) -> None:
    url = put(watched, f"{root}/a", b"old")

    def replace() -> None:
        if len(watched.fetched) == 1:
            put(watched, url, b"new")

    watched.before = replace
    assert input_path(url).read_bytes() == b"new"


def test_what_was_written_here_is_not_fetched(watched: Watched, root: str) -> None:
    with open_whole(f"{root}/a.png") as file:
        file.write(b"content")
    assert input_path(f"{root}/a.png").read_bytes() == b"content"
    assert watched.fetched == []


def test_a_fetch_that_was_cut_goes_on_where_it_ended(watched: Watched, root: str) -> None:
    url = put(watched, f"{root}/a", b"0123456789")
    watched.cut_after = 4
    with pytest.raises(StorageFailed, match="cut"):
        input_path(url)
    watched.cut_after = 0
    assert input_path(url).read_bytes() == b"0123456789"
    assert watched.fetched == [(url, 0), (url, 4)]


@pytest.mark.parametrize("damage", [b"0123456780", b"012345678"])
def test_a_damaged_copy_is_dropped(
    watched: Watched, root: str, own_copies: Path, damage: bytes
) -> None:
    url = put(watched, f"{root}/a", b"0123456789")
    watched.damage = damage
    with pytest.raises(StorageFailed, match="what arrived is not what was written"):
        input_path(url)
    assert copies_in(own_copies) == []
    watched.damage = b""
    assert input_path(url).read_bytes() == b"0123456789"


def test_a_folder_is_fetched_once_and_goes_on_after_a_cut(watched: Watched, root: str) -> None:
    for name in ("a", "x/b", "x/c"):
        put(watched, f"{root}/data/{name}", b"0123456789")
    watched.cut_after = 5
    with pytest.raises(StorageFailed):
        local_folder(f"{root}/data")
    watched.cut_after = 0
    folder = local_folder(f"{root}/data")
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["a", "b", "c"]
    assert 5 in {start for _, start in watched.fetched[-3:]}
    count = len(watched.fetched)
    assert local_folder(f"{root}/data/") == folder
    assert len(watched.fetched) == count


def test_a_folder_that_no_disk_can_hold_is_refused(watched: Watched, root: str) -> None:
    for name in ("a", "a/b"):
        put(watched, f"{root}/data/{name}", b"1")
    with pytest.raises(BadInput, match="data/a is a file and also a folder"):
        local_folder(f"{root}/data")


def test_copies_not_used_for_longest_make_room(watched: Watched, root: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path / "own", 3000)
    urls = [put(watched, f"{root}/{name}", bytes(1000)) for name in "abcd"]

    def use(url: str) -> None:
        seen = watched.stat(url)
        assert seen
        copies.copy(url, seen, watched)
        copies._held.drop(copies._entry(url, seen.version))  # as the end of the process does

    for age, url in enumerate(urls[:3]):
        use(url)
        seen = watched.stat(url)
        assert seen
        moment = 1000 + age
        os.utime(copies._entry(url, seen.version), (moment, moment))
    use(urls[0])
    use(urls[3])
    assert copies_in(tmp_path / "own") == ["a", "c", "d"]


def test_a_copy_in_use_is_not_removed(watched: Watched, root: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path / "own", 1000)
    for name in "abc":
        url = put(watched, f"{root}/{name}", bytes(1000))
        seen = watched.stat(url)
        assert seen
        copies.copy(url, seen, watched)
    assert copies_in(tmp_path / "own") == ["a", "b", "c"]


def test_a_copy_that_was_removed_by_hand_is_fetched_again(watched: Watched, root: str) -> None:
    url = put(watched, f"{root}/a", b"content")
    input_path(url).unlink()
    assert input_path(url).read_bytes() == b"content"


def test_a_fetch_of_a_stopped_process_is_not_waited_for_for_ever(
    watched: Watched, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_locks, "_STALLED_SECONDS", 0.1)
    url = put(watched, f"{root}/a", b"content")
    entry = input_path(url).parent
    input_path(url).unlink()
    other = os.open(entry, os.O_RDONLY)
    local_copies()._held.drop(entry)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(StorageFailed, match="is fetching it and stands still; end it"):
        input_path(url)
    os.close(other)
    assert input_path(url).read_bytes() == b"content"


def test_a_folder_for_copies_that_cannot_be_used_is_named(
    watched: Watched, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "file" / "cache"))
    url = put(watched, f"{root}/a", b"content")
    for attempt in (lambda: input_path(url), lambda: open_whole(url).__enter__()):
        with pytest.raises(BadOutput, match=r"file/cache: .*; set FARM_CACHE to another folder"):
            attempt()


def test_a_full_disk_of_copies_pauses_the_job(
    watched: Watched, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(watched, f"{root}/a", b"content")

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watched, "fetch", fill)
    with pytest.raises(StorageUnavailable, match="the disk is full; free some space"):
        input_path(url)


CROWD = """
import random, sys
from multiprocessing.dummy import Pool
sys.path.insert(0, sys.argv[1])
from fake_storage import FolderStorage
from farm.errors import InputChanged
from farm.storage import add_schemes, input_path, local_folder, open_whole

root, rng = sys.argv[2], random.Random(int(sys.argv[3]))
add_schemes({"folder": FolderStorage})

def act(_):
    number = rng.randrange(40)
    content = str(number).encode() * 10_000
    try:
        if rng.random() < 0.15:
            with open_whole(f"{root}/{number}") as file:
                file.write(content)
        elif rng.random() < 0.05:
            local_folder(root)
        else:
            assert input_path(f"{root}/{number}").read_bytes() == content
    except InputChanged:
        pass

with Pool(4) as pool:
    pool.map(act, range(200))
"""


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_of_processes_reads_writes_and_evicts_without_a_mistake(
    watched: Watched, root: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setenv("FARM_CACHE_BYTES", "300000")
    for number in range(40):
        put(watched, f"{root}/{number}", str(number).encode() * 10_000)
    tests = str(Path(__file__).parents[1])
    crowd = [
        subprocess.Popen([sys.executable, "-c", CROWD, tests, root, f"{seed}{number}"])
        for number in range(4)
    ]
    assert [each.wait() for each in crowd] == [0, 0, 0, 0]
