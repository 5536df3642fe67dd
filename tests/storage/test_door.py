"""One door: what is written at a location is read there, local or remote, by the same functions."""

import hashlib
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path

import pytest

from farm.errors import BadInput, BadOutput, InputChanged, OutputReplaced
from farm.storage import (
    FileDigests,
    KnownFiles,
    absolute,
    add_schemes,
    check_output,
    entries,
    exists,
    fenced,
    glob,
    input_path,
    is_file,
    is_folder,
    is_remote,
    join,
    local_folder,
    look_at,
    make_folder,
    name,
    open_whole,
    parent,
    parents,
    remove_file,
    remove_folder,
    remove_leftovers,
    suffix,
)
from farm.storage.s3_client import Connection

from .conftest import Storage


def write(url: str, content: bytes) -> None:
    with open_whole(url) as file:
        file.write(content)


class Attempt:
    """One attempt at a unit, fenced from the beginning, as it runs in a worker of its own."""

    def __init__(self, target: str) -> None:
        self._target, self._context, self._fence = target, copy_context(), fenced(target)
        self._context.run(self._fence.__enter__)

    def write(self, content: bytes) -> None:
        self._context.run(write, self._target, content)

    def end(self) -> None:
        self._context.run(self._fence.__exit__, None, None, None)


@pytest.fixture
def place(storage: Storage) -> str:
    """A folder that is not there yet, of each kind of storage."""
    return storage.url("place")


def test_a_file_appears_only_when_complete(place: str) -> None:
    target = join(place, "a.png")
    with open_whole(target) as file:
        file.write(b"half")
        file.flush()
        assert Path(file.name).read_bytes() == b"half"
        assert not exists(target)
        file.write(b" whole")
    assert input_path(target).read_bytes() == b"half whole"
    assert [entry.url for entry in entries(place)] == [target]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_what_was_there(place: str, failure: type[BaseException]) -> None:
    target = join(place, "a.png")
    write(target, b"old")

    def fail() -> None:
        with open_whole(target) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(failure):
        fail()
    assert input_path(target).read_bytes() == b"old"
    assert len(list(entries(place))) == 1


def test_files_and_folders_are_told_apart(place: str) -> None:
    write(join(place, "x", "a.png"), b"1")
    remove_leftovers(join(place, "x"))
    make_folder(place)
    assert is_folder(place)
    assert is_folder(join(place, "x") + "/")
    assert not is_file(join(place, "x"))
    assert is_file(join(place, "x", "a.png"))
    assert not exists(join(place, "none"))
    remove_file(join(place, "x", "a.png"))
    remove_folder(place)
    assert not exists(join(place, "x", "a.png"))
    remove_file(join(place, "none"))


def test_a_copy_has_the_name_of_the_file(place: str) -> None:
    for each in ("clip.mp4", f"{'é' * 110}.png"):
        write(join(place, each), b"1")
        assert suffix(input_path(join(place, each))) == suffix(each)
    assert input_path(join(place, "clip.mp4")).name == "clip.mp4"
    for each in (".hidden", ".part"):
        write(join(place, each), b"1")
        assert input_path(join(place, each)).read_bytes() == b"1"


def test_patterns_match_as_on_a_local_disk(place: str) -> None:
    for each in ("a1.png", "a2.png", "b1.jpg", ".a3.png", "x/a4.png", "x/y/a5.png", "x/.h/a6.png"):
        write(join(place, each), b"1")

    def found(pattern: str) -> list[str]:
        return [match.removeprefix(f"{place}/") for match in glob(join(place, pattern))]

    assert found("a*.png") == ["a1.png", "a2.png"]
    assert found("[ab]1.*") == ["a1.png", "b1.jpg"]
    assert found("*/a?.png") == ["x/a4.png"]
    assert found("x/*") == ["x/a4.png"]
    assert found("**/*.png") == ["a1.png", "a2.png", "x/a4.png", "x/y/a5.png"]
    assert found("a1.png") == ["a1.png"]
    assert found("none/*.png") == found("a1.png/*") == []


def test_a_stale_attempt_replaces_nothing(place: str) -> None:
    target = join(place, "a.png")
    stale, fresh = Attempt(target), Attempt(target)
    fresh.write(b"newer")
    with pytest.raises(OutputReplaced, match="another worker has written it meanwhile"):
        stale.write(b"stale")
    assert input_path(target).read_bytes() == b"newer"
    fresh.write(b"newest")
    assert input_path(target).read_bytes() == b"newest"
    retry = Attempt(target)
    retry.write(b"retried")
    assert input_path(target).read_bytes() == b"retried"
    for attempt in (stale, fresh, retry):
        attempt.end()


def test_a_fence_is_around_its_own_target_alone(place: str) -> None:
    with fenced(join(place, "a.png")):
        write(join(place, "b.png"), b"1")
        write(join(place, "b.png"), b"2")
    assert input_path(join(place, "b.png")).read_bytes() == b"2"


def test_a_folder_is_read_from_a_copy_of_what_it_holds_now(place: str) -> None:
    for each in ("a.jpg", "x/b.jpg", ".farm-job-1.claim"):
        write(join(place, each), each.encode())
    reports: list[float] = []
    folder = local_folder(place, reports.append)
    assert (folder / "x" / "b.jpg").read_bytes() == b"x/b.jpg"
    if not is_remote(place):
        return
    assert reports[-1] == 1
    write(join(place, "x", "b.jpg"), b"changed")
    assert (folder / "x" / "b.jpg").read_bytes() == b"x/b.jpg"
    assert (local_folder(place) / "x" / "b.jpg").read_bytes() == b"changed"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {"a.jpg", "x/b.jpg"}


