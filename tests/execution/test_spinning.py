"""Threads that compute together give their core away soon when they have nothing to do."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from farm.execution.spinning import spin_briefly
from farm_cluster.session import worker_environment

pytestmark = [
    pytest.mark.slow,  # each process imports torch
    pytest.mark.skipif(
        platform.libc_ver()[0] != "glibc" or (os.cpu_count() or 1) < 2, reason="needs GNU's OpenMP"
    ),
]

IDLE = """
import os
from pathlib import Path
import torch

def threads():
    return {*Path("/proc/self/task").iterdir()}

torch.set_num_threads(2)
before = threads()
torch.ones(2**20).exp()
(place,) = threads() - before

def sleeps():
    return (place / "stat").read_text().rpartition(")")[2].split()[0] == "S"

def seconds():
    return int((place / "schedstat").read_text().split()[0]) / 1e9

image = torch.ones(2**16)
spent = []
for _ in range(20):
    while not sleeps():
        os.sched_yield()
    before = seconds()
    image.exp()
    while not sleeps():
        os.sched_yield()
    spent.append(seconds() - before)
print(sorted(spent)[10])
"""
"""Prints the seconds of processor time that a second thread takes for a short piece of work."""


BRIEF = 0.002
"""More seconds than a thread spins as the farm has it, and fewer than it does by itself."""


def spent(*command: str, **environment: str) -> float:
    """Return what IDLE prints, run by a command in an environment that says nothing else."""
    names = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}
    plain = {name: value for name, value in os.environ.items() if name not in names}
    output = subprocess.check_output(command, text=True, env=plain | environment)
    return float(output.split()[0])


@pytest.fixture
def farm_command(tmp_path: Path) -> tuple[str, ...]:
    """The farm's command, which loads a plugin that runs IDLE."""
    (tmp_path / "idle.py").write_text(IDLE)
    return sys.executable, "-m", "farm", "--plugins-dir", str(tmp_path), "plugins"


def test_by_themselves_they_keep_a_core_for_long() -> None:
    assert spent(sys.executable, "-c", IDLE) > BRIEF


def test_those_of_a_command_give_it_away(farm_command: tuple[str, ...]) -> None:
    assert spent(*farm_command) < BRIEF


def test_a_command_respects_the_number_that_its_user_has_set(farm_command: tuple[str, ...]) -> None:
    assert spent(*farm_command, GOMP_SPINCOUNT="300000") > BRIEF


def test_commands_and_workers_respect_the_policy_that_their_user_has_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    spin_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    environment = worker_environment("cluster")
    assert environment["OMP_WAIT_POLICY"] == "active"
    assert "GOMP_SPINCOUNT" not in environment


def test_those_of_a_worker_on_a_cluster_give_it_away() -> None:
    assert spent(sys.executable, "-c", IDLE, **worker_environment("cluster")) < BRIEF
