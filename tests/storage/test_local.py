"""Files are complete or absent, whatever happens while they are written."""

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.dummy import Pool
from pathlib import Path

import pytest

from farm.errors import BadInput, BadOutput, StorageFailed, StorageFull, StorageUnavailable
from farm.storage import (
    input_path,
    open_whole,
    output_path,
    remove_leftovers,
    sha256_file,
    write_error,
)


def write(path: Path, content: bytes) -> None:
    with open_whole(path) as file:
        file.write(content)


def test_a_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    with open_whole(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
        (hidden,) = target.parent.iterdir()
        assert hidden.name.startswith(".")
        file.write(b" whole")
    assert target.read_bytes() == b"half whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_file_gets_the_usual_mode(tmp_path: Path) -> None:
    write(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_the_old_file(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def fail() -> None:
        with open_whole(target) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(failure):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_concurrent_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "a"
    contents = [bytes([i]) * 100_000 for i in range(8)]
    with Pool(8) as pool:
        pool.map(lambda content: write(target, content), contents)
    assert target.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [target]


KILLED = """
import os, signal, sys
from pathlib import Path
from farm.storage import open_whole
with open_whole(Path(sys.argv[1])) as file:
    file.write(sys.argv[2].encode())
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("content", ["half", ""])
def test_leftovers_of_killed_writers_are_removed_and_those_of_live_ones_kept(
    tmp_path: Path, content: str
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "dead"), content]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    (tmp_path / "own.part").write_bytes(b"a user's own")
    with open_whole(tmp_path / "alive") as file:
        file.write(content.encode())
        file.flush()
        remove_leftovers(tmp_path)
        assert not leftover.exists()
        file.write(b" whole")
    assert (tmp_path / "alive").read_bytes() == content.encode() + b" whole"
    assert {path.name for path in tmp_path.iterdir()} == {"alive", "own.part"}


def test_a_file_that_is_removed_before_its_writer_has_locked_it_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock_late(file: int, kind: int) -> None:
        monkeypatch.undo()
        remove_leftovers(tmp_path)
        fcntl.flock(file, kind)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    write(tmp_path / "a", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_an_impossible_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name, reason in {
        "file/a.png": "a parent folder is a file",
        "file/b/a.png": "a parent folder is a file",
        "folder": "is a directory",
        "x" * 300 + ".png": "file name too long",
    }.items():
        with pytest.raises(BadOutput, match=f"{reason}; choose another path with -o") as refusal:
            write(tmp_path / name, b"x")
        assert "\n" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_partial_file(small_disk: Path) -> None:
    write(small_disk / "fits", bytes(1000))
    with pytest.raises(StorageUnavailable, match="large: the disk is full; free some space"):
        write(small_disk / "large", bytes(200_000))
    assert [path.name for path in small_disk.iterdir()] == ["fits"]


@pytest.mark.parametrize(
    ("number", "error", "advice"),
    [
        (errno.ENOSPC, StorageFull, "the disk is full; free some space"),
        (errno.EDQUOT, StorageFull, "the disk quota is used up; free some space"),
        (errno.EROFS, StorageUnavailable, "the disk has become read-only"),
        (errno.EIO, StorageUnavailable, "the disk reports errors; check it"),
        (errno.ESTALE, StorageUnavailable, "does not answer; check that it is mounted"),
        (errno.ENOTCONN, StorageUnavailable, "does not answer; check that it is mounted"),
        (errno.ETIMEDOUT, StorageUnavailable, "does not answer; check that it is mounted"),
        (errno.EFBIG, StorageFailed, "while writing; no partial file remains"),
        (errno.EACCES, BadOutput, "permission denied; choose another path with -o"),
    ],
)
def test_trouble_of_a_whole_disk_is_told_from_that_of_one_path(
    number: int, error: type, advice: str
) -> None:
    translated = write_error("out/a.png", OSError(number, os.strerror(number)))
    assert type(translated) is error
    assert "out/a.png" in str(translated)
    assert advice in str(translated)
    assert "\n" not in str(translated)


LIMITED = """
import resource, sys
from pathlib import Path
from farm.errors import StorageFailed
from farm.storage import open_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with open_whole(Path(sys.argv[1])) as file:
        file.write(bytes(5000))
except StorageFailed as error:
    print(error)
"""

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from farm.errors import BadOutput
from farm.planning.inputs import Source
from farm.planning.outputs import check_output
from farm.storage import open_whole
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
target = Path(sys.argv[1])
for attempt in (
    lambda: open_whole(target).__enter__(),
    lambda: check_output(str(target), [Source("blank", "blank:2x2")]),
):
    try:
        attempt()
    except BadOutput as error:
        print(error)
"""


def output_of(script: str, target: Path) -> list[str]:
    command = [sys.executable, "-c", script, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_file_above_the_size_limit_leaves_no_partial_file(tmp_path: Path) -> None:
    (line,) = output_of(LIMITED, tmp_path / "a")
    assert "file too large while writing; no partial file remains" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_missing_permission_is_reported_before_and_during_writing(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    opened, checked = output_of(UNPRIVILEGED, folder / "a.png")
    assert "permission denied; choose another path" in opened
    assert "no permission to write in" in checked


@pytest.mark.parametrize("url", ["s3://bucket/a.png", "https://example.org/a.png"])
def test_a_url_has_no_path_to_write_to(url: str) -> None:
    scheme = url.split(":", maxsplit=1)[0]
    expected = f"{scheme}:// URLs are not supported; give a local path"
    with pytest.raises(BadOutput, match=expected):
        output_path(url)


def test_a_colon_is_allowed_in_paths_but_not_an_empty_path_or_nul() -> None:
    assert input_path("a:b/c.png") == Path("a:b/c.png")
    with pytest.raises(BadInput, match="not a valid path; give a file or a folder"):
        input_path("")
    with pytest.raises(BadOutput, match="not a valid path; give a file or a folder"):
        output_path("a\0b")


def test_the_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    write(tmp_path / "a", content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
