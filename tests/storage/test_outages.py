"""A storage that is gone is told from one file of it that cannot be used."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.errors import BadInput, InputChanged, StorageFailed, StorageUnavailable
from farm.storage import FileDigests, KnownFiles, answers_otherwise, read_trouble
from farm.storage import s3 as s3_module

from ..faulty_proxy import (  # noqa: TID252 - shared between rooms
    Answer,
    Fault,
    Handler,
    Proxy,
    busy,
    refuse,
)
from ..servers import Server  # noqa: TID252 - shared between rooms
from .conftest import Storage, make_bucket, use

UNREACHABLE = (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH)


@pytest.fixture
def bucket(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A bucket with three objects that is reached through the proxy, without pauses."""
    monkeypatch.setattr(s3_module, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001
    )
    made = make_bucket(server, monkeypatch)
    bucket = Storage(use(proxy.endpoint, monkeypatch, read_seconds=0.5), made.root)
    for name in ("in/a.png", "in/b.png", "c.png"):
        bucket.scheme.put_bytes(bucket.url(name), b"content")
    return bucket


def for_one(name: str, fault: Fault) -> Fault:
    """Return a fault that requests for other objects do not meet."""

    def answer(handler: Handler, carry_out: Callable[[], Answer]) -> None:
        is_meant = handler.path.partition("?")[0].endswith(name)
        fault(handler, carry_out) if is_meant else handler.answer(carry_out())

    return answer


def denied(handler: Handler, _carry_out: Callable[[], Answer]) -> None:
    """Refuse an object to these keys."""
    content = b"<Error><Code>AccessDenied</Code></Error>"
    handler.answer(Answer(403, [("Content-Type", "application/xml")], content))


@pytest.mark.parametrize("fault", [busy, refuse])
def test_an_object_that_cannot_be_read_is_told_from_a_bucket_that_is_gone(
    bucket: Storage, proxy: Proxy, fault: Fault
) -> None:
    url = bucket.url("in/a.png")
    proxy.fail("GET", *[for_one("a.png", fault)] * 60)
    assert answers_otherwise(url, is_output=False)
    proxy.faults.clear()
    proxy.fail("GET", *[for_one(".png", fault)] * 60)  # it still lists its objects
    assert not answers_otherwise(url, is_output=False)
    proxy.faults.clear()
    proxy.fail("GET", *[fault] * 60)
    assert not answers_otherwise(url, is_output=False)


def test_an_object_that_is_refused_is_no_sign_that_a_bucket_is_gone(
    bucket: Storage, proxy: Proxy
) -> None:
    bucket.scheme.put_bytes(bucket.url("in/0.png"), b"short")
    proxy.fail("GET", *[for_one("in/0.png", denied)] * 60)
    assert answers_otherwise(bucket.url("in/a.png"), is_output=False)


def test_an_object_that_is_alone_in_its_folder_is_compared_with_those_further_out(
    bucket: Storage, proxy: Proxy
) -> None:
    proxy.fail("GET", *[for_one("c.png", busy)] * 60)
    bucket.scheme.put_bytes(bucket.url("deep/er/a.png"), b"content")
    assert not answers_otherwise(bucket.url("deep/er/a.png"), is_output=False)


def test_an_object_that_cannot_be_written_is_told_from_a_bucket_that_takes_none(
    bucket: Storage, proxy: Proxy
) -> None:
    url = bucket.url("out/a.png")
    assert answers_otherwise(url, is_output=True)
    proxy.fail("PUT", *[busy] * 60)
    assert not answers_otherwise(url, is_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"content")
    return folder


