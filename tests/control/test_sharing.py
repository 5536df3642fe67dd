"""The controller hands shared units to several workers, tells the executor the demand, and lacks none."""

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from farm.control.controller import Controller
from farm.control.metrics import Metrics
from farm.errors import BadParameter, WorkerError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import UnitChanged
from farm.model.job import Job, JobSpec, JobState, Plan, Wanted
from farm.model.messages import Reason
from farm.model.unit import ALL_WORKERS, UnitState
from farm.scheduling.policy import Policy

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, Log, MakeFarm, failed  # noqa: TID252 - shared between rooms

S = UnitState


@pytest.fixture
def large(tmp_path: Path) -> JobSpec:
    """A job of one still, larger than a tile, for three workers."""
    Image.new("RGB", (64, 8)).save(tmp_path / "large.png")
    source, output = str(tmp_path / "large.png"), str(tmp_path / "out.png")
    return JobSpec(task="copy", inputs=(source,), output=output, plan=Plan(tile=32), workers=3)


def test_several_workers_share_a_large_still(make_farm: MakeFarm, large: JobSpec) -> None:
    farm = make_farm(workers=4)
    farm.controller.add(large)
    assert farm.run().state is JobState.COMPLETED
    assert [len(workers) for workers in farm.executor.sharing] == [3]
    leased = next(e for e in farm.log.events if isinstance(e, UnitChanged) and e.workers)
    assert leased.workers == farm.executor.sharing[0]
    assert leased.worker == leased.workers[0]


def test_all_workers_share_a_still_that_wants_all(make_farm: MakeFarm, large: JobSpec) -> None:
    farm = make_farm(workers=4)
    farm.controller.add(large.model_copy(update={"workers": ALL_WORKERS}))
    farm.run()
    assert [len(workers) for workers in farm.executor.sharing] == [4]


def test_losing_a_worker_that_shares_a_unit_costs_an_attempt(
    make_farm: MakeFarm, large: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"large": ["lose_member"]}, workers=3)
    job = farm.controller.add(large)
    assert farm.run().state is JobState.COMPLETED
    (record,) = ledger.units(job.id)
    assert [failure.reason for failure in record.failures] == [Reason.WORKER_DIED]
    assert [len(workers) for workers in farm.executor.sharing] == [3, 3]


def test_a_shared_unit_and_stills_take_turns(
    make_farm: MakeFarm, large: JobSpec, spec: JobSpec
) -> None:
    farm = make_farm(workers=3)
    for submitted in (spec, large):
        farm.controller.add(submitted)
    assert [job.state for job in farm.controller.run()] == [JobState.COMPLETED] * 2
    assert sorted(map(len, farm.executor.sharing)) == [1, 1, 1, 3]


def test_metrics_count_gangs_their_waits_and_each_of_their_workers(
    registry: Registry, ledger: Ledger, large: JobSpec, spec: JobSpec
) -> None:
    clock = FakeClock()
    metrics = Metrics(clock, {"copy": "copying"})
    executor = FakeExecutor(scripted({"large": ["hang"]}), workers=4, clock=clock)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[metrics])
    metrics.watch(controller.scheduler, ledger, controller.planning)
    for submitted in (spec, large):
        controller.add(submitted)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    controller.run(lambda: value("farm_gangs") == 1 and value("farm_workers", state="idle") == 1)
    assert value("farm_workers", state="busy") == 3
    assert value("farm_room") == 4
    labels = {"task": "copy", "plugin": "copying"}
    assert value("farm_gang_wait_seconds_count", **labels) == 1


# Demand


def test_the_executor_is_told_how_many_workers_the_jobs_could_use(
    make_farm: MakeFarm, large: JobSpec, spec: JobSpec
) -> None:
    farm = make_farm(workers=4)
    for submitted in (spec, large):
        farm.controller.add(submitted)
    farm.controller.run()
    wanted = farm.executor.wanted
    assert max(wanted) == 3 + 3
    assert wanted[-1] == 0
    assert all(before != now for before, now in pairwise(wanted)), "it is told changes only"


