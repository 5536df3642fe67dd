"""Store, act, notify, in this order; refuse before any work; resume earlier farms' jobs."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from farm.control.controller import Controller
from farm.errors import BadInput, BadOutput, BadParameter, UnknownName, UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import JobChanged, News, Notice, Progressed, UnitChanged, WorkerChanged
from farm.model.history import StoryLine
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import Hold, Order, Reason
from farm.model.unit import UnitState
from farm.scheduling.policy import Policy

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import MakeFarm, failed  # noqa: TID252 - shared between rooms

S = UnitState


def states(ledger: Ledger, job: Job) -> dict[str, UnitState]:
    return {record.unit.name: record.state for record in ledger.units(job.id)}


def names(executor: FakeExecutor) -> list[str]:
    return [order.unit.name for order in executor.orders]


# Running a job


def test_a_job_renders_every_picture_of_its_folder(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, pictures: Path, tmp_path: Path
) -> None:
    farm = make_farm()
    submitted = farm.controller.add(spec)
    job = farm.run()
    assert job.id == submitted.id
    assert (job.state, job.reason) == (JobState.COMPLETED, "")
    assert states(ledger, job) == dict.fromkeys("abc", S.SUCCEEDED)
    for name in ("a.png", "b.png", "c.png"):
        assert (tmp_path / "out" / name).read_bytes() == (pictures / name).read_bytes()


def test_orders_carry_the_checked_parameters_and_the_plan(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm()
    farm.controller.add(spec.model_copy(update={"params": {"amount": "0.5"}}))
    farm.run()
    assert {order.plan for order in farm.executor.orders} == {spec.plan}
    assert all(order.params == {"amount": 0.5} for order in farm.executor.orders)


def test_paths_are_stored_as_absolute_paths(
    make_farm: MakeFarm, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = make_farm().controller.add(JobSpec(task="copy", inputs=("in",), output="out/"))
    assert job.spec.inputs == (str(pictures),)
    assert job.spec.output == f"{tmp_path}/out/"


def test_a_failing_unit_is_quarantined_and_the_others_continue(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["die", "die", "die"], "b": [failed(Reason.MEMORY), "succeed"]})
    farm.controller.add(spec)
    job = farm.run()
    assert (job.state, job.reason) == (JobState.COMPLETED_WITH_FAILURES, "1 of 3 units failed")
    assert states(ledger, job) == {"a": S.QUARANTINED, "b": S.SUCCEEDED, "c": S.SUCCEEDED}
    quarantined = ledger.units(job.id)[0]
    assert quarantined.reason.startswith("killed 3 workers; last failure: ")
    assert [failure.reason for failure in quarantined.failures] == [Reason.WORKER_DIED] * 3


def test_a_refused_input_does_not_fail_the_others(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"b": [failed(Reason.USER_ERROR, is_fatal=True)]})
    farm.controller.add(spec)
    job = farm.run()
    assert states(ledger, job) == {"a": S.SUCCEEDED, "b": S.QUARANTINED, "c": S.SUCCEEDED}
    assert names(farm.executor).count("b") == 1


def test_a_worker_that_stops_responding_is_killed_and_another_renders_its_frame(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm({"a": ["ignore_cancel"]})
    farm.controller.add(spec)
    assert farm.run().state is JobState.COMPLETED
    assert names(farm.executor).count("a") == 2


def test_a_late_report_of_a_dead_worker_changes_nothing(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["succeed_after_death"]})
    farm.controller.add(spec)
    job = farm.run()
    assert states(ledger, job) == dict.fromkeys("abc", S.SUCCEEDED)
    assert ledger.units(job.id)[0].attempts == 2


def test_the_next_job_reuses_the_workers_of_an_earlier_run(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm()
    farm.controller.add(spec)
    farm.controller.run()
    farm.controller.add(spec.model_copy(update={"overwrite": True}))
    jobs = farm.controller.run()
    assert [job.state for job in jobs] == [JobState.COMPLETED] * 2
    assert len({e.worker for e in farm.log.events if isinstance(e, WorkerChanged)}) == 1


def test_a_cancelled_job_keeps_its_finished_frames(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"b": ["hang"]})
    job = farm.controller.add(spec)

    def cancel_at_b() -> bool:
        if states(ledger, job)["b"] is S.RUNNING:
            farm.controller.want(job.id, Wanted.CANCEL)
        return False

    (ended,) = farm.controller.run(cancel_at_b)
    assert (ended.state, ended.reason) == (JobState.CANCELLED, "cancelled")
    assert states(ledger, job) == {"a": S.SUCCEEDED, "b": S.CANCELLED, "c": S.CANCELLED}
    assert ledger.job(job.id) == ended


def test_plugins_are_notified_of_finished_units_and_may_raise(
    make_farm: MakeFarm, spec: JobSpec, caplog: pytest.LogCaptureFixture
) -> None:
    farm = make_farm()
    farm.controller.add(spec)
    with caplog.at_level(logging.WARNING):
        assert farm.run().state is JobState.COMPLETED
    assert [f"cannot handle {name}" in caplog.text for name in "abc"] == [True] * 3


FULL = replace(failed(Reason.STORAGE), message="out/a: the disk is full", hold=Hold.STORAGE)
GONE = replace(failed(Reason.USER_ERROR), message="no plugin offers it", hold=Hold.RESTART)


def test_a_job_waits_while_the_disk_is_full_and_then_renders_everything(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": [FULL] * 3, "b": [FULL] * 2})
    job = farm.controller.add(spec)
    began = farm.clock.time()
    assert farm.run().state is JobState.COMPLETED
    assert farm.clock.time() - began >= 30 + 60 + 120 + 240 + 300
    assert [len(record.failures) for record in ledger.units(job.id)] == [0, 0, 0]
    paused = [e.job.reason for e in farm.log.events if isinstance(e, JobChanged) and e.job.reason]
    assert paused[0] == "out/a: the disk is full; the job tries again in 30 s"


def test_a_job_whose_disk_stays_full_waits_until_the_farm_is_stopped(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({name: [FULL] * 99 for name in "abc"})
    submitted = farm.controller.add(spec)
    turns = iter(range(3000))
    (job,) = farm.controller.run(lambda: next(turns, None) is None)
    assert job.state is JobState.PAUSED
    farm.controller.stop()
    assert states(ledger, submitted) == dict.fromkeys("abc", S.READY)


def test_a_farm_does_not_wait_for_a_job_that_it_cannot_run(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": [GONE]})
    submitted = farm.controller.add(spec)
    job = farm.run()
    assert (job.state, job.reason) == (JobState.PAUSED, "no plugin offers it")
    assert ledger.job(job.id) == job
    assert states(ledger, submitted) == dict.fromkeys("abc", S.READY)


# The order of store, act and notify


@dataclass
class LedgerObserver:
    """An observer that checks the ledger and the orders at every event."""

    ledger: Ledger
    executor: FakeExecutor
    events: list[News] = field(default_factory=list)

    def on_event(self, event: News) -> None:
        self.events.append(event)
        match event:
            case UnitChanged(unit, state, attempt):
                story = self.ledger.story(unit.job)
                change = unit.name, state, attempt
                assert state is S.SKIPPED or change in map(changed, story)
                if state is S.LEASED:
                    assert (unit.name, attempt) in [
                        (order.unit.name, order.attempt) for order in self.executor.orders
                    ]
            case JobChanged(job):
                assert self.ledger.job(job.id) is not None
                if job.state.is_final:
                    assert self.ledger.job(job.id) == job


def changed(line: StoryLine) -> tuple[str, UnitState, int]:
    return line.unit, line.state, line.attempt


class CheckedExecutor(FakeExecutor):
    """Calls look before it takes an order."""

    look: Callable[[Order], None]

    def assign(self, workers: Sequence[str], order: Order) -> None:
        self.look(order)
        super().assign(workers, order)


def test_a_change_is_stored_then_acted_on_then_reported(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    def look(order: Order) -> None:
        lease = order.unit.name, S.LEASED, order.attempt
        assert lease in map(changed, ledger.story(order.unit.job))

    clock = FakeClock()
    script = scripted({"a": ["die", failed()], "b": [failed(is_fatal=True)]})
    executor = CheckedExecutor(script, workers=2, clock=clock)
    executor.look = look
    observer = LedgerObserver(ledger, executor)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[observer])
    controller.add(spec)
    (job,) = controller.run()
    assert job.reason == "1 of 3 units failed"
    changes = [event for event in observer.events if isinstance(event, UnitChanged)]
    assert [e.state for e in changes if e.unit.name == "a"] == [
        *(S.LEASED, S.RUNNING, S.RETRY_WAIT, S.READY),
        *(S.LEASED, S.RUNNING, S.RETRY_WAIT, S.READY),
        *(S.LEASED, S.RUNNING, S.SUCCEEDED),
    ]
    assert any(isinstance(event, Progressed) for event in observer.events)
    assert isinstance(observer.events[0], JobChanged)


def test_the_last_reported_states_equal_the_ledgers(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["die"], "c": [failed(), failed(), failed()]}, workers=2)
    farm.controller.add(spec)
    job = farm.run()
    notified = {name: farm.log.states(name)[-1] for name in "abc"}
    assert notified == states(ledger, job)


# Refusals


def refused(
    make_farm: MakeFarm, ledger: Ledger, spec: JobSpec, **changes: object
) -> pytest.ExceptionInfo[UserError]:
    """Submit a spec that is refused; check that nothing is stored or reported."""
    farm = make_farm()
    with pytest.raises(UserError) as caught:
        farm.controller.add(spec.model_copy(update=changes))
    assert ledger.jobs() == []
    assert farm.log.events == []
    assert "\n" not in str(caught.value)
    return caught


class RefusedExecutor(FakeExecutor):
    """Cannot be started."""

    def start(self) -> None:
        raise UserError("no cluster answers")


def test_a_job_whose_workers_cannot_be_started_has_failed_with_the_reason(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    clock = FakeClock()
    controller = Controller(
        registry, RefusedExecutor(scripted({}), workers=1, clock=clock), ledger, clock=clock
    )
    job = controller.add(spec)
    with pytest.raises(UserError, match="no cluster answers"):
        controller.run()
    stored = ledger.job(job.id)
    assert stored
    assert stored.state is JobState.FAILED
    assert stored.reason.startswith("no cluster answers; 3 of 3 units")


def test_a_refused_parameter_is_named(
    make_farm: MakeFarm, ledger: Ledger, spec: JobSpec, tmp_path: Path
) -> None:
    error = refused(make_farm, ledger, spec, params={"amount": 2}).value
    assert isinstance(error, BadParameter)
    assert error.name == "amount"
    assert str(error) == "amount: should be less than or equal to 1, not 2"
    assert not (tmp_path / "out").exists()


def test_an_unknown_task_is_refused(make_farm: MakeFarm, ledger: Ledger, spec: JobSpec) -> None:
    caught = refused(make_farm, ledger, spec, task="coyp")
    assert caught.type is UnknownName
    assert caught.match("unknown task 'coyp'; did you mean copy")


def test_a_missing_input_is_refused(
    make_farm: MakeFarm, ledger: Ledger, spec: JobSpec, tmp_path: Path
) -> None:
    caught = refused(make_farm, ledger, spec, inputs=(f"{tmp_path}/nowhere.png",))
    assert caught.type is BadInput
    assert caught.match(r"nowhere\.png: no such file or folder")


def test_an_output_that_is_an_input_is_refused(
    make_farm: MakeFarm, ledger: Ledger, spec: JobSpec, pictures: Path
) -> None:
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    caught = refused(make_farm, ledger, spec, output=f"{pictures}/")
    assert caught.type is BadOutput
    assert caught.match(r"a\.png: this is also an input; choose another path")
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


def test_a_spec_that_the_task_refuses_is_not_stored(
    registry: Registry, ledger: Ledger, spec: JobSpec
) -> None:
    seen: list[JobSpec] = []

    def check(spec: JobSpec) -> None:
        seen.append(spec)
        raise BadParameter("layer", "starter has no layer '9z'")

    controller = Controller(registry, FakeExecutor(), ledger, clock=FakeClock(), check=check)
    with pytest.raises(BadParameter, match="layer: starter has no layer '9z'"):
        controller.add(spec)
    assert seen[0].params == {"amount": 1.0}
    assert ledger.jobs() == []


# Resuming


def run_once(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm()
    farm.controller.add(spec)
    assert farm.run().state is JobState.COMPLETED


def resumed(make_farm: MakeFarm, spec: JobSpec) -> tuple[list[str], Job]:
    """Resume the job in another farm; return the units it ran, and the job."""
    farm = make_farm()
    farm.controller.add(spec, resume=True)
    job = farm.run()
    skipped = [name for name in "abc" if farm.log.states(name) == [S.SKIPPED]]
    assert sorted([*skipped, *names(farm.executor)]) == ["a", "b", "c"]
    return names(farm.executor), job


def test_finished_frames_are_skipped(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    again, job = resumed(make_farm, spec)
    assert again == []
    assert job.state is JobState.COMPLETED


def test_a_job_can_be_resumed_twice(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    assert resumed(make_farm, spec)[0] == []
    assert resumed(make_farm, spec)[0] == []


def test_overwriting_renders_every_frame_again(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    farm = make_farm()
    farm.controller.add(spec.model_copy(update={"overwrite": True}))
    farm.run()
    assert sorted(names(farm.executor)) == ["a", "b", "c"]


@pytest.mark.parametrize("lost", [[], ["a", "b"]])
def test_a_notice_says_which_finished_frames_are_rendered_anew(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path, lost: list[str]
) -> None:
    spec = spec.model_copy(update={"overwrite": True})
    stopped = make_farm({"c": ["hang"]})
    before = stopped.controller.add(spec)
    stopped.controller.run(lambda: stopped.log.states("b")[-1:] == [S.SUCCEEDED])
    for name in lost:
        (tmp_path / "out" / f"{name}.png").unlink()
    farm = make_farm()
    farm.controller.add(spec)
    notes = [event.note for event in farm.log.events if isinstance(event, Notice)]
    note = (
        f"2 of 3 frames that job {before.id} finished are rendered anew; "
        "--resume would keep those that are still the same"
    )
    assert notes == ([] if lost else [note])


def test_a_frame_with_a_missing_output_is_rendered_again(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    run_once(make_farm, spec)
    (tmp_path / "out" / "b.png").unlink()
    assert resumed(make_farm, spec)[0] == ["b"]
    assert (tmp_path / "out" / "b.png").is_file()


def test_a_frame_with_a_changed_output_is_rendered_again(
    make_farm: MakeFarm, spec: JobSpec, pictures: Path, tmp_path: Path
) -> None:
    run_once(make_farm, spec)
    (tmp_path / "out" / "b.png").write_bytes(b"half a pict")
    assert resumed(make_farm, spec)[0] == ["b"]
    assert (tmp_path / "out" / "b.png").read_bytes() == (pictures / "b.png").read_bytes()


def test_a_frame_with_a_changed_input_is_rendered_again(
    make_farm: MakeFarm, spec: JobSpec, pictures: Path, tmp_path: Path
) -> None:
    run_once(make_farm, spec)
    (pictures / "c.png").write_bytes((pictures / "a.png").read_bytes())
    assert resumed(make_farm, spec)[0] == ["c"]
    assert (tmp_path / "out" / "c.png").read_bytes() == (pictures / "a.png").read_bytes()


def test_a_picture_added_to_the_folder_is_rendered(
    make_farm: MakeFarm, spec: JobSpec, pictures: Path
) -> None:
    (pictures / "c.png").rename(pictures.parent / "c.png")
    run_once(make_farm, spec)
    (pictures.parent / "c.png").rename(pictures / "c.png")
    assert resumed(make_farm, spec)[0] == ["c"]


@pytest.mark.parametrize("change", [{"params": {"amount": 0.5}}, {"plan": {"seed": 1}}])
def test_frames_of_a_job_with_other_settings_are_not_reused(
    make_farm: MakeFarm, spec: JobSpec, change: dict[str, object]
) -> None:
    run_once(make_farm, spec)
    other = JobSpec.model_validate(spec.model_dump() | change)
    assert resumed(make_farm, other)[0] == ["a", "b", "c"]


def test_a_notice_says_why_nothing_can_be_reused(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    plan = spec.plan.model_copy(update={"threads": 7})
    other = spec.model_copy(update={"plan": plan, "params": {"amount": 0.5}})
    farm = make_farm()
    farm.controller.add(other, resume=True)
    notices = [event for event in farm.log.events if isinstance(event, Notice)]
    note = (
        "nothing can be reused: amount changed from 1.0 to 0.5; threads changed from 1 to 7; "
        "every frame will be rendered"
    )
    assert notices == [Notice(spec.output, note)]


def test_a_first_job_and_an_equal_job_give_no_notice(make_farm: MakeFarm, spec: JobSpec) -> None:
    for _ in range(2):
        farm = make_farm()
        farm.controller.add(spec, resume=True)
        farm.run()
        assert not [event for event in farm.log.events if isinstance(event, Notice)]


def test_frames_are_reused_even_if_the_priority_differs(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    assert resumed(make_farm, spec.model_copy(update={"priority": 90}))[0] == []


def record_device(ledger: Ledger, job: Job, device: str) -> None:
    with ledger._engine.begin() as connection:
        where = "UPDATE jobs SET device = ? WHERE id = ?"
        connection.exec_driver_sql(where, (device, job.id))


def test_a_job_that_keeps_frames_stays_on_their_device(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, tmp_path: Path
) -> None:
    run_once(make_farm, spec)
    record_device(ledger, ledger.jobs()[0], "cpu AVX512")
    (tmp_path / "out" / "b.png").unlink()
    for _ in range(2):
        assert make_farm().controller.add(spec, resume=True).device == "cpu AVX512"
    for path in (tmp_path / "out").glob("*.png"):
        path.unlink()
    assert make_farm().controller.add(spec, resume=True).device == ""


def test_a_quarantined_unit_is_retried_when_the_job_is_resumed(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm({"a": ["die", "die", "die"]})
    farm.controller.add(spec)
    assert farm.run().reason == "1 of 3 units failed"
    again, job = resumed(make_farm, spec)
    assert again == ["a"]
    assert (job.state, job.reason) == (JobState.COMPLETED, "")


def stopped_at_b(make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, end: str) -> FakeExecutor:
    """Stop a farm, as Ctrl-C does, while b is running."""
    farm = make_farm({"b": [end]})  # type: ignore[list-item]
    job = farm.controller.add(spec)
    farm.controller.run(lambda: states(ledger, job)["b"] is S.RUNNING)
    farm.controller.stop(seconds=10)
    farm.controller.scheduler.validate()
    left = ledger.job(job.id)
    assert left
    assert not left.state.is_final
    assert states(ledger, job) == {"a": S.SUCCEEDED, "b": S.READY, "c": S.READY}
    assert all(not record.failures for record in ledger.units(job.id))
    return farm.executor


@pytest.mark.parametrize("end", ["hang", "ignore_cancel"])
def test_a_stopped_farm_leaves_its_job_to_be_resumed(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, end: str
) -> None:
    executor = stopped_at_b(make_farm, spec, ledger, end)
    assert names(executor) == ["a", "b"]
    again, job = resumed(make_farm, spec)
    assert again == ["b", "c"]
    now, before = ledger.jobs()
    assert (before.state, before.reason) == (JobState.CANCELLED, f"resumed as {job.id}")
    assert now == job
    assert job.state is JobState.COMPLETED


def test_stopping_gives_up_in_time_on_a_unit_that_does_not_stop(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["ignore_cancel"]})
    job = farm.controller.add(spec)
    farm.controller.run(lambda: states(ledger, job)["a"] is S.RUNNING)
    began = farm.clock.time()
    farm.controller.stop(seconds=10)
    assert 10 <= farm.clock.time() - began <= 11
    assert farm.controller.scheduler.busy_workers() == []


def test_a_stopped_job_is_recovered_where_it_stopped(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    stopped_at_b(make_farm, spec, ledger, "hang")
    farm = make_farm()
    (job,) = farm.controller.recover()
    (done,) = farm.controller.run()
    assert done.id == job.id
    assert names(farm.executor) == ["b", "c"]
    assert [j.id for j in ledger.jobs()] == [job.id]
    assert states(ledger, job) == dict.fromkeys("abc", S.SUCCEEDED)


def test_a_paused_job_stays_paused_for_the_next_farm(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    job = make_farm().controller.add(spec)
    first = make_farm()
    first.controller.recover()
    paused = first.controller.want(job.id, Wanted.PAUSE)
    first.controller.run(paused.done)
    second = make_farm()
    (taken,) = second.controller.recover()
    assert taken.wanted is Wanted.PAUSE
    turns = iter(range(20))
    second.controller.run(lambda: next(turns, None) is None)
    assert second.executor.orders == []
    second.controller.want(job.id, Wanted.RUN)
    assert second.run().state is JobState.COMPLETED


def test_spent_tries_count_in_the_next_farm(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": [failed(Reason.STORAGE)] * 9})
    job = farm.controller.add(spec)
    farm.controller.run(lambda: len(ledger.units(job.id)[0].failures) == 4)
    again = make_farm({"a": [failed(Reason.STORAGE)] * 9})
    again.controller.recover()
    assert again.run().reason == "1 of 3 units failed"
    assert names(again.executor).count("a") == Policy().tries[Reason.STORAGE] - 4


def test_finished_jobs_are_not_recovered(make_farm: MakeFarm, spec: JobSpec) -> None:
    run_once(make_farm, spec)
    farm = make_farm()
    assert farm.controller.recover() == []
    assert farm.controller.run() == []
    assert farm.log.events == []
