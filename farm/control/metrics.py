"""What the farm tells Prometheus: one table, one writer, counted from the controller's news.

Gauges are read from the scheduler when scraped. No label holds a job, frame, worker or path:
series stay few however long the farm lives.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from farm.control.clock import Clock
from farm.errors import UserError
from farm.model.events import JobChanged, News, StaleReport, UnitChanged, WorkerChanged
from farm.model.job import JobState
from farm.model.unit import UnitState
from farm.scheduling.scheduler import Scheduler

LOOPBACK = "127.0.0.1"

BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds in seconds of the duration histogram."""


@dataclass(frozen=True)
class Described:
    """A metric: its type, labels and meaning."""

    type: str
    labels: tuple[str, ...]
    help: str


METRICS = MappingProxyType(
    {
        "farm_units_total": Described(
            "counter",
            ("plugin", "outcome"),
            "Units ended: succeeded, skipped, retried, quarantined, cancelled.",
        ),
        "farm_frames_total": Described(
            "counter",
            ("plugin", "outcome"),
            "Frames ended: succeeded, skipped, quarantined, cancelled.",
        ),
        "farm_tiles_total": Described("counter", ("plugin",), "Passes over a tile."),
        "farm_pixels_total": Described(
            "counter", ("plugin",), "Pixels of finished frames, without tile overlap."
        ),
        "farm_overlap_pixels_total": Described(
            "counter", ("plugin",), "Pixels computed again because tiles overlap, per pass."
        ),
        "farm_unit_duration_seconds": Described(
            "histogram",
            ("plugin", "stage"),
            "Time of finished units by stage: queue, load, compute, write.",
        ),
        "farm_unit_retries_total": Described(
            "counter", ("plugin", "reason"), "Attempts that failed and were tried again."
        ),
        "farm_unit_failures_total": Described(
            "counter", ("plugin", "reason"), "Units given up, by the last reason."
        ),
        "farm_jobs_finished_total": Described(
            "counter", ("plugin", "outcome"), "Jobs ended: completed, failed, cancelled."
        ),
        "farm_stale_reports_total": Described(
            "counter", (), "Reports under a lease that was no more; dropped."
        ),
        "farm_worker_busy_seconds_total": Described(
            "counter", ("kind",), "Seconds that workers held a unit: cpu, gpu, finish."
        ),
        "farm_worker_up_seconds_total": Described(
            "counter", ("kind",), "Seconds that workers were there: cpu, gpu, finish."
        ),
        "farm_worker_deaths_total": Described("counter", ("kind",), "Workers lost."),
        "farm_plugin_load_failures_total": Described(
            "counter", (), "Plugins that did not load when the farm started."
        ),
        "farm_units_in_state": Described(
            "gauge",
            ("state",),
            "Units that have not ended, by state; ready is the queue.",
        ),
        "farm_jobs": Described("gauge", ("state",), "Jobs in each state."),
        "farm_workers": Described("gauge", ("state",), "Workers idle and busy."),
        "farm_oldest_ready_unit_age_seconds": Described(
            "gauge", (), "How long the unit has waited that has waited longest."
        ),
        "farm_build_info": Described("gauge", ("version",), "1, with the farm's version."),
    }
)
"""Every metric the farm exports."""

_READ = frozenset(
    {
        "farm_worker_busy_seconds_total",
        "farm_worker_up_seconds_total",
        "farm_plugin_load_failures_total",
    }
)
"""Counters that are read when scraped, as gauges are."""


