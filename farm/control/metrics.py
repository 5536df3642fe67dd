"""The farm's Prometheus metrics: counters of the controller's events, and gauges.

Gauges are read from the scheduler at each scrape. No label contains a job, frame, worker or path,
so the number of series stays small however long the farm runs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from farm.control.clock import Clock
from farm.control.training_metrics import MOST_LOSSES, TrainingMetrics
from farm.errors import UserError
from farm.model.events import (
    JobChanged,
    News,
    Progressed,
    StaleReport,
    UnitChanged,
    WorkerChanged,
)
from farm.model.job import Job, JobState
from farm.model.unit import UnitState
from farm.model.work import Render
from farm.scheduling.scheduler import Scheduler

LOOPBACK = "127.0.0.1"

BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds of the histograms of units, in seconds."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric's type, labels and help text."""

    type: str
    labels: tuple[str, ...]
    help: str


METRICS = MappingProxyType(
    {
        "farm_units_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Units that ended or were retried: succeeded, skipped, retried, quarantined, cancelled.",
        ),
        "farm_frames_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Frames whose rendering ended: succeeded, skipped, quarantined, cancelled.",
        ),
        "farm_tiles_total": MetricSpec("counter", ("task", "plugin"), "Passes over a tile."),
        "farm_pixels_total": MetricSpec(
            "counter", ("task", "plugin"), "Pixels of finished frames, without tile overlap."
        ),
        "farm_overlap_pixels_total": MetricSpec(
            "counter",
            ("task", "plugin"),
            "Pixels computed again because tiles overlap, in every pass.",
        ),
        "farm_unit_duration_seconds": MetricSpec(
            "histogram",
            ("task", "plugin", "stage"),
            "Duration of each stage of a unit: queue, load, compute, write.",
        ),
        "farm_gang_wait_seconds": MetricSpec(
            "histogram",
            ("task", "plugin"),
            "Seconds from when a unit that several workers share is ready until they are gathered.",
        ),
        "farm_unit_retries_total": MetricSpec(
            "counter", ("task", "plugin", "reason"), "Failed attempts that were retried."
        ),
        "farm_unit_failures_total": MetricSpec(
            "counter",
            ("task", "plugin", "reason"),
            "Quarantined units, by the reason of their last failure.",
        ),
        "farm_jobs_finished_total": MetricSpec(
            "counter",
            ("task", "plugin", "outcome"),
            "Jobs that ended: completed, failed, cancelled.",
        ),
        "farm_stale_reports_total": MetricSpec(
            "counter", (), "Reports dropped because their lease had expired."
        ),
        "farm_worker_busy_seconds_total": MetricSpec(
            "counter", ("kind",), "Seconds that workers held a unit, by kind: cpu, gpu, finish."
        ),
        "farm_worker_up_seconds_total": MetricSpec(
            "counter", ("kind",), "Seconds that workers were up, by kind: cpu, gpu, finish."
        ),
        "farm_worker_deaths_total": MetricSpec("counter", ("kind",), "Workers lost."),
        "farm_plugin_load_failures_total": MetricSpec(
            "counter", (), "Plugins that failed to load at start-up."
        ),
        "farm_training_steps_total": MetricSpec(
            "counter",
            ("task", "plugin"),
            "Steps that runs have taken, those that were undone or are repeated included.",
        ),
        "farm_training_pictures_total": MetricSpec(
            "counter", ("task", "plugin"), "Pictures in the batches of those steps."
        ),
        "farm_training_step_seconds": MetricSpec(
            "histogram",
            ("task", "plugin", "stage"),
            "Duration of each stage of a step, of the steps that were reported: data, compute, exchange, checkpoint.",
        ),
        "farm_training_loss": MetricSpec(
            "gauge",
            ("task", "plugin", "loss"),
            f"Losses of the latest step, by name; at most {MOST_LOSSES} names per task, the rest is dropped.",
        ),
        "farm_training_rate": MetricSpec(
            "gauge", ("task", "plugin"), "Learning rate of the latest step."
        ),
        "farm_units_in_state": MetricSpec(
            "gauge",
            ("state",),
            "Unfinished units in each state; ready units are queued.",
        ),
        "farm_jobs": MetricSpec("gauge", ("state",), "Jobs in each state."),
        "farm_workers": MetricSpec("gauge", ("state",), "Rendering workers that are idle or busy."),
        "farm_room": MetricSpec(
            "gauge", (), "Rendering workers that there is room for, whether or not they are up."
        ),
        "farm_gangs": MetricSpec("gauge", (), "Units that several workers share at present."),
        "farm_oldest_ready_unit_age_seconds": MetricSpec(
            "gauge", (), "Seconds since the oldest ready unit became ready."
        ),
        "farm_build_info": MetricSpec(
            "gauge", ("version",), "Always 1; the label is the farm's version."
        ),
    }
)
"""Every metric that the farm exports."""

