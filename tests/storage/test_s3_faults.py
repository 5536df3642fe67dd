"""Whatever the network and the server do, an object is whole or absent, and the error one line."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import (
    BadInput,
    BadOutput,
    FarmError,
    InputChanged,
    OutputReplaced,
    StorageFailed,
    StorageUnavailable,
    UserError,
)
from farm.storage import ABSENT, Stat, fenced, input_path, open_whole, s3_uploads
from farm.storage import s3 as s3_module
from farm.storage.s3 import S3

from ..faulty_proxy import (  # noqa: TID252 - shared between rooms
    Answer,
    Fault,
    Handler,
    Proxy,
    broken,
    busy,
    cut,
    expired,
    lose_answer,
    refuse,
    silent,
    slow,
)
from ..servers import Server  # noqa: TID252 - shared between rooms
from .conftest import Storage, make_bucket, use

CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow each other at once, boto3's too."""
    monkeypatch.setattr(s3_module, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001
    )


@pytest.fixture
def bucket(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A new bucket that is reached through the proxy."""
    made = make_bucket(server, monkeypatch)
    scheme = use(proxy.endpoint, monkeypatch, read_seconds=0.5)
    return Storage(scheme, made.root)


def put(bucket: Storage, content: bytes, tmp_path: Path, expected: str | None = None) -> Stat:
    source = tmp_path / "source"
    source.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return bucket.scheme.put(bucket.url("a"), source, digest, expected=expected)


def uploads(bucket: Storage) -> list[str]:
    assert isinstance(bucket.scheme, S3)
    name = bucket.root.removeprefix("s3://")
    listed = bucket.scheme._client.list_multipart_uploads(Bucket=name)
    return [upload["Key"] for upload in listed.get("Uploads", ())]


def test_a_busy_server_is_asked_again(bucket: Storage, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fail("PUT", busy, busy)
    put(bucket, CONTENT, tmp_path)
    proxy.fail("HEAD", busy)
    proxy.fail("GET", busy, busy)
    assert input_path(bucket.url("a")).read_bytes() == CONTENT


def test_a_server_that_stays_busy_pauses_the_writer_and_nothing_is_written(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fail("PUT", *[busy] * 5)
    with pytest.raises(StorageUnavailable, match=r"overloaded or out of order \(SlowDown"):
        put(bucket, CONTENT, tmp_path)
    assert bucket.scheme.stat(bucket.url("a")) is None


@pytest.mark.parametrize(
    ("method", "fault"), [("GET", busy), ("GET", expired), ("GET", refuse), ("HEAD", refuse)]
)
def test_a_server_that_is_busy_or_gone_pauses_the_reader(
    bucket: Storage, proxy: Proxy, tmp_path: Path, method: str, fault: Fault
) -> None:
    put(bucket, CONTENT, tmp_path)
    proxy.fail(method, *[fault] * 40)
    with pytest.raises(StorageUnavailable):
        input_path(bucket.url("a"))


@pytest.mark.parametrize("fault", [refuse, broken])
def test_a_server_that_is_out_of_order_as_an_attempt_begins_pauses_the_writer(
    bucket: Storage, proxy: Proxy, fault: Fault
) -> None:
    proxy.fail("HEAD", *[fault] * 40)
    with pytest.raises(StorageUnavailable), fenced(bucket.url("a")):
        pass


def test_an_object_that_cannot_be_read_fails_without_a_pause_for_the_others(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    put(bucket, CONTENT, tmp_path)
    proxy.fail("GET", *[broken] * 40)
    with pytest.raises(StorageFailed, match=r"out of order \(InternalError, HTTP 500\)") as caught:
        input_path(bucket.url("a"))
    assert not isinstance(caught.value, StorageUnavailable)


def test_keys_that_have_expired_pause_the_writer_until_they_are_renewed(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fail("PUT", expired)
    with pytest.raises(StorageUnavailable, match="keys have expired; renew them"):
        put(bucket, CONTENT, tmp_path)
    put(bucket, CONTENT, tmp_path)
    proxy.fail("GET", *[expired] * 5)
    with pytest.raises(StorageFailed, match="keys have expired"):
        input_path(bucket.url("a"))


def test_a_cut_answer_is_continued_where_it_ended(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    put(bucket, CONTENT, tmp_path)
    proxy.fail("GET", cut, cut)
    assert input_path(bucket.url("a")).read_bytes() == CONTENT
    starts = [int(r[2].removeprefix("bytes=").split("-")[0]) for r in proxy.requests if r[2]]
    half = len(CONTENT) // 2
    assert starts == [0, half, half + (len(CONTENT) - half) // 2]


def test_a_link_that_is_cut_again_and_again_fails_and_a_later_try_goes_on(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    put(bucket, CONTENT, tmp_path)
    proxy.fail("GET", cut, *[refuse] * 40)
    with pytest.raises(StorageFailed, match="does not answer"):
        input_path(bucket.url("a"))
    proxy.faults.clear()
    proxy.requests.clear()
    assert input_path(bucket.url("a")).read_bytes() == CONTENT
    (request,) = [r for r in proxy.requests if r[0] == "GET"]
    assert request[2].startswith(f"bytes={len(CONTENT) // 2}-")


def test_what_changed_during_a_cut_is_not_mixed(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    seen = put(bucket, CONTENT, tmp_path)
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    put(bucket, CONTENT[::-1], tmp_path)
    with pytest.raises(InputChanged):
        bucket.scheme.fetch(bucket.url("a"), seen, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:1000]


def test_a_slow_link_is_waited_for(bucket: Storage, proxy: Proxy, tmp_path: Path) -> None:
    put(bucket, CONTENT, tmp_path)
    proxy.fail("GET", slow)
    assert input_path(bucket.url("a")).read_bytes() == CONTENT
    assert proxy.count("GET") == 1


def test_a_silent_server_is_given_up(bucket: Storage, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fail("HEAD", *[silent] * 5)
    with pytest.raises(StorageFailed, match=r"does not answer \(ReadTimeoutError\)"):
        bucket.scheme.stat(bucket.url("a"))


@pytest.mark.parametrize("expected", [None, ABSENT])
def test_a_write_whose_answer_was_lost_counts_once(
    bucket: Storage, proxy: Proxy, tmp_path: Path, expected: str | None
) -> None:
    proxy.fail("PUT", lose_answer)
    written = put(bucket, CONTENT, tmp_path, expected)
    found = bucket.scheme.stat(bucket.url("a"))
    assert found
    assert found.version == written.version


def test_a_write_that_was_never_carried_out_is_made_again(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fail("PUT", refuse)
    put(bucket, CONTENT, tmp_path, ABSENT)
    assert input_path(bucket.url("a")).read_bytes() == CONTENT


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write objects of more than a megabyte in parts of 5 MiB, the least that S3 allows."""
    monkeypatch.setattr(s3_uploads, "WHOLE_BYTES", 2**20)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 5 * 2**20)