def test_digests_are_those_of_the_content_and_of_a_local_folder(place: str, tmp_path: Path) -> None:
    for each in ("a.jpg", "x/b.jpg"):
        write(join(place, each), each.encode())
        write(str(tmp_path / "same" / each), each.encode())
    assert FileDigests().sha256(join(place, "a.jpg")) == hashlib.sha256(b"a.jpg").hexdigest()
    assert FileDigests().sha256(place) == FileDigests().sha256(str(tmp_path / "same"))
    with pytest.raises(BadInput, match="no such file or"):
        FileDigests().sha256(join(place, "none"))


def test_a_file_that_changed_since_a_job_was_submitted_is_refused(place: str) -> None:
    guide = join(place, "guide.jpg")
    write(guide, b"a bird")
    write(join(place, "photos", "a.jpg"), b"1")
    digests = FileDigests()
    expected = {each: digests.sha256(each) for each in (guide, join(place, "photos"))}
    files = KnownFiles(expected, FileDigests())
    value, digest = files.read(guide, lambda: input_path(guide).read_bytes())
    assert (value, digest) == (b"a bird", expected[guide])
    assert files.digest(join(place, "photos", "a.jpg")) == hashlib.sha256(b"1").hexdigest()
    write(guide, b"a fish")
    write(join(place, "photos", "a.jpg"), b"2")
    for changed in (guide, join(place, "photos", "a.jpg")):
        with pytest.raises(InputChanged, match="has changed"):
            files.digest(changed)
    remove_file(guide)
    with pytest.raises(InputChanged, match="was removed"):
        files.digest(guide)


def test_what_a_file_looks_like_changes_with_its_content(place: str) -> None:
    assert look_at(join(place, "a")) is None
    looks = set()
    for content in (b"one", b"two", b"three"):
        write(join(place, "a"), content)
        looks.add(look_at(join(place, "a")))
    assert len(looks) == 3


def test_a_remote_file_that_is_replaced_while_it_is_read_is_read_as_it_was(
    remote: Storage,
) -> None:
    still = remote.url("still.png")
    write(still, b"a bird")

    def replace_and_read() -> bytes:
        write(still, b"a fish")
        return input_path(still).read_bytes()

    value, digest = KnownFiles().read(still, replace_and_read)
    assert (value, digest) == (b"a bird", hashlib.sha256(b"a bird").hexdigest())


def test_an_output_is_checked_before_any_work(remote: Storage) -> None:
    check_output(remote.url("a.png"))
    with pytest.raises(BadOutput):
        check_output(remote.refused)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.org/a.png", "https:// URLs are not supported; give a local path, or"),
        ("s3://", "names nothing; give what comes after the scheme"),
        ("s3://x/a", "must begin with s3:// and the name of a bucket"),
        ("s3://bu cket/a", "must begin with s3:// and the name of a bucket"),
        ("s3://bucket//a", "contains an empty part"),
        ("s3://bucket/../a", "contains a part . or .."),
        ("s3://bucket/a\nb", "contains a control character"),
        ("s3://bucket/a\udce9b", "a URL must be UTF-8"),
        ("s3://bucket/" + "é" * 513, "its key may have 1024 bytes at most"),
    ],
)
def test_a_url_that_no_storage_can_have_is_refused_in_one_line(url: str, reason: str) -> None:
    add_schemes({})
    with pytest.raises(BadInput) as read:
        input_path(url)
    with pytest.raises(BadOutput) as written, open_whole(url):
        pass
    for caught in (read.value, written.value):
        assert reason in str(caught)
        str(caught).encode()


def test_a_bucket_cannot_be_written_as_a_file(bucket: Storage) -> None:
    with pytest.raises(BadOutput, match="names a whole bucket"):
        write(bucket.root, b"1")
    with pytest.raises(BadInput, match="no such file"):
        input_path(bucket.root)


def test_locations_are_taken_apart_and_put_together() -> None:
    assert [is_remote(u) for u in ("s3://b/k", "a:b/c", Path("s3://b/k"), "blank:3x4")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert parent("s3://b/x/y.png") == "s3://b/x"
    assert parent("s3://b/x/") == parent("s3://b") == parent("s3://b/") == "s3://b"
    assert list(parents("s3://b/x/y.png")) == ["s3://b/x", "s3://b"]
    assert (name("s3://b/x/"), suffix("s3://b/x.tar.gz")) == ("x", ".gz")
    assert join("s3://b/x/", "y", "z.png") == "s3://b/x/y/z.png"
    assert absolute("S3://b/x/") == "s3://b/x"
    assert (parent("x/y.png"), name(Path("x/y.png")), join("x", "y")) == ("x", "y.png", "x/y")


READER = """
import sys
from farm.storage import input_path, open_whole
print(input_path(sys.argv[1]).read_bytes().decode())
with open_whole(sys.argv[2]) as file:
    file.write(b"from another process")
"""


@pytest.mark.slow
def test_another_process_reads_and_writes_the_same_bucket(bucket: Storage) -> None:
    write(bucket.url("a"), b"from this process")
    command = [sys.executable, "-c", READER, bucket.url("a"), bucket.url("b")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "from this process\n"
    assert input_path(bucket.url("b")).read_bytes() == b"from another process"


def test_a_digest_that_another_program_gave_an_object_is_not_trusted(bucket: Storage) -> None:
    url = bucket.url("a.png")
    where = {"Bucket": url.split("/")[2], "Key": url.split("/", 3)[3]}
    client = Connection().client
    client.put_object(
        **where, Body=b"123", Metadata={"sha256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qc="}
    )
    assert input_path(url).read_bytes() == b"123"
    assert FileDigests().sha256(url) == hashlib.sha256(b"123").hexdigest()
