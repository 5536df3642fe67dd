"""The farm's Prometheus metrics: an observer counts the controller's events, and gauges are read at each scrape.

`metrics_table` lists them. Workers count nothing themselves: what they measure comes with their results.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import Metric

from farm import storage
from farm.control.clock import Clock
from farm.control.metrics_gauges import (
    AT_SCRAPE,
    KINDS,
    LedgerGauges,
    Stopwatch,
    family,
    scheduler_gauges,
    single,
)
from farm.control.metrics_table import METRICS, OTHER, label_of
from farm.control.training_metrics import TrainingMetrics
from farm.errors import UserError
from farm.ledger import Ledger, Transaction
from farm.model.events import (
    FilesMoved,
    JobChanged,
    News,
    Progressed,
    StaleReport,
    UnitChanged,
    UnitsCancelled,
    WorkerChanged,
)
from farm.model.job import Job, JobState
from farm.model.messages import Reason
from farm.model.transfers import Transfers
from farm.model.unit import Unit, UnitState
from farm.model.work import Render
from farm.scheduling.scheduler import Scheduler

__all__ = ["Metrics"]

LOOPBACK = "127.0.0.1"

UNIT_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds of the histograms of units, in seconds."""

DATABASE_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
"""Upper bounds of the histogram of transactions, in seconds."""

MOST_TASKS: Final = 100
"""Tasks that have labels of their own; the others share one."""

MOST_SCHEMES: Final = 20
"""Storage schemes that have labels of their own."""

STAGES: Final = ("queue", "load", "compute", "write")
"""Stages of a unit, as workers report them, and the wait before them."""

_ENDS: Final = tuple((state,) for state in UnitState if state.is_final)
_REASONS: Final = tuple((reason,) for reason in Reason)

_FIRST: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        "farm_units_total": (*_ENDS, ("retried",)),
        "farm_frames_total": _ENDS,
        "farm_tiles_total": ((),),
        "farm_pixels_total": ((),),
        "farm_overlap_pixels_total": ((),),
        "farm_unit_retries_total": _REASONS,
        "farm_unit_failures_total": _REASONS,
        "farm_jobs_finished_total": tuple((state,) for state in JobState if state.is_final),
    }
)
"""The labels, after task and plugin, under which each task has a series from the start."""

_NO_PLUGINS: Final[Mapping[str, str]] = MappingProxyType({})


