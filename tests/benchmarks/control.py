"""Measure the control plane: units per second, without any rendering.

    python tests/benchmarks/control.py [--large] [--largest]

First the scheduler alone, for many jobs and many workers, and after many jobs have ended. Then the
whole controller with its ledger in a file, and an executor that ends every unit at once. --large
adds 100,000 units, --largest also 1,000,000. Each row should be as fast as the first of its table.
By the clock, that depends on how long the disk takes for a commit of eight units.
"""

import argparse
import resource
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from farm.control.controller import Controller
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import Assign, Event, JobSubmitted
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec
from farm.model.messages import (
    Figures,
    Message,
    Order,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
)
from farm.model.unit import Unit, UnitState
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler

SPEC = JobSpec(task="invert", inputs=("in",), output="out/")
FIGURES = Figures()
SECONDS = 3.0
"""How long a row of the scheduler's table is measured."""

EFFECT = '''
from farm import Effect, hookimpl

class Copy(Effect):
    """Leave the picture as it is."""
    name = "copy"

    def render(self, image, context):
        return image

@hookimpl
def farm_tasks():
    return [Copy]
'''


class Bench:
    """A scheduler whose workers end every unit at once. time: of its fake clock, in seconds."""

    def __init__(self, workers: int) -> None:
        self.scheduler, self.time, self.orders = Scheduler(Policy(), "bench"), 0.0, deque()
        for number in range(workers):
            self.send(WorkerJoined(f"w{number}", "cpu", device="cpu"))

    def send(self, event: Event) -> None:
        self.time += 0.001
        for instruction in self.scheduler.handle(event, self.time):
            if isinstance(instruction, Assign):
                self.orders.append((instruction.workers[0], instruction.order.token))

    def submit(self, name: str, units: int, owner: str = "") -> None:
        planned = (Unit(name, f"u{number}", "s", f"t{number}") for number in range(units))
        restored = tuple(RestoredUnit(unit, UnitState.READY) for unit in planned)
        spec = SPEC.model_copy(update={"owner": owner})
        self.send(JobSubmitted(Job(name, spec, self.time), restored))

    def finish(self, limit: float) -> tuple[int, float]:
        """End units for this many seconds of CPU time; return how many, and how long that took."""
        began, done = time.process_time(), 0
        while self.orders and time.process_time() - began < limit:
            worker, token = self.orders.popleft()
            self.send(UnitStarted(worker, token))
            self.send(UnitSucceeded(worker, token, FIGURES))
            done += 1
        return done, time.process_time() - began


def scheduler_speed(jobs: int, workers: int, ended: int = 0, owners: int = 1) -> float:
    """Return the units per second of a scheduler with this many live jobs, of so many owners."""
    bench = Bench(workers)
    for number in range(ended):
        bench.submit(f"ended{number}", 1)
        bench.finish(SECONDS)
    for number in range(jobs):
        bench.submit(f"job{number}", max(60, 100_000 // jobs), f"owner{number % owners}")
    done, seconds = bench.finish(SECONDS)
    return done / seconds


class InstantExecutor(Executor):
    """Workers that end every unit as soon as they are polled, without doing anything."""

    def __init__(self, workers: int) -> None:
        self._messages: list[Message] = [WorkerJoined(f"w{n}", "cpu") for n in range(workers)]

    def start(self) -> None:
        pass

    def assign(self, workers: Sequence[str], order: Order) -> None:
        (worker,) = workers
        self._messages += [
            UnitStarted(worker, order.token),
            UnitSucceeded(worker, order.token, Figures({"compute": 0.01}, pixels=64)),
        ]

    def poll(self, timeout: float) -> Sequence[Message]:
        messages, self._messages = self._messages, []
        return messages

    def cancel(self, worker: str, token: str) -> None:
        pass

    def kill(self, worker: str) -> None:
        pass

    def close(self) -> None:
        pass


def controller_speed(units: int) -> tuple[float, float, float]:
    """Measure a controller with a ledger in a file, planning included.

    Returns units per second, units per second of CPU time, and the ledger's bytes per unit.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "copying.py").write_text(EFFECT)
        registry = Registry.load(folder)
        file = folder / "ledger.db"
        ledger = Ledger.open(f"sqlite:///{file}")
        controller = Controller(registry, InstantExecutor(8), ledger)
        sources = tuple(f"blank:8x8:#{number:06x}" for number in range(units))
        began, cpu = time.perf_counter(), time.process_time()
        controller.add(JobSpec(task="copy", inputs=sources, output=f"{folder / 'out'}/"))
        controller.run()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        ledger.close()
        size = file.stat().st_size
    return units / seconds, units / cpu, size / units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="add 100,000 units")
    parser.add_argument("--largest", action="store_true", help="add 100,000 and 1,000,000 units")
    args = parser.parse_args()
    print("scheduler alone\n  jobs  ended  workers  owners   units/s")
    rows = [(1, 0, 8, 1), (100, 0, 8, 1), (1000, 0, 8, 1), (1, 3000, 8, 1), (1000, 3000, 8, 1)]
    rows += [(1, 0, 100, 1), (1, 0, 10_000, 1), (1000, 0, 10_000, 1)]
    rows += [(1000, 0, 8, 2), (1000, 0, 8, 1000), (1000, 0, 10_000, 2), (1000, 0, 10_000, 1000)]
    for jobs, ended, workers, owners in rows:
        speed = scheduler_speed(jobs, workers, ended, owners)
        print(f"{jobs:6,} {ended:6,} {workers:8,} {owners:7,} {speed:9,.0f}", flush=True)
    print("controller and ledger, an executor that does nothing")
    print("    units   units/s  per CPU s  ledger bytes/unit  peak MB")
    counts = [1000, 10_000]
    counts += [100_000] if args.large or args.largest else []
    counts += [1_000_000] if args.largest else []
    for units in counts:
        speed, by_cpu, size = controller_speed(units)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{units:9,} {speed:9,.0f} {by_cpu:10,.0f} {size:18,.0f} {peak:8,}", flush=True)


if __name__ == "__main__":
    main()
