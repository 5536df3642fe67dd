"""Workers, their number and their deaths change no byte of the result."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from .conftest import DREAM, LARGE, Command, Event, bytes_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def renderers() -> set[int]:
    """Return the workers of the tests' cluster that render: those that have loaded torch."""
    found = psutil.Process().children(recursive=True)
    workers = [process for process in found if process.name().startswith("ray::Farm")]
    return {worker.pid for worker in workers if _has_torch(worker)}


def _has_torch(process: psutil.Process) -> bool:
    try:
        return any("libtorch" in loaded.path for loaded in process.memory_maps())
    except psutil.NoSuchProcess:
        return False


def test_one_worker_of_a_cluster_gives_the_same_bytes(
    command: Command, pictures: Path, undisturbed: dict[str, bytes], cluster: tuple[str, str]
) -> None:
    done = command.run("dream", pictures, "-o", "out/", *DREAM, "--workers", 1, *cluster)
    assert done.returncode == 0, done.stderr
    assert bytes_of(command.folder / "out") == undisturbed


def test_two_workers_started_for_the_job_give_the_same_bytes(
    command: Command, pictures: Path, undisturbed: dict[str, bytes]
) -> None:
    done = command.run("dream", pictures, "-o", "out/", *DREAM, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 done: ")
    assert bytes_of(command.folder / "out") == undisturbed


def test_two_workers_of_one_picture_give_the_same_bytes(
    command: Command, pictures: Path, cluster: tuple[str, str]
) -> None:
    words = ("dream", pictures / f"{LARGE}.png", *DREAM, "--tile", 160)
    for output, workers in (("alone.png", ()), ("together.png", ("--workers", 2, *cluster))):
        done = command.run(*words, "-o", output, *workers)
        assert done.returncode == 0, done.stderr
    assert (command.folder / "together.png").read_bytes() == (
        command.folder / "alone.png"
    ).read_bytes()


def test_killing_a_worker_mid_frame_changes_nothing(
    command: Command, pictures: Path, undisturbed: dict[str, bytes], cluster: tuple[str, str]
) -> None:
    def is_at_work(event: Event) -> bool:
        return event.get("frame") == LARGE and event["state"] == "running"

    before = renderers()
    words = ("dream", pictures, "-o", "out/", *DREAM, "--workers", 1, *cluster)
    with command.start(*words) as job:
        job.until(is_at_work)
        (victim,) = renderers() - before
        os.kill(victim, signal.SIGKILL)
        done = job.wait()
    assert done.returncode == 0, done.stderr
    ended = {e["frame"]: e for e in job.heard if e.get("state") == "succeeded"}
    assert ended[LARGE]["attempt"] == 2
    assert ended[LARGE]["worker"] != ended["picture1"]["worker"]
    assert bytes_of(command.folder / "out") == undisturbed
