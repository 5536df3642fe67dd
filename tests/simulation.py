"""Run a scheduler with a fake clock and simulated workers: many jobs of every kind, failures, and nodes that
come and go.

    python tests/simulation.py [--workers 10000] [--units 1000000] [--jobs 1000] [--owners 20]

It prints how many decisions the scheduler makes per second, its memory, and how long jobs of each kind have waited
without any worker while a unit of theirs was ready.
"""

import argparse
import random
import resource
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count

from farm.model.events import (
    Assign,
    CancelWork,
    Event,
    JobSubmitted,
    KillWorker,
    Tick,
    UnitChanged,
    one_by_one,
)
from farm.model.film import FilmFormat, Moment
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import (
    Failure,
    Figures,
    Order,
    Reason,
    Room,
    TrainingFigures,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import HELD, Unit, UnitState
from farm.model.work import Before, Encode, Join, Render, Train
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler

MOVIE = FilmFormat("h264")
DEVICES = ("cpu AVX2", "cpu AVX512")
PART_FRAMES, SEGMENT_FRAMES = 120, 48
CHECKPOINT_SECONDS = 600.0


@dataclass(frozen=True)
class Scale:
    """How much is simulated.

    node_workers: workers of one node. owners: of the jobs, in turn. arrival_seconds: during which jobs are submitted.
    unit_seconds: mean time of a frame. run_seconds: longest time of a run. gangs: numbers of workers that share a
    run. node_seconds: mean time between two nodes leaving.
    """

    workers: int = 10_000
    node_workers: int = 64
    jobs: int = 1000
    units: int = 1_000_000
    owners: int = 20
    arrival_seconds: float = 1800.0
    unit_seconds: float = 60.0
    run_seconds: float = 10_000.0
    gangs: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    node_seconds: float = 300.0
    seed: int = 0


def make_stills(job: str, units: int) -> list[Unit]:
    return [Unit(job, f"s{n}", f"{n}.jpg", f"{n}.png") for n in range(units)]


def make_film(job: str, units: int) -> list[Unit]:
    film = f"{job}.mp4"
    frames = [
        Unit(job, f"f{n}", film, f"f{n}", work=Render(Moment(n), number=n), is_working=True)
        for n in range(units)
    ]
    return [*frames, *_finish(job, film, frames)]


def make_coherent_film(job: str, units: int) -> list[Unit]:
    film, frames = f"{job}.mp4", list[Unit]()
    for n in range(units):
        before = None if n % SEGMENT_FRAMES == 0 else Before(film, Moment(n - 1), f"f{n - 1}")
        needs = (f"f{n - 1}",) if before else ()
        work = Render(Moment(n), number=n, before=before)
        frames.append(Unit(job, f"f{n}", film, f"f{n}", needs, work, is_tolerant=True))
    return [*frames, *_finish(job, film, frames)]


def _finish(job: str, film: str, frames: list[Unit]) -> list[Unit]:
    """Return the parts of a film and their join."""
    parts = [
        Unit(job, f"p{n}", film, f"p{n}", tuple(f.name for f in part), Encode((), MOVIE), True)
        for n, part in enumerate(
            frames[at : at + PART_FRAMES] for at in range(0, len(frames), PART_FRAMES)
        )
    ]
    return [*parts, Unit(job, "film", film, film, tuple(p.name for p in parts), Join((), MOVIE))]


def make_run(job: str, workers: int) -> list[Unit]:
    return [Unit(job, "run", "in", "run", work=Train(("in",)), workers=workers)]


def make_large_still(job: str, workers: int) -> list[Unit]:
    return [Unit(job, "large", "large.jpg", "large.png", workers=workers)]


@dataclass
class Waits:
    """How long a job has waited with a ready unit and no worker, each time. since: of the present wait."""

    kind: str
    submitted: float
    ready: int = 0
    held: int = 0
    since: float | None = None
    waits: list[float] = field(default_factory=list)

    def change(self, before: UnitState | None, state: UnitState, now: float) -> None:
        self.ready += (state is UnitState.READY) - (before is UnitState.READY)
        self.held += (state in HELD) - (before in HELD)
        is_waiting = self.ready > 0 and not self.held
        if is_waiting and self.since is None:
            self.since = now
        elif not is_waiting and self.since is not None:
            self.waits.append(now - self.since)
            self.since = None


class Simulation:
    """A scheduler, its workers, and what they do next.

    look: called after each tick, with the scheduler. decisions: units that were given to workers.
    near, far: frames that were given to a worker that had the same part of the film open, or not.
    """

    def __init__(self, scale: Scale, policy: Policy, look: Callable[[Scheduler], None]) -> None:
        self.scale, self.random = scale, random.Random(scale.seed)
        self.scheduler, self._look = Scheduler(policy, "sim"), look
        self.now = 0.0
        self.events = self.decisions = self.near = self.far = 0
        self.jobs: dict[str, Waits] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._inbox: deque[Event] = deque()
        self._numbers = count()
        self._nodes: dict[str, list[str]] = {}
        self._orders: dict[str, Order] = {}
        self._leads: dict[str, str] = {}
        self._here: set[str] = set()
        self._states: dict[tuple[str, str], UnitState] = {}
        self._done: Counter[str] = Counter()
        self._open: dict[str, tuple[str, int]] = {}
        self._submitted = 0

    def run(self) -> None:
        """Submit all jobs and run until they have ended."""
        nodes = max(2, self.scale.workers // self.scale.node_workers)
        for number in range(nodes):
            self._add_node(f"n{number}", DEVICES[number % 2])
        for number in range(self.scale.jobs):
            due = self.random.random() * self.scale.arrival_seconds
            self._later(due, partial(self._submit, number))
        self._later(self._gap(), self._lose_node)
        self._later(0.0, self._tick)
        while self._submitted < self.scale.jobs or not self.scheduler.is_done:
            self.now, _, action = heappop(self._agenda)
            action()
            while self._inbox:
                self._send(self._inbox.popleft())

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heappush(self._agenda, (self.now + seconds, next(self._numbers), action))

    def _gap(self) -> float:
        return self.random.expovariate(1 / self.scale.node_seconds)

    def _send(self, event: Event) -> None:
        decided = self.scheduler.handle(event, self.now)
        out = (each for many in decided for each in one_by_one(many))
        self.events += 1
        for instruction in out:
            match instruction:
                case UnitChanged(unit, state):
                    key = unit.job, unit.name
                    self.jobs[unit.job].change(self._states.get(key), state, self.now)
                    if state.is_final:
                        self._states.pop(key, None)
                    else:
                        self._states[key] = state
                case Assign(workers, order):
                    self._take(workers, order)
                case CancelWork(worker, token):
                    self._later(5.0, partial(self._cancel, worker, token))
                case KillWorker(worker):
                    self._die(worker, "killed")

    def _tick(self) -> None:
        self._send(Tick())
        self._look(self.scheduler)
        for lead, order in list(self._orders.items()):
            if isinstance(order.unit.work, Train):
                done = self._done[order.unit.job] + self.now - self._done[order.token]
                figures = TrainingFigures(int(done), 0, {})
                self._inbox.append(UnitProgress(lead, order.token, 0.5, training=figures))
        self._later(10.0, self._tick)

    # Jobs

    def _submit(self, number: int) -> None:
        self._submitted += 1
        share = self.scale.units // self.scale.jobs
        units, size = (
            int(share * self.random.uniform(0.7, 1.5)),
            self.random.choice(self.scale.gangs),
        )
        kind, make = _KINDS[number % len(_KINDS)]
        name = f"{kind}-{number}"
        planned = make(name, size if kind in _SHARED else units)
        restored = tuple(
            RestoredUnit(unit, UnitState.BLOCKED if unit.needs else UnitState.READY)
            for unit in planned
        )
        waits = self.jobs[name] = Waits(kind, self.now)
        owner = f"owner{number % self.scale.owners}"
        spec = JobSpec(task="x", inputs=("in",), output="out", owner=owner, keeps_going=True)
        for one in restored:
            waits.change(None, one.state, self.now)
            self._states[name, one.unit.name] = one.state
        self._inbox.append(JobSubmitted(Job(name, spec, self.now), restored))

    # Workers

    def _add_node(self, node: str, device: str) -> None:
        name = f"{node}.{next(self._numbers)}"
        self._nodes[name] = []
        for _ in range(self.scale.node_workers):
            self._add_worker(name, device)
        finisher = f"{name}-finish"
        self._join(finisher, WorkerJoined(finisher, "finish", name))
        self._inbox.append(Room(sum(len(members) - 1 for members in self._nodes.values())))

    def _join(self, worker: str, joined: WorkerJoined) -> None:
        self._nodes[joined.node].append(worker)
        self._here.add(worker)
        self._inbox.append(joined)

    def _add_worker(self, node: str, device: str) -> None:
        if node in self._nodes:
            worker = f"{node}/{device}/{next(self._numbers)}"
            self._join(worker, WorkerJoined(worker, "cpu", node, device))

    def _lose_node(self) -> None:
        """Let a node leave, and another one come some time later."""
        node = self.random.choice(list(self._nodes))
        device = next((w.split("/")[1] for w in self._nodes[node] if "/" in w), DEVICES[0])
        for worker in self._nodes.pop(node):
            self._gone(worker, "its node left")
        number = next(self._numbers)
        self._later(self.random.uniform(60, 900), lambda: self._add_node(f"n{number}", device))
        self._later(self._gap(), self._lose_node)

    def _gone(self, worker: str, why: str) -> None:
        self._here.discard(worker)
        lead = self._leads.get(worker)
        if lead is not None:
            self._free(lead)
        self._inbox.append(WorkerLost(worker, why))

    def _die(self, worker: str, why: str) -> None:
        """Let one worker die and its replacement join."""
        if "/" not in worker:
            return
        node, device, _ = worker.split("/")
        if worker in self._nodes.get(node, ()):
            self._nodes[node].remove(worker)
            self._gone(worker, why)
            self._later(10.0, lambda: self._add_worker(node, device))

    # Orders

    def _take(self, workers: tuple[str, ...], order: Order) -> None:
        lead, unit = workers[0], order.unit
        self.decisions += 1
        if not self._here.issuperset(workers):
            return
        for worker in workers:
            assert worker not in self._leads, f"{worker} has two orders"
            self._leads[worker] = lead
        self._orders[lead] = order
        self._note_nearness(lead, unit)
        self._inbox.append(UnitStarted(lead, order.token))
        chance, seconds = self.random.random(), self._seconds(unit)
        if chance < 0.001 and len(workers) == 1:
            self._later(seconds / 2, lambda: self._if_held(lead, order, self._crash))
        elif chance < 0.005:
            self._later(seconds / 2, lambda: self._if_held(lead, order, self._fail))
        else:
            self._later(seconds, lambda: self._if_held(lead, order, self._succeed))
        self._done[order.token] = int(self.now)

    def _note_nearness(self, worker: str, unit: Unit) -> None:
        if isinstance(unit.work, Render) and unit.work.moment:
            place = unit.job, unit.work.number // 32
            before = self._open.get(worker, ("", -9))
            is_near = before[0] == unit.job and abs(before[1] - place[1]) <= 1
            self.near, self.far = self.near + is_near, self.far + (not is_near)
            self._open[worker] = place

    def _seconds(self, unit: Unit) -> float:
        mean = self.scale.unit_seconds
        if isinstance(unit.work, Train):
            draw = random.Random(f"{unit.job}{self.scale.seed}").uniform(0.1, 1.0)
            return max(60.0, draw * self.scale.run_seconds - self._done[unit.job])
        if isinstance(unit.work, Render):
            return self.random.uniform(0.5, 1.5) * mean * (10 if unit.workers != 1 else 1)
        return mean / 4

    def _if_held(self, lead: str, order: Order, action: Callable[[str, Order], None]) -> None:
        if self._orders.get(lead) is order:
            action(lead, order)

    def _free(self, lead: str) -> None:
        """End an order. A run has got as far as its last checkpoint."""
        order = self._orders.pop(lead)
        if isinstance(order.unit.work, Train):
            ran = self.now - self._done.pop(order.token)
            self._done[order.unit.job] += int(ran // CHECKPOINT_SECONDS * CHECKPOINT_SECONDS)
        self._done.pop(order.token, None)
        size = order.unit.workers
        if size == 1:
            del self._leads[lead]
        else:
            self._leads = {w: first for w, first in self._leads.items() if first != lead}

    def _succeed(self, lead: str, order: Order) -> None:
        self._free(lead)
        self._inbox.append(UnitSucceeded(lead, order.token, Figures()))

    def _fail(self, lead: str, order: Order) -> None:
        self._free(lead)
        failure = Failure(Reason.PLUGIN_ERROR, "failed")
        self._inbox.append(UnitFailed(lead, order.token, failure))

    def _crash(self, lead: str, _: Order) -> None:
        self._die(lead, "crashed")

    def _cancel(self, lead: str, token: str) -> None:
        order = self._orders.get(lead)
        if order is not None and order.token == token:
            self._free(lead)
            self._inbox.append(UnitCancelled(lead, token))

    # Results

    def kinds(self) -> Iterator[tuple[str, list[float], float]]:
        """Yield each kind of job, how long each job waited for its first worker, and the longest wait."""
        for kind in dict.fromkeys(kind for kind, _ in _KINDS):
            jobs = [waits for waits in self.jobs.values() if waits.kind == kind and waits.waits]
            if jobs:
                longest = max(max(waits.waits) for waits in jobs)
                yield kind, [waits.waits[0] for waits in jobs], longest


_SHARED = ("run", "large still")
_KINDS: tuple[tuple[str, Callable[[str, int], list[Unit]]], ...] = (
    ("stills", make_stills),
    ("film", make_film),
    ("coherent film", make_coherent_film),
    ("stills", make_stills),
    ("run", make_run),
    ("film", make_film),
    ("stills", make_stills),
    ("film", make_film),
    ("coherent film", make_coherent_film),
    ("large still", make_large_still),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--owners", type=int, default=20)
    args = parser.parse_args()
    began = time.process_time()
    gangs = tuple(size for size in Scale.gangs if size <= args.workers // 16)
    scale = Scale(
        workers=args.workers, jobs=args.jobs, units=args.units, owners=args.owners, gangs=gangs
    )
    simulation = Simulation(scale, Policy(), lambda _: None)
    simulation.run()
    seconds = time.process_time() - began
    states = Counter(waits.kind for waits in simulation.jobs.values())
    frames = max(1, simulation.near + simulation.far)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{simulation.decisions:,} units given to workers, {simulation.events:,} events")
    print(f"{simulation.now / 3600:.1f} h simulated; peak memory {megabytes:,.0f} MB")
    print(
        f"{seconds:.0f} s of CPU, that of the simulated workers included: "
        f"{simulation.decisions / seconds:,.0f} units/s, {simulation.events / seconds:,.0f} events/s"
    )
    print(f"{simulation.near / frames:.1%} of the frames of films near the worker's previous one")
    print(
        f"{simulation.scheduler.job_counts()[JobState.COMPLETED]} of {len(simulation.jobs)} completed"
    )
    print("kind            jobs  first worker: median, longest s   longest wait s")
    for kind, firsts, longest in simulation.kinds():
        median = statistics.median(firsts)
        print(f"{kind:14} {states[kind]:5} {median:22,.0f} {max(firsts):8,.0f} {longest:16,.0f}")


if __name__ == "__main__":
    main()
