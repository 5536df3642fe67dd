"""A submitted job is in the ledger before it is planned, and can be changed meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from farm.control import planning_threads
from farm.control.controller import Controller
from farm.control.planning_threads import PlanningThreads
from farm.errors import BadParameter, Cancelled
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import JobChanged, ReadProgress
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.unit import Unit, UnitState
from farm.planning.footage import _numbered

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, Log, MakeFarm, kill  # noqa: TID252 - shared between rooms

FORM = "form 7"
"""A token of a client."""


class Slow:
    """Farms that read for long: planning waits until it may go on. refusal: then raised.

    planned: names of the jobs whose planning has begun.
    """

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger, self.clock = registry, ledger, FakeClock()
        self.may_go_on, self.is_planning = Event(), Event()
        self.refusal: Exception | None = None
        self.planned: list[str] = []
        self.before: list[Controller] = []

    def farm(self) -> Farm:
        """Return a new farm on the same ledger, by when the earlier ones are dead."""
        kill(*self.before)
        self.clock.advance(3600)
        number = len(self.before)
        log, executor = Log(), FakeExecutor(scripted({}), clock=self.clock)
        controller = Controller(
            self._registry,
            executor,
            self._ledger,
            clock=self.clock,
            observers=[log],
            check=lambda spec: self._check(spec, number),
        )
        self.before.append(controller)
        return Farm(controller, executor, log, self.clock)

    def _check(self, spec: JobSpec, farm: int) -> tuple[str, ...]:
        self.planned.append(spec.name)
        self.is_planning.set()
        assert self.may_go_on.wait(60)
        if farm + 1 < len(self.before):
            raise SystemExit  # its farm is dead
        if self.refusal:
            raise self.refusal
        return ()


@pytest.fixture
def slow(registry: Registry, ledger: Ledger) -> Iterator[Slow]:
    slow = Slow(registry, ledger)
    with ExitStack() as stack:
        stack.callback(slow.may_go_on.set)
        yield slow


def begin(slow: Slow, spec: JobSpec, token: str = "") -> tuple[Farm, Job]:
    """Submit a job to a farm, and return both while it is being planned."""
    farm = slow.farm()
    answer = farm.controller.submit(spec, token=token)
    farm.controller.serve(slow.is_planning.is_set)
    farm.controller.accept(answer)
    farm.controller.serve(answer.done)
    return farm, answer.result()


def finish(slow: Slow, farm: Farm, job: Job) -> Job:
    """Let planning go on, serve until the job has ended, and return it."""
    slow.may_go_on.set()
    farm.controller.serve(lambda: farm.controller.job(job.id).state.is_final)
    farm.controller.scheduler.validate()
    return farm.controller.job(job.id)


def test_a_job_is_stored_before_it_is_planned(slow: Slow, spec: JobSpec, ledger: Ledger) -> None:
    farm, job = begin(slow, spec)
    assert (job.state, job.spec, job.since) == (JobState.PLANNING, spec, job.created)
    assert ledger.unfinished() == [job]
    ended = finish(slow, farm, job)
    assert (ended.state, ledger.job(job.id)) == (JobState.COMPLETED, ended)
    assert ledger.counts(job.id).total() == 3


def test_a_job_whose_farm_is_killed_while_it_is_planned_is_planned_again(
    slow: Slow, spec: JobSpec
) -> None:
    _, job = begin(slow, spec)
    farm = slow.farm()
    assert [taken.id for taken in farm.controller.recover()] == [job.id]
    assert finish(slow, farm, job).state is JobState.COMPLETED
    assert Path(spec.output, "c.png").is_file()


def test_jobs_that_hold_their_outputs_are_taken_before_those_that_are_yet_to_be_planned(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    other = spec.model_copy(update={"output": f"{spec.output}other/"})
    unit = Unit("planned", "a", f"{spec.inputs[0]}/a.png", f"{other.output}a.png")
    ledger.add(Job("waits", spec, 1.0, JobState.PLANNING))
    ledger.add(Job("planned", other, 2.0), [RestoredUnit(unit, UnitState.READY)])
    controller = make_farm().controller
    assert [job.id for job in controller.recover()] == ["planned", "waits"]
    controller.serve(lambda: controller.job("waits").state.is_final)
    assert controller.job("waits").state is JobState.COMPLETED


def test_a_job_that_is_being_planned_when_the_farm_closes_is_planned_by_the_next(
    slow: Slow, spec: JobSpec
) -> None:
    farm = slow.farm()
    waiting = farm.controller.submit(spec)
    farm.controller.serve(slow.is_planning.is_set)
    farm.controller.close()
    job = waiting.result(timeout=10)
    assert job.state is JobState.PLANNING
    after = slow.farm()
    after.controller.recover()
    assert finish(slow, after, job).state is JobState.COMPLETED


def test_a_restarted_farm_still_skips_what_an_earlier_job_finished(
    slow: Slow, spec: JobSpec, make_farm: MakeFarm
) -> None:
    first = make_farm()
    first.controller.add(spec)
    first.run()
    slow.before.append(first.controller)
    farm = slow.farm()
    farm.controller.submit(spec, resume=True)
    farm.controller.serve(slow.is_planning.is_set)
    again = slow.farm()
    (job,) = again.controller.recover()
    assert finish(slow, again, job).state is JobState.COMPLETED
    assert again.executor.orders == []


def test_a_job_that_is_refused_after_its_client_was_answered_has_failed_with_the_reason(
    slow: Slow, spec: JobSpec, ledger: Ledger
) -> None:
    farm, job = begin(slow, spec, FORM)
    slow.refusal = BadParameter("amount", "2 is too much")
    ended = finish(slow, farm, job)
    assert (ended.state, ended.reason) == (JobState.FAILED, "amount: 2 is too much")
    assert ledger.job(job.id) == ended
    assert not Path(spec.output).exists()
    again = farm.controller.submit(spec, token=FORM)
    farm.controller.serve(again.done)
    assert again.result() == ended


def test_a_job_that_is_refused_after_a_restart_has_failed(
    slow: Slow, spec: JobSpec, ledger: Ledger
) -> None:
    _, job = begin(slow, spec)
    farm = slow.farm()
    slow.refusal = ZeroDivisionError("by zero")
    farm.controller.recover()
    ended = finish(slow, farm, job)
    assert ended.reason == "planning failed: ZeroDivisionError: by zero"
    assert ledger.unfinished() == []


def test_nobody_hears_of_a_job_that_is_refused_at_once(slow: Slow, spec: JobSpec) -> None:
    farm = slow.farm()
    slow.refusal = BadParameter("amount", "2 is too much")
    slow.may_go_on.set()
    answer = farm.controller.submit(spec)
    farm.controller.serve(answer.done)
    assert isinstance(answer.exception(), BadParameter)
    assert [event for event in farm.log.events if isinstance(event, JobChanged)] == []


def test_a_job_that_takes_long_to_plan_is_announced_once_its_client_is_answered(
    slow: Slow, spec: JobSpec
) -> None:
    farm, job = begin(slow, spec)
    assert [event for event in farm.log.events if isinstance(event, JobChanged)] == [
        JobChanged(job)
    ]


def test_the_same_token_gives_the_job_that_is_being_planned(slow: Slow, spec: JobSpec) -> None:
    farm, job = begin(slow, spec, FORM)
    same = farm.controller.submit(spec, token=FORM)
    finish(slow, farm, job)
    assert same.result().id == job.id


def test_a_job_is_cancelled_while_it_is_planned(slow: Slow, spec: JobSpec, ledger: Ledger) -> None:
    farm, job = begin(slow, spec)
    wish = farm.controller.want(job.id, Wanted.CANCEL)
    farm.controller.serve(wish.done)
    assert (wish.result().state, wish.result().reason) == (JobState.CANCELLED, "cancelled")
    finish(slow, farm, job)
    other = farm.controller.submit(spec.model_copy(update={"priority": 1}))  # its outputs are free
    farm.controller.serve(lambda: other.done() and farm.controller.scheduler.is_done)
    assert farm.controller.job(other.result().id).state is JobState.COMPLETED
    assert ledger.job(job.id) == wish.result()
    assert ledger.counts(job.id).total() == 0


def test_a_job_that_was_cancelled_while_it_was_planned_claims_no_outputs(
    slow: Slow, spec: JobSpec, tmp_path: Path
) -> None:
    farm, job = begin(slow, spec)
    wish = farm.controller.want(job.id, Wanted.CANCEL)
    farm.controller.serve(wish.done)
    unit = Unit(job.id, "a", "/a.png", str(tmp_path / "a.png"))
    with pytest.raises(Cancelled):
        farm.controller._claim_coming(job.id, [unit])
    farm.controller._claims.take("other", [unit], 0.0)


def test_what_is_wanted_of_a_job_while_it_is_planned_holds_afterwards_and_after_a_kill(
    slow: Slow, spec: JobSpec
) -> None:
    farm, job = begin(slow, spec)
    farm.controller.set_priority(job.id, 90)
    paused = farm.controller.want(job.id, Wanted.PAUSE)
    farm.controller.serve(paused.done)
    after = slow.farm()
    after.controller.recover()
    slow.may_go_on.set()
    after.controller.serve(lambda: after.controller.job(job.id).state is not JobState.PLANNING)
    assert after.controller.job(job.id).state is JobState.PAUSED
    assert after.executor.orders == []
    assert after.controller.job(job.id).spec.priority == 90
    after.controller.want(job.id, Wanted.RUN)
    assert finish(slow, after, job).state is JobState.COMPLETED


# Its turn


def wait_for_a_turn(slow: Slow, spec: JobSpec, *names: str) -> tuple[Farm, list[Job]]:
    """Submit jobs one after another, and return those that wait while the first is being planned."""
    specs = [
        spec.model_copy(update={"name": name, "output": f"{spec.output}{name}/"}) for name in names
    ]
    farm, _ = begin(slow, specs[0])
    answers = [farm.controller.submit(each) for each in specs[1:]]
    farm.controller.serve(lambda: len(farm.controller._submissions) == len(names))
    for answer in answers:
        farm.controller.accept(answer)
    farm.controller.serve(lambda: all(answer.done() for answer in answers))
    return farm, [answer.result() for answer in answers]


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one thread plan all jobs but the short ones."""
    monkeypatch.setattr(planning_threads, "THREADS", 1)


