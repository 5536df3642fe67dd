"""What Prometheus reads is what the ledger holds, in the middle of a job and at its end."""

import re
import shutil
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from farm.control.clock import FakeClock
from farm.control.controller import Controller
from farm.control.metrics import BUCKETS, METRICS, Metrics
from farm.errors import UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import News, StaleReport, UnitChanged, WorkerChanged
from farm.model.job import JobSpec, JobState
from farm.model.messages import Reason
from farm.model.unit import UnitState

from ..fakes import FIGURES, End, FakeExecutor, scripted  # noqa: TID252 - shared
from ..workbench import failed  # noqa: TID252 - shared between rooms

DOCUMENTED = Path(__file__).parents[2] / "deploy" / "METRICS.md"

Labels = tuple[tuple[str, str], ...]

pytestmark = pytest.mark.slow  # a port takes half a second to close


@dataclass(frozen=True)
class Scrape:
    """What a scrape over HTTP gave: types by metric, help by metric, values by sample."""

    types: dict[str, str]
    helps: dict[str, str]
    values: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        return self.values.get((name, tuple(sorted(labels.items()))), 0.0)

    def by(self, name: str, label: str) -> Counter[str]:
        """Return a metric's values by one of its labels."""
        found: Counter[str] = Counter()
        for (sample, labels), value in self.values.items():
            if sample == name and value:
                found[dict(labels)[label]] += int(value)
        return found


def read(port: int, accept: str = "text/plain") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def scrape(port: int) -> Scrape:
    families = list(text_string_to_metric_families(read(port)))
    made = [family for family in families if not family.name.endswith("_created")]
    names = {f.name: f.name + "_total" if f.type == "counter" else f.name for f in made}
    return Scrape(
        {names[f.name]: f.type for f in made},
        {names[f.name]: f.documentation for f in made},
        {(s.name, tuple(sorted(s.labels.items()))): s.value for f in made for s in f.samples},
    )


@dataclass
class Watched:
    """A farm with metrics that answer on a port."""

    controller: Controller
    metrics: Metrics
    clock: FakeClock
    ledger: Ledger
    port: int

    def run(self, spec: JobSpec) -> Scrape:
        self.controller.submit(spec)
        self.controller.run()
        return scrape(self.port)


ENDS: dict[str, Sequence[End]] = {
    "a": ["die", failed(Reason.STORAGE), "haunt"],
    "b": [failed(), failed(), failed()],
}
"""a dies, fails, dies again and succeeds; b is given up; c succeeds."""


@pytest.fixture
def watched(registry: Registry, ledger: Ledger) -> Iterator[Watched]:
    clock = FakeClock()
    metrics = Metrics(clock, failed_plugins=2)
    executor = FakeExecutor(scripted(ENDS), clock=clock)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[metrics])
    metrics.watch(controller.scheduler)
    port, close = metrics.serve(0)
    yield Watched(controller, metrics, clock, ledger, port)
    close()


def test_counters_equal_what_the_ledger_holds(watched: Watched, spec: JobSpec) -> None:
    found = watched.run(spec)
    (job,) = watched.ledger.jobs()
    records = watched.ledger.units(job.id)
    ended = Counter(str(record.state) for record in records)
    spent = Counter(str(f.reason) for record in records for f in record.failures)
    given_up = Counter(
        str(r.failures[-1].reason) for r in records if r.state is UnitState.QUARANTINED
    )
    retried = spent - given_up
    assert ended == {"succeeded": 2, "quarantined": 1}
    assert spent == {"worker_died": 2, "storage": 1, "plugin_error": 3}
    assert found.by("farm_frames_total", "outcome") == ended
    assert found.by("farm_units_total", "outcome") == ended + Counter(retried=retried.total())
    assert found.by("farm_unit_retries_total", "reason") == retried
    assert found.by("farm_unit_failures_total", "reason") == given_up
    assert found.value("farm_jobs_finished_total", plugin="copy", outcome="completed") == 1
    figures = [record.figures for record in records if record.figures]
    assert len(figures) == 2
    assert found.value("farm_pixels_total", plugin="copy") == sum(f.pixels for f in figures)
    assert found.value("farm_tiles_total", plugin="copy") == sum(f.tiles for f in figures)
    assert found.value("farm_overlap_pixels_total", plugin="copy") == sum(
        f.overlap_pixels for f in figures
    )
    leases = [line for line in watched.ledger.story(job.id) if " leased " in line]
    durations = "farm_unit_duration_seconds_count"
    assert found.value(durations, plugin="copy", stage="queue") == len(leases)
    assert found.value(durations, plugin="copy", stage="compute") == 2
    assert found.value(
        "farm_unit_duration_seconds_sum", plugin="copy", stage="write"
    ) == pytest.approx(2 * FIGURES.seconds["write"])


def test_dead_workers_and_their_late_reports_are_counted(watched: Watched, spec: JobSpec) -> None:
    found = watched.run(spec)
    assert found.value("farm_worker_deaths_total", kind="cpu") == 2
    assert found.value("farm_stale_reports_total") == 1