class _Stopwatch:
    """Seconds by kind of worker: of stretches that ended, and of those that go on."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock = now, Lock()
        self._ended: dict[str | None, float] = {"cpu": 0.0, "gpu": 0.0, "finish": 0.0}
        self._open: dict[str, tuple[str, float]] = {}

    def begin(self, worker: str, kind: str) -> None:
        with self._lock:
            self._open.setdefault(worker, (kind, self._now()))

    def end(self, worker: str) -> None:
        with self._lock:
            if worker in self._open:
                kind, since = self._open.pop(worker)
                self._ended[kind] += self._now() - since

    def seconds(self) -> dict[str | None, float]:
        with self._lock:
            seconds = dict(self._ended)
            for kind, since in self._open.values():
                seconds[kind] += self._now() - since
        return seconds


class Metrics:
    """Counts the controller's news; an observer. failed_plugins: how many did not load."""

    def __init__(self, clock: Clock, failed_plugins: int = 0) -> None:
        self.registry = CollectorRegistry()
        self._clock, self._failed_plugins = clock, failed_plugins
        self._scheduler: Scheduler | None = None
        self._tasks: dict[str, str] = {}
        self._latest = 0.0
        self._up, self._busy = _Stopwatch(self._now), _Stopwatch(self._now)
        self._counters = {
            name: Counter(name, d.help, d.labels, registry=self.registry)
            for name, d in METRICS.items()
            if d.type == "counter" and name not in _READ
        }
        duration = METRICS["farm_unit_duration_seconds"]
        self._duration = Histogram(
            "farm_unit_duration_seconds",
            duration.help,
            duration.labels,
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(self)

    def watch(self, scheduler: Scheduler) -> None:
        """Read gauges from this scheduler from now on."""
        self._scheduler = scheduler

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Answer scrapes on the loopback address; return the port and what ends it.

        port: 0 for any free one. Raises UserError when the port is taken.
        """
        try:
            server, thread = start_http_server(port, addr=LOOPBACK, registry=self.registry)
        except OSError as error:
            raise UserError(
                f"cannot serve metrics on port {port}: {error.strerror}; choose another"
            ) from error

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, close

    def on_event(self, event: News) -> None:
        match event:
            case JobChanged(job):
                self._tasks[job.id] = job.spec.task
                if job.state.is_final:
                    self._count("farm_jobs_finished_total", job.spec.task, job.state)
            case UnitChanged():
                self._count_unit(event, self._tasks[event.unit.job])
            case WorkerChanged():
                self._count_worker(event)
            case StaleReport():
                self._counters["farm_stale_reports_total"].inc()
            case _:
                pass

    def _count(self, name: str, *labels: str, amount: float = 1) -> None:
        self._counters[name].labels(*labels).inc(amount)

    def _count_unit(self, event: UnitChanged, task: str) -> None:
        if event.state is UnitState.LEASED:
            self._duration.labels(task, "queue").observe(event.waited)
        if event.state is UnitState.RETRY_WAIT and event.failure:
            self._count("farm_units_total", task, "retried")
            self._count("farm_unit_retries_total", task, event.failure.reason)
        if event.state.is_final:
            self._count("farm_units_total", task, event.state)
            self._count("farm_frames_total", task, event.state)
        if event.state is UnitState.QUARANTINED and event.failure:
            self._count("farm_unit_failures_total", task, event.failure.reason)
        if event.figures:
            self._count("farm_tiles_total", task, amount=event.figures.tiles)
            self._count("farm_pixels_total", task, amount=event.figures.pixels)
            self._count("farm_overlap_pixels_total", task, amount=event.figures.overlap_pixels)
            for stage, seconds in event.figures.seconds.items():
                self._duration.labels(task, stage).observe(seconds)

    def _count_worker(self, event: WorkerChanged) -> None:
        match event.state:
            case "busy":
                self._busy.begin(event.worker, event.kind)
            case "idle":
                self._busy.end(event.worker)
                self._up.begin(event.worker, event.kind)
            case "gone":
                self._busy.end(event.worker)
                self._up.end(event.worker)
                self._count("farm_worker_deaths_total", event.kind)

    def _now(self) -> float:
        """Return a time that never goes back, so that no counter does."""
        self._latest = max(self._latest, self._clock.time())
        return self._latest

    def collect(self) -> Iterator[Metric]:
        """Yield what is read when scraped rather than counted."""
        yield self._family("farm_worker_busy_seconds_total", self._busy.seconds())
        yield self._family("farm_worker_up_seconds_total", self._up.seconds())
        yield self._family("farm_plugin_load_failures_total", {None: self._failed_plugins})
        yield self._family("farm_build_info", {version("neural-render-farm"): 1})
        if self._scheduler is None:
            return
        units, jobs = self._scheduler.unit_counts(), self._scheduler.job_counts()
        yield self._family(
            "farm_units_in_state", {s: units[s] for s in UnitState if not s.is_final}
        )
        yield self._family("farm_jobs", {s: jobs[s] for s in JobState})
        workers = self._scheduler.worker_counts()
        yield self._family("farm_workers", {s: workers[s] for s in ("idle", "busy")})
        oldest = self._scheduler.oldest_ready()
        age = 0.0 if oldest is None else max(0.0, self._now() - oldest)
        yield self._family("farm_oldest_ready_unit_age_seconds", {None: age})

    def _family(self, name: str, values: Mapping[str | None, float]) -> Metric:
        """Return a metric of the table with these values by its one label, or without."""
        described = METRICS[name]
        make = CounterMetricFamily if described.type == "counter" else GaugeMetricFamily
        family = make(name, described.help, labels=described.labels)
        for label, value in values.items():
            family.add_metric([] if label is None else [label], value)
        return family
