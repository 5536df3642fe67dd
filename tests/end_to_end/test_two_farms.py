"""Two commands at once: the second is refused with the one that is working, and a death frees everything."""

import signal
from pathlib import Path

import pytest

from .conftest import DREAM, LARGE, QUICK, Command, bytes_of, draw

pytestmark = pytest.mark.slow

LONG = ("--iterations", "1000", "--octaves", "8", "--layer", "conv3", "--threads", "1")
"""A dream that does not end by itself during a test."""


@pytest.fixture
def other(command: Command, tmp_path: Path) -> Command:
    """The command in the same folder, with a ledger of its own."""
    other = Command(command.folder)
    other.ledger = tmp_path / "other-ledger.db"
    other.environment = other.environment | {"FARM_LEDGER": str(other.ledger)}
    return other


def test_a_second_job_for_one_output_is_refused_with_who_writes_it(
    command: Command, other: Command
) -> None:
    draw(command.folder / "in.png", 480, 640)
    words = ("dream", "in.png", "-o", "same.png")
    with command.start(*words, *LONG) as first:
        job = first.until(lambda event: event["event"] == "progress")["job"]
        another_effect = other.run(*words, *QUICK)
        resumed = command.run(*words, *LONG, "--resume")
        for refused in (another_effect, resumed):
            assert refused.returncode == 2
            assert refused.stderr.count("\n") == 1
            assert f"same.png: job {job} (process {first.process.pid} on " in refused.stderr
            assert "wait until it ends, stop it, or choose another path with -o" in refused.stderr
        first.process.send_signal(signal.SIGINT)
        assert first.wait().returncode == 130
    assert {*bytes_of(command.folder)} == {"in.png"}


def test_after_a_kill_the_job_can_be_resumed_at_once(command: Command, pictures: Path) -> None:
    words = ("dream", pictures, "-o", "out/", *DREAM)
    with command.start(*words) as job:
        job.until(lambda event: event.get("state") == "succeeded")
        job.until(lambda event: event["event"] == "progress")
        job.process.kill()
        job.wait()
    done = command.run(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert "already finished" in done.stdout
    assert f"{LARGE}.png" in bytes_of(command.folder / "out")
    assert not [name for name in bytes_of(command.folder / "out") if name.startswith(".")]