@pytest.fixture
def broken_disk(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk whose folder can be listed, from memory, and whose files cannot be read."""
    for path in disk.iterdir():
        path.unlink()
        path.symlink_to("/proc/self/mem")  # its first block cannot be read: EIO
    return disk


@pytest.mark.parametrize("number", UNREACHABLE)
def test_a_disk_that_does_not_answer_holds_its_readers(disk: Path, number: int) -> None:
    trouble = read_trouble(str(disk / "a.png"), OSError(number, os.strerror(number)))
    assert type(trouble) is StorageUnavailable
    assert f"{disk}/a.png: the storage does not answer; check that it is mounted" in str(trouble)


def test_a_disk_with_errors_holds_its_readers_unless_another_file_can_be_read(
    disk: Path, broken_disk: Path
) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    assert type(read_trouble(str(broken_disk / "a.png"), error)) is StorageUnavailable
    (disk / "b.png").unlink()
    assert type(read_trouble(str(disk / "a.png"), error)) is StorageFailed
    (disk / "c.png").write_bytes(b"content")
    assert type(read_trouble(str(disk / "a.png"), error)) is StorageFailed


def test_a_damaged_part_of_a_zip_holds_no_job_if_a_file_beside_the_zip_can_be_read(
    disk: Path, broken_disk: Path
) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    (disk / "set.zip").write_bytes(b"content")
    inside = str(disk / "set.zip" / "cats" / "1.png")
    assert type(read_trouble(inside, error)) is StorageUnavailable
    assert not answers_otherwise(inside, is_output=False)
    (disk / "b.png").unlink()
    (disk / "c.png").write_bytes(b"content")
    assert type(read_trouble(inside, error)) is StorageFailed
    assert answers_otherwise(inside, is_output=False)


def test_files_that_may_not_be_read_do_not_make_a_disk_with_a_damaged_file_one_that_is_gone(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may read everything
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    (disk / "b.png").unlink()
    (disk / "b.png").symlink_to("/proc/self/mem")
    assert type(read_trouble(str(disk / "a.png"), error)) is StorageFailed


def test_other_errors_are_those_of_the_file(disk: Path) -> None:
    for number in (errno.EACCES, errno.ENOENT, errno.EISDIR):
        assert read_trouble(str(disk / "a.png"), OSError(number, os.strerror(number))) is None


def test_a_local_file_is_alone_only_if_another_one_is_read(disk: Path, broken_disk: Path) -> None:
    assert not answers_otherwise(str(broken_disk / "a.png"), is_output=False)
    (disk / "c.png").write_bytes(b"content")
    assert answers_otherwise(str(disk / "a.png"), is_output=False)
    for name in ("b.png", "c.png"):
        (disk / name).unlink()
    assert not answers_otherwise(str(disk / "a.png"), is_output=False)
    assert answers_otherwise(str(disk / "a.png"), is_output=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk that is mounted."""
    place = tmp_path / "mounted"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    (place / "in").mkdir()
    yield place / "in"
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_a_disk_that_is_no_longer_mounted_is_told_from_a_file_that_was_removed(
    mounted: Path,
) -> None:
    path = mounted / "a.png"
    path.write_bytes(b"content")
    (mounted / "b.png").write_bytes(b"content")
    digests = FileDigests()
    known = KnownFiles({str(path): digests.sha256(str(path))}, digests)
    path.unlink()
    with pytest.raises(InputChanged, match="was removed"):
        known.digest(str(path))
    path.write_bytes(b"content")
    digests.sha256(str(path))
    subprocess.run(["umount", str(mounted.parent)], check=True)
    with pytest.raises(StorageUnavailable, match="its disk is no longer mounted; mount it again"):
        known.digest(str(path))


def test_a_removed_file_that_was_mounted_by_itself_is_no_disk_that_was_unmounted(
    disk: Path, mounted: Path
) -> None:
    (mounted / "a.png").write_bytes(b"content")
    digests, path = FileDigests(), disk / "a.png"
    subprocess.run(["mount", "--bind", str(mounted / "a.png"), str(path)], check=True)
    try:
        digests.sha256(str(path))
    finally:
        subprocess.run(["umount", str(path)], check=True)
    path.unlink()
    with pytest.raises(BadInput):
        digests.sha256(str(path))


def test_a_folder_that_was_removed_is_no_disk_that_was_unmounted(disk: Path) -> None:
    digests = FileDigests()
    digests.sha256(str(disk / "a.png"))
    for path in disk.iterdir():
        path.unlink()
    disk.rmdir()
    with pytest.raises(BadInput):
        digests.sha256(str(disk / "a.png"))
