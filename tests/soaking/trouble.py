"""What befalls the soak's jobs: signals, a full disk, a replaced source, a rival."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import psutil
from soaking.jobs import MARK, Job, Kind, Start

POLL_SECONDS: Final = 0.02
DISK_BYTES: Final = 12 * 2**20
RIVAL_SECONDS: Final = 60


@dataclass(frozen=True)
class Trouble:
    """What happens to one start of a job.

    share: of the frames' changes of state that have passed by then, 0..1. delay: seconds after the
    last of them. seconds: how long it lasts, if it passes by itself.
    """

    name: str
    target: str
    share: float
    delay: float
    seconds: float

    def __str__(self) -> str:
        of = f" of the {self.target}" if self.target else ""
        return f"{self.name}{of} at {self.share:.0%}"

    @property
    def kind(self) -> str:
        return f"{self.name} {self.target}".strip()


def draw_troubles(
    chance: Random, kind: Kind, *, has_small_disk: bool, has_postgres: bool
) -> list[Trouble]:
    """Return one to four troubles that can befall a kind of job.

    Few of them kill workers, since a frame that keeps killing workers may be given up.
    """
    targets = ("driver", "worker", "raylet") if kind.workers else ("driver",)
    choices = [(name, target) for target in targets for name in ("SIGKILL", "SIGTERM", "SIGSTOP")]
    choices += [("SIGINT", "driver"), ("SIGHUP", "driver"), ("rival", "")]
    if kind.swapped:
        choices.append(("source replaced", ""))
    if kind.is_remote:
        choices += [("S3 silent", "")] * 3
    if has_postgres:
        choices += [("database restarted", "")] * 3
    troubles = [
        _draw(chance, *chance.choice(choices), is_single=kind.is_single)
        for _ in range(chance.randint(1, 4))
    ]
    if has_small_disk:
        troubles.insert(0, _draw(chance, "disk full", "", is_single=kind.is_single))
    killed = [t for t in troubles if t.target in {"worker", "raylet"} and t.name != "SIGSTOP"]
    return [t for t in troubles if t not in killed[2:]]


def _draw(chance: Random, name: str, target: str, *, is_single: bool) -> Trouble:
    """Draw when a trouble comes, and how long it lasts; a single frame changes its state rarely."""
    delay = chance.uniform(0, 2 if is_single else 0.3)
    return Trouble(name, target, chance.uniform(0, 0.75), delay, chance.uniform(0.2, 4))


def befall(trouble: Trouble, start: Start, job: Job, inputs: Path, expected: int) -> bool:
    """Wait until the job has come that far, then cause the trouble; return whether it happened.

    A source is also replaced if the job has ended by then. inputs: to replace a source from. expected: how often frames change their state in a whole job.
    """
    least = 1 if trouble.name == "rival" else 0  # by then the job owns its output
    while not start.has_ended and start.count < max(least, trouble.share * expected):
        time.sleep(POLL_SECONDS)
    _wait(trouble.delay, start)
    if trouble.name == "source replaced":
        job.replace_input(inputs / job.kind.swapped)
        return True
    if start.has_ended:
        return False
    match trouble.name:
        case "disk full":
            return _fill(job.out.resolve(), trouble.seconds, start)
        case "rival":
            pass  # the caller starts it
        case "S3 silent":
            job.servers.stop_storage(trouble.seconds)
        case "database restarted":
            assert job.servers.postgres
            job.servers.postgres.restart()
        case _:
            return _signal(trouble, start, job.mark)
    return True


def _fill(folder: Path, seconds: float, start: Start) -> bool:
    """Fill the disk of a folder, and free it after these seconds or when the command ends."""
    filler = folder.parent / "filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**12))
            file.flush()
    _wait(seconds, start)
    filler.unlink()
    return True


def _wait(seconds: float, start: Start) -> None:
    """Wait for so long, or until the command ends."""
    deadline = time.monotonic() + seconds
    while not start.has_ended and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _signal(trouble: Trouble, start: Start, mark: str) -> bool:
    while not (victims := _victims(trouble.target, start, mark)):
        if start.has_ended:
            return False
        time.sleep(POLL_SECONDS)
    victim = victims[round(trouble.share * 1000) % len(victims)]
    with suppress(psutil.NoSuchProcess):
        victim.send_signal(getattr(signal, trouble.name))
        if trouble.name == "SIGSTOP":
            time.sleep(trouble.seconds)
            victim.send_signal(signal.SIGCONT)
    return True


def _victims(target: str, start: Start, mark: str) -> list[psutil.Process]:
    if target == "driver":
        return [psutil.Process(start.process.pid)]
    prefix = {"worker": "ray::", "raylet": "raylet"}[target]
    return [p for p in marked(mark) if _name(p).startswith(prefix) and "IDLE" not in _name(p)]


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that were started with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            if not is_zombie and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def wait_until_gone(mark: str, seconds: float) -> list[str]:
    """Wait for a job's processes to end, then kill those that have not; return their names."""
    deadline = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    names = [f"{_name(process)} ({process.pid})" for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    return names


def run_rival(job: Job) -> "subprocess.CompletedProcess[str]":
    """Run a job's command once more, with --resume."""
    words = [*job.starts[-1].words]
    if "--resume" not in words:
        words.append("--resume")
    return subprocess.run(
        [sys.executable, "-m", "farm", *words],
        cwd=job.folder,
        env=job.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=RIVAL_SECONDS,
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small disk; it is unmounted after the block. Raises OSError if that is not allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        raise OSError("cannot mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def can_mount(folder: Path) -> bool:
    """Return whether this user may mount a small disk."""
    if os.geteuid() != 0:
        return False
    try:
        with small_disk(folder):
            pass
    except OSError:
        return False
    folder.rmdir()
    return True
