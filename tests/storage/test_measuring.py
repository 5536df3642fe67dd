"""What is moved to and from storages is measured once, by scheme and direction."""

import errno
from collections.abc import Iterator

import pytest

from farm.errors import BadInput, OutputReplaced, StorageFailed, StorageUnavailable
from farm.model.transfers import Transfers
from farm.storage import input_path, join, open_whole, take_transfers
from farm.storage import measuring as module
from farm.storage.measuring import transfer

from .conftest import Storage


@pytest.fixture(autouse=True)
def _nothing_before() -> None:
    take_transfers()


def counts(transfers: tuple[Transfers, ...]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return files, bytes and errors by scheme and direction."""
    return {(t.scheme, t.direction): (t.count, t.bytes, t.errors) for t in transfers}


def write(url: str, content: bytes) -> None:
    with open_whole(url) as file:
        file.write(content)


def fail(error: BaseException) -> None:
    """Fail to read a file after 7 bytes."""
    with transfer("S3://b/a", "read") as moved:
        moved.begin()
        moved.bytes = 7
        raise error


def test_files_that_are_written_count(storage: Storage) -> None:
    scheme = storage.root.partition("://")[0] if "://" in storage.root else "file"
    write(join(storage.root, "a.bin"), b"12345")
    write(join(storage.root, "b.bin"), b"123")
    (moved,) = take_transfers()
    assert counts((moved,)) == {(scheme, "write"): (2, 8, 0)}
    assert moved.seconds > 0


def test_a_remote_file_is_read_once_for_its_copy(
    remote: Storage, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = join(remote.root, "a.bin")
    write(url, b"12345")
    take_transfers()
    monkeypatch.setenv("FARM_CACHE", str(tmp_path_factory.mktemp("cache")))
    input_path(url)
    input_path(url)
    assert counts(take_transfers()) == {(remote.root.partition("://")[0], "read"): (1, 5, 0)}


def test_a_storage_that_is_full_counts_an_error(remote: Storage) -> None:
    if not remote.root.startswith("folder://"):
        pytest.skip("only the fake can be filled at once")
    with pytest.raises(StorageUnavailable):
        write(join(remote.root, ".full/a.bin"), b"12345")
    assert counts(take_transfers()) == {("folder", "write"): (1, 0, 1)}


def test_a_disk_that_is_full_counts_an_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("out") / "a.bin"
    with pytest.raises(StorageUnavailable), open_whole(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert counts(take_transfers()) == {("file", "write"): (1, 0, 1)}


@pytest.mark.parametrize(
    "error",
    [BadInput("a", "bad"), OutputReplaced("a", "replaced"), RuntimeError(), KeyboardInterrupt()],
)
def test_what_is_no_fault_of_the_storage_counts_no_error(error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail(error)
    assert counts(take_transfers()) == {("s3", "read"): (1, 7, 0)}


def test_bytes_that_arrived_before_a_cut_count() -> None:
    with pytest.raises(StorageFailed):
        fail(StorageFailed("s3://b/a", "it was cut"))
    assert counts(take_transfers()) == {("s3", "read"): (1, 7, 1)}


def test_the_time_to_make_the_content_is_not_the_storages(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: Iterator[float] = iter((100.0, 102.5))
    with open_whole(tmp_path_factory.mktemp("out") / "a.bin"):
        monkeypatch.setattr(module, "perf_counter", lambda: next(times))
    (moved,) = take_transfers()
    assert moved.seconds == 2.5


def test_figures_are_taken_once() -> None:
    with transfer("/a", "write") as moved:
        moved.begin()
    assert take_transfers()
    assert take_transfers() == ()
