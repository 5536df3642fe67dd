"""Jobs, units and workers for tests, and a farm on a fake executor."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farm.control.controller import Controller
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import (
    Assign,
    Event,
    Instruction,
    JobSubmitted,
    News,
    Tick,
    UnitChanged,
    one_by_one,
)
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import (
    Failure,
    Figures,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import Unit, UnitState
from farm.model.work import Train
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler

from .fake_clock import FakeClock
from .fakes import (
    End,
    FakeExecutor,
    Script,
    scripted,
)

EFFECT = '''
from farm import Effect, Field, TaskParams, hookimpl

class Copy(Effect):
    """Leave the picture as it is."""
    name = "copy"

    class Params(TaskParams):
        amount: float = Field(1.0, ge=0, le=1)

    def render(self, image, context):
        return image

@hookimpl
def farm_tasks():
    return [Copy]

@hookimpl
def farm_unit_finished(job, unit, state, reason):
    raise RuntimeError(f"cannot handle {unit.name}")
'''


def failed(
    reason: Reason = Reason.PLUGIN_ERROR, message: object = "", *, is_fatal: bool = False
) -> Failure:
    """Return a failure. Those that differ in their message are no sign of a broken plugin."""
    return Failure(reason, f"failed with {reason} {message}".rstrip(), is_fatal, "Traceback ...")


class Bench:
    """A scheduler and its clock, with a short method for each event.

    instructions: all that it has returned. held: the orders, by the worker that reports. sharing: the
    workers of each unit that was ever held, by its name. validates: the scheduler is validated after
    every event.
    """

    def __init__(self, policy: Policy = Policy()) -> None:  # noqa: B008 - frozen
        self.scheduler = Scheduler(policy, "test")
        self.clock = FakeClock()
        self.instructions: list[Instruction] = []
        self.held: dict[str, Order] = {}
        self.sharing: dict[str, tuple[str, ...]] = {}
        self.validates = True

    def send(self, event: Event) -> list[Instruction]:
        """Send the scheduler an event and return its instructions."""
        out = self.scheduler.handle(event, self.clock.time())
        self.instructions += (each for many in out for each in one_by_one(many))
        for instruction in out:
            if isinstance(instruction, Assign):
                self.held[instruction.workers[0]] = instruction.order
                self.sharing[instruction.order.unit.name] = instruction.workers
        if self.validates:
            self.scheduler.validate()
        return out

    def submit(
        self,
        job: str = "job",
        *units: str,
        priority: int = 50,
        owner: str = "",
        needs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Submit a job with these units, one second after the previous one."""
        self.clock.advance(1)
        needed = needs or {}
        planned = [
            Unit(job, name, f"in/{name}", f"out/{name}", tuple(needed.get(name, ())))
            for name in units or ("a", "b", "c")
        ]
        state = {True: UnitState.BLOCKED, False: UnitState.READY}
        self.submit_restored(
            job,
            [RestoredUnit(unit, state[bool(unit.needs)]) for unit in planned],
            priority,
            owner=owner,
        )

    def submit_shared(
        self,
        job: str,
        workers: int,
        *,
        units: int = 1,
        priority: int = 50,
        device: str = "",
        owner: str = "",
    ) -> None:
        """Submit runs that this many workers share, one second after the previous job."""
        self.clock.advance(1)
        runs = [
            Unit(
                job,
                f"{job}{number}",
                "in",
                f"out/{job}{number}",
                work=Train(("in",)),
                workers=workers,
            )
            for number in range(units)
        ]
        ready = [RestoredUnit(run, UnitState.READY) for run in runs]
        self.submit_restored(job, ready, priority, device=device, owner=owner)

    def submit_restored(
        self,
        job: str,
        units: Sequence[RestoredUnit],
        priority: int = 50,
        *,
        keeps_going: bool = False,
        device: str = "",
        owner: str = "",
    ) -> None:
        """Submit a job whose units may have a history."""
        wish = {"priority": priority, "keeps_going": keeps_going, "owner": owner}
        self.send(submitted(job, units, self.clock.time(), device, **wish))

    def join(self, *workers: str, device: str = "") -> None:
        for worker in workers:
            self.send(WorkerJoined(worker, "cpu", device=device))

    def start(self, worker: str) -> None:
        self.send(UnitStarted(worker, self.held[worker].token))

    def succeed(self, worker: str) -> list[Instruction]:
        order = self.held.pop(worker)
        return self.send(UnitSucceeded(worker, order.token, Figures()))

    def fail(self, worker: str, failure: Failure) -> list[Instruction]:
        order = self.held.pop(worker)
        return self.send(UnitFailed(worker, order.token, failure))

    def confirm_cancel(self, worker: str) -> list[Instruction]:
        order = self.held.pop(worker)
        return self.send(UnitCancelled(worker, order.token))

    def lose(self, worker: str) -> list[Instruction]:
        self.held.pop(worker, None)
        return self.send(WorkerLost(worker, "killed"))

    def pass_time(self, seconds: float) -> list[Instruction]:
        self.clock.advance(seconds)
        return self.send(Tick())

    def job_of(self, worker: str) -> str | None:
        """Return the job whose unit a worker holds and reports on."""
        return self.held[worker].unit.job if worker in self.held else None

    def units_of(self, *workers: str) -> list[str]:
        """Return the names of the units that these workers hold."""
        return [self.held[worker].unit.name for worker in workers]

    def states(self, unit: str) -> list[UnitState]:
        """Return every state that the unit has entered since it was submitted."""
        return [change.state for change in self.changes(unit)]

    def last(self, unit: str) -> UnitChanged:
        return self.changes(unit)[-1]

    def changes(self, unit: str) -> list[UnitChanged]:
        return [i for i in self.instructions if isinstance(i, UnitChanged) and i.unit.name == unit]

    def job(self, job: str = "job") -> tuple[JobState, str]:
        current = self.scheduler.job(job)
        return current.state, current.reason


