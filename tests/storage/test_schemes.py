"""Every kind of storage keeps the same promises: local disks, and each scheme of URLs."""

import hashlib
from collections.abc import Callable
from multiprocessing.dummy import Pool
from pathlib import Path

import pytest

from farm.errors import BadOutput, InputChanged, OutputReplaced
from farm.storage import ABSENT, Scheme, Stat

from .conftest import Storage


@pytest.fixture
def put(storage: Storage, tmp_path: Path) -> Callable[..., Stat]:
    """Write a file of the storage: ``put(name, content, expected=...)``."""

    def put(name: str, content: bytes, expected: str | None = None) -> Stat:
        source = tmp_path / hashlib.sha256(name.encode() + content).hexdigest()
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return storage.scheme.put(storage.url(name), source, sha256, expected=expected)

    return put


def read(storage: Storage, name: str, target: Path) -> bytes:
    seen = storage.scheme.stat(storage.url(name))
    assert seen
    target.unlink(missing_ok=True)
    storage.scheme.fetch(storage.url(name), seen, target)
    return target.read_bytes()


Put = Callable[..., Stat]


def test_what_is_put_can_be_read_and_has_its_size_and_digest(
    storage: Storage, put: Put, tmp_path: Path
) -> None:
    written = put("a/b c é%+.bin", b"content")
    seen = storage.scheme.stat(storage.url("a/b c é%+.bin"))
    assert seen
    assert (written.version, written.sha256) == (seen.version, seen.sha256)
    assert (written.size, written.sha256) in {
        (7, hashlib.sha256(b"content").hexdigest()),
        (7, ""),
    }
    assert read(storage, "a/b c é%+.bin", tmp_path / "copy") == b"content"


def test_an_empty_file_is_a_file(storage: Storage, put: Put, tmp_path: Path) -> None:
    assert put("empty", b"").size == 0
    assert read(storage, "empty", tmp_path / "copy") == b""


def test_neither_what_is_absent_nor_a_folder_is_a_file(storage: Storage, put: Put) -> None:
    put("folder/a", b"1")
    assert storage.scheme.stat(storage.url("folder")) is None
    assert storage.scheme.stat(storage.url("none/a")) is None


def test_a_replaced_file_has_another_version(storage: Storage, put: Put, tmp_path: Path) -> None:
    versions = {put("a", content).version for content in (b"one", b"two", b"three")}
    assert len(versions) == 3
    assert ABSENT not in versions
    assert read(storage, "a", tmp_path / "copy") == b"three"


def test_only_the_expected_version_is_replaced(storage: Storage, put: Put, tmp_path: Path) -> None:
    first = put("a", b"first", ABSENT)
    second = put("a", b"second", first.version)
    for wrong in (ABSENT, first.version):
        with pytest.raises(OutputReplaced, match=r"a: .*meanwhile"):
            put("a", b"stale", wrong)
    assert read(storage, "a", tmp_path / "copy") == b"second"
    assert storage.scheme.stat(storage.url("a"))
    with pytest.raises(OutputReplaced):
        put("gone", b"stale", second.version)
    assert storage.scheme.stat(storage.url("gone")) is None


def test_of_writers_at_once_one_wins_whole(storage: Storage, put: Put, tmp_path: Path) -> None:
    contents = [bytes([i]) * 50_000 for i in range(6)]
    with Pool(6) as pool:
        pool.map(lambda content: put("a", content), contents)
    assert read(storage, "a", tmp_path / "copy") in contents
    assert [entry.url for entry in storage.scheme.entries(storage.url(""))] == [storage.url("a")]


def test_of_writers_who_expect_the_same_one_wins(remote: Storage, tmp_path: Path) -> None:
    url, sources = remote.url("a"), [tmp_path / str(number) for number in range(6)]
    version = ABSENT
    for turn in range(3):
        for number, source in enumerate(sources):
            source.write_bytes(bytes([turn, number]) * 50_000)

        def attempt(source: Path, expected: str = version) -> Stat | None:
            try:
                return remote.scheme.put(url, source, "", expected=expected)
            except OutputReplaced:
                return None

        with Pool(6) as pool:
            (won,) = filter(None, pool.map(attempt, sources))
        found = remote.scheme.stat(url)
        assert found
        version = won.version
        assert found.version == version


