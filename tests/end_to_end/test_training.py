"""A training run by the real command: killed, resumed, refused and out of space."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.engine.training.runs import checkpoints, skipped_pictures

from .conftest import Command, draw

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
STEPS = 250
RunIn = Callable[..., tuple[object, ...]]


@pytest.fixture
def words(command: Command) -> RunIn:
    """Return the words of a run on four drawn pictures: ``words("run", "--steps", 10)``."""
    for seed in range(4):
        draw(command.folder / "pictures" / f"{seed}.png", 40, 48, seed)
    start = ("--plugins-dir", EXAMPLES, "denoise", "pictures")
    return lambda run, *flags: (*start, "-o", run, "--threads", "1", *flags)


def digest(run: Path) -> str:
    """Return the digest of the whole state that a run ended with."""
    from safetensors import safe_open

    with safe_open(run / "denoise.safetensors", "pt") as file:
        header = json.loads(file.metadata()["farm-run"])
    assert header["step"] == STEPS
    return str(header["digest"])


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_killed_run_is_resumed_and_ends_as_if_nothing_had_happened(
    command: Command, words: RunIn
) -> None:
    straight, killed = command.folder / "straight", command.folder / "killed"
    done = command.run(*words("straight", "--steps", STEPS))
    assert done.returncode == 0, done.stderr
    with command.start(*words("killed", "--steps", STEPS)) as job:
        job.until(lambda e: e["event"] == "progress" and "step 1" in e["note"] and e["done"] > 0.5)
        os.kill(job.process.pid, signal.SIGKILL)
    assert not (killed / "denoise.safetensors").exists()
    done = command.run(*words("killed", "--steps", STEPS, "--resume"))
    assert done.returncode == 0, done.stderr
    assert digest(killed) == digest(straight)
    assert steps(killed) == steps(straight) == list(range(1, STEPS + 1))


def test_a_second_run_in_a_folder_that_is_in_use_is_refused(command: Command, words: RunIn) -> None:
    with command.start(*words("run", "--steps", 1_000_000)) as job:
        job.until(lambda e: e["event"] == "progress" and e["done"] > 0)
        done = command.run(*words("run", "--steps", 5, "--resume"))
        assert done.returncode == 2
        assert re.search(
            r"^farm: cannot write .*/run: job denoise-.* is writing it;", done.stderr, re.MULTILINE
        )
        job.process.send_signal(signal.SIGINT)
        assert job.wait().returncode == 130


def test_a_run_on_other_pictures_is_not_continued(command: Command, words: RunIn) -> None:
    assert command.run(*words("run", "--steps", 5)).returncode == 0
    before = checkpoints(command.folder / "run")
    draw(command.folder / "pictures" / "more.png", 40, 48, 9)
    done = command.run(*words("run", "--steps", 9, "--resume"))
    assert done.returncode == 2, "before any work"
    assert re.search(r"belongs to another run: pictures was .*choose another folder", done.stderr)
    assert checkpoints(command.folder / "run") == before
    assert len(json.loads(command.run("jobs", "--json").stdout)) == 1, "nothing is stored"
    (command.folder / "pictures" / "more.png").unlink()
    done = command.run(*words("run", "--steps", 9, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "decides" not in done.stderr, "it is compared with its checkpoint, not with a job"


def test_a_truncated_picture_is_named_and_the_run_goes_on(command: Command, words: RunIn) -> None:
    path = command.folder / "pictures" / "0.png"
    flags = words("run", "--steps", 8)
    path.write_bytes(path.read_bytes()[:200])
    done = command.run(*flags)
    assert done.returncode == 0
    log = (command.folder / "run" / "log.jsonl").read_text()
    assert re.search(r"unreadable pictures skipped: 1, such as [^\"]*0\.png", log)
    told = re.compile(
        r"skipped 1 picture that cannot be read; see .*/run/skipped\.json$", re.MULTILINE
    )
    assert told.search(done.stdout)
    assert [Path(name).name for name in skipped_pictures(command.folder / "run")] == ["0.png"]
    assert told.search(command.run(*flags, "--resume").stdout), "also when nothing is left to do"
    assert "skipped.json" in (command.folder / "run" / "index.html").read_text()


def test_a_folder_without_pictures_is_named(command: Command, words: RunIn) -> None:
    flags = words("run", "--steps", 8)
    for path in (command.folder / "pictures").iterdir():
        path.rename(path.with_suffix(".txt"))
    done = command.run(*flags)
    assert done.returncode == 1
    assert re.search(r"here/pictures: this folder contains no pictures", done.stderr), done.stderr
