"""A failure names the file that alone cannot be used, and no other."""

from pathlib import Path

from farm.errors import StorageFailed, StorageFull, StorageUnavailable
from farm.execution.failures import classify
from farm.execution.outage_scope import with_outage_scope


def alone(error: StorageFailed, target: Path) -> str:
    return with_outage_scope(classify(error), error, str(target)).alone


def test_a_storage_that_is_full_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"content")
    target = tmp_path / "out.png"
    assert alone(StorageUnavailable(str(target), "the disk reports errors"), target) == str(target)
    assert alone(StorageFull(str(target), "the disk is full"), target) == ""
    assert alone(StorageFailed(str(target), "it changed while it was read"), target) == ""


def test_nothing_is_written_beside_an_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    before = (tmp_path / "in").stat().st_mtime_ns
    error = StorageUnavailable(f"{tmp_path}/in/a.png", "the storage does not answer")
    assert alone(error, tmp_path / "out" / "a.png") == ""
    assert (tmp_path / "in").stat().st_mtime_ns == before
