"""After any sequence of events the scheduler is consistent, and every job can finish."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.control.clock import FakeClock
from farm.model.events import (
    Assign,
    Event,
    JobSubmitted,
    KillWorker,
    StaleReport,
    Tick,
    UnitChanged,
    WantedChanged,
)
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import (
    Failure,
    Figures,
    Hold,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
)
from farm.model.unit import HELD, Unit, UnitState
from farm.model.work import Join, Render
from farm.scheduling.policy import Policy, is_same_device
from farm.scheduling.scheduler import Scheduler

JOIN = Join((), FilmFormat("h264"))
DEVICES = st.sampled_from(["", "cpu AVX2", "cpu AVX512"])
STATES = st.sampled_from([UnitState.READY, UnitState.RUNNING, UnitState.SKIPPED])


class Anything(RuleBasedStateMachine):
    """Workers join, leave and report; users submit, pause and cancel; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.clock = Scheduler(Policy(failed_least=2), "any"), FakeClock()
        self.workers: list[str] = []
        self.devices: dict[str, str] = {}
        self.held: dict[str, Order] = {}
        self.running: set[str] = set()
        self.states: dict[tuple[str, str], UnitState] = {}
        self.jobs: list[str] = []
        self.joined = 0

    def send(self, event: Event) -> None:
        out = self.scheduler.handle(event, self.clock.time())
        for instruction in out:
            match instruction:
                case Assign((worker,), order):
                    assert worker in self.workers
                    assert worker not in self.held
                    self.check_assignment(worker, order)
                    self.held[worker] = order
                case UnitChanged(unit, state):
                    self.states[unit.job, unit.name] = state
        for instruction in out:
            if isinstance(instruction, KillWorker):
                self.end(instruction.worker)

    def check_assignment(self, worker: str, order: Order) -> None:
        """Check that this worker may run the unit and that every unit it needs has ended.

        Rendering workers finish films only if no worker of kind finish exists.
        """
        is_finisher = worker.startswith("finish")
        finishers = any(other.startswith("finish") for other in self.workers)
        is_rendering = isinstance(order.unit.work, Render)
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
        self.running.discard(worker)
        self.held.pop(worker, None)
        self.send(WorkerLost(worker, "killed"))

    @rule(
        states=st.lists(STATES, min_size=1, max_size=4),
        priority=st.integers(0, 2),
        is_tolerant=st.booleans(),
        keeps_going=st.booleans(),
        crashes=st.integers(0, 5),
        device=DEVICES,
    )
    def submit(
        self,
        states: Sequence[UnitState],
        priority: int,
        crashes: int,
        device: str,
        *,
        is_tolerant: bool,
        keeps_going: bool,
    ) -> None:
        """Submit units and a film that needs them all; farms have died while they ran the first."""
        name = f"job{len(self.jobs)}"
        self.jobs.append(name)
        spec = JobSpec(
            task="copy", inputs=("in",), output="out/", priority=priority, keeps_going=keeps_going
        )
        units = [
            RestoredUnit(Unit(name, f"u{n}", "s", "t"), state, crashes=0 if n else crashes)
            for n, state in enumerate(states)
        ]
        needs = tuple(e.unit.name for e in units)
        last = Unit(name, "last", "s", "t", needs, JOIN, is_tolerant)
        units.append(RestoredUnit(last, UnitState.BLOCKED))
        job = Job(name, spec, self.clock.time(), device=device)
        self.send(JobSubmitted(job, tuple(units)))

    @precondition(lambda self: len(self.workers) < 4)
    @rule(kind=st.sampled_from(["cpu", "finish"]), device=DEVICES)
    def join(self, kind: WorkerKind, device: str) -> None:
        self.joined += 1
        self.workers.append(f"{kind}{self.joined}")
        self.devices[self.workers[-1]] = device
        self.send(WorkerJoined(self.workers[-1], kind, device=device))

    @precondition(lambda self: self.workers)
    @rule(number=st.integers(0, 3))
    def lose(self, number: int) -> None:
        self.end(self.worker(number))

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 3))
    def start(self, number: int) -> None:
        worker = sorted(self.held)[number % len(self.held)]
        if worker not in self.running:
            self.running.add(worker)
            self.send(UnitStarted(worker, self.held[worker].token))
        self.send(UnitProgress(worker, self.held[worker].token, 0.5))

    @precondition(lambda self: self.held)
    @rule(
        number=st.integers(0, 3),
        end=st.sampled_from(["succeed", "cancel", *Reason]),
        is_fatal=st.booleans(),
        hold=st.sampled_from([None, None, *Hold]),
    )
    def report(self, number: int, end: str, hold: Hold | None, *, is_fatal: bool) -> None:
        worker = sorted(self.held)[number % len(self.held)]
        token = self.held.pop(worker).token
        self.running.discard(worker)
        match end:
            case "succeed":
                self.send(UnitSucceeded(worker, token, Figures()))
            case "cancel":
                self.send(UnitCancelled(worker, token))
            case _:
                failure = Failure(Reason(end), "failed", is_fatal, hold=hold)
                self.send(UnitFailed(worker, token, failure))

    @precondition(lambda self: self.workers)
    @rule(number=st.integers(0, 3))
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
        ready = {job for (job, _), state in self.states.items() if state is UnitState.READY}
        devices = [self.devices[name] for name in self.workers if name.startswith("cpu")]
        for job in (self.scheduler.job(name) for name in ready):
            may_run = job.wanted is Wanted.RUN and job.state is not JobState.PAUSED
            if may_run and not self.held:
                assert not [own for own in devices if is_same_device(job.device, own)]

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
            if not any(w.startswith("cpu") and not self.devices[w] for w in self.workers):
                self.join("cpu", "")
            self.clock.advance(60)
            self.send(Tick())
            for worker, order in list(self.held.items()):
                del self.held[worker]
                self.send(UnitSucceeded(worker, order.token, Figures()))
        assert not self.scheduler.has_work
        self.scheduler.validate()
        waiting = [job for job in self.jobs if not self.scheduler.job(job).state.is_final]
        assert all(self.scheduler.job(job).state is JobState.PAUSED for job in waiting)


TestAnything = pytest.mark.slow(Anything.TestCase)
TestAnything.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
