"""A running job serves metrics, and its final counters match the ledger."""

import json
import os
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farm.ledger import Ledger

from .conftest import QUICK, Command, draw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Samples = dict[tuple[str, ...], float]

GATE = '''
import os
from farm import hookimpl

seen = []

def wait_at(gate):
    """Notify the test, and wait until it opens the gate."""
    open(gate + "-reached", "w").close()
    open(gate).close()

@hookimpl
def farm_unit_finished(job, unit, state, reason):
    seen.append(unit)
    if len(seen) == 2:
        wait_at(os.environ["GATE_MID"])

@hookimpl
def farm_job_finished(job):
    wait_at(os.environ["GATE_END"])
'''


class Gate:
    """A point in a job where the controller waits for the test."""

    def __init__(self, path: Path) -> None:
        self.path, self._reached = path, Path(f"{path}-reached")
        os.mkfifo(self.path)
        os.mkfifo(self._reached)

    def wait_until_reached(self) -> None:
        self._reached.read_bytes()

    def open(self) -> None:
        self.path.write_bytes(b"")


@pytest.fixture
def gates(command: Command) -> tuple[Gate, Gate]:
    """Gates after the second frame and at the end of the job, set by a plugin."""
    (command.folder / "own").mkdir()
    (command.folder / "own" / "gate.py").write_text(GATE)
    mid, end = Gate(command.folder / "mid"), Gate(command.folder / "end")
    command.environment |= {"GATE_MID": str(mid.path), "GATE_END": str(end.path)}
    return mid, end


@pytest.fixture
def port() -> int:
    return free_port()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def scrape(port: int) -> Samples:
    """Return every sample by name and label values."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sums(samples: Samples, name: str) -> float:
    return sum(value for key, value in samples.items() if key[0] == name)


def test_counters_match_the_ledger(command: Command, gates: tuple[Gate, Gate], port: int) -> None:
    for number in range(4):
        draw(command.folder / "in" / f"good{number}.png", 32 + 16 * number, 48, number)
    (command.folder / "in" / "bad.png").write_bytes(b"no picture")
    words = ("dream", "in", "-o", "out/", *QUICK, "--tile", "48", "--metrics-port", port)
    mid, end = gates
    with command.start("--plugins-dir", "own", *words) as job:
        mid.wait_until_reached()
        half = scrape(port)
        mid.open()
        end.wait_until_reached()
        last = scrape(port)
        end.open()
        done = job.wait()
    assert done.returncode == 1, done.stderr

    assert half["farm_units_total", "quarantined", "dream", "dream"] == 1
    assert half["farm_units_total", "succeeded", "dream", "dream"] == 1
    assert sums(half, "farm_units_in_state") == 3
    assert half["farm_jobs", "running"] == 1
    assert sums(half, "farm_workers") == 1
    assert half["farm_worker_up_seconds_total", "cpu"] > 0
    assert half["farm_oldest_ready_unit_age_seconds", "dream"] > 0

    ledger = Ledger.open(f"sqlite:///{command.ledger}")
    (finished,) = ledger.jobs()
    records = ledger.units(finished.id)
    ledger.close()
    for outcome, count in Counter(record.state for record in records).items():
        assert last["farm_units_total", outcome, "dream", "dream"] == count
    figures = [record.figures for record in records if record.figures]
    assert len(figures) == 4
    for name in ("pixels", "tiles", "overlap_pixels"):
        total = sum(getattr(one, name) for one in figures)
        assert last[f"farm_{name}_total", "dream", "dream"] == total > 0
    for stage in ("load", "compute", "write"):
        assert last["farm_unit_duration_seconds_count", "dream", stage, "dream"] == 4
        assert last["farm_unit_duration_seconds_sum", "dream", stage, "dream"] == pytest.approx(
            sum(one.seconds[stage] for one in figures)
        )
    assert last["farm_unit_failures_total", "dream", "user_error", "dream"] == 1
    assert last["farm_jobs_finished_total", "completed_with_failures", "dream", "dream"] == 1
    assert sums(last, "farm_units_in_state") == 0


def test_a_run_counts_its_steps(command: Command, gates: tuple[Gate, Gate], port: int) -> None:
    draw(command.folder / "style.png")
    for number in range(3):
        draw(command.folder / "photos" / f"{number}.png", 64, 64, number)
    small = (
        "--width",
        4,
        "--blocks",
        1,
        "--side",
        64,
        "--style-side",
        64,
        "--batch",
        2,
        "--threads",
        1,
    )
    words = ("train-style", "style.png", "--photos", "photos", "-o", "run", *small, "--steps", 3)
    _, end = gates
    with command.start("--plugins-dir", "own", *words, "--metrics-port", port) as job:
        end.wait_until_reached()
        last = scrape(port)
        end.open()
        done = job.wait()
    assert done.returncode == 0, done.stderr
    run = command.folder / "run"
    assert done.stderr.splitlines()[-1] == f"trained {run}; look at {run / 'index.html'}"
    assert last["farm_training_steps_total", "style", "train-style"] == 3
    assert last["farm_training_pictures_total", "style", "train-style"] == 6
    assert last["farm_training_rate", "style", "train-style"] > 0
    assert last["farm_training_loss", "content", "style", "train-style"] > 0
    for stage, count in {"compute": 3, "checkpoint": 1}.items():
        key = ("farm_training_step_seconds_count", "style", stage, "train-style")
        assert last[key] == count
    steps = [event["training"]["step"] for event in job.events if event["event"] == "progress"]
    assert steps[-1] == 3


CONFIG = """
scrape_configs:
  - job_name: farm
    scrape_interval: 100ms
    scrape_timeout: 100ms
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def ask(server: int, query: str) -> list[tuple[dict[str, str], float]]:
    """Return Prometheus' answer to a query; empty until it is up."""
    try:
        with urlopen(f"http://127.0.0.1:{server}/api/v1/query?query={quote(query)}") as answer:
            samples = json.load(answer)["data"]["result"]
    except URLError:
        return []
    return [(one["metric"], float(one["value"][1])) for one in samples]


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus on PATH")
def test_prometheus_scrapes_a_job(
    command: Command, gates: tuple[Gate, Gate], port: int, tmp_path: Path
) -> None:
    draw(command.folder / "in" / "a.png")
    draw(command.folder / "in" / "b.png", seed=1)
    config, server = tmp_path / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(port=port))
    words = (
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'series'}",
        f"--web.listen-address=127.0.0.1:{server}",
    )
    mid, end = gates
    dream = ("dream", "in", "-o", "out/", *QUICK, "--metrics-port", port)
    with (
        command.start("--plugins-dir", "own", *dream) as job,
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as scraper,
    ):
        try:
            mid.wait_until_reached()
            mid.open()
            end.wait_until_reached()
            while not (samples := ask(server, 'farm_units_total{outcome="succeeded"} == 2')):
                assert scraper.poll() is None
            up = ask(server, "up")
        finally:
            scraper.terminate()
        end.open()
        assert job.wait().returncode == 0
    ((labels, _),) = samples
    assert labels["plugin"] == "dream"
    assert [value for _, value in up] == [1]
