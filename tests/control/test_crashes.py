"""A farm that is killed between any two steps loses no work and repeats none."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from farm.control.controller import Controller
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import JobChanged, News, Progressed, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import Message, Order, TrainingFigures, UnitProgress
from farm.model.unit import UnitState
from farm.process import SILENT_SECONDS

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import kill  # noqa: TID252 - shared between rooms

ENOUGH = 1000
"""More steps than any of these jobs takes."""


class Killed(BaseException):
    """Stands for the death of the process: the farm must not catch it."""


@dataclass
class KillSwitch:
    """Counts the steps of a farm and kills it at one of them."""

    steps: int
    count: int = 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.steps:
            raise Killed


class KilledLedger(Ledger):
    """A ledger that does not wait for the disk: only the process dies here, not the machine."""

    switch: KillSwitch

    @classmethod
    def open_with(cls, url: str, switch: KillSwitch) -> Self:
        ledger = cls.open(url)
        ledger.switch = switch
        with closing(ledger._engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA synchronous=OFF")
        return ledger

    def add(
        self, job: Job, units: Sequence[RestoredUnit] = (), *, is_resumed: bool = False
    ) -> None:
        self.switch.step()
        super().add(job, units, is_resumed=is_resumed)
        self.switch.step()

    def replace(self, before: Job, job: Job, units: Sequence[RestoredUnit], now: float) -> None:
        self.switch.step()
        super().replace(before, job, units, now)
        self.switch.step()

    def plan(
        self, job: Job, units: Sequence[RestoredUnit], now: float, replaces: Job | None = None
    ) -> None:
        self.switch.step()
        super().plan(job, units, now, replaces)
        self.switch.step()

    def reopen(self, job: str, now: float) -> None:
        self.switch.step()
        super().reopen(job, now)
        self.switch.step()

    def record(self, changes: Iterable[UnitChanged | JobChanged], now: float) -> None:
        self.switch.step()
        super().record(changes, now)
        self.switch.step()


class KilledExecutor(FakeExecutor):
    switch = KillSwitch(ENOUGH)

    def assign(self, workers: Sequence[str], order: Order) -> None:
        self.switch.step()
        super().assign(workers, order)
        self.switch.step()

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = super().poll(timeout)
        self.switch.step()
        return messages


class ServingExecutor(KilledExecutor):
    """Is not killed while it waits: nobody knows how often a farm polls until a job is planned."""

    def poll(self, timeout: float) -> Sequence[Message]:
        return FakeExecutor.poll(self, timeout)


@dataclass
class KilledObserver:
    switch: KillSwitch

    def on_event(self, _event: News) -> None:
        self.switch.step()


@dataclass
class Farms:
    """Runs farms on one ledger, each until its end or until it is killed."""

    registry: Registry
    url: str
    spec: JobSpec
    clock: FakeClock
    pictures: Path

    def run(self, switch: KillSwitch, *, recovers: bool = False) -> FakeExecutor:
        executor = KilledExecutor(clock=self.clock)
        with self._opened(executor, switch) as controller:
            with suppress(Killed):
                if not recovers or not controller.recover():
                    controller.add(self.spec, resume=True)
                controller.run()
            kill(controller)
        return executor

    def serve(self, switch: KillSwitch, client: Callable[[Controller], Job]) -> FakeExecutor:
        """Run a service until its client has what it asked for, or until it is killed."""
        executor = ServingExecutor(clock=self.clock)
        with self._opened(executor, switch) as controller:
            with suppress(Killed):
                controller.recover()
                client(controller)
            end_threads(controller)
            kill(controller)
        return executor

    @contextmanager
    def _opened(self, executor: KilledExecutor, switch: KillSwitch) -> Iterator[Controller]:
        """Open the ledger, and yield a farm on it that is killed by a switch."""
        executor.switch = switch
        observers = [KilledObserver(switch)]
        with closing(KilledLedger.open_with(self.url, switch)) as ledger:
            yield Controller(self.registry, executor, ledger, clock=self.clock, observers=observers)


def end_threads(controller: Controller) -> None:
    """End the threads that plan jobs, which a real death of the process ends too."""
    threads = controller._submissions._threads
    threads.close()
    for thread in threads._threads:
        thread.join(60)


def submit_and_wait(controller: Controller, spec: JobSpec, token: str) -> Job:
    answer = controller.submit(spec, token=token)
    controller.serve(answer.done)
    job = answer.result().id
    controller.serve(lambda: controller.job(job).state.is_final)
    return controller.job(job)


@pytest.fixture
def farms(registry: Registry, ledger_url: str, spec: JobSpec, pictures: Path) -> Farms:
    return Farms(registry, ledger_url, spec, FakeClock(), pictures)


@dataclass(frozen=True)
class Recorded:
    """What the ledger contains about an output: states of its jobs, and finished frames."""

    jobs: list[JobState]
    done: set[str]


def recorded(farms: Farms) -> Recorded:
    with closing(Ledger.open(farms.url)) as ledger:
        jobs = [job for job in ledger.jobs()[::-1] if job.spec.output == farms.spec.output]
        records = [record for job in jobs for record in ledger.units(job.id)]
    return Recorded([j.state for j in jobs], {r.unit.name for r in records if r.state.is_done})


def kills(farms: Farms, *, recovers: bool) -> Iterator[tuple[set[str], list[str]]]:
    """Kill a farm at its first step, another at its second, and so on; continue each job afterwards.

    Yields the frames that were finished when the farm was killed, and those rendered afterwards.
    """
    output = farms.spec.output
    for steps in range(1, ENOUGH):
        farms.spec = farms.spec.model_copy(update={"output": f"{output}{steps}/"})
        switch = KillSwitch(steps)
        farms.run(switch)
        if switch.count < steps:
            return
        before = recorded(farms).done
        farms.clock.advance(SILENT_SECONDS)
        executor = farms.run(KillSwitch(ENOUGH), recovers=recovers)
        yield before, [order.unit.name for order in executor.orders]


@pytest.mark.slow
@pytest.mark.parametrize("recovers", [False, True], ids=["resumed", "recovered"])
def test_after_a_kill_at_any_step_the_next_farm_renders_exactly_the_missing_frames(
    farms: Farms, *, recovers: bool
) -> None:
    (farms.pictures / "c.png").unlink()
    seen = 0
    for before, after in kills(farms, recovers=recovers):
        seen += 1
        assert sorted([*before, *after]) == ["a", "b"]
        now = recorded(farms)
        assert now.done == {"a", "b"}
        assert now.jobs[-1] is JobState.COMPLETED
        assert all(state.is_final for state in now.jobs)
        for name in ("a.png", "b.png"):
            source, target = farms.pictures / name, Path(farms.spec.output, name)
            assert target.read_bytes() == source.read_bytes()
    assert seen > 30


@pytest.mark.slow
def test_after_a_kill_at_any_step_of_a_service_a_client_gets_its_job_and_each_frame_once(
    farms: Farms,
) -> None:
    (farms.pictures / "c.png").unlink()
    output = farms.spec.output
    for steps in range(1, ENOUGH):
        farms.spec = farms.spec.model_copy(update={"output": f"{output}{steps}/"})
        client = partial(submit_and_wait, spec=farms.spec, token=f"form {steps}")
        switch = KillSwitch(steps)
        farms.serve(switch, client)
        if switch.count < steps:
            break
        before = recorded(farms).done
        farms.clock.advance(SILENT_SECONDS)
        executor = farms.serve(KillSwitch(ENOUGH), client)
        after = [order.unit.name for order in executor.orders]
        assert sorted([*before, *after]) == ["a", "b"]
        now = recorded(farms)
        assert (now.jobs, now.done) == ([JobState.COMPLETED], {"a", "b"})
    assert steps > 20


def redo_and_wait(controller: Controller, job: str) -> Job:
    """Render the first frame again, unless that is under way."""
    if controller.job(job).state.is_final:
        answer = controller.retry(job, ["a"], redo=True)
        controller.serve(answer.done)
        answer.result()
    controller.serve(lambda: controller.job(job).state.is_final)
    return controller.job(job)


@pytest.mark.slow
def test_after_a_kill_at_any_step_of_a_retry_the_job_goes_on_or_is_as_it_was(farms: Farms) -> None:
    farms.run(KillSwitch(ENOUGH))
    with closing(Ledger.open(farms.url)) as ledger:
        (job,) = ledger.jobs()
        for steps in range(1, ENOUGH):
            farms.clock.advance(SILENT_SECONDS)
            switch = KillSwitch(steps)
            farms.serve(switch, partial(redo_and_wait, job=job.id))
            if switch.count < steps:
                break
            farms.clock.advance(SILENT_SECONDS)
            executor = farms.serve(KillSwitch(ENOUGH), partial(redo_and_wait, job=job.id))
            assert {order.unit.name for order in executor.orders} == {"a"}
            assert ledger.counts(job.id) == {UnitState.SUCCEEDED: 3}
            assert [known.state for known in ledger.jobs()] == [JobState.COMPLETED]
    assert steps > 10


@pytest.mark.parametrize("recovers", [False, True], ids=["resumed", "recovered"])
def test_three_restarts_of_the_farm_cost_a_frame_nothing(farms: Farms, *, recovers: bool) -> None:
    for _ in range(3):
        kill_at_frame_a(farms, recovers=recovers)
    farms.clock.advance(SILENT_SECONDS)
    executor = farms.run(KillSwitch(ENOUGH), recovers=recovers)
    assert [order.unit.name for order in executor.orders] == ["a"]
    assert recorded(farms).done == {"a", "b", "c"}


@pytest.mark.parametrize("recovers", [False, True], ids=["resumed", "recovered"])
def test_a_frame_that_kills_five_farms_in_a_row_is_quarantined(
    farms: Farms, ledger_url: str, *, recovers: bool
) -> None:
    for _ in range(5):
        kill_at_frame_a(farms, recovers=recovers)
    farms.clock.advance(SILENT_SECONDS)
    executor = farms.run(KillSwitch(ENOUGH), recovers=recovers)
    assert executor.orders == []
    with closing(Ledger.open(ledger_url)) as ledger:
        job = ledger.jobs()[0]
        quarantined = next(r for r in ledger.units(job.id) if r.unit.name == "a")
    assert quarantined.state is UnitState.QUARANTINED
    assert quarantined.reason.startswith("5 farms in a row died while they ran this unit; ")
    assert (job.state, job.reason) == (JobState.COMPLETED_WITH_FAILURES, "1 of 3 units failed")


def test_a_resumed_job_starts_with_frames_that_killed_no_farm(farms: Farms) -> None:
    kill_at_frame_a(farms)
    farms.clock.advance(SILENT_SECONDS)
    executor = farms.run(KillSwitch(ENOUGH))
    assert [order.unit.name for order in executor.orders] == ["b", "c", "a"]
    assert recorded(farms).done == {"a", "b", "c"}


def kill_at_frame_a(farms: Farms, *, recovers: bool = False) -> None:
    """Run a farm until frame a is running, then kill it."""

    class Observer:
        def on_event(self, event: News) -> None:
            is_running = isinstance(event, UnitChanged) and event.state is UnitState.RUNNING
            if is_running and event.unit.name == "a":
                raise Killed

    farms.clock.advance(SILENT_SECONDS)
    with closing(Ledger.open(farms.url)) as ledger:
        executor = FakeExecutor(scripted({"a": ["hang"] * 9}), clock=farms.clock)
        controller = Controller(
            farms.registry, executor, ledger, clock=farms.clock, observers=[Observer()]
        )
        if not recovers or not controller.recover():
            controller.add(farms.spec, resume=True)
        with pytest.raises(Killed):
            controller.run()
        kill(controller)


def test_the_next_farm_cancels_a_job_whose_farm_died_when_the_wish_was_stored(
    farms: Farms,
) -> None:
    class Observer:
        def on_event(self, event: News) -> None:
            if isinstance(event, JobChanged) and event.job.wanted is Wanted.CANCEL:
                raise Killed

    with closing(Ledger.open(farms.url)) as ledger:
        executor = FakeExecutor(workers=0, clock=farms.clock)
        controller = Controller(
            farms.registry, executor, ledger, clock=farms.clock, observers=[Observer()]
        )
        job = controller.add(farms.spec)
        controller.want(job.id, Wanted.CANCEL)
        with pytest.raises(Killed):
            controller.run()
        kill(controller)
        assert ledger.counts(job.id) == {UnitState.READY: 3}
    farms.clock.advance(SILENT_SECONDS)
    farms.serve(KillSwitch(ENOUGH), lambda controller: controller.job(job.id))
    with closing(Ledger.open(farms.url)) as ledger:
        assert ledger.counts(job.id) == {UnitState.CANCELLED: 3}
        assert [known.state for known in ledger.jobs()] == [JobState.CANCELLED]


class AdvancingExecutor(FakeExecutor):
    """Says with each report that a new checkpoint has been written."""

    def poll(self, timeout: float) -> Sequence[Message]:
        figures = TrainingFigures(8, 64, {"loss": 0.5}, has_advanced=True)
        return [
            replace(message, training=figures) if isinstance(message, UnitProgress) else message
            for message in super().poll(timeout)
        ]


def test_a_run_that_advances_each_time_survives_any_number_of_deaths(farms: Farms) -> None:
    class Observer:
        def on_event(self, event: News) -> None:
            if isinstance(event, Progressed):
                raise Killed

    for number in range(16):
        farms.clock.advance(SILENT_SECONDS)
        with closing(Ledger.open(farms.url)) as ledger:
            executor = AdvancingExecutor(lambda _order: "hang", clock=farms.clock)
            controller = Controller(
                farms.registry, executor, ledger, clock=farms.clock, observers=[Observer()]
            )
            if number == 0:
                controller.add(farms.spec)
            controller.recover()
            with pytest.raises(Killed):
                controller.run()
            kill(controller)
    farms.clock.advance(SILENT_SECONDS)
    farms.run(KillSwitch(ENOUGH), recovers=True)
    assert recorded(farms) == Recorded([JobState.COMPLETED], {"a", "b", "c"})