def test_what_is_skipped_is_counted_and_costs_nothing(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    watched.clock.advance(60)
    watched.controller.submit(spec, resume=True)
    watched.controller.run()
    found = scrape(watched.port)
    assert found.value("farm_units_total", plugin="copy", outcome="skipped") == 2
    assert found.value("farm_pixels_total", plugin="copy") == 2 * FIGURES.pixels


def test_gauges_tell_of_the_moment(watched: Watched, spec: JobSpec) -> None:
    watched.controller.submit(spec)
    watched.clock.advance(7)
    found = scrape(watched.port)
    assert found.by("farm_units_in_state", "state") == {"ready": 3}
    assert found.by("farm_jobs", "state") == {"queued": 1}
    assert found.by("farm_workers", "state") == {}
    assert found.value("farm_oldest_ready_unit_age_seconds") == 7
    watched.controller.run(lambda: bool(watched.controller.scheduler.busy_workers()))
    found = scrape(watched.port)
    assert found.by("farm_units_in_state", "state") == {"ready": 2, "leased": 1}
    assert found.by("farm_jobs", "state") == {"running": 1}
    assert found.by("farm_workers", "state") == {"busy": 1}
    watched.controller.run()
    found = scrape(watched.port)
    assert found.by("farm_units_in_state", "state") == {}
    assert found.by("farm_jobs", "state") == {"completed": 1}
    assert found.by("farm_workers", "state") == {"idle": 1}
    assert found.value("farm_oldest_ready_unit_age_seconds") == 0


def test_every_state_has_its_series_also_where_none_is_in_it(watched: Watched) -> None:
    found = scrape(watched.port)
    jobs = {dict(labels)["state"] for name, labels in found.values if name == "farm_jobs"}
    assert jobs == set(JobState)


def test_a_scrape_in_the_middle_of_a_job_is_answered(
    watched: Watched, spec: JobSpec, registry: Registry, ledger: Ledger
) -> None:
    seen: list[float] = []

    class Scraper:
        def on_event(self, event: News) -> None:
            if isinstance(event, UnitChanged) and event.state is UnitState.SUCCEEDED:
                found = scrape(watched.port)
                seen.append(found.value("farm_units_total", plugin="copy", outcome="succeeded"))

    observers = [watched.metrics, Scraper()]
    executor = FakeExecutor(clock=watched.clock)
    controller = Controller(registry, executor, ledger, clock=watched.clock, observers=observers)
    controller.submit(spec)
    controller.run()
    assert seen == [1, 2, 3]


def worker(state: str) -> WorkerChanged:
    return WorkerChanged("w1", "gpu", state)


def test_workers_are_busy_no_longer_than_they_are_up() -> None:
    clock = FakeClock()
    metrics = Metrics(clock)
    port, close = metrics.serve(0)
    seconds = []
    for state, wait in (("idle", 5), ("busy", 10), ("idle", 1), ("busy", 2), ("gone", 99)):
        metrics.on_event(worker(state))
        clock.advance(wait)
        found = scrape(port)
        seconds.append(
            (
                found.value("farm_worker_busy_seconds_total", kind="gpu"),
                found.value("farm_worker_up_seconds_total", kind="gpu"),
            )
        )
    close()
    assert seconds == [(0, 5), (10, 15), (10, 16), (12, 18), (12, 18)]


def test_a_clock_that_is_set_back_takes_no_counter_along() -> None:
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


def test_the_port_is_only_for_this_machine_and_free_again_when_closed() -> None:
    port, close = Metrics(FakeClock()).serve(0)
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0
    close()
    again, close = Metrics(FakeClock()).serve(port)
    close()
    assert again == port


def test_a_port_that_is_taken_is_refused_in_one_line() -> None:
    port, close = Metrics(FakeClock()).serve(0)
    with pytest.raises(UserError, match=f"^cannot serve metrics on port {port}: .*; choose"):
        Metrics(FakeClock()).serve(port)
    close()


# The table


def test_what_is_exported_is_what_the_table_says(watched: Watched, spec: JobSpec) -> None:
    watched.metrics.on_event(StaleReport("w9", "t"))
    found = watched.run(spec)
    assert found.types == {name: described.type for name, described in METRICS.items()}
    assert found.helps == {name: described.help for name, described in METRICS.items()}
    for sample, labels in found.values:
        name = re.sub(r"_(bucket|sum|count)$", "", sample)
        assert {label for label, _ in labels} - {"le"} == set(METRICS[name].labels)


def test_strict_readers_of_open_metrics_take_it_too(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    text = read(watched.port, accept="application/openmetrics-text; version=1.0.0")
    families = {family.name for family in open_metrics.text_string_to_metric_families(text)}
    assert families == {name.removesuffix("_total") for name in METRICS}


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on PATH")
def test_promtool_has_nothing_to_say_of_a_scrape(watched: Watched, spec: JobSpec) -> None:
    watched.run(spec)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=read(watched.port),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_page_says_what_the_table_says() -> None:
    cell = r" (.*?) \|"
    rows = re.findall(
        rf"^\| `(farm_\w+)` \|{cell}{cell}{cell}$", DOCUMENTED.read_text(), re.MULTILINE
    )
    assert [(n, t, labels, told) for n, t, labels, told in rows] == [
        (name, d.type, ", ".join(d.labels), d.help) for name, d in METRICS.items()
    ]


def test_the_page_asks_only_for_what_there_is() -> None:
    asked = set(re.findall(r"\bfarm_\w+", DOCUMENTED.read_text()))
    assert asked == set(METRICS)


def test_the_page_names_every_reason() -> None:
    assert all(f"`{reason}`" in DOCUMENTED.read_text() for reason in Reason)


@pytest.mark.parametrize("name", METRICS)
def test_names_follow_the_conventions_of_prometheus(name: str) -> None:
    described = METRICS[name]
    assert (described.type == "counter") == name.endswith("_total")
    assert not {"job", "unit", "frame", "tile", "worker", "path"} & set(described.labels)
    assert described.help.endswith(".")


def test_buckets_rise() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))
