"""Metrics equal the ledger, during a job and at its end."""

import re
import shutil
import socket
import sqlite3
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from farm import storage
from farm.control.controller import Controller
from farm.control.metrics import DATABASE_BUCKETS, MOST_TASKS, UNIT_BUCKETS, Metrics
from farm.control.metrics_table import METRICS
from farm.control.training_metrics import MOST_LOSSES
from farm.errors import LedgerUnavailable, UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import (
    FilesMoved,
    JobChanged,
    News,
    Progressed,
    StaleReport,
    UnitChanged,
    WorkerChanged,
)
from farm.model.film import FilmFormat
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import (
    Hold,
    Message,
    Reason,
    TrainingFigures,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
)
from farm.model.transfers import Transfers
from farm.model.unit import Unit, UnitState
from farm.model.work import Blend, Encode, Join, Picture, Render, Train
from farm.process import SILENT_SECONDS

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FIGURES, End, FakeExecutor, scripted  # noqa: TID252 - shared
from ..workbench import failed  # noqa: TID252 - shared between rooms

DOCUMENTED = Path(__file__).parents[2] / "deploy" / "METRICS.md"

OF_A_COMMAND = {name: spec for name, spec in METRICS.items() if not name.startswith("farm_http_")}
"""What a farm exports that is no service."""

Labels = tuple[tuple[str, str], ...]

pytestmark = pytest.mark.slow  # a port takes half a second to close


@dataclass(frozen=True)
class Scrape:
    """The result of a scrape over HTTP: types and helps by metric, values by sample."""

    types: dict[str, str]
    helps: dict[str, str]
    values: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        return self.values.get((name, tuple(sorted(labels.items()))), 0.0)

    def by(self, name: str, label: str) -> Counter[str]:
        """Return a metric's values by one of its labels, without zeros."""
        values: Counter[str] = Counter()
        for (sample, labels), value in self.values.items():
            if sample == name and value:
                values[dict(labels)[label]] += int(value)
        return values


def read(port: int, accept: str = "text/plain") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def scrape(port: int) -> Scrape:
    families = list(text_string_to_metric_families(read(port)))
    written = [family for family in families if not family.name.endswith("_created")]
    names = {f.name: f.name + "_total" if f.type == "counter" else f.name for f in written}
    return Scrape(
        {names[f.name]: f.type for f in written},
        {names[f.name]: f.documentation for f in written},
        {(s.name, tuple(sorted(s.labels.items()))): s.value for f in written for s in f.samples},
    )


@dataclass
class Watched:
    """A farm that serves its metrics on a port."""

    controller: Controller
    metrics: Metrics
    clock: FakeClock
    ledger: Ledger
    port: int

    def run(self, spec: JobSpec) -> Scrape:
        self.controller.add(spec)
        self.controller.run()
        return scrape(self.port)


ENDS: dict[str, Sequence[End]] = {
    "a": ["die", failed(Reason.STORAGE), "succeed_after_death"],
    "b": [failed(), failed(), failed()],
}
"""a dies, fails, dies again and then succeeds; b is quarantined; c succeeds."""


@pytest.fixture
def watched(registry: Registry, ledger: Ledger) -> Iterator[Watched]:
    clock = FakeClock()
    metrics = Metrics(clock, {"copy": "copying"}, failed_plugins=2)
    executor = FakeExecutor(scripted(ENDS), clock=clock)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[metrics])
    metrics.watch(controller.scheduler, ledger, controller.planning)
    port, close = metrics.serve(0)
    yield Watched(controller, metrics, clock, ledger, port)
    close()


@pytest.fixture
def later(watched: Watched, spec: JobSpec) -> Job:
    """A job that waits for another one."""
    first = watched.controller.add(spec)
    later = spec.model_copy(update={"output": f"{spec.output}later/", "after": (first.id,)})
    asked = watched.controller.submit(later)
    watched.controller.serve(asked.done)
    return asked.result()


def test_jobs_that_wait_for_others_are_counted_as_planned(watched: Watched, later: Job) -> None:
    assert scrape(watched.port).value("farm_jobs", state="planning") == 1
    watched.controller.run()
    assert scrape(watched.port).value("farm_jobs", state="planning") == 0


