"""The part of the farm's metrics that counts training steps."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from farm.model.events import Progressed
from farm.model.messages import TrainingFigures

if TYPE_CHECKING:
    from farm.control.metrics_table import MetricSpec

MOST_LOSSES: Final = 16
"""Losses that are exported for a task; a run names them as it likes."""

_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Upper bounds of the histogram of stages, in seconds."""


class TrainingMetrics:
    """Counts the steps that runs report. specs: of every metric, by name."""

    def __init__(self, specs: "Mapping[str, MetricSpec]", registry: CollectorRegistry) -> None:
        def words(name: str) -> tuple[str, str, tuple[str, ...]]:
            return name, specs[name].help, specs[name].labels

        self._steps = Counter(*words("farm_training_steps_total"), registry=registry)
        self._pictures = Counter(*words("farm_training_pictures_total"), registry=registry)
        self._loss = Gauge(*words("farm_training_loss"), registry=registry)
        self._rate = Gauge(*words("farm_training_rate"), registry=registry)
        self._seconds = Histogram(
            *words("farm_training_step_seconds"), buckets=_BUCKETS, registry=registry
        )
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._taken: dict[str, tuple[str, int]] = {}

    def begin(self, task: str, plugin: str) -> None:
        """Show the counters of a task before its first step."""
        self._steps.labels(task, plugin)
        self._pictures.labels(task, plugin)

    def count(self, event: Progressed, task: str, plugin: str) -> None:
        """Count the steps since the last report of the same attempt."""
        figures = event.progress.training
        if figures is None:
            return
        token, taken = self._taken.get(event.unit.job, ("", 0))
        new = figures.taken - (taken if token == event.progress.token else 0)
        if new <= 0:
            return
        self._taken[event.unit.job] = event.progress.token, figures.taken
        self._steps.labels(task, plugin).inc(new)
        self._pictures.labels(task, plugin).inc(new * (figures.pictures // max(1, figures.step)))
        self._show(figures, task, plugin)

    def forget(self, job: str) -> None:
        """Forget a job that has ended."""
        self._taken.pop(job, None)

    def _show(self, figures: TrainingFigures, task: str, plugin: str) -> None:
        names = self._names[task]
        for name, loss in figures.losses.items():
            if name in names or len(names) < MOST_LOSSES:
                names.add(name)
                self._loss.labels(task, plugin, name).set(loss)
        if figures.rate is not None:
            self._rate.labels(task, plugin).set(figures.rate)
        for stage, seconds in figures.seconds.items():
            self._seconds.labels(task, plugin, stage).observe(seconds)
