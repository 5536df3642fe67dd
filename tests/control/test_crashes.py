"""A farm that is killed between any two of its steps loses nothing and repeats nothing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from farm.control.clock import FakeClock
from farm.control.controller import Controller
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import JobChanged, News, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import Message, Order
from farm.model.unit import UnitState

from ..fakes import FakeExecutor  # noqa: TID252 - shared with the contract suite

ENOUGH = 1000
"""More steps than any job here takes."""


class Killed(BaseException):
    """The process is gone: nothing of the farm's may catch this."""


@dataclass
class Fuse:
    """Counts the steps of a farm and kills it at one of them."""

    steps: int
    burnt: int = 0

    def burn(self) -> None:
        self.burnt += 1
        if self.burnt == self.steps:
            raise Killed


class FusedLedger(Ledger):
    """A ledger that does not wait for the disk: what dies here is a process, not a machine."""

    fuse: Fuse

    @classmethod
    def lit(cls, url: str, fuse: Fuse) -> Self:
        ledger = cls.open(url)
        ledger.fuse = fuse
        with closing(ledger._engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA synchronous=OFF")
        return ledger

    def add(self, job: Job, units: Sequence[RestoredUnit]) -> None:
        self.fuse.burn()
        super().add(job, units)
        self.fuse.burn()

    def record(self, changes: Iterable[UnitChanged | JobChanged], now: float) -> None:
        self.fuse.burn()
        super().record(changes, now)
        self.fuse.burn()


class FusedExecutor(FakeExecutor):
    fuse = Fuse(ENOUGH)

    def assign(self, worker: str, order: Order) -> None:
        self.fuse.burn()
        super().assign(worker, order)
        self.fuse.burn()

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = super().poll(timeout)
        self.fuse.burn()
        return messages


@dataclass
class FusedObserver:
    fuse: Fuse

    def on_event(self, _event: News) -> None:
        self.fuse.burn()


@dataclass
class Life:
    """One run of the farm on the ledger, from its start to its end or its death."""

    registry: Registry
    url: str
    spec: JobSpec
    clock: FakeClock
    pictures: Path

    def live(self, fuse: Fuse, *, recovers: bool = False) -> FakeExecutor:
        executor = FusedExecutor(clock=self.clock)
        executor.fuse = fuse
        observers = [FusedObserver(fuse)]
        with closing(FusedLedger.lit(self.url, fuse)) as ledger, suppress(Killed):
            controller = Controller(
                self.registry, executor, ledger, clock=self.clock, observers=observers
            )
            if not recovers or not controller.recover():
                controller.submit(self.spec, resume=True)
            controller.run()
        return executor


@pytest.fixture
def life(registry: Registry, ledger_url: str, spec: JobSpec, pictures: Path) -> Life:
    return Life(registry, ledger_url, spec, FakeClock(), pictures)


@dataclass(frozen=True)
class Known:
    """What the ledger holds of an output: its jobs' states, and the frames that are done."""

    jobs: list[JobState]
    done: set[str]


def known(life: Life) -> Known:
    with closing(Ledger.open(life.url)) as ledger:
        jobs = [job for job in ledger.jobs() if job.spec.output == life.spec.output]
        records = [record for job in jobs for record in ledger.units(job.id)]
    return Known([j.state for j in jobs], {r.unit.name for r in records if r.state.is_done})


def deaths(life: Life, *, recovers: bool) -> Iterator[tuple[set[str], list[str]]]:
    """Kill a farm at its first step, another at its second, and so on; go on after each.

    Yields the frames that were recorded as done when it died, and those that were done after.
    """
    output = life.spec.output
    for steps in range(1, ENOUGH):
        life.spec = life.spec.model_copy(update={"output": f"{output}{steps}/"})
        fuse = Fuse(steps)
        life.live(fuse)
        if fuse.burnt < steps:
            return
        before = known(life).done
        life.clock.advance(1)
        executor = life.live(Fuse(ENOUGH), recovers=recovers)
        yield before, [order.unit.name for order in executor.orders]


@pytest.mark.slow
@pytest.mark.parametrize("recovers", [False, True], ids=["resumed", "recovered"])
def test_whatever_step_a_farm_is_killed_at_the_next_one_does_the_rest_and_only_that(
    life: Life, *, recovers: bool
) -> None:
    (life.pictures / "c.png").unlink()
    seen = 0
    for before, after in deaths(life, recovers=recovers):
        seen += 1
        assert sorted([*before, *after]) == ["a", "b"]
        now = known(life)
        assert now.done == {"a", "b"}
        assert now.jobs[-1] is JobState.COMPLETED
        assert all(state.is_final for state in now.jobs)
        for name in ("a.png", "b.png"):
            source, target = life.pictures / name, Path(life.spec.output, name)
            assert target.read_bytes() == source.read_bytes()
    assert seen > 30


def test_a_frame_that_kills_three_farms_is_set_aside(life: Life, ledger_url: str) -> None:
    for _ in range(3):
        killed_at_work(life)
    executor = life.live(Fuse(ENOUGH), recovers=True)
    assert executor.orders == []
    with closing(Ledger.open(ledger_url)) as ledger:
        (job,) = ledger.jobs()
        set_aside = ledger.units(job.id)[0]
    assert set_aside.state is UnitState.QUARANTINED
    assert set_aside.reason == "killed 3 workers; the last time: the farm ended"
    assert (job.state, job.reason) == (JobState.COMPLETED, "1 of 3 failed")


def test_a_resumed_job_begins_with_frames_that_no_farm_died_with(life: Life) -> None:
    killed_at_work(life)
    executor = life.live(Fuse(ENOUGH))
    assert [order.unit.name for order in executor.orders] == ["b", "c", "a"]
    assert known(life).done == {"a", "b", "c"}


def killed_at_work(life: Life) -> None:
    """Go on until the frame a is in work, and die."""

    class Observer:
        def on_event(self, event: News) -> None:
            is_running = isinstance(event, UnitChanged) and event.state is UnitState.RUNNING
            if is_running and event.unit.name == "a":
                raise Killed

    life.clock.advance(60)
    with closing(Ledger.open(life.url)) as ledger:
        executor = FakeExecutor(clock=life.clock)
        controller = Controller(
            life.registry, executor, ledger, clock=life.clock, observers=[Observer()]
        )
        if not controller.recover():
            controller.submit(life.spec)
        with pytest.raises(Killed):
            controller.run()