@pytest.mark.usefixtures("one_thread")
def test_a_job_that_waits_for_its_turn_gets_that_of_its_new_priority(
    slow: Slow, spec: JobSpec
) -> None:
    farm, (_, last) = wait_for_a_turn(slow, spec, "first", "next", "last")
    answer = farm.controller.set_priority(last.id, 90)
    farm.controller.serve(answer.done)
    slow.may_go_on.set()
    farm.controller.serve(lambda: len(slow.planned) == 3)
    assert slow.planned == ["first", "last", "next"]


@pytest.mark.usefixtures("one_thread")
def test_a_job_that_is_cancelled_while_it_waits_for_its_turn_is_not_planned(
    slow: Slow, spec: JobSpec
) -> None:
    farm, (cancelled, last) = wait_for_a_turn(slow, spec, "first", "cancelled", "last")
    answer = farm.controller.want(cancelled.id, Wanted.CANCEL)
    farm.controller.serve(answer.done)
    assert finish(slow, farm, last).state is JobState.COMPLETED
    assert slow.planned == ["first", "last"]


def test_a_still_is_planned_at_once_however_many_films_are_being_planned() -> None:
    threads = PlanningThreads(lambda _notify: None, lambda _job, _event: None)  # type: ignore[arg-type, return-value]
    are_read, is_planned = Event(), Event()

    def add(name: str, plan: Callable[..., object]) -> None:
        job = Job(name, JobSpec(task="copy", inputs=(name,), output="out/"), 0.0)
        threads.plan(job, plan, lambda _outcome: None)  # type: ignore[arg-type]

    for number in range(2 * planning_threads.THREADS):
        add(f"{number}.mp4", lambda _planner: are_read.wait(60))
    add("a.png", lambda _planner: is_planned.set())
    assert is_planned.wait(20)
    are_read.set()
    threads.close()


