"""A job that is to start after others is planned when they have completed, and says what it waits for."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from farm.control.controller import Controller
from farm.control.succession import waits_for
from farm.errors import UnknownName
from farm.ledger import Ledger
from farm.model.job import Job, JobSpec, JobState, Wanted

from ..workbench import Farm, MakeFarm, failed  # noqa: TID252 - shared between rooms

S = JobState


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ({}, ""),
        ({"a": S.COMPLETED, "b": S.COMPLETED_WITH_FAILURES}, ""),
        ({"a": S.RUNNING}, "waits for job a"),
        ({"a": S.COMPLETED, "b": S.PLANNING}, "waits for job b"),
        ({"a": S.QUEUED, "b": S.PAUSED}, "waits for job a and 1 other"),
        ({"a": S.QUEUED, "b": S.QUEUED, "c": S.QUEUED}, "waits for job a and 2 others"),
        (
            {"a": S.QUEUED, "b": S.FAILED},
            "waits for job b, which failed; retry it, or cancel this job",
        ),
        (
            {"a": S.CANCELLED},
            "waits for job a, which was cancelled; retry it, or cancel this job",
        ),
    ],
)
def test_a_job_says_which_others_it_waits_for(states: dict[str, JobState], reason: str) -> None:
    assert waits_for(states) == reason


def answered(controller: Controller, answer: Future[Job]) -> Job:
    controller.serve(answer.done)
    return answer.result()


def submit(farm: Farm, spec: JobSpec, output: Path, *after: str, **changes: object) -> Job:
    asked = spec.model_copy(update={"output": f"{output}/", "after": after, **changes})
    return answered(farm.controller, farm.controller.submit(asked))


def serve_until(farm: Farm, is_over: Callable[[], bool]) -> None:
    """Serve until something is true, but not for ever."""
    end = farm.clock.time() + 600
    farm.controller.serve(lambda: is_over() or farm.clock.time() > end)
    farm.controller.scheduler.validate()
    assert is_over()


def has(farm: Farm, job: Job, state: JobState) -> Callable[[], bool]:
    return lambda: farm.controller.job(job.id).state is state


def test_what_an_earlier_job_makes_can_be_the_input_of_a_later_one(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm()
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id, inputs=(f"{tmp_path / 'first'}",))
    assert (last.state, last.reason) == (S.PLANNING, f"waits for job {first.id}")
    serve_until(farm, has(farm, last, S.COMPLETED))
    assert sorted(path.name for path in (tmp_path / "last").glob("*.png")) == [
        "a.png",
        "b.png",
        "c.png",
    ]
    assert [order.unit.job for order in farm.executor.orders] == [first.id] * 3 + [last.id] * 3


def test_a_job_still_waits_in_the_next_farm(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm({"a": ["hang"]})
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id)
    farm = make_farm()
    farm.controller.recover()
    assert farm.controller.job(last.id).reason == f"waits for job {first.id}"
    serve_until(farm, has(farm, last, S.COMPLETED))
    assert [order.unit.job for order in farm.executor.orders] == [first.id] * 3 + [last.id] * 3


def test_a_job_that_has_completed_already_is_not_waited_for(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm()
    first = submit(farm, spec, tmp_path / "first")
    serve_until(farm, has(farm, first, S.COMPLETED))
    farm = make_farm()
    last = submit(farm, spec, tmp_path / "last", first.id)
    assert last.reason == ""
    serve_until(farm, has(farm, last, S.COMPLETED))


def test_a_job_waits_on_for_one_that_was_cancelled_and_can_be_cancelled_itself(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm({"a": ["hang"]})
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id)
    farm.controller.want(first.id, Wanted.CANCEL)
    reason = f"waits for job {first.id}, which was cancelled; retry it, or cancel this job"
    serve_until(farm, lambda: farm.controller.job(last.id).reason == reason)
    assert farm.controller.job(last.id).state is S.PLANNING
    answered(farm.controller, farm.controller.want(last.id, Wanted.CANCEL))
    assert farm.controller.job(last.id).state is S.CANCELLED
    assert {order.unit.job for order in farm.executor.orders} == {first.id}


def test_a_job_goes_on_when_another_farm_has_completed_what_it_waits_for(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path, ledger: Ledger
) -> None:
    first = submit(make_farm({"a": ["hang"]}), spec, tmp_path / "first")
    farm = make_farm()
    last = submit(farm, spec, tmp_path / "last", first.id)
    assert last.reason == f"waits for job {first.id}"
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'completed' WHERE state != 'planning'")
    serve_until(farm, has(farm, last, S.COMPLETED))


def test_a_job_that_is_refused_when_its_turn_comes_has_failed_with_the_reason(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm()
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id, inputs=(f"{tmp_path / 'nothing'}",))
    serve_until(farm, has(farm, last, S.FAILED))
    assert "nothing" in farm.controller.job(last.id).reason


def test_a_job_that_is_paused_while_it_waits_is_paused_when_its_turn_comes(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm()
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id)
    answered(farm.controller, farm.controller.want(last.id, Wanted.PAUSE))
    serve_until(farm, has(farm, last, S.PAUSED))
    answered(farm.controller, farm.controller.want(last.id, Wanted.RUN))
    serve_until(farm, has(farm, last, S.COMPLETED))


def test_frames_that_failed_hold_up_no_later_job(
    make_farm: MakeFarm, spec: JobSpec, tmp_path: Path
) -> None:
    farm = make_farm({"a": [failed(is_fatal=True)]})
    first = submit(farm, spec, tmp_path / "first")
    last = submit(farm, spec, tmp_path / "last", first.id)
    serve_until(farm, lambda: farm.controller.job(last.id).state.is_final)
    assert farm.controller.job(first.id).state is S.COMPLETED_WITH_FAILURES
    assert len(farm.executor.orders) == 6


def test_a_job_waits_for_no_job_that_is_not_there_yet(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm()
    answer = farm.controller.submit(spec.model_copy(update={"after": ("copy-later",)}))
    farm.controller.serve(answer.done)
    with pytest.raises(UnknownName, match="unknown job 'copy-later'"):
        answer.result()
    assert farm.controller.run() == []


def test_what_a_job_waits_for_has_no_effect_on_its_key(spec: JobSpec) -> None:
    assert spec.model_copy(update={"after": ("x",)}).key == spec.key
