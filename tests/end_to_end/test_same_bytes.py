"""The output is the same, byte for byte, however many workers render and die."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from .conftest import DREAM, LARGE, Command, Event, bytes_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def renderers() -> set[int]:
    """Return the process ids of the cluster's rendering workers: those that have loaded torch."""
    processes = psutil.Process().children(recursive=True)
    workers = [process for process in processes if process.name().startswith("ray::Farm")]
    return {worker.pid for worker in workers if _has_loaded_torch(worker)}


def _has_loaded_torch(process: psutil.Process) -> bool:
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
    assert done.stdout == f"rendered 6; output: {command.folder}/out/\n"
    assert bytes_of(command.folder / "out") == undisturbed


@pytest.mark.proof
def test_two_workers_sharing_a_picture_give_the_same_bytes(
    command: Command, pictures: Path, cluster: tuple[str, str]
) -> None:
    words = ("dream", pictures / f"{LARGE}.png", *DREAM, "--tile", 160)
    for output, workers in (("alone.png", ()), ("together.png", ("--workers", 2, *cluster))):
        done = command.run(*words, "-o", output, *workers)
        assert done.returncode == 0, done.stderr
    assert (command.folder / "together.png").read_bytes() == (
        command.folder / "alone.png"
    ).read_bytes()


def test_killing_a_worker_in_the_middle_of_a_frame_gives_the_same_bytes(
    command: Command, pictures: Path, undisturbed: dict[str, bytes], cluster: tuple[str, str]
) -> None:
    def is_rendering(event: Event) -> bool:
        return event.get("frame") == LARGE and event["state"] == "running"

    before = renderers()
    words = ("dream", pictures, "-o", "out/", *DREAM, "--workers", 1, *cluster)
    with command.start(*words) as job:
        job.until(is_rendering)
        (victim,) = renderers() - before
        os.kill(victim, signal.SIGKILL)
        done = job.wait()
    assert done.returncode == 0, done.stderr
    final = {e["frame"]: e for e in job.events if e.get("state") == "succeeded"}
    assert final[LARGE]["attempt"] == 2
    assert final[LARGE]["worker"] != final["picture1"]["worker"]
    assert bytes_of(command.folder / "out") == undisturbed