# How far it is


def test_a_job_tells_how_far_its_films_are_read(slow: Slow, spec: JobSpec) -> None:
    farm, job = begin(slow, spec)
    hear = farm.controller._submissions._hear
    hear(job.id, ReadProgress("/films/b.mp4", 0.5, 3, 12))
    farm.controller._inbox.empty()
    assert farm.controller.job(job.id).reason == "reads 3 of 12 films: b.mp4, 50%"
    changes = [event.job for event in farm.log.events if isinstance(event, JobChanged)]
    assert changes[-1] == farm.controller.job(job.id)
    assert finish(slow, farm, job).reason == ""


def test_the_films_of_a_job_are_numbered_as_they_are_read() -> None:
    told: list[object] = []
    _numbered(told.append, 2, 5)(ReadProgress("b.mp4", 0.25))
    assert told == [ReadProgress("b.mp4", 0.25, 2, 5)]


def test_planning_ends_at_the_next_step_of_a_job_that_was_cancelled(
    slow: Slow, spec: JobSpec
) -> None:
    farm, job = begin(slow, spec)
    wish = farm.controller.want(job.id, Wanted.CANCEL)
    farm.controller.serve(wish.done)
    with pytest.raises(Cancelled):
        farm.controller._submissions._hear(job.id, ReadProgress("b.mp4", 0.5))


