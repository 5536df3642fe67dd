"""Run the farm's command in its own process, on pictures drawn here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Event = dict[str, Any]
Done = subprocess.CompletedProcess[str]

QUICK = ("--iterations", "1", "--octaves", "1", "--layer", "conv3", "--threads", "1")
"""A dream that takes almost no time."""

DREAM = ("--iterations", "6", "--octaves", "2", "--threads", "1")
"""A dream long enough to interrupt."""

LARGE = "picture3"
"""The picture that takes longest."""


class Command:
    """Runs the command in a folder, with a ledger of its own next to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, folder.with_name(f"{folder.name}-ledger.db")
        self.environment = os.environ | {"FARM_LEDGER": str(self.ledger)}

    def run(self, *words: object, **environment: str) -> Done:
        """Run the command and wait for its exit."""
        return subprocess.run(
            [sys.executable, "-m", "farm", *map(str, words)],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def start(self, *words: object, **environment: str) -> "Iterator[Started]":
        """Start the command with --json; it is killed at the end of the block."""
        stderr = self.folder.with_name(f"{self.folder.name}-stderr.txt")
        with stderr.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "farm", *map(str, words), "--json"],
                cwd=self.folder,
                env=self.environment | environment,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        with process:
            try:
                yield Started(process, stderr, [])
            finally:
                process.kill()


@dataclass(frozen=True)
class Started:
    """A running command. events: those read so far."""

    process: "subprocess.Popen[str]"
    stderr: Path
    events: list[Event]

    def until(self, fits: Callable[[Event], bool]) -> Event:
        """Return the next event that fits."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if fits(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"no such event, but {self.events}\n{self.stderr.read_text()}")

    def wait(self) -> Done:
        """Read the remaining events and return the finished command, with an empty stdout."""
        assert self.process.stdout is not None
        self.events.extend(map(json.loads, self.process.stdout))
        return Done(self.process.args, self.process.wait(), "", self.stderr.read_text())

    def frames(self, state: str) -> list[str]:
        return frames(self.events, state)


def frames(events: list[Event], state: str) -> list[str]:
    """Return the frames that entered a state, in order."""
    return [e["frame"] for e in events if e["event"] == "frame" and e["state"] == state]


def events_of(done: Done) -> list[Event]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def draw(path: Path, height: int = 64, width: int = 96, seed: int = 0, mode: str = "RGB") -> Path:
    """Draw soft blots in bright colours. mode: RGB or RGBA."""
    path.parent.mkdir(exist_ok=True, parents=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, len(mode)), dtype=np.uint8)
    picture = Image.fromarray(coarse, mode).resize((width, height), Image.Resampling.BICUBIC)
    picture.save(path)
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder by name, hidden files included."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    folder = tmp_path / "here"
    folder.mkdir()
    return Command(folder)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures, one of them large."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(1, 7):
        name = f"picture{number}"
        height, width = (176, 240) if name == LARGE else (48, 64 + 8 * number)
        draw(folder / f"{name}.png", height, width, number)
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> dict[str, bytes]:
    """The dreamt pictures of an undisturbed job in one process."""
    command = Command(tmp_path_factory.mktemp("undisturbed"))
    done = command.run("dream", pictures, "-o", "out/", *DREAM)
    assert done.returncode == 0, done.stderr
    return bytes_of(command.folder / "out")


@pytest.fixture(scope="session")
def cluster(ray_cluster: Any) -> tuple[str, str]:
    """The options that send a job to the tests' cluster."""
    return ("--address", str(ray_cluster.address))
