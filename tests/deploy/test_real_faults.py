"""A real Prometheus watches ``farm serve`` with worker processes, in which something breaks."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ..prometheus import (  # noqa: TID252 - shared
    Prometheus,
    free_port,
    needs_prometheus,
    watching,
)

pytestmark = [
    pytest.mark.proof,
    pytest.mark.slow,
    pytest.mark.ray,
    needs_prometheus,
    pytest.mark.timeout(600),
]

EFFECTS = '''
import os

from farm import Effect, hookimpl

class Raise(Effect):
    """Fail for every picture."""
    name = "raise"

    def render(self, image, context):
        raise RuntimeError("broken")

class Kill(Effect):
    """Kill the worker's process."""
    name = "kill"

    def render(self, image, context):
        os._exit(1)

@hookimpl
def farm_tasks():
    return [Raise, Kill]
'''


@dataclass(frozen=True)
class Served:
    """A service and the Prometheus that watches it."""

    address: str
    ledger: Path
    prometheus: Prometheus

    def submit(self, task: str) -> None:
        job = {"task": task, "inputs": ["here/photos/"], "output": f"here/{task}/"}
        answer = httpx.post(f"{self.address}/api/jobs", json=job, timeout=60)
        assert answer.status_code == 201, answer.text

    def until(self, alert: str) -> None:
        self.prometheus.wait(lambda: alert in self.prometheus.firing(), 300)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("farm")
    for name in ("photos", "plugins"):
        (folder / name).mkdir()
    (folder / "plugins" / "broken.py").write_text(EFFECTS)
    for number in range(3):
        Image.effect_noise((32, 32), 80).save(folder / "photos" / f"{number}.png")
    port, ledger = free_port(), folder / "ledger.db"
    environment = os.environ | {
        "FARM_LEDGER": str(ledger),
        "FARM_PLUGINS_DIR": str(folder / "plugins"),
    }
    serve = ("serve", "--port", str(port), "--workers", "2", "--root", f"here={folder}")
    with subprocess.Popen(
        [sys.executable, "-m", "farm", *serve], env=environment, stderr=subprocess.PIPE, text=True
    ) as service:
        assert service.stderr
        try:
            assert service.stderr.readline().startswith("serving on")
            with watching(port, folder / "prometheus") as prometheus:
                yield Served(f"http://127.0.0.1:{port}", ledger, prometheus)
        finally:
            service.terminate()
            service.wait(60)


def test_a_plugin_that_fails_raises_an_alert(served: Served) -> None:
    served.submit("raise")
    served.until("FarmUnitsFail")


def test_workers_that_die_raise_an_alert(served: Served) -> None:
    served.submit("kill")
    served.until("FarmWorkersDie")


def test_a_ledger_that_is_locked_raises_an_alert_and_the_farm_goes_on(served: Served) -> None:
    lock = sqlite3.connect(served.ledger, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    served.until("FarmLedgerFails")
    lock.close()
    served.submit("raise")
