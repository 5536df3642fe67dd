"""Workers that do not answer are killed, and a farm without workers fails its jobs or says what it lacks."""

from farm.model.events import KillWorker, Tick, UnitAdvanced, WantedChanged
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import (
    NoWorkers,
    Reason,
    Room,
    TrainingFigures,
    UnitProgress,
    WorkerAlive,
    WorkerJoined,
)
from farm.model.unit import Unit, UnitState
from farm.model.work import Train
from farm.scheduling.policy import Policy

from ..workbench import Bench  # noqa: TID252 - shared between rooms

S = UnitState
WAITING = Policy(waits_for_workers=True)


# Signs of life


def test_a_worker_whose_process_no_longer_answers_is_killed(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.start("w1")
    bench.send(WorkerAlive("w1"))
    assert bench.pass_time(299) == []
    assert bench.pass_time(1) == [KillWorker("w1")]
    bench.lose("w1")
    assert bench.last("a").failure
    assert bench.last("a").failure.reason is Reason.TIMEOUT


def test_a_sign_of_life_or_a_report_keeps_a_worker(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for _ in range(3):
        bench.send(WorkerAlive("w1"))
        assert bench.pass_time(200) == []
        bench.send(UnitProgress("w1", bench.held["w1"].token, 0.5))
        assert bench.pass_time(200) == []


def test_any_of_several_workers_must_answer(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    for _ in range(2):
        bench.send(WorkerAlive("w1"))
        assert KillWorker("w1") not in bench.pass_time(200)
    assert KillWorker("w2") in bench.instructions
    bench.lose("w2")
    assert bench.scheduler.busy_workers() == []


def test_workers_that_never_send_signs_of_life_are_judged_by_their_reports(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    assert bench.pass_time(1799) == []


def test_an_idle_worker_that_does_not_answer_is_not_killed_and_gets_the_time_from_its_order_on(
    bench: Bench,
) -> None:
    bench.join("w1")
    bench.send(WorkerAlive("w1"))
    assert bench.pass_time(1000) == []
    bench.submit("job", "a")
    assert bench.pass_time(299) == []
    assert bench.pass_time(1) == [KillWorker("w1")]


# None can join


def test_a_job_fails_at_once_when_no_worker_can_join(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.send(NoWorkers("the cluster is gone"))
    assert bench.job() == (JobState.FAILED, "the cluster is gone; 1 of 1 units not finished")
    assert bench.last("a").reason == "the cluster is gone"


def test_a_job_that_is_submitted_then_fails_too(bench: Bench) -> None:
    bench.send(NoWorkers("the cluster is gone"))
    bench.submit("job", "a")
    bench.send(Tick())
    assert bench.job()[0] is JobState.FAILED


def test_a_farm_that_serves_waits_for_workers_and_its_jobs_say_so() -> None:
    bench = Bench(WAITING)
    bench.submit("job", "a")
    bench.send(NoWorkers("the cluster is gone"))
    assert bench.job() == (JobState.QUEUED, "waits for workers: the cluster is gone")
    bench.pass_time(100_000)
    bench.join("w1")
    assert bench.job() == (JobState.RUNNING, "")
    assert bench.units_of("w1") == ["a"]


def test_a_farm_that_serves_waits_for_ever() -> None:
    bench = Bench(WAITING)
    bench.submit("job", "a")
    bench.pass_time(0)
    bench.pass_time(300)
    assert bench.job()[1] == "waits for workers: no workers for 300 s; run `farm doctor`"
    bench.pass_time(1e6)
    assert bench.job()[0] is JobState.QUEUED


# Queries


def test_the_workers_that_could_be_used_are_those_of_the_units_that_run_or_are_ready(
    bench: Bench,
) -> None:
    assert bench.scheduler.wanted_workers() == 0
    bench.submit("frames", *"abcde")
    bench.submit_shared("run", 8)
    assert bench.scheduler.wanted_workers() == 13
    bench.join("w1", "w2")
    bench.succeed("w1")
    assert bench.scheduler.wanted_workers() == 12
    bench.send(WantedChanged("run", Wanted.PAUSE))
    assert bench.scheduler.wanted_workers() == 4
    bench.send(WantedChanged("frames", Wanted.PAUSE))
    assert bench.scheduler.wanted_workers() == 2


def test_no_farm_asks_for_more_workers_than_its_policy_allows() -> None:
    bench = Bench(Policy(most_wanted=3))
    bench.submit("job", *"abcde")
    assert bench.scheduler.wanted_workers() == 3


def test_what_workers_said_of_themselves_can_be_asked_for(bench: Bench) -> None:
    joined = WorkerJoined("w1", "gpu", "node", "H200", 4, 1 << 30, ("torch 2.13",))
    bench.send(joined)
    bench.send(Room(1))
    assert bench.scheduler.workers() == [joined]
    bench.lose("w1")
    assert bench.scheduler.workers() == []


def reach(bench: Bench, worker: str, step: int, *, has_advanced: bool = False) -> None:
    """Let a run report a step."""
    figures = TrainingFigures(step, 8 * step, {"loss": 1.0}, has_advanced=has_advanced)
    bench.send(UnitProgress(worker, bench.held[worker].token, 0.1, training=figures))


def test_a_run_with_a_new_checkpoint_has_advanced_once_since_farms_died(bench: Bench) -> None:
    run = Unit("run", "run", "", "run", work=Train(("in",)))
    bench.submit_restored("run", [RestoredUnit(run, S.RUNNING, crashes=4)])
    bench.join("w1")
    reach(bench, "w1", 10)
    assert UnitAdvanced(run) not in bench.instructions
    for step in (20, 21):
        reach(bench, "w1", step, has_advanced=True)
    assert bench.instructions.count(UnitAdvanced(run)) == 1


def test_a_run_that_no_farm_died_of_need_not_say_that_it_has_advanced(bench: Bench) -> None:
    bench.submit_shared("run", 1)
    bench.join("w1")
    reach(bench, "w1", 20, has_advanced=True)
    assert not any(isinstance(one, UnitAdvanced) for one in bench.instructions)


def test_a_run_that_got_further_before_its_worker_died_has_all_its_tries_again(
    bench: Bench,
) -> None:
    bench.submit_shared("run", 1)
    for number in range(6):
        bench.join(f"w{number}")
        bench.start(f"w{number}")
        reach(bench, f"w{number}", 10 + number)
        bench.lose(f"w{number}")
        bench.pass_time(60)
    assert bench.last("run0").state is S.READY


def test_a_run_that_kills_its_workers_at_the_same_step_is_set_aside(bench: Bench) -> None:
    bench.submit_shared("run", 1)
    for number in range(3):
        bench.join(f"w{number}")
        bench.start(f"w{number}")
        reach(bench, f"w{number}", 10)
        bench.lose(f"w{number}")
        bench.pass_time(60)
    assert bench.last("run0").state is S.QUARANTINED


def test_a_shared_unit_survives_the_death_of_many_workers(bench: Bench) -> None:
    unit = Unit("job", "a", "s", "a", workers=2)
    bench.submit_restored("job", [RestoredUnit(unit, S.READY)])
    bench.join("w0")
    for number in range(1, 10):
        bench.join(f"w{number}")
        bench.pass_time(60)
        lead, other = bench.sharing["a"]
        bench.start(lead)
        bench.lose(other)
        del bench.held[lead]
    assert not bench.job()[0].is_final
