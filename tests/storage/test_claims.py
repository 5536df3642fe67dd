"""Two jobs never write one file at once, and a dead job stands in nobody's way."""

import errno
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from farm.errors import BadOutput
from farm.process import SILENT_SECONDS, FarmProcess, this_process
from farm.storage import EVERYTHING, Claim, claim
from farm.storage.claim_files import ClaimFile

BEGAN = time.time()

Take = Callable[..., Claim]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def take(folder: Path) -> Iterator[Take]:
    """Claim files of the folder for a job: ``take("job1", "a.png", "b.png")``."""
    taken: list[Claim] = []

    def take(job: str, *names: str, process: FarmProcess | None = None) -> Claim:
        targets = [folder / name for name in names]
        taken.append(claim(targets, job, process or this_process(), BEGAN))
        return taken[-1]

    yield take
    for one in taken:
        one.release()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(".farm-*"))


def die(claim: Claim) -> None:
    """Let go of the lock, as the death of the process does."""
    for mark in claim._marks.values():
        assert isinstance(mark, ClaimFile)
        os.close(mark.descriptor)
    claim._marks.clear()


def age(path: Path, seconds: float) -> None:
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_the_second_job_is_refused_with_who_writes_the_file(take: Take, folder: Path) -> None:
    process = this_process()
    take("dream-1", "same.mp4", process=process)
    with pytest.raises(BadOutput) as caught:
        take("dream-2", "same.mp4")
    since = time.strftime("%H:%M", time.localtime(BEGAN))
    assert str(caught.value) == (
        f"cannot write {folder / 'same.mp4'}: job dream-1 (process {process.pid} on {process.host} "
        f"since {since}) is writing it; wait until it ends, stop it, or choose another path with -o"
    )
    assert len(files(folder)) == 1


def test_jobs_that_write_different_files_share_a_folder(take: Take, folder: Path) -> None:
    take("dream-1", "a.png", "b.png")
    take("dream-2", "c.png")
    assert len(files(folder)) == 2


def test_one_shared_file_among_many_is_found(take: Take) -> None:
    take("dream-1", *(f"{number:06}.png" for number in range(0, 3000, 3)))
    with pytest.raises(BadOutput, match=r"000999\.png"):
        take("dream-2", *(f"{number:06}.png" for number in range(999, 1001)))


@pytest.mark.parametrize(
    ("first", "second"), [(EVERYTHING, "a.png"), ("a.png", EVERYTHING), (EVERYTHING, EVERYTHING)]
)
def test_a_claim_on_the_whole_folder_covers_every_file(
    take: Take, folder: Path, first: str, second: str
) -> None:
    take("train-1", first)
    with pytest.raises(BadOutput, match=f"cannot write {folder}: job train-1 "):
        take("train-2", second)


def test_a_folder_is_the_same_by_whatever_path(take: Take, folder: Path, tmp_path: Path) -> None:
    take("dream-1", "a.png")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(BadOutput, match="dream-1"):
        claim([tmp_path / "link" / "a.png"], "dream-2", this_process(), BEGAN)


def test_a_released_output_is_free_and_nothing_is_left(take: Take, folder: Path) -> None:
    take("dream-1", "a.png").release()
    assert not folder.exists()
    take("dream-2", "a.png")


