"""After any sequence of events the scheduler is consistent, and every job can finish."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.errors import Conflict
from farm.model.events import (
    Assign,
    Event,
    KillWorker,
    PriorityChanged,
    RetryWanted,
    StaleReport,
    Tick,
    UnitChanged,
    WantedChanged,
    one_by_one,
)
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import (
    Failure,
    Figures,
    Hold,
    NoWorkers,
    Order,
    Reason,
    Room,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerAlive,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
)
from farm.model.unit import ALL_WORKERS, HELD, Role, Unit, UnitState
from farm.model.work import Join, Render, Train
from farm.scheduling.policy import Policy, is_same_device
from farm.scheduling.scheduler import Scheduler

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..workbench import submitted  # noqa: TID252 - shared between rooms

JOIN = Join((), FilmFormat("h264"))
DEVICES = st.sampled_from(["", "cpu AVX2", "cpu AVX512"])
STATES = st.sampled_from([UnitState.READY, UnitState.RUNNING, UnitState.SKIPPED])
SIZES = st.sampled_from([1, 1, 2, 3, ALL_WORKERS])
POLICY = Policy(failed_least=2, slice_seconds=300, kept_records=1000)


class Anything(RuleBasedStateMachine):
    """Workers join, leave and report, alone or gathered; users submit, pause, cancel, retry and set
    priorities; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.clock = Scheduler(POLICY, "any"), FakeClock()
        self.workers: list[str] = []
        self.devices: dict[str, str] = {}
        self.held: dict[str, Order] = {}
        self.sharing: dict[str, str] = {}
        self.sizes: dict[tuple[str, str], int] = {}
        self.room: int | None = None
        self.running: set[str] = set()
        self.states: dict[tuple[str, str], UnitState] = {}
        self.jobs: list[str] = []
        self.joined = 0

    def send(self, event: Event) -> None:
        """Send an event and then a tick, as the controller does."""
        for one in (event, Tick()):
            decided = self.scheduler.handle(one, self.clock.time())
            out = [each for many in decided for each in one_by_one(many)]
            for instruction in out:
                match instruction:
                    case Assign(workers, order):
                        self.take(workers, order)
                    case UnitChanged(unit, state):
                        self.states[unit.job, unit.name] = state
            for instruction in out:
                if isinstance(instruction, KillWorker) and instruction.worker in self.workers:
                    self.end(instruction.worker)

    def take(self, workers: Sequence[str], order: Order) -> None:
        """Let idle workers of one device hold a unit."""
        assert set(workers) <= set(self.workers)
        assert not set(workers) & self.sharing.keys()
        wanted = order.unit.workers
        assert len(workers) == wanted or wanted == ALL_WORKERS
        assert len({self.devices[worker] for worker in workers}) == 1
        self.check_assignment(workers[0], order)
        self.held[workers[0]] = order
        self.sharing |= dict.fromkeys(workers, workers[0])

    def let_go(self, lead: str) -> Order:
        self.running.discard(lead)
        self.sharing = {worker: first for worker, first in self.sharing.items() if first != lead}
        return self.held.pop(lead)

    def check_assignment(self, worker: str, order: Order) -> None:
        """Check that this worker may run the unit and that every unit it needs has ended.

        Rendering workers finish films only if no worker of kind finish exists.
        """
        is_finisher = worker.startswith("finish")
        finishers = any(other.startswith("finish") for other in self.workers)
        is_rendering = order.unit.role is Role.RENDER
        assert not is_finisher if is_rendering else is_finisher or not finishers
        if is_rendering:
            device = self.scheduler.job(order.unit.job).device
            assert is_same_device(device, self.devices[worker])
        ends = {name: self.states[order.unit.job, name] for name in order.unit.needs}
        assert all(end.is_final for end in ends.values())
        assert order.missing == tuple(name for name, end in ends.items() if not end.is_done)
        assert order.unit.is_tolerant or not order.missing

    def worker(self, number: int) -> str:
        return self.workers[number % len(self.workers)]

    def end(self, worker: str) -> None:
        self.workers.remove(worker)
        if worker in self.sharing:
            self.let_go(self.sharing[worker])
        self.send(WorkerLost(worker, "killed"))

    @rule(
        states=st.lists(STATES, min_size=1, max_size=4),
        priority=st.integers(0, 2),
        owner=st.sampled_from(["", "ada", "bob"]),
        is_tolerant=st.booleans(),
        keeps_going=st.booleans(),
        crashes=st.integers(0, 5),
        device=DEVICES,
        size=SIZES,
        is_run=st.booleans(),
    )
    def submit(
        self,
        states: Sequence[UnitState],
        priority: int,
        owner: str,
        crashes: int,
        device: str,
        size: int,
        *,
        is_tolerant: bool,
        keeps_going: bool,
        is_run: bool,
    ) -> None:
        """Submit units and a film that needs them all; farms have died while they ran the first.

        Workers share the first one.
        """
        name = f"job{len(self.jobs)}"
        self.jobs.append(name)
        work = Train(("s",)) if is_run else Render()
        first = Unit(name, "u0", "s", "t", work=work, workers=size)
        others = [Unit(name, f"u{n}", "s", "t") for n in range(1, len(states))]
        units = [
            RestoredUnit(unit, state, crashes=0 if n else crashes)
            for n, (unit, state) in enumerate(zip([first, *others], states, strict=True))
        ]
        self.sizes |= {(name, restored.unit.name): restored.unit.workers for restored in units}
        needs = tuple(e.unit.name for e in units)
        last = Unit(name, "last", "s", "t", needs, JOIN, is_tolerant)
        units.append(RestoredUnit(last, UnitState.BLOCKED))
        wish = {"priority": priority, "keeps_going": keeps_going, "owner": owner}
        self.send(submitted(name, units, self.clock.time(), device, **wish))

    @precondition(lambda self: len(self.workers) < 6)
    @rule(kind=st.sampled_from(["cpu", "finish"]), device=DEVICES)
    def join(self, kind: WorkerKind, device: str) -> None:
        self.joined += 1
        self.workers.append(f"{kind}{self.joined}")
        self.devices[self.workers[-1]] = device
        self.send(WorkerJoined(self.workers[-1], kind, device=device))

    @precondition(lambda self: self.workers)
    @rule(number=st.integers(0, 5))
    def lose(self, number: int) -> None:
        self.end(self.worker(number))

    @precondition(lambda self: len(self.workers) > 2)
    @rule(number=st.integers(0, 5))
    def lose_a_node(self, number: int) -> None:
        for worker in [self.worker(number), self.worker(number + 1)]:
            self.end(worker)

    @rule(room=st.integers(0, 6))
    def make_room(self, room: int) -> None:
        self.room = room
        self.send(Room(room))

    @precondition(lambda self: self.jobs and not self.workers)
    @rule()
    def have_no_workers(self) -> None:
        self.send(NoWorkers("the cluster is gone"))

    @precondition(lambda self: self.workers)
    @rule(number=st.integers(0, 5))
    def show_life(self, number: int) -> None:
        self.send(WorkerAlive(self.worker(number)))

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 5))
    def start(self, number: int) -> None:
        worker = sorted(self.held)[number % len(self.held)]
        if worker not in self.running:
            self.running.add(worker)
            self.send(UnitStarted(worker, self.held[worker].token))
        self.send(UnitProgress(worker, self.held[worker].token, 0.5))

    @precondition(lambda self: self.held)
    @rule(
        number=st.integers(0, 5),
        end=st.sampled_from(["succeed", "cancel", *Reason]),
        is_fatal=st.booleans(),
        hold=st.sampled_from([None, None, *Hold]),
    )
    def report(self, number: int, end: str, hold: Hold | None, *, is_fatal: bool) -> None:
        worker = sorted(self.held)[number % len(self.held)]
        token = self.let_go(worker).token
        match end:
            case "succeed":
                self.send(UnitSucceeded(worker, token, Figures()))
            case "cancel":
                self.send(UnitCancelled(worker, token))
            case _:
                failure = Failure(Reason(end), "failed", is_fatal, hold=hold)
                self.send(UnitFailed(worker, token, failure))

    @precondition(lambda self: self.workers)
    @rule(number=st.integers(0, 5))
    def report_stale(self, number: int) -> None:
        before = dict(self.states)
        report = UnitSucceeded(self.worker(number), "any-0", Figures())
        out = self.scheduler.handle(report, self.clock.time())
        assert StaleReport(report.worker, report.token) in out
        assert self.states == before

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 9), wanted=st.sampled_from(Wanted))
    def want(self, number: int, wanted: Wanted) -> None:
        self.send(WantedChanged(self.jobs[number % len(self.jobs)], wanted))

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 9), priority=st.integers(0, 2))
    def prioritise(self, number: int, priority: int) -> None:
        self.send(PriorityChanged(self.jobs[number % len(self.jobs)], priority))

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 9), units=st.sampled_from([(), ("u0",), ("last",)]))
    def retry(self, number: int, units: tuple[str, ...]) -> None:
        """Retry units of a job. One that is ending refuses and stays as it was."""
        before = dict(self.states)
        try:
            self.send(RetryWanted(self.jobs[number % len(self.jobs)], units))
        except Conflict:
            assert self.states == before

    @rule(seconds=st.sampled_from([0.5, 1, 60, 400, 2000]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.send(Tick())

    @invariant()
    def the_scheduler_is_consistent(self) -> None:
        self.scheduler.validate()
        held = [unit for unit, state in self.states.items() if state in HELD]
        under_lease = [(order.unit.job, order.unit.name) for order in self.held.values()]
        assert Counter(held) == Counter(under_lease)

    @invariant()
    def no_ready_unit_waits_while_the_workers_are_idle(self) -> None:
        ready = [unit for unit, state in self.states.items() if state is UnitState.READY]
        for name, unit in ready if not self.held else ():
            job = self.scheduler.job(name)
            may_run = job.wanted is Wanted.RUN and job.state is not JobState.PAUSED
            assert not (may_run and self.are_enough(job.device, self.sizes.get((name, unit), 1)))

    def are_enough(self, device: str, size: int) -> bool:
        """Return whether the rendering workers of one device are enough for a unit on a device."""
        own = Counter(self.devices[name] for name in self.workers if name.startswith("cpu"))
        suiting = [count for other, count in own.items() if is_same_device(device, other)]
        joined = own.total()
        room = joined if self.room is None else self.room
        if size == ALL_WORKERS:
            return bool(suiting) and joined >= room
        return (size == 1 and bool(suiting)) or size <= min(max(suiting, default=0), room)

    @invariant()
    def the_counts_are_those_of_all_jobs(self) -> None:
        states = Counter(self.scheduler.job(job).state for job in self.jobs)
        assert +self.scheduler.job_counts() == states
        assert self.scheduler.is_done == all(state.is_final for state in states)

    def teardown(self) -> None:
        """Let workers succeed: every job finishes, or waits for another farm."""
        for job in self.jobs:
            self.send(WantedChanged(job, Wanted.RUN))
        for _ in range(500):
            if not self.scheduler.has_work:
                break
            while sum(w.startswith("cpu") and not self.devices[w] for w in self.workers) < 3:
                self.join("cpu", "")
            self.make_room(sum(w.startswith("cpu") for w in self.workers))
            self.clock.advance(60)
            self.send(Tick())
            for worker in list(self.held):
                if worker in self.held:
                    self.send(UnitSucceeded(worker, self.let_go(worker).token, Figures()))
        assert not self.scheduler.has_work
        self.scheduler.validate()
        waiting = [job for job in self.jobs if not self.scheduler.job(job).state.is_final]
        assert all(self.scheduler.job(job).state is JobState.PAUSED for job in waiting)


TestAnything = pytest.mark.slow(Anything.TestCase)
TestAnything.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