def test_a_job_that_another_farm_takes_over_before_it_is_planned_is_counted_no_more(
    watched: Watched, later: Job, registry: Registry, ledger_url: str
) -> None:
    clock = watched.clock
    clock.advance(SILENT_SECONDS)
    with closing(Ledger.open(ledger_url)) as ledger:
        other = Controller(registry, FakeExecutor(clock=clock), ledger, clock=clock)
        assert [job.id for job in other.recover()] == [later.id]
        wish = watched.controller.want(later.id, Wanted.PAUSE)
        watched.controller.serve(wish.done)
    assert isinstance(wish.exception(), UserError)
    assert scrape(watched.port).value("farm_jobs", state="planning") == 0


def test_counters_equal_the_ledger(watched: Watched, spec: JobSpec) -> None:
    scraped = watched.run(spec)
    (job,) = watched.ledger.jobs()
    records = watched.ledger.units(job.id)
    ended = Counter(str(record.state) for record in records)
    spent = Counter(str(f.reason) for record in records for f in record.failures)
    quarantined = Counter(
        str(r.failures[-1].reason) for r in records if r.state is UnitState.QUARANTINED
    )
    retried = spent - quarantined
    assert ended == {"succeeded": 2, "quarantined": 1}
    assert spent == {"worker_died": 2, "storage": 1, "plugin_error": 3}
    assert scraped.by("farm_frames_total", "outcome") == ended
    assert scraped.by("farm_units_total", "outcome") == ended + Counter(retried=retried.total())
    assert scraped.by("farm_unit_retries_total", "reason") == retried
    assert scraped.by("farm_unit_failures_total", "reason") == quarantined
    assert (
        scraped.value(
            "farm_jobs_finished_total",
            task="copy",
            plugin="copying",
            outcome="completed_with_failures",
        )
        == 1
    )
    figures = [record.figures for record in records if record.figures]
    assert len(figures) == 2
    assert scraped.value("farm_pixels_total", task="copy", plugin="copying") == sum(
        f.pixels for f in figures
    )
    assert scraped.value("farm_tiles_total", task="copy", plugin="copying") == sum(
        f.tiles for f in figures
    )
    assert scraped.value("farm_overlap_pixels_total", task="copy", plugin="copying") == sum(
        f.overlap_pixels for f in figures
    )
    leases = [line for line in watched.ledger.story(job.id) if line.state is UnitState.LEASED]
    durations = "farm_unit_duration_seconds_count"
    assert scraped.value(durations, task="copy", plugin="copying", stage="queue") == len(leases)
    assert scraped.value(durations, task="copy", plugin="copying", stage="compute") == 2
    assert scraped.value(
        "farm_unit_duration_seconds_sum", task="copy", plugin="copying", stage="write"
    ) == pytest.approx(2 * FIGURES.seconds["write"])


def test_dead_workers_and_their_late_reports_are_counted(watched: Watched, spec: JobSpec) -> None:
    scraped = watched.run(spec)
    assert scraped.value("farm_worker_deaths_total", kind="cpu") == 2
    assert scraped.value("farm_stale_reports_total") == 1