def test_a_partial_copy_is_continued(storage: Storage, put: Put, tmp_path: Path) -> None:
    seen = put("a", b"0123456789")
    (tmp_path / "part").write_bytes(b"abcd")
    storage.scheme.fetch(storage.url("a"), seen, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b"abcd456789"
    storage.scheme.fetch(storage.url("a"), seen, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b"abcd456789"


def test_a_version_that_is_gone_is_not_fetched(storage: Storage, put: Put, tmp_path: Path) -> None:
    seen = put("a", b"old")
    put("a", b"new")
    with pytest.raises(InputChanged, match="has changed"):
        storage.scheme.fetch(storage.url("a"), seen, tmp_path / "copy")
    storage.scheme.remove(storage.url("a"))
    with pytest.raises(InputChanged):
        storage.scheme.fetch(storage.url("a"), seen, tmp_path / "copy")


def test_folders_are_listed_one_level_or_whole(storage: Storage, put: Put) -> None:
    for name in ("x/1", "x/2", "x/deep/er/3", "x-4", "x/.farm-a.claim"):
        put(name, b"123")
    listed = {(e.url, e.is_folder, e.size) for e in storage.scheme.entries(storage.url("x/"))}
    assert listed == {
        (storage.url("x/1"), False, 3),
        (storage.url("x/2"), False, 3),
        (storage.url("x/.farm-a.claim"), False, 3),
        (storage.url("x/deep/"), True, 0),
    }
    some = storage.scheme.entries(storage.url("x/"), ".farm-")
    assert [entry.url for entry in some] == [storage.url("x/.farm-a.claim")]
    below = {entry.url for entry in storage.scheme.files_below(storage.url("x/"))}
    names = ("x/1", "x/2", "x/deep/er/3", "x/.farm-a.claim")
    assert below == {storage.url(name) for name in names}
    assert list(storage.scheme.entries(storage.url("none/"))) == []


def test_a_listed_version_is_that_of_the_file(storage: Storage, put: Put) -> None:
    written = put("x/1", b"123")
    (entry,) = storage.scheme.files_below(storage.url("x/"))
    assert entry.version == written.version


def test_many_files_are_removed_at_once(storage: Storage, put: Put) -> None:
    for name in ("a", "x/1", "x/2"):
        put(name, b"1")
    storage.scheme.remove_all([storage.url(name) for name in ("a", "x/1", "none")])
    left = [entry.url for entry in storage.scheme.files_below(storage.url(""))]
    assert left == [storage.url("x/2")]


def test_removing_is_certain_and_may_be_repeated(storage: Storage, put: Put) -> None:
    for name in ("a", "x/1", "x/y/2", "xy"):
        put(name, b"1")
    for _ in range(2):
        storage.scheme.remove(storage.url("a"))
        storage.scheme.remove_folder(storage.url("x/"))
    left = [entry.url for entry in storage.scheme.files_below(storage.url(""))]
    assert left == [storage.url("xy")]


def test_the_clock_of_the_storage_goes_on(storage: Storage, put: Put) -> None:
    assert put("a", b"1").modified <= put("b", b"2").modified


def test_an_output_that_can_be_written_is_accepted_and_nothing_is_left(storage: Storage) -> None:
    storage.scheme.check_output(storage.url("a.png"))
    assert list(storage.scheme.files_below(storage.url(""))) == []


def test_a_storage_that_refuses_is_refused_before_any_work(storage: Storage) -> None:
    if not storage.refused:
        pytest.skip("this storage refuses nobody")
    with pytest.raises(BadOutput) as caught:
        storage.scheme.check_output(storage.refused)
    assert "\n" not in str(caught.value)
    assert storage.refused in str(caught.value)


def test_it_is_a_scheme(storage: Storage) -> None:
    assert isinstance(storage.scheme, Scheme)
