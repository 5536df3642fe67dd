"""Digests of files and folders, and files that are no longer what they were."""

import os
from pathlib import Path

import pytest

from farm.errors import BadInput, InputChanged, StorageFailed
from farm.storage import FileDigests, KnownFiles, sha256_file


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "guide.jpg"
    path.write_bytes(b"a bird")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sea").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "sea/c.jpg"):
        (folder / name).write_text(name)
    return folder


def known(*paths: Path) -> KnownFiles:
    """Return these files with the content that they have now."""
    digests = FileDigests()
    return KnownFiles({str(path): digests.sha256(str(path)) for path in paths}, digests)


def replace_quietly(path: Path, content: bytes) -> None:
    """Replace a file by one of the same size and modification time."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_file_has_its_sha256(guide: Path) -> None:
    assert FileDigests().sha256(str(guide)) == sha256_file(guide)


def test_a_changed_file_has_another_digest_though_size_and_time_are_the_same(guide: Path) -> None:
    digests = FileDigests()
    before = digests.sha256(str(guide))
    replace_quietly(guide, b"a fish")
    assert digests.sha256(str(guide)) == sha256_file(guide) != before


def test_the_digest_of_a_folder_covers_names_and_contents(photos: Path) -> None:
    seen = {FileDigests().sha256(str(photos))}
    (photos / "sea" / "c.jpg").write_text("another")
    seen.add(FileDigests().sha256(str(photos)))
    (photos / "a.jpg").rename(photos / "d.jpg")
    seen.add(FileDigests().sha256(str(photos)))
    (photos / "e.jpg").touch()
    seen.add(FileDigests().sha256(str(photos)))
    assert len(seen) == 4


def test_the_digest_of_a_folder_depends_neither_on_its_path_nor_on_hidden_files(
    photos: Path, tmp_path: Path
) -> None:
    before = FileDigests().sha256(str(photos))
    (photos / ".DS_Store").write_text("a window")
    (photos / ".thumbnails").mkdir()
    (photos / ".thumbnails" / "a.jpg").write_text("small")
    assert FileDigests().sha256(str(photos.rename(tmp_path / "moved"))) == before


def test_reading_a_folder_is_reported(photos: Path) -> None:
    reports: list[float] = []
    FileDigests().sha256(str(photos), reports.append)
    assert reports == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("name", ["gone.jpg", "pipe"])
def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match=f"{name}: (no such file|neither a file nor a folder)"):
        FileDigests().sha256(str(tmp_path / name))


def test_an_unchanged_file_may_be_touched_copied_and_replaced_by_its_equal(guide: Path) -> None:
    files = known(guide)
    guide.touch()
    files.digest(str(guide))
    copy = guide.with_name("copy.jpg")
    copy.write_bytes(guide.read_bytes())
    copy.replace(guide)
    assert files.digest(str(guide)) == sha256_file(guide)


def test_a_changed_file_is_refused_in_words(guide: Path) -> None:
    files = known(guide)
    guide.write_bytes(b"a fish")
    with pytest.raises(InputChanged) as refused:
        files.digest(str(guide))
    assert str(refused.value) == (
        f"{guide} has changed since the job was submitted; restore it and add --resume, or submit "
        "the job again"
    )


def test_a_removed_file_is_refused_in_words(guide: Path) -> None:
    files = known(guide)
    guide.unlink()
    with pytest.raises(InputChanged, match=r"guide\.jpg was removed since the job was submitted"):
        files.digest(str(guide))


def test_a_file_nobody_named_may_change(guide: Path) -> None:
    files = known()
    files.digest(str(guide))
    guide.write_bytes(b"a fish")
    assert files.digest(str(guide)) == sha256_file(guide)


def test_a_file_in_a_named_folder_is_checked_like_the_folder(photos: Path) -> None:
    files = known(photos)
    picture = photos / "sea" / "c.jpg"
    assert files.digest(str(picture)) == sha256_file(picture)
    picture.write_text("another")
    with pytest.raises(InputChanged, match=r"c\.jpg has changed"):
        files.digest(str(picture))
    with pytest.raises(InputChanged, match="photos has changed"):
        KnownFiles({str(photos): "0" * 64}).digest(str(photos / "a.jpg"))


def test_a_file_added_to_a_named_folder_is_refused(photos: Path) -> None:
    files = known(photos)
    files.digest(str(photos / "a.jpg"))
    (photos / "new.jpg").write_text("new")
    with pytest.raises(InputChanged, match=r"new\.jpg has changed"):
        files.digest(str(photos / "new.jpg"))


def test_reading_returns_what_was_read_and_its_digest(guide: Path) -> None:
    assert known(guide).read(str(guide), guide.read_bytes) == (b"a bird", sha256_file(guide))


def test_a_changed_file_is_not_read(guide: Path) -> None:
    files, reads = known(guide), list[bytes]()
    guide.write_bytes(b"a fish")
    with pytest.raises(InputChanged):
        files.read(str(guide), lambda: reads.append(guide.read_bytes()))
    assert reads == []


def test_a_file_that_changes_while_it_is_read_is_not_used(guide: Path, tmp_path: Path) -> None:
    def read_and_replace(path: Path) -> bytes:
        content = path.read_bytes()
        path.write_bytes(b"a fish")
        return content

    with pytest.raises(InputChanged):
        known(guide).read(str(guide), lambda: read_and_replace(guide))
    other = tmp_path / "still.png"
    other.write_bytes(b"a still")
    with pytest.raises(StorageFailed, match="it changed while it was read"):
        known().read(str(other), lambda: read_and_replace(other))