_ELSEWHERE = frozenset(
    {
        "farm_training_pictures_total",
        "farm_training_steps_total",
        "farm_worker_busy_seconds_total",
        "farm_worker_up_seconds_total",
        "farm_plugin_load_failures_total",
    }
)
"""Counters of training, and those that are computed at each scrape, as gauges are."""

_NO_PLUGINS: Final[Mapping[str, str]] = MappingProxyType({})


class _Stopwatch:
    """Total seconds per kind of worker, including intervals that are still open."""

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
    """An observer that counts the controller's events.

    plugins: the plugin that offers each task. failed_plugins: number that failed to load.
    """

    def __init__(
        self, clock: Clock, plugins: Mapping[str, str] = _NO_PLUGINS, failed_plugins: int = 0
    ) -> None:
        self.registry = CollectorRegistry()
        self._clock, self._plugins, self._failed_plugins = clock, plugins, failed_plugins
        self._scheduler: Scheduler | None = None
        self._tasks: dict[str, tuple[str, str]] = {}
        self._latest = 0.0
        self._up, self._busy = _Stopwatch(self._now), _Stopwatch(self._now)
        self._counters = {
            name: Counter(name, spec.help, spec.labels, registry=self.registry)
            for name, spec in METRICS.items()
            if spec.type == "counter" and name not in _ELSEWHERE
        }
        self._duration = self._histogram("farm_unit_duration_seconds")
        self._gang_wait = self._histogram("farm_gang_wait_seconds")
        self._training = TrainingMetrics(METRICS, self.registry)
        self.registry.register(self)

    def _histogram(self, name: str) -> Histogram:
        spec = METRICS[name]
        return Histogram(name, spec.help, spec.labels, buckets=BUCKETS, registry=self.registry)

    def watch(self, scheduler: Scheduler) -> None:
        """Read the gauges from this scheduler."""
        self._scheduler = scheduler

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
            case Progressed(unit):
                self._training.count(event, *self._tasks[unit.job])
            case WorkerChanged():
                self._count_worker(event)
            case StaleReport():
                self._counters["farm_stale_reports_total"].inc()
            case _:
                pass

    def _count(self, name: str, *labels: str, amount: float = 1) -> None:
        self._counters[name].labels(*labels).inc(amount)

    def _count_job(self, job: Job) -> None:
        """Count a job that has ended, and know the labels of its units until then."""
        labels = job.spec.task, self._plugins.get(job.spec.task, "")
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
        """Return the time, which never goes back, so that no counter decreases."""
        self._latest = max(self._latest, self._clock.time())
        return self._latest

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are computed at each scrape."""
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
        yield self._family("farm_room", {None: self._scheduler.room()})
        yield self._family("farm_gangs", {None: self._scheduler.gang_count()})
        oldest = self._scheduler.oldest_ready()
        age = 0.0 if oldest is None else max(0.0, self._now() - oldest)
        yield self._family("farm_oldest_ready_unit_age_seconds", {None: age})

    def _family(self, name: str, values: Mapping[str | None, float]) -> Metric:
        """Return a metric with these values per label; the key None means no label."""
        spec = METRICS[name]
        family_type = CounterMetricFamily if spec.type == "counter" else GaugeMetricFamily
        family = family_type(name, spec.help, labels=spec.labels)
        for label, value in values.items():
            family.add_metric([] if label is None else [label], value)
        return family