# No workers


def lacking(registry: Registry, ledger: Ledger, policy: Policy) -> Farm:
    clock, log = FakeClock(), Log()
    executor = FakeExecutor(clock=clock, lack="no node has a GPU; start one", workers=2)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[log], policy=policy)
    return Farm(controller, executor, log, clock)


def test_a_command_ends_at_once_if_no_worker_can_join(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    farm = lacking(registry, ledger, Policy())
    job = farm.controller.add(spec)
    with pytest.raises(WorkerError, match=r"^no node has a GPU; start one$"):
        farm.controller.run()
    assert farm.clock.time() - job.created < 10
    failed = ledger.job(job.id)
    assert failed
    assert failed.state is JobState.FAILED


def test_a_farm_that_serves_waits_for_workers_and_says_so(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    farm = lacking(registry, ledger, Policy(waits_for_workers=True))
    submitted = farm.controller.submit(spec)
    until = farm.clock.time() + 3600
    farm.controller.serve(lambda: farm.clock.time() > until)
    job = farm.controller.job(submitted.result().id)
    assert job.state is JobState.QUEUED
    assert job.reason == "waits for workers: no node has a GPU; start one"
    farm.executor.add_workers(2)
    assert farm.run().state is JobState.COMPLETED


# Wishes


def answered(farm: Farm, spec: JobSpec) -> Job:
    submitted = farm.controller.submit(spec)
    farm.controller.serve(submitted.done)
    return submitted.result()


def test_a_job_of_higher_priority_overtakes(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["hang"]})
    first = answered(farm, spec)
    second = answered(farm, spec.model_copy(update={"output": f"{tmp_path / 'other'}/"}))
    raised = farm.controller.set_priority(second.id, 90)
    farm.controller.serve(raised.done)
    assert raised.result().spec.priority == 90
    stored = ledger.job(second.id)
    assert stored
    assert stored.spec.priority == 90
    farm.executor.script = scripted({})
    farm.controller.run()
    jobs = [order.unit.job for order in farm.executor.orders]
    assert jobs == [first.id, *[second.id] * 3, *[first.id] * 2]


def test_a_priority_out_of_range_is_refused(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm()
    job = farm.controller.add(spec)
    for priority in (-1, 101):
        asked = farm.controller.set_priority(job.id, priority)
        farm.controller.serve(asked.done)
        assert isinstance(asked.exception(), BadParameter)


def test_failed_units_of_a_job_that_runs_are_tried_again(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    broken = failed(Reason.PLUGIN_ERROR, is_fatal=True)
    farm = make_farm({"a": [broken], "b": ["hang"]})
    job = answered(farm, spec)
    farm.controller.serve(lambda: S.QUARANTINED in farm.log.states("a"))
    again = farm.controller.retry(job.id)
    farm.controller.serve(again.done)
    assert again.result().id == job.id
    farm.executor.script = scripted({})
    done = farm.run()
    assert (done.state, done.reason) == (JobState.COMPLETED, "")
    assert farm.log.states("a")[-1] is S.SUCCEEDED


@pytest.mark.parametrize("wanted", [Wanted.PAUSE, Wanted.CANCEL])
def test_what_is_wanted_of_a_job_outlives_a_kill(
    make_farm: MakeFarm, spec: JobSpec, wanted: Wanted
) -> None:
    farm = make_farm({"a": ["ignore_cancel"]})
    job = answered(farm, spec)
    farm.controller.serve(lambda: S.RUNNING in farm.log.states("a"))
    asked = farm.controller.want(job.id, wanted)
    farm.controller.serve(asked.done)
    after = make_farm()
    (taken,) = after.controller.recover()
    ends = {Wanted.PAUSE: JobState.PAUSED, Wanted.CANCEL: JobState.CANCELLED}
    assert (taken.wanted, taken.state) == (wanted, ends[wanted])
    after.controller.serve(lambda: after.clock.time() > taken.since + 60)
    assert after.executor.orders == []
