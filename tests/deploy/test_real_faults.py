"""A real Prometheus watches ``farm serve`` with worker processes, in which something breaks."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ..prometheus import (  # noqa: TID252 - shared
    Prometheus,
    needs_prometheus,
    watched_service,
)

pytestmark = [
    pytest.mark.proof,
    pytest.mark.slow,
    pytest.mark.ray,
    needs_prometheus,
    pytest.mark.xdist_group("real faults"),
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
    plugins = str(folder / "plugins")
    with watched_service(folder, "--workers", "2", FARM_PLUGINS_DIR=plugins) as (address, server):
        yield Served(address, folder / "ledger.db", server)


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
