"""Measure the ledger alone: units per second, through every state, eight changed at a time.

    python tests/benchmarks/ledger.py [--large] [--postgres URL]

Each unit is leased, started and finished, each time in one transaction with seven others, as eight
workers would have it. Times are of this process's CPU, and of the clock. --large adds 1,000,000
units. Each row should be as fast as the first.
"""

import argparse
import tempfile
import time
from pathlib import Path

from farm.ledger import Ledger
from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState

SPEC = JobSpec(task="invert", inputs=("in",), output="out/")
MEASURED = 8000
"""Units that are measured; the others are there to be in the way."""
FIGURES = Figures({"compute": 0.01}, pixels=64)


def measure(url: str, count: int) -> tuple[float, float, float]:
    """Return units added per second; then units finished per second of CPU, and of the clock."""
    ledger = Ledger.open(url)
    units = [Unit(f"job{count}", f"u{n}", f"in/{n}", f"out/{n}") for n in range(count)]
    began = time.perf_counter()
    ready = [RestoredUnit(unit, UnitState.READY) for unit in units]
    ledger.add(Job(f"job{count}", SPEC, time.time()), ready)
    added = count / (time.perf_counter() - began)
    step = max(1, count // MEASURED)
    chosen = units[::step][:MEASURED]
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(chosen), 8):
        some = chosen[start : start + 8]
        leased = [UnitChanged(u, UnitState.LEASED, 1, worker="w1") for u in some]
        done = [UnitChanged(u, UnitState.RUNNING, 1, worker="w1") for u in some]
        done += [UnitChanged(u, UnitState.SUCCEEDED, 1, worker="w1", figures=FIGURES) for u in some]
        ledger.record(leased, 1.0)
        ledger.record(done, 2.0)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ledger.close()
    return added, len(chosen) / cpu, len(chosen) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="add 1,000,000 units")
    parser.add_argument("--postgres", metavar="URL", help="measure this empty database instead")
    args = parser.parse_args()
    print("    units  added/s  units per CPU s  units/s")
    for count in (8000, 100_000, *([1_000_000] if args.large else [])):
        with tempfile.TemporaryDirectory() as folder:
            url = args.postgres or f"sqlite:///{Path(folder) / 'ledger.db'}"
            added, by_cpu, by_clock = measure(url, count)
        print(f"{count:9,} {added:8,.0f} {by_cpu:16,.0f} {by_clock:8,.0f}", flush=True)


if __name__ == "__main__":
    main()
