"""The metrics that are read at each scrape from the scheduler, the ledger and stopwatches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from threading import Lock
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from farm.control.metrics_table import METRICS
from farm.errors import UserError
from farm.ledger import Ledger
from farm.model.job import JobState
from farm.model.messages import Hold
from farm.model.unit import UnitState
from farm.scheduling.scheduler import Scheduler

__all__ = [
    "AT_SCRAPE",
    "KINDS",
    "LedgerGauges",
    "Stopwatch",
    "family",
    "scheduler_gauges",
    "single",
]

LEDGER_SECONDS: Final = 300.0
"""Time between two looks at the ledger's size: to count many rows takes a while."""

KINDS: Final = ("cpu", "gpu", "finish")

AT_SCRAPE: Final = frozenset(
    {
        "farm_worker_busy_seconds_total",
        "farm_worker_up_seconds_total",
        "farm_plugin_load_failures_total",
    }
)
"""Counters that are computed at each scrape, as gauges are."""


class Stopwatch:
    """Total seconds per kind of worker, including intervals that are still open."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock = now, Lock()
        self._ended: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        self._open: dict[str, tuple[str, float]] = {}

    def begin(self, worker: str, kind: str) -> None:
        with self._lock:
            self._open.setdefault(worker, (kind, self._now()))

    def end(self, worker: str) -> None:
        with self._lock:
            if worker in self._open:
                kind, since = self._open.pop(worker)
                self._ended[kind] += self._now() - since

    def seconds(self) -> dict[str, float]:
        with self._lock:
            seconds = dict(self._ended)
            for kind, since in self._open.values():
                seconds[kind] += self._now() - since
        return seconds


class LedgerGauges:
    """The size of a ledger, looked at now and then. Where it does not answer, it stays as it was."""

    def __init__(self, ledger: Ledger, now: Callable[[], float]) -> None:
        self._ledger, self._now = ledger, now
        self._rows: dict[str, int] = {}
        self._bytes = 0
        self._looked: float | None = None

    def collect(self) -> Iterator[Metric]:
        now = self._now()
        if self._looked is None or now - self._looked >= LEDGER_SECONDS:
            self._looked = now
            with suppress(UserError):
                self._bytes, self._rows = self._ledger.size(), self._ledger.rows()
        yield family("farm_ledger_rows", self._rows)
        yield single("farm_ledger_bytes", self._bytes)


def scheduler_gauges(
    scheduler: Scheduler,
    now: float,
    tasks: Iterable[str],
    label: Callable[[str], str],
    planning: int,
) -> Iterator[Metric]:
    """Yield what a scheduler knows at present. tasks: with a series even if none of their units is ready.

    planning: number of jobs that it does not know yet.
    """
    units, jobs, leases = scheduler.unit_counts(), scheduler.job_counts(), scheduler.lease_counts()
    workers, holds = scheduler.worker_counts(), scheduler.hold_counts()
    yield family("farm_units_in_state", {s: units[s] for s in UnitState if not s.is_final})
    jobs[JobState.PLANNING] = planning
    yield family("farm_jobs", {s: jobs[s] for s in JobState})
    yield family("farm_jobs_on_hold", {hold: holds[hold] for hold in Hold})
    yield family("farm_workers", {s: workers[s] for s in ("idle", "busy")})
    yield single("farm_room", scheduler.room())
    yield family("farm_leases", {kind: leases[kind] for kind in KINDS})
    yield single("farm_gangs", scheduler.gang_count())
    counts: dict[str, float] = dict.fromkeys(map(label, tasks), 0)
    ages: dict[str, float] = dict.fromkeys(counts, 0.0)
    for task, (count, oldest) in scheduler.queues().items():
        name = label(task)
        counts[name] = counts.get(name, 0) + count
        age = 0.0 if oldest is None else max(0.0, now - oldest)
        ages[name] = max(ages.get(name, 0.0), age)
    yield family("farm_queue_units", counts)
    yield family("farm_oldest_ready_unit_age_seconds", ages)


def family(name: str, values: Mapping[str, float]) -> Metric:
    """Return a metric with one label and these values."""
    made = _empty(name)
    for label, value in values.items():
        made.add_metric([label], value)
    return made


def single(name: str, value: float) -> Metric:
    """Return a metric without labels."""
    made = _empty(name)
    made.add_metric([], value)
    return made


def _empty(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    spec = METRICS[name]
    kind = CounterMetricFamily if spec.type == "counter" else GaugeMetricFamily
    return kind(name, spec.help, labels=spec.labels)
