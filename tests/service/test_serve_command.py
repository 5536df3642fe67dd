"""``farm serve`` and ``farm token``, as processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from PIL import Image

from farm.model.job import JobState

LONG = 10_000
"""Iterations that take minutes."""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "photos").mkdir()
    Image.effect_noise((256, 192), 80).convert("RGB").save(tmp_path / "photos" / "a.png")
    return os.environ | {"FARM_LEDGER": str(tmp_path / "ledger.db")}


@pytest.fixture
def farm(environment: dict[str, str]) -> Command:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "farm", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    return run


@contextmanager
def serving(
    environment: dict[str, str], photos: Path, *words: str
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Start a service, and yield its address and its process."""
    command = [sys.executable, "-m", "farm", "serve", "--port", "0", "--root", f"photos={photos}"]
    with subprocess.Popen(
        [*command, *words], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert line.startswith("serving on http://"), line
        try:
            yield line.split()[-1].rstrip("/"), process
        finally:
            process.kill()


def job_of(base: str, iterations: int) -> str:
    body = {
        "task": "dream",
        "params": {"iterations": iterations, "octaves": 1, "layers": ["conv3"]},
        "inputs": ["photos/a.png"],
        "output": "photos/dream.png",
    }
    answer = httpx.post(f"{base}/api/jobs", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def wait_until(base: str, job: str, wanted: str) -> None:
    """Wait until a job is in a state. Fails if it ends in another one."""
    with httpx.stream("GET", f"{base}/api/events", timeout=60) as events:
        for _ in events.iter_lines():
            state = str(httpx.get(f"{base}/api/jobs/{job}", timeout=30).json()["state"])
            if state == wanted:
                return
            assert not JobState(state).is_final, state
    raise AssertionError(f"the service ended while job {job} was {state}")


@pytest.mark.slow
def test_a_service_stops_in_order_and_goes_on_when_it_starts_again(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serving(environment, tmp_path / "photos") as (base, process):
        job = job_of(base, LONG)
        wait_until(base, job, "running")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with serving(environment, tmp_path / "photos") as (base, _):
        wait_until(base, job, "running")
        httpx.patch(f"{base}/api/jobs/{job}", json={"wanted": "cancel"})
        wait_until(base, job, "cancelled")


@pytest.mark.slow
def test_a_service_that_was_killed_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    with serving(environment, tmp_path / "photos") as (base, process):
        job = job_of(base, 300)
        wait_until(base, job, "running")
        process.kill()
        process.wait()
    with serving(environment, tmp_path / "photos") as (base, _):
        wait_until(base, job, "completed")
    assert (tmp_path / "photos" / "dream.png").is_file()


@pytest.mark.slow
def test_a_ledger_has_one_service(
    environment: dict[str, str], tmp_path: Path, farm: Command
) -> None:
    with serving(environment, tmp_path / "photos"):
        done = farm("serve", "--port", "0")
    assert done.returncode == 2
    assert "serves the ledger" in done.stderr


def test_beyond_this_machine_a_token_comes_first(farm: Command) -> None:
    done = farm("serve", "--host", "192.0.2.1", "--port", "0")
    assert done.returncode == 2
    assert "farm token new" in done.stderr


def test_a_token_is_given_listed_and_taken_back(farm: Command, tmp_path: Path) -> None:
    secret = farm("token", "new", "ada").stdout.strip()
    assert secret.startswith("farm_")
    listed = farm("token", "list").stdout.splitlines()
    token, name, created = listed[1].split("\t")
    assert name == "ada"
    assert datetime.strptime(created, "%Y-%m-%d %H:%M:%S").astimezone() <= datetime.now(UTC)
    again = farm("token", "new", "ada")
    assert (again.returncode, f"ada has token {token}; revoke it first" in again.stderr) == (
        2,
        True,
    )
    assert secret not in "".join(path.read_text() for path in tmp_path.rglob("tokens.json"))
    assert farm("token", "revoke", token).returncode == 0
    assert farm("token", "list").stdout.splitlines() == listed[:1]
    assert farm("token", "revoke", token).returncode == 2


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("photos", "is not NAME=PATH"),
        ("photos=/nowhere/at/all", "is no folder"),
        ("A=.", "is not NAME=PATH"),
        ("=x", "is not NAME=PATH"),
        ("uploads=.", "the farm keeps uploads under this name"),
    ],
)
def test_a_wrong_root_is_refused_in_one_line(farm: Command, root: str, reason: str) -> None:
    done = farm("serve", "--root", root, "--port", "0")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
