"""A real Prometheus watches a farm, and its alerts fire when something breaks, and only then."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from farm.control.controller import Controller
from farm.control.metrics import Metrics
from farm.errors import LedgerUnavailable
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec, JobState
from farm.model.messages import Hold, Message, Reason, UnitFailed
from farm.model.transfers import Transfers
from farm.scheduling.policy import Policy

from ..fakes import End, FakeExecutor, scripted  # noqa: TID252 - shared
from ..prometheus import Prometheus, needs_prometheus, watching  # noqa: TID252 - shared
from ..workbench import (  # noqa: TID252 - shared between rooms
    failed,
    ledger,
    ledger_url,
    pictures,
    registry,
    spec,
)

__all__ = ["ledger", "ledger_url", "pictures", "registry", "spec"]

pytestmark = [pytest.mark.slow, needs_prometheus, pytest.mark.timeout(300)]


class Storage(FakeExecutor):
    """Units fail because their files cannot be written."""

    def poll(self, timeout: float) -> Sequence[Message]:
        moved = (Transfers("s3", "write", 1, 0, 1.0, 1),)
        return [
            replace(message, transfers=moved) if isinstance(message, UnitFailed) else message
            for message in super().poll(timeout)
        ]


@dataclass
class Scene:
    """A farm that Prometheus watches. ends: what closes its port, until it is closed."""

    registry: Registry
    ledger: Ledger
    spec: JobSpec
    metrics: Metrics
    executor: FakeExecutor
    prometheus: Prometheus
    ends: list[Callable[[], None]]
    ledger_url: str

    def __post_init__(self) -> None:
        self.controller = Controller(
            self.registry,
            self.executor,
            self.ledger,
            clock=self.executor.clock,
            observers=[self.metrics],
            policy=Policy(waits_for_workers=True),
        )
        self.metrics.watch(self.controller.scheduler, self.ledger, self.controller.planning)

    def run(self, ends: Mapping[str, Sequence[End]]) -> None:
        """Run a job of the units a, b and c, whose attempts end so."""
        self.executor.script = scripted(ends)
        self.controller.add(self.spec)
        self.controller.run()

    def until(self, alert: str) -> None:
        self.prometheus.wait(lambda: alert in self.prometheus.firing())


@pytest.fixture
def scene(
    registry: Registry, ledger: Ledger, ledger_url: str, spec: JobSpec, tmp_path: Path
) -> Iterator[Scene]:
    executor = Storage()
    metrics = Metrics(executor.clock, {"copy": "copying"})
    port, close = metrics.serve(0)
    closing = [close]
    with watching(port, tmp_path / "prometheus") as prometheus:
        yield Scene(
            registry,
            ledger,
            spec,
            metrics,
            executor,
            prometheus,
            closing,
            ledger_url,
        )
    for end in closing:
        end()


def test_a_job_without_trouble_raises_no_alert(scene: Scene) -> None:
    scene.run({})
    done = 'farm_units_total{outcome="succeeded"} == 3'
    scene.prometheus.wait(lambda: bool(scene.prometheus.values(done)))
    scene.prometheus.wait(
        lambda: bool(scene.prometheus.values("count_over_time(farm:tiles:rate5m[1m]) > 3"))
    )
    assert scene.prometheus.firing() == set()


def test_a_farm_that_ends_is_down(scene: Scene) -> None:
    scene.ends.pop()()
    scene.until("FarmIsDown")


def test_a_farm_without_workers_raises_an_alert(scene: Scene) -> None:
    scene.executor.lack = "no node is up"
    scene.controller.add(scene.spec)
    scene.until("FarmHasNoWorkers")


def test_a_plugin_that_fails_raises_an_alert(scene: Scene) -> None:
    scene.run({"a": [failed()] * 3})
    scene.until("FarmUnitsFail")
    scene.until("FarmUnitsAreRetried")


def test_workers_that_are_killed_raise_an_alert(scene: Scene) -> None:
    scene.run({unit: ["die", "die"] for unit in "abc"})
    scene.until("FarmWorkersDie")


def test_a_report_of_a_worker_that_was_given_up_raises_an_alert(scene: Scene) -> None:
    scene.run({"a": ["succeed_after_death"]})
    scene.until("FarmReportsAreStale")


def test_a_ledger_that_is_locked_raises_an_alert(scene: Scene) -> None:
    scene.run({})
    scene.prometheus.wait(lambda: bool(scene.prometheus.values("farm_database_errors_total")))
    lock = sqlite3.connect(scene.ledger_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable):
        scene.ledger.beat(0.0)
    lock.close()
    scene.until("FarmLedgerFails")


def test_a_storage_that_is_full_raises_alerts(scene: Scene) -> None:
    scene.executor.script = lambda _order: replace(failed(Reason.STORAGE), hold=Hold.STORAGE)
    job = scene.controller.add(scene.spec)
    scene.controller.run(lambda: scene.controller.job(job.id).state is JobState.PAUSED)
    scene.until("FarmJobsAreOnHold")
    scene.until("FarmStorageFails")
