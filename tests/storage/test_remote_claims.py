"""Claims keep two jobs apart in a bucket too, where nothing can be locked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from farm.errors import BadOutput
from farm.process import FarmProcess, this_process
from farm.storage import (
    EVERYTHING,
    Claim,
    Stat,
    add_schemes,
    claim,
    claim_objects,
    entries,
    remove_file,
)
from farm.storage.claim_content import ClaimContent
from farm.storage.claim_objects import ClaimObject

from ..fake_storage import SCHEME, FolderStorage, farm_storage  # noqa: TID252 - shared between rooms
from ..faulty_proxy import Proxy, busy  # noqa: TID252 - shared between rooms
from .conftest import Storage, use

BEGAN = time.time()

Take = Callable[..., Claim]


@pytest.fixture
def take(remote: Storage) -> Iterator[Take]:
    """Claim files of a folder for a job: ``take("job1", "a.png", process=...)``."""
    taken: list[Claim] = []

    def take(job: str, *names: str, process: FarmProcess | None = None) -> Claim:
        targets = [remote.url(f"out/{name}") for name in names]
        taken.append(claim(targets, job, process or this_process(), BEGAN))
        return taken[-1]

    yield take
    for one in taken:
        one.release()


@pytest.fixture
def far() -> FarmProcess:
    """A process of another machine."""
    return replace(this_process(), kernel="far", host="render7")


def beat(taken: Claim) -> None:
    """Renew a claim, and let it learn what became of it."""
    taken.beat()
    for mark in taken._marks.values():
        assert isinstance(mark, ClaimObject)
        mark.wait()
    taken.beat()


def claims_in(remote: Storage) -> list[str]:
    return sorted(entry.url for entry in entries(remote.url("out")))


def test_the_second_job_is_refused_with_who_writes_the_file(
    take: Take, remote: Storage, far: FarmProcess
) -> None:
    take("dream-1", "same.mp4", process=far)
    with pytest.raises(BadOutput) as caught:
        take("dream-2", "same.mp4")
    since = time.strftime("%H:%M", time.localtime(BEGAN))
    assert str(caught.value) == (
        f"cannot write {remote.url('out/same.mp4')}: job dream-1 (process {far.pid} on render7 "
        f"since {since}) is writing it; wait until it ends, stop it, or choose another path with -o"
    )
    assert len(claims_in(remote)) == 1


def test_other_files_of_the_folder_are_free_unless_it_is_claimed_whole(take: Take) -> None:
    take("dream-1", "a.png")
    take("dream-2", "b.png").release()
    with pytest.raises(BadOutput, match="dream-1"):
        take("train-1", EVERYTHING)


def test_a_released_output_is_free_and_nothing_is_left(take: Take, remote: Storage) -> None:
    take("dream-1", "a.png").release()
    assert claims_in(remote) == []
    take("dream-2", "a.png")


def test_the_claim_of_a_process_that_ended_here_counts_no_more(take: Take, remote: Storage) -> None:
    take("dream-1", "a.png", process=replace(this_process(), pid=2**22 + 1))
    take("dream-2", "a.png")
    assert len(claims_in(remote)) == 1


def test_a_silent_claim_of_another_machine_is_dead(
    take: Take, far: FarmProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("dream-1", "a.png", process=far)
    monkeypatch.setattr(claim_objects, "SILENT_SECONDS", 0)
    take("dream-2", "a.png")


def test_a_beat_writes_the_claim_again(take: Take, remote: Storage) -> None:
    kept = take("dream-1", "a.png")
    (url,) = claims_in(remote)
    before = remote.scheme.stat(url)
    beat(kept)
    kept.touch()
    beat(kept)
    after = remote.scheme.stat(url)
    assert before
    assert after
    assert after.modified >= before.modified
    assert claims_in(remote) == [url]


def test_a_claim_whose_file_was_removed_is_taken_again(take: Take, remote: Storage) -> None:
    kept = take("dream-1", "a.png")
    remove_file(claims_in(remote)[0])
    beat(kept)
    with pytest.raises(BadOutput, match="dream-1"):
        take("dream-2", "a.png")


def test_a_claim_that_another_job_took_meanwhile_is_lost(take: Take, remote: Storage) -> None:
    late = take("dream-1", "a.png")
    remove_file(claims_in(remote)[0])
    take("dream-2", "a.png")
    with pytest.raises(BadOutput, match="dream-2"):
        beat(late)
    late.release()
    assert len(claims_in(remote)) == 1


def test_a_claim_that_cannot_be_read_stands_for_the_whole_folder(
    take: Take, remote: Storage
) -> None:
    remote.scheme.put_bytes(remote.url("out/.farm-odd.claim"), b"\xff")
    with pytest.raises(BadOutput, match=r"\.farm-odd\.claim"):
        take("dream-1", "a.png")


def test_where_nothing_may_be_written_nothing_can_be_claimed(remote: Storage) -> None:
    with pytest.raises(BadOutput):
        claim([remote.refused], "dream-1", this_process(), BEGAN)


def test_a_storage_that_does_not_answer_for_a_while_takes_no_claim_away(
    bucket: Storage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001
    )
    use(proxy.endpoint, monkeypatch, read_seconds=0.5)
    kept = claim([bucket.url("out/a.png")], "dream-1", this_process(), BEGAN)
    proxy.fail("PUT", *[busy] * 5)
    beat(kept)
    assert proxy.faults == []
    with pytest.raises(BadOutput, match="dream-1"):
        claim([bucket.url("out/a.png")], "dream-2", this_process(), BEGAN)
    kept.release()


def test_a_claim_that_is_taken_again_while_others_cannot_be_listed_is_not_its_own_rival(
    bucket: Storage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001
    )
    use(proxy.endpoint, monkeypatch)
    kept = claim([bucket.url("out/a.png")], "dream-1", this_process(), BEGAN)
    remove_file(claims_in(bucket)[0])
    proxy.fail("GET", *[busy] * 5)
    beat(kept)
    assert proxy.faults == []
    beat(kept)
    assert len(claims_in(bucket)) == 1
    kept.release()


class Renewing(FolderStorage):
    """A storage in which a file is written again just before it is read for the first time."""

    def __init__(self) -> None:
        self.is_renewed = False

    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        if not self.is_renewed:
            self.is_renewed = True
            with TemporaryDirectory() as folder:
                super().fetch(url, seen, Path(folder, "content"))
                self.put_bytes(url, Path(folder, "content").read_bytes())
        super().fetch(url, seen, target)


def test_a_claim_that_is_renewed_while_it_is_read_claims_no_more_than_its_files(
    tmp_path: Path, far: FarmProcess
) -> None:
    add_schemes(farm_storage())
    folder = f"{SCHEME}{tmp_path}"
    first = claim([f"{folder}/a.png"], "dream-1", far, BEGAN)
    second = ClaimContent.of("dream-2", this_process(), BEGAN, ("b.png",))
    stat = FolderStorage().put_bytes(f"{folder}/.farm-2.claim", bytes(second))
    mark = ClaimObject(Renewing(), f"{folder}/.farm-2.claim", second, stat)
    assert [other.names for other in mark.others()] == [("a.png",)]
    first.release()