def test_what_planning_says_is_said_of_its_job() -> None:
    heard, is_done = list[tuple[str, object]](), Event()
    threads = PlanningThreads(
        lambda notify: notify,  # type: ignore[arg-type, return-value]
        lambda job, event: heard.append((job, event)),
    )

    def plan(job: str) -> Callable[..., None]:
        return lambda notify: notify(ReadProgress(job, 1.0))

    job = Job("a", JobSpec(task="copy", inputs=("in",), output="out/"), 0.0)
    threads.plan(job, plan("a"), lambda _outcome: is_done.set())  # type: ignore[arg-type]
    assert is_done.wait(60)
    assert heard == [("a", ReadProgress("a", 1.0))]
    threads.close()


def test_urgent_jobs_are_planned_first_and_then_each_owner_has_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning_threads, "THREADS", 1)
    threads = PlanningThreads(lambda _notify: None, lambda _job, _event: None)  # type: ignore[arg-type, return-value]
    planned, may_begin, is_over = list[str](), Event(), Event()

    def add(name: str, owner: str, priority: int = 50) -> None:
        spec = JobSpec(task="copy", inputs=("in",), output="o/", owner=owner, priority=priority)

        def plan(_planner: object) -> None:
            assert may_begin.wait(60)
            planned.append(name)

        def note(_outcome: object) -> None:
            if len(planned) == 7:
                is_over.set()

        threads.plan(Job(name, spec, 0.0), plan, note)  # type: ignore[arg-type]

    for name in ("ann 1", "ann 2", "ann 3", "ann 4", "bob 1", "bob 2"):
        add(name, name[:3])
    add("preview", "bob", priority=100)
    may_begin.set()
    assert is_over.wait(60)
    assert planned == ["ann 1", "preview", "bob 1", "ann 2", "bob 2", "ann 3", "ann 4"]
    threads.close()