class Metrics:
    """An observer that counts the controller's events.

    plugins: the plugin that offers each task. failed_plugins: number that failed to load.
    """

    def __init__(
        self, clock: Clock, plugins: Mapping[str, str] = _NO_PLUGINS, failed_plugins: int = 0
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)  # before the counters, since a scrape counts too
        self._clock, self._plugins, self._failed_plugins = clock, plugins, failed_plugins
        self._task_label = label_of(plugins, MOST_TASKS)
        self._schemes = sorted({"file", *storage.known_schemes()})[:MOST_SCHEMES]
        self._scheme_label = label_of(self._schemes, MOST_SCHEMES)
        self._scheduler: Scheduler | None = None
        self._planning: Callable[[], int] = lambda: 0
        self._ledger: LedgerGauges | None = None
        self._tasks: dict[str, tuple[str, str]] = {}
        self._latest = 0.0
        self._up, self._busy = Stopwatch(self._now), Stopwatch(self._now)
        self._counters = {
            name: Counter(name, spec.help, spec.labels, registry=self.registry)
            for name, spec in METRICS.items()
            if spec.type == "counter" and name not in AT_SCRAPE and not _is_elsewhere(name)
        }
        self._duration = self._histogram("farm_unit_duration_seconds", UNIT_BUCKETS)
        self._gang_wait = self._histogram("farm_gang_wait_seconds", UNIT_BUCKETS)
        self._database = self._histogram("farm_database_seconds", DATABASE_BUCKETS)
        self._training = TrainingMetrics(METRICS, self.registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what will be counted before anything is, since Prometheus sees only increases."""
        for task in sorted({self._task_label(name) for name in self._plugins} - {OTHER}):
            self._begin_task(task, self._plugins[task])
        for kind in KINDS:
            self._count("farm_worker_deaths_total", kind, amount=0)
        for scheme in self._schemes:
            self._count_transfers((Transfers(scheme, "read"), Transfers(scheme, "write")))

    def _begin_task(self, *labels: str) -> None:
        for name, values in _FIRST.items():
            for value in values:
                self._count(name, *labels, *value, amount=0)
        for stage in STAGES:
            self._duration.labels(*labels, stage)
        self._gang_wait.labels(*labels)
        self._training.begin(*labels)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        spec = METRICS[name]
        return Histogram(name, spec.help, spec.labels, buckets=buckets, registry=self.registry)

    def watch(self, scheduler: Scheduler, ledger: Ledger, planning: Callable[[], int]) -> None:
        """Read the gauges from this scheduler and this ledger, and time the ledger's transactions.

        planning: returns the number of jobs that the scheduler does not know yet.
        """
        self._scheduler, self._ledger = scheduler, LedgerGauges(ledger, self._now)
        self._planning = planning
        ledger.watch(self._count_transaction)

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Serve scrapes on the loopback address; return the port and a function that closes it.

        port: 0 for any free one. Raises UserError if the port is in use.
        """
        try:
            server, thread = start_http_server(port, addr=LOOPBACK, registry=self.registry)
        except OSError as error:
            raise UserError(
                f"cannot serve metrics on port {port}: {error.strerror}; choose another port"
            ) from error

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, close

    def on_event(self, event: News) -> None:
        match event:
            case JobChanged(job):
                self._count_job(job)
            case UnitChanged():
                self._count_unit(event, *self._tasks[event.unit.job])
            case UnitsCancelled(job, units):
                self._count_cancelled(units, *self._tasks[job])
            case Progressed(unit):
                self._training.count(event, *self._tasks[unit.job])
            case WorkerChanged():
                self._count_worker(event)
            case StaleReport():
                self._counters["farm_stale_reports_total"].inc()
            case FilesMoved(transfers):
                self._count_transfers(transfers)
            case _:
                pass

    def _count(self, name: str, *labels: str, amount: float = 1) -> None:
        self._counters[name].labels(*labels).inc(amount)

    def _count_job(self, job: Job) -> None:
        """Count a job that has ended, and know the labels of its units until then."""
        task = self._task_label(job.spec.task)
        labels = task, self._plugins.get(task, "")
        self._tasks[job.id] = labels
        if job.state.is_final:
            del self._tasks[job.id]
            self._training.forget(job.id)
            self._count("farm_jobs_finished_total", *labels, job.state)

    def _count_unit(self, event: UnitChanged, *labels: str) -> None:
        if event.state is UnitState.LEASED:
            self._duration.labels(*labels, "queue").observe(event.waited)
            if event.unit.workers != 1:
                self._gang_wait.labels(*labels).observe(event.waited)
        if event.state is UnitState.RETRY_WAIT and event.failure:
            self._count("farm_units_total", *labels, "retried")
            self._count("farm_unit_retries_total", *labels, event.failure.reason)
        if event.state.is_final:
            self._count("farm_units_total", *labels, event.state)
            if isinstance(event.unit.work, Render):
                self._count("farm_frames_total", *labels, event.state)
        if event.state is UnitState.QUARANTINED and event.failure:
            self._count("farm_unit_failures_total", *labels, event.failure.reason)
        if event.figures:
            self._count("farm_tiles_total", *labels, amount=event.figures.tiles)
            self._count("farm_pixels_total", *labels, amount=event.figures.pixels)
            self._count("farm_overlap_pixels_total", *labels, amount=event.figures.overlap_pixels)
            for stage, seconds in event.figures.seconds.items():
                self._duration.labels(*labels, stage).observe(seconds)

    def _count_cancelled(self, units: tuple[Unit, ...], *labels: str) -> None:
        frames = sum(isinstance(unit.work, Render) for unit in units)
        self._count("farm_units_total", *labels, UnitState.CANCELLED, amount=len(units))
        if frames:
            self._count("farm_frames_total", *labels, UnitState.CANCELLED, amount=frames)

    def _count_worker(self, event: WorkerChanged) -> None:
        match event.state:
            case "busy":
                self._busy.begin(event.worker, event.kind)
            case "idle":
                self._busy.end(event.worker)
                self._up.begin(event.worker, event.kind)
            case "gone" | "ended":
                self._busy.end(event.worker)
                self._up.end(event.worker)
                if event.state == "gone":
                    self._count("farm_worker_deaths_total", event.kind)

    def _count_transfers(self, transfers: tuple[Transfers, ...]) -> None:
        for moved in transfers:
            labels = self._scheme_label(moved.scheme), moved.direction
            self._count("farm_storage_transfers_total", *labels, amount=moved.count)
            self._count("farm_storage_bytes_total", *labels, amount=moved.bytes)
            self._count("farm_storage_seconds_total", *labels, amount=moved.seconds)
            self._count("farm_storage_errors_total", *labels, amount=moved.errors)

    def _count_transaction(self, transaction: Transaction) -> None:
        self._database.labels(transaction.access).observe(transaction.seconds)
        failed = int(transaction.has_failed)
        self._count("farm_database_errors_total", transaction.access, amount=failed)

    def _now(self) -> float:
        """Return the time, which never goes back, so that no counter decreases."""
        self._latest = max(self._latest, self._clock.time())
        return self._latest

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are computed at each scrape."""
        self._count_transfers(storage.take_transfers())
        yield family("farm_worker_busy_seconds_total", self._busy.seconds())
        yield family("farm_worker_up_seconds_total", self._up.seconds())
        yield single("farm_plugin_load_failures_total", self._failed_plugins)
        yield family("farm_build_info", {version("neural-render-farm"): 1})
        if self._scheduler:
            yield from scheduler_gauges(
                self._scheduler, self._now(), self._plugins, self._task_label, self._planning()
            )
        if self._ledger:
            yield from self._ledger.collect()


def _is_elsewhere(name: str) -> bool:
    """Return whether training or HTTP counts it."""
    return name.startswith(("farm_training_", "farm_http_"))