LARGE = CONTENT * 4
"""Three parts."""


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_is_written_in_parts(bucket: Storage, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fail("PUT", busy, lose_answer, refuse)
    written = put(bucket, LARGE, tmp_path, ABSENT)
    assert written.version.endswith("-3")
    assert written == bucket.scheme.stat(bucket.url("a"))
    assert input_path(bucket.url("a")).read_bytes() == LARGE
    assert put(bucket, LARGE[::-1], tmp_path, written.version).size == len(LARGE)


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_that_fails_leaves_nothing(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fail("PUT", *[busy] * 20)
    with pytest.raises(StorageUnavailable):
        put(bucket, LARGE, tmp_path)
    assert bucket.scheme.stat(bucket.url("a")) is None
    assert uploads(bucket) == []


@pytest.mark.usefixtures("small_parts")
def test_a_completion_whose_answer_was_lost_counts_once(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    assert isinstance(bucket.scheme, S3)
    proxy.fail("POST", lambda handler, carry_out: handler.answer(carry_out()), lose_answer)
    put(bucket, LARGE, tmp_path, ABSENT)
    assert input_path(bucket.url("a")).read_bytes() == LARGE


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_replaces_only_what_is_expected(bucket: Storage, tmp_path: Path) -> None:
    put(bucket, CONTENT[:10], tmp_path)
    with pytest.raises(OutputReplaced):
        put(bucket, LARGE, tmp_path, ABSENT)
    assert input_path(bucket.url("a")).read_bytes() == CONTENT[:10]
    assert uploads(bucket) == []


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_does_not_replace_what_appears_while_it_is_sent(
    bucket: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    def overtake(handler: Handler, carry_out: Callable[[], Answer]) -> None:
        bucket.scheme.put_bytes(bucket.url("a"), b"newer")
        handler.answer(carry_out())

    proxy.fail("PUT", overtake)
    with pytest.raises(OutputReplaced):
        put(bucket, LARGE, tmp_path, ABSENT)
    assert input_path(bucket.url("a")).read_bytes() == b"newer"
    assert uploads(bucket) == []


@pytest.mark.usefixtures("small_parts")
def test_a_fenced_writer_aborts_the_upload_of_a_dead_one(bucket: Storage, tmp_path: Path) -> None:
    assert isinstance(bucket.scheme, S3)
    name = bucket.root.removeprefix("s3://")
    for key in ("a", "ab"):
        bucket.scheme._client.create_multipart_upload(Bucket=name, Key=key)
    put(bucket, LARGE, tmp_path, ABSENT)
    assert uploads(bucket) == ["ab"]
    bucket.scheme.remove_folder(f"{bucket.root}/")
    assert uploads(bucket) == []


def test_a_damaged_copy_is_never_used(bucket: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    bucket.scheme.put(bucket.url("a"), source, "0" * 64)  # as if the content had been damaged
    with pytest.raises(StorageFailed, match="what arrived is not what was written"):
        input_path(bucket.url("a"))


def test_a_fence_holds_though_the_answer_of_the_own_write_was_lost(
    bucket: Storage, proxy: Proxy
) -> None:
    with fenced(bucket.url("a")):
        proxy.fail("PUT", lose_answer)
        for content in (b"one", b"two"):
            with open_whole(bucket.url("a")) as file:
                file.write(content)
    assert input_path(bucket.url("a")).read_bytes() == b"two"


def test_a_missing_bucket_is_one_clear_line(bucket: Storage) -> None:
    line = "s3://there-is-none: there is no such bucket; create it, or check its name and FARM_S3_ENDPOINT"
    with pytest.raises(BadInput) as caught:
        input_path("s3://there-is-none/a")
    assert str(caught.value) == line
    with pytest.raises(BadInput):
        list(bucket.scheme.entries("s3://there-is-none/"))
    with pytest.raises(BadOutput, match="there is no such bucket"), fenced("s3://there-is-none/a"):
        pass
    with pytest.raises(BadOutput, match="there is no such bucket"):
        bucket.scheme.check_output("s3://there-is-none/a")


def test_where_nothing_listens_no_output_is_refused_and_the_line_says_what_to_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scheme = use("http://127.0.0.1:1", monkeypatch)
    advice = "check the network and FARM_S3_ENDPOINT; 127.0.0.1:1 was asked"
    with pytest.raises(StorageUnavailable, match=advice):
        scheme.stat("s3://bucket/a")
    with pytest.raises(StorageUnavailable, match=advice):
        scheme.check_output("s3://bucket/a")
    with pytest.raises(StorageUnavailable, match=advice):
        put(Storage(scheme, "s3://bucket"), CONTENT, tmp_path)


@pytest.mark.parametrize("keys", [("testkey00", "wrong"), ("nobody", "wrong")])
def test_wrong_keys_are_one_clear_line_without_them(
    ceph: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keys: tuple[str, str]
) -> None:
    bucket = make_bucket(ceph, monkeypatch)
    scheme = use(ceph.endpoint, monkeypatch, keys)
    attempts = (
        lambda: scheme.stat(bucket.url("a")),
        lambda: list(scheme.entries(bucket.url(""))),
        lambda: put(Storage(scheme, bucket.root), b"1", tmp_path),
        lambda: scheme.check_output(bucket.url("a")),
        lambda: scheme.remove(bucket.url("a")),
    )
    for attempt in attempts:
        with pytest.raises(UserError, match=r"check (AWS_ACCESS_KEY_ID|the keys)") as caught:
            attempt()
        assert "wrong" not in str(caught.value)
        assert keys[0] not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_keys_the_line_says_how_to_give_them(
    moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(moto.endpoint, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="there are no keys for S3; set AWS_ACCESS_KEY_ID"):
        S3().stat("s3://bucket/a")


def test_a_wrong_endpoint_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_S3_ENDPOINT", "not a URL")
    with pytest.raises(UserError, match=r"S3 is configured wrongly: .*; see FARM_S3_ENDPOINT"):
        S3().stat("s3://bucket/a")


def test_a_quota_that_is_used_up_pauses_the_writer_until_there_is_room(
    ceph: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = make_bucket(ceph, monkeypatch)
    name = bucket.root.removeprefix("s3://")
    scope = ("--quota-scope=bucket", f"--bucket={name}")
    ceph.administer("quota", "set", *scope, "--max-size=1048576")
    ceph.administer("quota", "enable", *scope)
    with pytest.raises(StorageUnavailable, match=r"a quota is used up \(QuotaExceeded\)") as error:
        put(bucket, CONTENT, tmp_path)
    assert isinstance(error.value, FarmError)
    assert bucket.scheme.stat(bucket.url("a")) is None
    ceph.administer("quota", "disable", *scope)
    put(bucket, CONTENT, tmp_path)


def test_all_pages_are_listed_and_removed_but_what_no_url_can_name(
    bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(bucket.scheme, S3)
    name = bucket.root.removeprefix("s3://")
    for number in range(1, 24):
        bucket.scheme._client.put_object(Bucket=name, Key=f"x/{number}", Body=b"")
    for odd in ("x/", "x//y", "x/../etc/passwd", "x/./z"):
        bucket.scheme._client.put_object(Bucket=name, Key=odd, Body=b"")
    monkeypatch.setattr(s3_module, "_BATCH", 5)
    wanted = {bucket.url(f"x/{number}") for number in range(1, 24)}
    assert {entry.url for entry in bucket.scheme.files_below(bucket.url("x/"))} == wanted
    assert {entry.url for entry in bucket.scheme.entries(bucket.url("x/"))} == wanted
    bucket.scheme.remove_folder(bucket.url("x/"))
    assert list(bucket.scheme.files_below(bucket.url("x/"))) == []


def test_a_forked_process_makes_a_client_of_its_own(bucket: Storage, tmp_path: Path) -> None:
    assert isinstance(bucket.scheme, S3)
    put(bucket, b"1", tmp_path)
    own = bucket.scheme._client
    child = os.fork()
    if child == 0:
        is_new = bucket.scheme._client is not own
        os._exit(0 if is_new and bucket.scheme.stat(bucket.url("a")) else 1)
    assert os.waitpid(child, 0)[1] == 0
