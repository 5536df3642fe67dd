"""A farm that serves takes submissions and wishes from any thread, and plans beside its work."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Event, Thread

import pytest

from farm.control.controller import Controller
from farm.errors import BadInput, BadOutput, BadParameter, UnknownName, UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import Notice, UnitChanged
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.unit import UnitState
from farm.planning.checking import Check

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, Log, MakeFarm  # noqa: TID252 - shared between rooms

FORM = "form 7"
"""A token of a client."""


@pytest.fixture
def farm(make_farm: MakeFarm) -> Farm:
    return make_farm()


def serve(farm: Farm, *answers: Future[Job]) -> list[Job]:
    """Serve until all futures are done and their jobs have ended; return the jobs."""

    def is_over() -> bool:
        return all(answer.done() for answer in answers) and farm.controller.scheduler.is_done

    farm.controller.serve(is_over)
    farm.controller.scheduler.validate()
    return [farm.controller.job(answer.result().id) for answer in answers]


def other(spec: JobSpec, output: Path, **changes: object) -> JobSpec:
    return spec.model_copy(update={"output": f"{output}/", **changes})


def test_jobs_from_several_threads_all_finish(farm: Farm, spec: JobSpec, tmp_path: Path) -> None:
    answers: list[Future[Job]] = []

    def submit(number: int) -> None:
        answers.append(farm.controller.submit(other(spec, tmp_path / f"out{number}")))

    threads = [Thread(target=submit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {job.state for job in serve(farm, *answers)} == {JobState.COMPLETED}
    assert all((tmp_path / f"out{number}" / "c.png").is_file() for number in range(4))


def test_jobs_that_were_submitted_before_a_run_are_run(
    farm: Farm, spec: JobSpec, tmp_path: Path
) -> None:
    for number in range(2):
        farm.controller.submit(other(spec, tmp_path / f"out{number}"))
    assert [job.state for job in farm.controller.run()] == [JobState.COMPLETED] * 2


# Planning


@pytest.fixture
def checked(registry: Registry, ledger: Ledger) -> Callable[[Check], Farm]:
    """A farm whose only task checks a spec so: ``checked(check)``."""

    def make(check: Check) -> Farm:
        clock, log = FakeClock(), Log()
        executor = FakeExecutor(scripted({}), clock=clock)
        controller = Controller(
            registry, executor, ledger, clock=clock, observers=[log], check=check
        )
        return Farm(controller, executor, log, clock)

    return make


def test_frames_go_on_while_another_job_is_planned(
    checked: Callable[..., Farm], spec: JobSpec, tmp_path: Path
) -> None:
    is_read = Event()

    def check(spec: JobSpec) -> tuple[str, ...]:
        if spec.priority == 90:
            is_read.wait(10)
        return ()

    farm = checked(check)
    long = farm.controller.submit(other(spec, tmp_path / "long", priority=90))
    short = farm.controller.submit(spec)
    (job,) = serve(farm, short)
    assert job.state is JobState.COMPLETED
    assert not long.done()
    is_read.set()
    assert serve(farm, long)[0].state is JobState.COMPLETED


def test_notices_of_planning_reach_observers_from_the_loop(
    farm: Farm, spec: JobSpec, tmp_path: Path, make_farm: MakeFarm
) -> None:
    serve(farm, farm.controller.submit(spec))
    again = make_farm()
    serve(again, again.controller.submit(other(spec, tmp_path / "out", priority=1), resume=True))
    changed = spec.model_copy(update={"params": {"amount": 0.5}})
    serve(again, again.controller.submit(changed, resume=True))
    notes = [event.note for event in again.log.events if isinstance(event, Notice)]
    assert [note for note in notes if "amount changed" in note]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"params": {"amount": 2}}, BadParameter),
        ({"task": "coyp"}, UnknownName),
        ({"inputs": ("nowhere.png",)}, BadInput),
    ],
)
def test_a_refused_submission_changes_nothing(
    farm: Farm, ledger: Ledger, spec: JobSpec, changes: dict[str, object], error: type[UserError]
) -> None:
    refused = farm.controller.submit(spec.model_copy(update=changes))
    farm.controller.serve(refused.done)
    assert isinstance(refused.exception(), error)
    assert ledger.jobs() == []
    assert not [event for event in farm.log.events if isinstance(event, UnitChanged)]
    assert not Path(spec.output).exists()
    assert serve(farm, farm.controller.submit(spec))[0].state is JobState.COMPLETED


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), SystemExit(3)])
def test_an_error_of_planning_fails_the_submission_and_not_the_farm(
    checked: Callable[..., Farm], ledger: Ledger, spec: JobSpec, error: BaseException
) -> None:
    def check(spec: JobSpec) -> tuple[str, ...]:
        if spec.priority == 90:
            raise error
        return ()

    farm = checked(check)
    broken = farm.controller.submit(spec.model_copy(update={"priority": 90}))
    farm.controller.serve(broken.done)
    assert broken.exception() is error
    assert not Path(spec.output).exists()
    assert ledger.jobs() == []
    assert serve(farm, farm.controller.submit(spec))[0].state is JobState.COMPLETED


def test_a_job_may_not_write_the_files_of_one_that_runs(farm: Farm, spec: JobSpec) -> None:
    first = farm.controller.submit(spec)
    farm.controller.serve(first.done)
    farm.controller.want(first.result().id, Wanted.PAUSE)
    second = farm.controller.submit(spec)
    farm.controller.serve(second.done)
    assert isinstance(second.exception(), BadOutput)
    farm.controller.want(first.result().id, Wanted.RUN)
    assert serve(farm, first)[0].state is JobState.COMPLETED


# Tokens


def test_the_same_token_gives_the_same_job(
    farm: Farm, spec: JobSpec, ledger: Ledger, make_farm: MakeFarm
) -> None:
    answers = [farm.controller.submit(spec, token=FORM) for _ in range(2)]
    (job, same) = serve(farm, *answers)
    (later,) = serve(farm, farm.controller.submit(spec, token=FORM))
    restarted = make_farm()
    (other_farms,) = serve(restarted, restarted.controller.submit(spec, token=FORM))
    assert job == same == later == other_farms
    assert ledger.jobs() == [job]


def test_a_token_whose_submission_was_refused_may_be_used_again(farm: Farm, spec: JobSpec) -> None:
    refused = farm.controller.submit(other(spec, Path("x"), params={"amount": 2}), token=FORM)
    farm.controller.serve(refused.done)
    assert refused.exception()
    assert serve(farm, farm.controller.submit(spec, token=FORM))[0].state is JobState.COMPLETED


# Wishes


def test_a_job_is_paused_continued_and_cancelled(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": ["hang"]})
    submitted = farm.controller.submit(spec)
    farm.controller.serve(submitted.done)
    job = submitted.result().id
    for wanted in (Wanted.PAUSE, Wanted.RUN, Wanted.CANCEL):
        changed = farm.controller.want(job, wanted)
        farm.controller.serve(changed.done)
        assert changed.result().wanted is wanted
    (ended,) = serve(farm, submitted)
    assert ended.state is JobState.CANCELLED
    assert ledger.job(job) == ended
    late = farm.controller.want(job, Wanted.RUN)
    farm.controller.serve(late.done)
    assert late.result() == ended


def test_a_cancellation_is_answered_once_the_wish_is_stored_and_before_the_units_are_cancelled(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm(workers=0)
    job = farm.controller.add(spec).id
    answer, stored = farm.controller.want(job, Wanted.CANCEL), list[tuple[object, ...]]()

    def look(answer: Future[Job]) -> None:
        known = ledger.job(job)
        assert known
        stored.append((answer.result().wanted, known.wanted, known.state, ledger.counts(job)))

    answer.add_done_callback(look)
    farm.controller.serve(lambda: farm.controller.job(job).state.is_final)
    waits = {UnitState.READY: 3}
    assert stored == [(Wanted.CANCEL, Wanted.CANCEL, JobState.QUEUED, waits)]
    assert ledger.counts(job) == {UnitState.CANCELLED: 3}


def test_a_wish_for_an_unknown_job_is_refused(farm: Farm) -> None:
    asked = farm.controller.want("nothing", Wanted.PAUSE)
    farm.controller.serve(asked.done)
    assert isinstance(asked.exception(), UnknownName)


def test_a_wish_for_another_farms_job_is_refused(
    registry: Registry, ledger_url: str, farm: Farm, spec: JobSpec
) -> None:
    job = farm.controller.add(spec)
    own = Ledger.open(ledger_url)
    bystander = Controller(registry, FakeExecutor(), own, clock=farm.clock)
    asked = bystander.want(job.id, Wanted.PAUSE)
    bystander.serve(asked.done)
    assert isinstance(asked.exception(), UserError)
    assert "belongs to another farm" in str(asked.exception())
    own.close()


# The end


def test_a_client_that_no_longer_waits_does_not_end_the_farm(farm: Farm, spec: JobSpec) -> None:
    submitted = farm.controller.submit(spec)
    asked = farm.controller.want("nowhere", Wanted.PAUSE)
    assert not submitted.cancel()
    assert not asked.cancel()
    assert [job.state for job in serve(farm, submitted)] == [JobState.COMPLETED]


def test_whatever_is_asked_of_a_closed_farm_is_refused(farm: Farm, spec: JobSpec) -> None:
    before = farm.controller.submit(spec)
    farm.controller.close()
    after = farm.controller.submit(spec), farm.controller.want("job", Wanted.PAUSE)
    for answer in (before, *after):
        assert isinstance(answer.exception(timeout=10), UserError)
    assert not Path(spec.output).exists()


@pytest.mark.slow
def test_jobs_that_have_ended_leave_memory(farm: Farm, tmp_path: Path, ledger: Ledger) -> None:
    count = 1010
    spec = JobSpec(task="copy", inputs=("blank:1x1",), output="")
    jobs = [
        farm.controller.submit(spec.model_copy(update={"output": f"{tmp_path}/{number}/a.png"}))
        for number in range(count)
    ]
    first = serve(farm, *jobs)[0]
    assert first.state is JobState.COMPLETED
    controller = farm.controller
    assert len(controller._jobs) <= 1000
    assert not controller._decisions._working
    assert not controller._claims._claims
    assert not controller._submissions
    assert len([event for event in farm.log.events if isinstance(event, UnitChanged)]) == 3 * count