def test_only_folders_that_the_claim_created_and_that_are_empty_are_removed(
    take: Take, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir()
    take("dream-1", "a.png", "new/b.png", "kept/c.png")
    (folder / "kept" / "c.png").write_bytes(b"rendered")
    for one in take("dream-2", "d.png"), take("dream-3", "e.png"):
        one.release()
    assert folder.is_dir()
    claim([folder / "x" / "y" / "f.png"], "dream-4", this_process(), BEGAN).release()
    assert not (folder / "x").exists()


def test_if_one_folder_is_refused_no_claim_remains_in_the_others(take: Take, folder: Path) -> None:
    take("dream-1", "b/same.png")
    with pytest.raises(BadOutput):
        take("dream-2", "a/one.png", "b/same.png")
    assert not (folder / "a").exists()
    assert len(files(folder / "b")) == 1


def test_a_dead_claim_of_this_machine_is_removed_at_once(take: Take, folder: Path) -> None:
    die(take("dream-1", "same.mp4"))
    left = files(folder)
    assert left
    take("dream-2", "same.mp4")
    assert set(left).isdisjoint(files(folder))


def test_a_dead_claim_on_other_files_is_removed_too(take: Take, folder: Path) -> None:
    die(take("dream-1", "a.png"))
    take("dream-2", "b.png")
    assert len(files(folder)) == 1


@pytest.fixture
def far(take: Take, folder: Path) -> Path:
    """The claim of a process on another machine, whose lock cannot be seen here."""
    die(take("dream-1", "same.mp4", process=replace(this_process(), kernel="far", host="render7")))
    return files(folder)[0]


def test_a_claim_of_another_machine_holds_without_a_visible_lock(take: Take, far: Path) -> None:
    age(far, SILENT_SECONDS - 5)
    with pytest.raises(BadOutput, match="on render7 since"):
        take("dream-2", "same.mp4")


def test_a_silent_claim_of_another_machine_is_dead(take: Take, far: Path) -> None:
    age(far, SILENT_SECONDS + 1)
    take("dream-2", "same.mp4")
    assert not far.exists()


def test_silence_is_measured_by_the_clock_of_the_file_system(
    take: Take, far: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: BEGAN + 1e6)
    with pytest.raises(BadOutput, match="on render7"):
        take("dream-2", "same.mp4")


def test_a_beat_keeps_a_claim_alive(take: Take, folder: Path) -> None:
    kept = take("dream-1", "same.mp4")
    (file,) = files(folder)
    age(file, 3600)
    kept.beat()
    assert abs(file.stat().st_mtime - time.time()) < 60


def test_a_stopped_process_of_this_machine_keeps_its_claim(take: Take, folder: Path) -> None:
    take("dream-1", "same.mp4")
    age(files(folder)[0], 3600)
    with pytest.raises(BadOutput, match="dream-1"):
        take("dream-2", "same.mp4")


def test_a_claim_whose_file_was_removed_is_taken_again(take: Take, folder: Path) -> None:
    kept = take("dream-1", "same.mp4")
    files(folder)[0].unlink()
    kept.beat()
    with pytest.raises(BadOutput, match="dream-1"):
        take("dream-2", "same.mp4")


def test_a_claim_that_another_job_took_meanwhile_is_lost(take: Take, folder: Path) -> None:
    late = take("dream-1", "same.mp4")
    files(folder)[0].unlink()
    take("dream-2", "same.mp4")
    with pytest.raises(BadOutput, match="dream-2"):
        late.beat()
    late.release()
    assert len(files(folder)) == 1


def test_a_claim_is_given_up_though_the_disk_has_become_read_only(
    take: Take, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = take("dream-1", "same.mp4")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse_to_remove)
        kept.release()
    take("dream-2", "same.mp4")


def refuse_to_remove(path: object, **_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def refuse_locks(_descriptor: int, _kind: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_a_claim_holds_until_it_is_silent(
    take: Take, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    take("dream-1", "same.mp4")
    with pytest.raises(BadOutput, match="dream-1"):
        take("dream-2", "same.mp4")
    age(files(folder)[0], SILENT_SECONDS + 1)
    take("dream-2", "same.mp4")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_nothing_is_claimed(
    take: Take, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    folder.mkdir()
    monkeypatch.setattr(os, "open", refuse)
    take("dream-1", "a.png").beat()
    assert files(folder) == []


def test_a_full_disk_is_refused_in_one_line(
    take: Take, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(BadOutput) as caught:
        take("dream-1", "a.png")
    assert str(caught.value) == (
        f"cannot write {folder}: no space left on device; choose another path with -o"
    )
    assert files(folder) == []


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"names": 3}', b'{"names": []}'])
def test_a_claim_that_cannot_be_read_stands_for_the_whole_folder(
    take: Take, folder: Path, content: bytes
) -> None:
    folder.mkdir()
    (folder / ".farm-odd.claim").write_bytes(content)
    with pytest.raises(BadOutput, match=r"\.farm-odd\.claim"):
        take("dream-1", "a.png")
    age(folder / ".farm-odd.claim", SILENT_SECONDS + 1)
    take("dream-1", "a.png")


def test_on_a_disk_without_case_names_that_differ_by_case_are_one_file(
    take: Take, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("dream-1", "Stra\u00dfe.PNG")
    take("dream-2", "strasse.png").release()
    monkeypatch.setattr(secrets, "token_hex", lambda _size: "0000")
    (folder / ".FARM-DREAM-2-0000.CLAIM").touch()  # as such a disk finds the claim itself
    with pytest.raises(BadOutput, match="dream-1"):
        take("dream-2", "strasse.png")


def test_a_claim_names_the_files_and_the_process(take: Take, folder: Path) -> None:
    process = this_process()
    take("dream-1", "b.png", "a.png", process=process)
    assert json.loads(files(folder)[0].read_text()) == {
        "job": "dream-1",
        "host": process.host,
        "kernel": process.kernel,
        "pid": process.pid,
        "began": BEGAN,
        "names": ["b.png", "a.png"],
        "space": process.space,
        "start": process.start,
    }


CLAIMANT = dedent("""
    import sys, time
    from pathlib import Path
    from farm.process import this_process
    from farm.storage import claim

    claim([Path(sys.argv[1])], "dream-1", this_process(), time.time())
    print("claimed", flush=True)
    sys.stdin.read()
""")


@pytest.mark.slow
def test_the_death_of_a_process_frees_its_outputs_at_once(take: Take, folder: Path) -> None:
    command = [sys.executable, "-c", CLAIMANT, str(folder / "same.mp4")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "claimed\n"
        for number in (signal.SIGSTOP, signal.SIGCONT):
            process.send_signal(number)
            with pytest.raises(BadOutput, match=f"process {process.pid} on"):
                take("dream-2", "same.mp4")
        process.kill()
    take("dream-2", "same.mp4")


def test_a_process_is_gone_if_its_number_belongs_to_a_later_one() -> None:
    process = this_process()
    assert not process.is_gone
    assert replace(process, start=process.start - 1).is_gone
    assert replace(process, pid=2**22 + 1).is_gone


def test_a_process_elsewhere_is_never_known_to_be_gone() -> None:
    process = replace(this_process(), pid=2**22 + 1)
    assert not replace(process, kernel="another").is_gone
    assert not replace(process, space="a container").is_gone


@pytest.mark.slow
def test_claims_that_come_and_go_meanwhile_stand_in_nobodys_way(folder: Path) -> None:
    folder.mkdir()

    def take_often(name: str) -> None:
        for _ in range(200):
            claim([folder / name], name, this_process(), BEGAN).release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(take_often, "abcdefgh"))