def submitted(
    name: str, units: Sequence[RestoredUnit], created: float, device: str = "", **of_spec: Any
) -> JobSubmitted:
    """Return the submission of a job. of_spec: other values than the defaults of a spec."""
    spec = JobSpec(task="copy", inputs=("in",), output="out/", **of_spec)
    return JobSubmitted(Job(name, spec, created, device=device), tuple(units))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@dataclass
class Log:
    """An observer that records every event."""

    events: list[News] = field(default_factory=list)

    def on_event(self, event: News) -> None:
        self.events.append(event)

    def states(self, unit: str) -> list[UnitState]:
        each = (change for event in self.events for change in one_by_one(event))
        return [e.state for e in each if isinstance(e, UnitChanged) and e.unit.name == unit]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry that offers the task copy, from a plugin whose observer always raises."""
    return registry_of(EFFECT, tmp_path)


def registry_of(plugin: str, tmp_path: Path) -> Registry:
    """Return a registry with the plugin of a text."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "copying.py").write_text(plugin)
    return Registry.load(folder)


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    ledger = Ledger.open(ledger_url)
    yield ledger
    ledger.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a.png, b.png and c.png."""
    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (8, 8), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def spec(pictures: Path, tmp_path: Path) -> JobSpec:
    """A job of three frames: a.png, b.png and c.png."""
    return JobSpec(task="copy", inputs=(str(pictures),), output=f"{tmp_path / 'out'}/")


@dataclass
class Farm:
    """A controller with its executor, log and clock."""

    controller: Controller
    executor: FakeExecutor
    log: Log
    clock: FakeClock

    def run(self) -> Job:
        """Run the only job to its end and validate the scheduler."""
        (job,) = self.controller.run()
        self.controller.scheduler.validate()
        return job


def kill(*controllers: Controller) -> None:
    """Let go of what the death of a farm's process frees."""
    for controller in controllers:
        for claim in controller._claims._claims.values():
            for mark in claim._marks.values():
                os.close(mark.descriptor)
            claim._marks.clear()


class MakeFarm:
    """Creates farms on one ledger, one hour apart: ``make_farm({"a": ["die"]}, workers=2)``.

    By then the earlier ones are dead.
    """

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger, self._clock = registry, ledger, FakeClock()
        self._controllers: list[Controller] = []

    def __call__(self, ends: Mapping[str, Sequence[End]] | None = None, workers: int = 1) -> Farm:
        return self.scripted(scripted(ends or {}), workers)

    def scripted(self, script: Script, workers: int = 1) -> Farm:
        self._clock.advance(3600)
        kill(*self._controllers)
        executor, log = FakeExecutor(script, workers, self._clock), Log()
        controller = Controller(
            self._registry, executor, self._ledger, clock=self._clock, observers=[log]
        )
        self._controllers = [controller]
        return Farm(controller, executor, log, self._clock)


@pytest.fixture
def make_farm(registry: Registry, ledger: Ledger) -> MakeFarm:
    return MakeFarm(registry, ledger)