def test_skipped_frames_are_counted_and_add_no_pixels(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    watched.clock.advance(60)
    watched.controller.add(spec, resume=True)
    watched.controller.run()
    scraped = scrape(watched.port)
    assert scraped.value("farm_units_total", task="copy", plugin="copying", outcome="skipped") == 2
    assert scraped.value("farm_pixels_total", task="copy", plugin="copying") == 2 * FIGURES.pixels


def test_a_frame_is_counted_once_and_the_rest_of_a_film_is_not(
    watched: Watched, spec: JobSpec
) -> None:
    watched.metrics.on_event(JobChanged(Job("film", spec, 0.0)))
    form = FilmFormat("h264")
    picture = Picture((("a", "a.tif"),), 0, 1)
    works = (
        Render(),
        Blend(picture, 8),
        Encode((picture,), form),
        Join((), form),
        Train(("in",)),
    )
    for number, work in enumerate(works):
        unit = Unit("film", f"u{number}", "s", "t", work=work)
        watched.metrics.on_event(UnitChanged(unit, UnitState.SUCCEEDED, 1))
    scraped = scrape(watched.port)
    assert scraped.by("farm_frames_total", "outcome") == {"succeeded": 1}
    assert scraped.by("farm_units_total", "outcome") == {"succeeded": 5}
    assert scraped.by("farm_frames_total", "task") == {"copy": 1}
    assert scraped.by("farm_frames_total", "plugin") == {"copying": 1}


def test_gauges_show_the_current_state(watched: Watched, spec: JobSpec) -> None:
    watched.controller.add(spec)
    watched.clock.advance(7)
    scraped = scrape(watched.port)
    assert scraped.by("farm_units_in_state", "state") == {"ready": 3}
    assert scraped.by("farm_jobs", "state") == {"queued": 1}
    assert scraped.by("farm_workers", "state") == {}
    assert scraped.value("farm_oldest_ready_unit_age_seconds", task="copy") == 7
    assert scraped.by("farm_queue_units", "task") == {"copy": 3}
    watched.controller.run(lambda: bool(watched.controller.scheduler.busy_workers()))
    scraped = scrape(watched.port)
    assert scraped.by("farm_units_in_state", "state") == {"ready": 2, "leased": 1}
    assert scraped.by("farm_jobs", "state") == {"running": 1}
    assert scraped.by("farm_workers", "state") == {"busy": 1}
    assert scraped.by("farm_leases", "kind") == {"cpu": 1}
    assert scraped.by("farm_queue_units", "task") == {"copy": 2}
    watched.controller.run()
    scraped = scrape(watched.port)
    assert scraped.by("farm_units_in_state", "state") == {}
    assert scraped.by("farm_jobs", "state") == {"completed_with_failures": 1}
    assert scraped.by("farm_workers", "state") == {"idle": 1}
    assert scraped.value("farm_oldest_ready_unit_age_seconds", task="copy") == 0
    assert scraped.by("farm_leases", "kind") == {}
    assert scraped.by("farm_queue_units", "task") == {}


def test_every_job_state_has_a_series_even_if_it_is_zero(watched: Watched) -> None:
    scraped = scrape(watched.port)
    jobs = {dict(labels)["state"] for name, labels in scraped.values if name == "farm_jobs"}
    assert jobs == set(JobState)


def test_a_scrape_during_a_job_is_answered(
    watched: Watched, spec: JobSpec, registry: Registry, ledger: Ledger
) -> None:
    seen: list[float] = []

    class Scraper:
        def on_event(self, event: News) -> None:
            if isinstance(event, UnitChanged) and event.state is UnitState.SUCCEEDED:
                scraped = scrape(watched.port)
                seen.append(
                    scraped.value(
                        "farm_units_total", task="copy", plugin="copying", outcome="succeeded"
                    )
                )

    observers = [watched.metrics, Scraper()]
    executor = FakeExecutor(clock=watched.clock)
    controller = Controller(registry, executor, ledger, clock=watched.clock, observers=observers)
    controller.add(spec)
    controller.run()
    assert seen == [1, 2, 3]


class Trainer:
    """Reports steps of a run to a farm's metrics."""

    def __init__(self, watched: Watched, spec: JobSpec) -> None:
        self._metrics = watched.metrics
        self.job = Job("run", spec, 0.0)
        self._unit = Unit("run", "train", "", "t", work=Train(("in",)))
        self._metrics.on_event(JobChanged(self.job))

    def report(self, step: int, taken: int, lease: str = "first", **losses: float) -> None:
        """Report a step of a batch of 8. taken: steps of this attempt."""
        figures = TrainingFigures(step, 8 * step, losses, 0.5, {"data": 0.2, "compute": 2}, taken)
        progress = UnitProgress("w1", lease, 0.5, training=figures)
        self._metrics.on_event(Progressed(self._unit, progress))


@pytest.fixture
def trainer(watched: Watched, spec: JobSpec) -> Trainer:
    return Trainer(watched, spec)


TRAINED = {"task": "copy", "plugin": "copying"}


def test_steps_between_two_reports_are_counted(watched: Watched, trainer: Trainer) -> None:
    trainer.report(1, 1)
    trainer.report(10, 10)
    scraped = scrape(watched.port)
    assert scraped.value("farm_training_steps_total", **TRAINED) == 10
    assert scraped.value("farm_training_pictures_total", **TRAINED) == 80


def test_a_resumed_run_counts_the_steps_it_takes_itself(watched: Watched, trainer: Trainer) -> None:
    trainer.report(500, 500)
    trainer.report(403, 3, lease="second")
    trainer.report(404, 4, lease="second")
    assert scrape(watched.port).value("farm_training_steps_total", **TRAINED) == 504


def test_a_run_that_goes_back_counts_the_steps_it_takes_again(
    watched: Watched, trainer: Trainer
) -> None:
    for step, taken in ((20, 20), (10, 21), (11, 22), (11, 22)):
        trainer.report(step, taken)
    scraped = scrape(watched.port)
    assert scraped.value("farm_training_steps_total", **TRAINED) == 22
    assert scraped.value("farm_training_pictures_total", **TRAINED) == 22 * 8


def test_losses_rate_and_stages_of_the_latest_step_are_shown(
    watched: Watched, trainer: Trainer
) -> None:
    trainer.report(1, 1, real=0.25, fake=3)
    trainer.report(2, 2, real=0.5, fake=1)
    scraped = scrape(watched.port)
    assert scraped.value("farm_training_loss", **TRAINED, loss="real") == 0.5
    assert scraped.value("farm_training_loss", **TRAINED, loss="fake") == 1
    assert scraped.value("farm_training_rate", **TRAINED) == 0.5
    for stage, seconds in {"data": 0.4, "compute": 4.0}.items():
        assert scraped.value("farm_training_step_seconds_sum", **TRAINED, stage=stage) == seconds
        assert scraped.value("farm_training_step_seconds_count", **TRAINED, stage=stage) == 2


def test_the_number_of_losses_is_bounded(watched: Watched, trainer: Trainer) -> None:
    for step in range(1, 50):
        trainer.report(step, step, **{f"loss{step}": 1.0})
    shown = scrape(watched.port).by("farm_training_loss", "loss")
    assert list(shown) == [f"loss{step}" for step in range(1, MOST_LOSSES + 1)]


def worker(state: str) -> WorkerChanged:
    return WorkerChanged("w1", "gpu", state)


def test_busy_time_is_part_of_up_time() -> None:
    clock = FakeClock()
    metrics = Metrics(clock)
    port, close = metrics.serve(0)
    seconds = []
    for state, wait in (("idle", 5), ("busy", 10), ("idle", 1), ("busy", 2), ("gone", 99)):
        metrics.on_event(worker(state))
        clock.advance(wait)
        scraped = scrape(port)
        seconds.append(
            (
                scraped.value("farm_worker_busy_seconds_total", kind="gpu"),
                scraped.value("farm_worker_up_seconds_total", kind="gpu"),
            )
        )
    close()
    assert seconds == [(0, 5), (10, 15), (10, 16), (12, 18), (12, 18)]


@pytest.mark.parametrize(("state", "deaths"), [("gone", 1), ("ended", 0)])
def test_a_worker_that_is_not_needed_does_not_count_as_dead(state: str, deaths: int) -> None:
    clock = FakeClock()
    metrics = Metrics(clock)
    metrics.on_event(worker("idle"))
    clock.advance(5)
    metrics.on_event(worker(state))
    clock.advance(99)
    port, close = metrics.serve(0)
    scraped = scrape(port)
    close()
    assert scraped.value("farm_worker_deaths_total", kind="gpu") == deaths
    assert scraped.value("farm_worker_up_seconds_total", kind="gpu") == 5


def test_no_counter_decreases_when_the_clock_is_set_back() -> None:
    clock = FakeClock()
    metrics = Metrics(clock)
    port, close = metrics.serve(0)
    metrics.on_event(worker("idle"))
    clock.advance(10)
    before = scrape(port).value("farm_worker_up_seconds_total", kind="gpu")
    clock.advance(-8)
    after = scrape(port).value("farm_worker_up_seconds_total", kind="gpu")
    close()
    assert before == after == 10


def test_the_port_is_open_to_this_machine_only_and_free_after_closing() -> None:
    port, close = Metrics(FakeClock()).serve(0)
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0
    close()
    again, close = Metrics(FakeClock()).serve(port)
    close()
    assert again == port


def test_a_port_in_use_is_refused_in_one_line() -> None:
    port, close = Metrics(FakeClock()).serve(0)
    with pytest.raises(
        UserError, match=f"^cannot serve metrics on port {port}: .*; choose another port$"
    ):
        Metrics(FakeClock()).serve(port)
    close()


def test_errors_have_series_before_the_first_one() -> None:
    value = Metrics(FakeClock(), {"copy": "copying"}).registry.get_sample_value
    of_task = {"task": "copy", "plugin": "copying"}
    for reason in Reason:
        assert value("farm_unit_failures_total", of_task | {"reason": reason}) == 0
        assert value("farm_unit_retries_total", of_task | {"reason": reason}) == 0
    assert value("farm_worker_deaths_total", {"kind": "gpu"}) == 0
    assert value("farm_storage_errors_total", {"scheme": "s3", "direction": "read"}) == 0


def test_the_first_unit_of_a_task_is_an_increase_of_every_counter_that_it_moves(
    watched: Watched, spec: JobSpec
) -> None:
    before = scrape(watched.port).values
    after = watched.run(spec).values
    moved = [
        (sample, labels)
        for (sample, labels), value in after.items()
        if value and re.match("farm_(units|frames|unit|tiles|pixels|overlap|jobs_fin)", sample)
    ]
    assert len(moved) > 7
    for series in moved:
        assert before.get(series) == 0, series


# Storage and the ledger

MOVED = (
    Transfers("s3", "read", 2, 1000, 0.5),
    Transfers("s3", "write", 1, 0, 3.0, 1),
)


class Mover(FakeExecutor):
    """Every result says what the worker moved."""

    def poll(self, timeout: float) -> Sequence[Message]:
        ended = (UnitSucceeded, UnitFailed, UnitCancelled)
        messages = super().poll(timeout)
        return [replace(m, transfers=MOVED) if isinstance(m, ended) else m for m in messages]


def test_what_workers_moved_is_counted_whether_or_not_their_units_succeed(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    metrics = Metrics(FakeClock(), {"copy": "copying"})
    executor = Mover(scripted({"a": [failed(Reason.STORAGE)], "b": [failed(is_fatal=True)]}))
    controller = Controller(registry, executor, ledger, clock=executor.clock, observers=[metrics])
    controller.add(spec)
    controller.run()
    of_s3 = {"scheme": "s3", "direction": "read"}
    value = metrics.registry.get_sample_value
    assert value("farm_storage_bytes_total", of_s3) == 4 * 1000
    assert value("farm_storage_transfers_total", of_s3) == 4 * 2
    assert value("farm_storage_seconds_total", of_s3) == 4 * 0.5
    assert value("farm_storage_errors_total", of_s3) == 0
    assert value("farm_storage_errors_total", of_s3 | {"direction": "write"}) == 4


class Leaver:
    """An observer that leaves when files have been moved, as a reader of the events may."""

    def on_event(self, event: News) -> None:
        if isinstance(event, FilesMoved):
            raise BrokenPipeError


def test_what_a_worker_has_done_counts_though_an_observer_leaves(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    executor = Mover(scripted({}))
    controller = Controller(registry, executor, ledger, clock=executor.clock, observers=[Leaver()])
    job = controller.add(spec)
    with pytest.raises(BrokenPipeError):
        controller.run()
    assert [record.state for record in ledger.units(job.id)].count(UnitState.SUCCEEDED) == 1


def test_what_the_farm_itself_writes_is_counted_at_the_next_scrape(
    watched: Watched, tmp_path: Path
) -> None:
    of_disk = {"scheme": "file", "direction": "write"}
    before = scrape(watched.port).value("farm_storage_bytes_total", **of_disk)
    with storage.open_whole(tmp_path / "a.bin") as file:
        file.write(bytes(500))
    after = scrape(watched.port).value("farm_storage_bytes_total", **of_disk)
    assert after - before == 500


def test_transactions_and_their_errors_are_counted(
    watched: Watched, spec: JobSpec, ledger_url: str
) -> None:
    watched.controller.add(spec)
    read, write = {"access": "read"}, {"access": "write"}
    before = scrape(watched.port)
    assert before.value("farm_database_seconds_count", **read) > 0
    assert before.value("farm_database_seconds_count", **write) > 0
    assert before.value("farm_database_errors_total", **write) == 0
    lock = sqlite3.connect(ledger_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable):
        watched.ledger.beat(watched.clock.time())
    lock.close()
    after = scrape(watched.port)
    assert after.value("farm_database_errors_total", **write) == 1
    assert after.value("farm_database_seconds_sum", **write) > 1  # SQLite waited for the lock


def test_the_size_of_the_ledger_is_looked_at_every_five_minutes(
    watched: Watched, spec: JobSpec
) -> None:
    assert scrape(watched.port).value("farm_ledger_rows", table="units") == 0
    watched.run(spec)
    assert scrape(watched.port).value("farm_ledger_rows", table="units") == 0
    watched.clock.advance(300)
    scraped = scrape(watched.port)
    assert scraped.value("farm_ledger_rows", table="units") == 3
    assert scraped.value("farm_ledger_rows", table="jobs") == 1
    assert scraped.value("farm_ledger_bytes") == watched.ledger.size()


def test_jobs_that_wait_for_storage_are_counted(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    full = replace(failed(Reason.STORAGE), hold=Hold.STORAGE)
    metrics = Metrics(FakeClock(), {"copy": "copying"})
    executor = FakeExecutor(lambda _order: full)
    controller = Controller(registry, executor, ledger, clock=executor.clock)
    metrics.watch(controller.scheduler, ledger, controller.planning)
    job = controller.add(spec)
    controller.run(lambda: controller.job(job.id).state is JobState.PAUSED)
    assert metrics.registry.get_sample_value("farm_jobs_on_hold", {"hold": "storage"}) == 1
    assert metrics.registry.get_sample_value("farm_jobs_on_hold", {"hold": "restart"}) == 0


# Labels

HOSTILE = [
    *(f"task{number}" for number in range(500)),
    *(chr(0x100 + number) * 300 for number in range(400)),
    *(f'{{x="{number}"}}\n\\' for number in range(97)),
    "",
    "/etc/passwd",
    "other",
]


def series(metrics: Metrics) -> int:
    return sum(len(family.samples) for family in metrics.registry.collect())


def test_a_thousand_hostile_names_add_no_more_series_than_one(spec: JobSpec) -> None:
    assert len(set(HOSTILE)) == 1000

    def counted(names: Sequence[str]) -> int:
        metrics = Metrics(FakeClock(), {"copy": "copying"})
        for number, name in enumerate(names):
            metrics.on_event(FilesMoved((Transfers(name, "write", 1, 1, 1.0, 1),)))
            job = Job(f"{name}{number}", spec.model_copy(update={"task": name}), 0.0)
            metrics.on_event(JobChanged(job))
            unit = Unit(job.id, name, name, name)
            metrics.on_event(UnitChanged(unit, UnitState.SUCCEEDED, 1, name, worker=name))
            metrics.on_event(JobChanged(replace(job, state=JobState.COMPLETED)))
        return series(metrics)

    assert counted(HOSTILE) == counted(HOSTILE[:1])


def test_tasks_beyond_the_first_hundred_share_a_label(spec: JobSpec) -> None:
    offered = [name for name in HOSTILE if name != "other"]
    metrics = Metrics(FakeClock(), dict.fromkeys(offered, "p"))
    for number, name in enumerate(offered):
        job = Job(str(number), spec.model_copy(update={"task": name}), 0.0)
        metrics.on_event(JobChanged(job))
        metrics.on_event(JobChanged(replace(job, state=JobState.FAILED)))
    totals: Counter[str] = Counter()
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "farm_jobs_finished_total":
                totals[sample.labels["task"]] += int(sample.value)
    assert len(totals) == MOST_TASKS + 1
    assert totals["other"] == len(offered) - MOST_TASKS


# The table


def test_exported_metrics_equal_the_table(watched: Watched, spec: JobSpec) -> None:
    watched.metrics.on_event(StaleReport("w9", "t"))
    scraped = watched.run(spec)
    assert scraped.types == {name: spec.type for name, spec in OF_A_COMMAND.items()}
    assert scraped.helps == {name: spec.help for name, spec in OF_A_COMMAND.items()}
    for sample, labels in scraped.values:
        name = re.sub(r"_(bucket|sum|count)$", "", sample)
        assert {label for label, _ in labels} - {"le"} == set(METRICS[name].labels)


def test_the_output_is_valid_openmetrics(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    text = read(watched.port, accept="application/openmetrics-text; version=1.0.0")
    families = {family.name for family in open_metrics.text_string_to_metric_families(text)}
    assert families == {name.removesuffix("_total") for name in OF_A_COMMAND}


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on PATH")
def test_promtool_accepts_the_output(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=read(watched.port),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_page_documents_every_metric() -> None:
    cell = r" (.*?) \|"
    rows = re.findall(
        rf"^\| `(farm_\w+)` \|{cell}{cell}{cell}$", DOCUMENTED.read_text(), re.MULTILINE
    )
    assert rows == [
        (name, spec.type, ", ".join(spec.labels), spec.help) for name, spec in METRICS.items()
    ]


def test_the_page_uses_only_metrics_that_exist() -> None:
    asked = set(re.findall(r"\bfarm_\w+", DOCUMENTED.read_text()))
    assert asked == set(METRICS)


def test_the_page_lists_every_reason() -> None:
    assert all(f"`{reason}`" in DOCUMENTED.read_text() for reason in Reason)


@pytest.mark.parametrize("name", METRICS)
def test_names_follow_prometheus_conventions(name: str) -> None:
    spec = METRICS[name]
    assert (spec.type == "counter") == name.endswith("_total")
    assert not {"job", "unit", "frame", "tile", "worker", "path"} & set(spec.labels)
    assert spec.help.endswith(".")


@pytest.mark.parametrize("buckets", [UNIT_BUCKETS, DATABASE_BUCKETS])
def test_buckets_increase(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
