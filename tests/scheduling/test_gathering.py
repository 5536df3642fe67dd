"""Workers are gathered for shared units, which neither wait for ever nor stop other work for ever."""

from itertools import pairwise
from string import ascii_lowercase

from farm.model.events import (
    CancelWork,
    KillWorker,
    PriorityChanged,
    StaleReport,
    Stopping,
    Tick,
    WantedChanged,
    WorkerChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import Failure, Figures, Reason, Room, UnitStarted, UnitSucceeded
from farm.model.unit import ALL_WORKERS, Unit, UnitState
from farm.scheduling.policy import Policy

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms

S = UnitState
FRAMES = [f"{letter}{number}" for letter in ascii_lowercase for number in range(8)]


def workers_of(bench: Bench, unit: str) -> set[str]:
    return set(bench.sharing.get(unit, ()))


def is_held(bench: Bench, unit: str) -> bool:
    return any(order.unit.name == unit for order in bench.held.values())


# One unit, several workers


def test_idle_workers_share_a_unit_and_the_first_reports(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit_shared("run", 2)
    assert bench.sharing["run0"] == ("w1", "w2")
    token = bench.held["w1"].token
    assert bench.send(UnitStarted("w2", token)) == [StaleReport("w2", token)]
    bench.start("w1")
    idle = [i for i in bench.succeed("w1") if isinstance(i, WorkerChanged)]
    assert [(change.worker, change.state) for change in idle] == [("w1", "idle"), ("w2", "idle")]
    assert bench.job("run") == (JobState.COMPLETED, "")


def test_a_unit_waits_until_it_has_all_its_workers(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit("frames", *"abcd")
    bench.submit_shared("run", 2)
    bench.succeed("w1")
    assert not is_held(bench, "run0")
    bench.succeed("w2")
    assert workers_of(bench, "run0") == {"w1", "w2"}


def test_losing_any_of_its_workers_ends_the_attempt_and_frees_the_others(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit_shared("run", 3)
    bench.start("w1")
    token = bench.held.pop("w1").token
    bench.lose("w3")
    assert bench.last("run0").state is S.RETRY_WAIT
    assert bench.last("run0").failure == Failure(Reason.WORKER_DIED, "worker w3 died: killed")
    assert bench.scheduler.busy_workers() == []
    late = UnitSucceeded("w1", token, Figures())
    assert bench.send(late) == [StaleReport("w1", token)]
    bench.submit("other", "x", "y")
    assert set(bench.held) == {"w1", "w2"}


def test_a_lost_worker_before_the_start_spends_the_larger_budget(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    bench.lose("w2")
    assert bench.last("run0").failure
    assert bench.last("run0").failure.reason is Reason.WORKER_LOST


def test_a_cancelled_unit_is_cancelled_at_its_first_worker_which_alone_is_killed_if_it_does_not_stop(
    bench: Bench,
) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    lease = bench.held["w1"].token
    out = bench.send(WantedChanged("run", Wanted.CANCEL))
    assert [i for i in out if isinstance(i, CancelWork)] == [CancelWork("w1", lease)]
    assert bench.pass_time(30) == [KillWorker("w1")]
    bench.lose("w1")
    assert bench.job("run")[0] is JobState.CANCELLED
    bench.submit("other", "x")
    assert list(bench.held) == ["w2"]


def test_stopping_the_farm_asks_the_first_worker_once(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    assert bench.send(Stopping()) == [CancelWork("w1", bench.held["w1"].token)]
    bench.confirm_cancel("w1")
    assert bench.last("run0").state is S.READY
    assert bench.scheduler.busy_workers() == []


def test_the_job_holds_all_its_workers_so_that_frames_come_first_for_the_next(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit_shared("run", 2)
    bench.submit("early", *FRAMES)
    bench.submit_shared("next", 2)
    assert bench.job_of("w3") == "early"
    assert bench.scheduler.worker_counts() == {"busy": 3, "idle": 0}


def test_workers_of_one_device_share_a_unit(bench: Bench) -> None:
    bench.join("a1", "a2", device="A")
    bench.join("b1", "b2", "b3", device="B")
    bench.submit_shared("run", 3)
    assert workers_of(bench, "run0") == {"b1", "b2", "b3"}
    assert bench.scheduler.job("run").device == "B"


def test_each_device_gathers_for_a_unit_of_its_own(bench: Bench) -> None:
    bench.join("a1", "a2", device="A")
    bench.join("b1", "b2", device="B")
    bench.submit_shared("first", 2)
    bench.submit_shared("second", 2)
    assert workers_of(bench, "first0") == {"a1", "a2"}
    assert workers_of(bench, "second0") == {"b1", "b2"}


# All workers


def test_a_unit_for_all_workers_waits_until_all_have_joined(bench: Bench) -> None:
    bench.send(Room(3))
    bench.submit_shared("still", ALL_WORKERS)
    bench.join("w1", "w2")
    bench.send(Tick())
    assert bench.held == {}
    assert bench.job("still")[1] == "wants all 3 workers of the farm; 2 have joined"
    bench.join("w3")
    bench.send(Tick())
    assert workers_of(bench, "still0") == {"w1", "w2", "w3"}
    assert bench.job("still") == (JobState.RUNNING, "")


def test_without_a_word_about_room_all_workers_are_those_that_have_joined(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("still", ALL_WORKERS)
    assert workers_of(bench, "still0") == {"w1", "w2"}


def test_all_workers_are_those_of_the_larger_device(bench: Bench) -> None:
    bench.join("a1", device="A")
    bench.join("b1", "b2", device="B")
    bench.submit_shared("still", ALL_WORKERS)
    assert workers_of(bench, "still0") == {"b1", "b2"}


# Too few workers


def test_a_unit_that_wants_more_workers_than_there_are_sets_none_aside_and_says_so(
    bench: Bench,
) -> None:
    bench.join("w1", "w2", "w3", "w4")
    bench.submit_shared("run", 8)
    assert bench.job("run") == (JobState.QUEUED, "wants 8 workers; the farm has 4")
    bench.submit("frames", *"abcd")
    assert set(bench.held) == {"w1", "w2", "w3", "w4"}
    assert bench.scheduler.wanted_workers() == 12


def test_workers_of_another_device_do_not_help(bench: Bench) -> None:
    bench.join("a1", "a2", device="A")
    bench.join("b1", device="B")
    bench.submit_shared("run", 3)
    assert bench.job("run")[1] == "wants 3 workers of one kind; the farm has 2"


def test_a_unit_whose_workers_are_still_to_join_says_that_it_waits_for_them(bench: Bench) -> None:
    bench.send(Room(2))
    bench.join("w1")
    bench.submit_shared("run", 2)
    assert bench.job("run")[1] == "waits for 2 workers to join; 1 of 2 are there"
    bench.join("w2")
    bench.send(Tick())
    assert bench.job("run")[1] == ""


def test_a_unit_that_wants_more_than_there_is_room_for_waits(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.send(Room(1))
    bench.submit_shared("run", 2)
    assert bench.job("run")[1] == "wants 2 workers; the farm has 1"
    bench.send(Room(2))
    bench.send(Tick())
    assert workers_of(bench, "run0") == {"w1", "w2"}


def test_a_larger_unit_that_must_wait_for_workers_to_join_does_not_stop_a_smaller_one(
    bench: Bench,
) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("large", 3)
    bench.submit_shared("small", 2)
    assert workers_of(bench, "small0") == {"w1", "w2"}
    bench.succeed("w1")
    bench.join("w3")
    bench.send(Tick())
    assert workers_of(bench, "large0") == {"w1", "w2", "w3"}


# Workers that are set aside


def gather_one_of_two(bench: Bench) -> None:
    """Let w1 be set aside for a run, and w2 render a frame; other frames wait."""
    bench.join("w1", "w2")
    bench.submit("frames", *"abcdef")
    bench.submit_shared("run", 2)
    bench.succeed("w1")
    assert list(bench.held) == ["w2"]


def test_a_gathering_that_has_begun_gets_every_freed_worker(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit("frames", *FRAMES)
    bench.submit_shared("run", 3)
    bench.succeed("w1")
    bench.submit("late", *"xyz")
    bench.succeed("w3")
    assert list(bench.held) == ["w2"]
    bench.succeed("w2")
    assert workers_of(bench, "run0") == {"w1", "w2", "w3"}


def test_set_aside_workers_are_released_when_the_job_is_paused_cancelled_or_held(
    bench: Bench,
) -> None:
    gather_one_of_two(bench)
    bench.send(WantedChanged("run", Wanted.PAUSE))
    assert bench.job_of("w1") == "frames"
    bench.send(WantedChanged("run", Wanted.RUN))
    bench.succeed("w1")
    assert list(bench.held) == ["w2"]
    bench.send(WantedChanged("run", Wanted.CANCEL))
    assert bench.job_of("w1") == "frames"


def test_set_aside_workers_are_released_when_too_few_remain(bench: Bench) -> None:
    gather_one_of_two(bench)
    bench.lose("w2")
    assert bench.job_of("w1") == "frames"
    assert bench.job("run")[1] == "wants 2 workers; the farm has 1"


def test_set_aside_workers_are_released_when_there_is_less_room(bench: Bench) -> None:
    gather_one_of_two(bench)
    bench.send(Room(1))
    assert bench.job_of("w1") == "frames"


def test_a_worker_that_leaves_while_set_aside_is_replaced_by_the_next(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit("frames", *FRAMES)
    bench.submit_shared("run", 2)
    bench.succeed("w1")
    bench.lose("w1")
    bench.succeed("w2")
    assert not is_held(bench, "run0")
    bench.succeed("w3")
    assert workers_of(bench, "run0") == {"w2", "w3"}


def test_a_job_of_higher_priority_gets_workers_that_were_set_aside(bench: Bench) -> None:
    gather_one_of_two(bench)
    bench.submit("urgent", "u", priority=90)
    assert bench.job_of("w1") == "urgent"
    bench.succeed("w1")
    bench.succeed("w2")
    assert workers_of(bench, "run0") == {"w1", "w2"}


def test_a_shared_unit_of_higher_priority_gets_the_workers_that_were_set_aside(
    bench: Bench,
) -> None:
    gather_one_of_two(bench)
    bench.submit_shared("urgent", 2, priority=90)
    bench.succeed("w2")
    assert workers_of(bench, "urgent0") == {"w1", "w2"}


def test_a_new_priority_moves_a_gathering(bench: Bench) -> None:
    gather_one_of_two(bench)
    bench.send(PriorityChanged("run", 10))
    assert bench.job_of("w1") == "frames"
    bench.send(PriorityChanged("run", 90))
    bench.succeed("w1")
    bench.succeed("w2")
    assert workers_of(bench, "run0") == {"w1", "w2"}


def test_workers_without_work_are_set_aside_also_for_a_unit_of_lower_priority(
    bench: Bench,
) -> None:
    bench.join("w1", "w2")
    bench.submit("frames", "a", "b", priority=90)
    bench.submit_shared("run", 2, priority=10)
    bench.succeed("w1")
    bench.submit("more", "c", priority=90)
    assert bench.job_of("w1") == "more"
    bench.succeed("w2")
    bench.succeed("w1")
    assert workers_of(bench, "run0") == {"w1", "w2"}


# Failures


def test_a_retry_does_without_the_workers_that_failed_if_others_are_enough(bench: Bench) -> None:
    bench.join("w1", "w2", "w3", "w4")
    bench.submit_shared("run", 2)
    bench.fail("w1", failed())
    assert workers_of(bench, "run0") == {"w3", "w4"}
    bench.fail("w3", failed())
    assert len(workers_of(bench, "run0")) == 2
    bench.fail(bench.sharing["run0"][0], failed())
    assert bench.last("run0").state is S.QUARANTINED


def test_a_worker_that_keeps_failing_a_job_is_not_gathered_for_it(bench: Bench) -> None:
    single = [RestoredUnit(Unit("job", name, "s", name), S.READY) for name in "abcdefgh"]
    needs = tuple("abcdefgh")
    shared = RestoredUnit(Unit("job", "large", "s", "large", needs, workers=2), S.BLOCKED)
    bench.submit_restored("job", [*single, shared])
    bench.join("bad", "w1", "w2")
    for _ in range(3):
        bench.fail("bad", failed())
    while not is_held(bench, "large"):
        bench.succeed("w1" if "w1" in bench.held else "w2")
    assert workers_of(bench, "large") == {"w1", "w2"}


def test_no_other_unit_of_its_job_runs_beside_a_shared_unit_that_may_kill_the_farm(
    bench: Bench,
) -> None:
    large = Unit("job", "large", "s", "large", workers=2)
    single = Unit("job", "a", "s", "a")
    bench.join("w1", "w2", "w3")
    bench.submit_restored(
        "job", [RestoredUnit(large, S.RUNNING, crashes=2), RestoredUnit(single, S.READY)]
    )
    assert workers_of(bench, "large") == {"w1", "w2"}
    assert not is_held(bench, "a")
    bench.succeed("w1")
    assert is_held(bench, "a")


# Fairness


def finish_frames(bench: Bench, seconds: float) -> int:
    """End the frames that workers hold, each after this long; return how many were held."""
    bench.clock.advance(seconds)
    leads = [worker for worker, order in bench.held.items() if order.unit.job == "frames"]
    for worker in leads:
        bench.succeed(worker)
    return len(leads)


def test_after_a_shared_unit_frames_get_as_much_time_before_the_next(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2, units=3)
    bench.submit("frames", *FRAMES)
    bench.clock.advance(100)
    bench.succeed("w1")
    assert len(bench.held) == 2
    rounds = 0
    while bench.job_of("w1") == "frames" and rounds < 50:
        rounds += finish_frames(bench, 10) > 0
    assert 9 <= rounds <= 12
    while not is_held(bench, "run1"):
        finish_frames(bench, 10)


def test_an_endless_stream_of_shared_units_leaves_half_the_farm_to_frames(bench: Bench) -> None:
    bench.join("w1", "w2", "w3", "w4")
    bench.submit("frames", *FRAMES)
    for number in range(40):
        bench.submit_shared(f"run{number}", 4)
    shared = frames = 0.0
    for _ in range(200):
        bench.clock.advance(10)
        for worker, order in list(bench.held.items()):
            size = len(bench.sharing[order.unit.name])
            is_frame = order.unit.job == "frames"
            frames, shared = frames + is_frame, shared + (0 if is_frame else size)
            bench.succeed(worker)
        if bench.scheduler.job("frames").state.is_final:
            break
    assert frames == len(FRAMES)
    assert frames / 2 < shared < frames * 2


def test_a_shared_unit_does_not_wait_for_frames_that_are_not_there(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("run", 2, units=3)
    for number in range(3):
        assert is_held(bench, f"run{number}")
        bench.clock.advance(1000)
        bench.succeed("w1")
    assert bench.job("run") == (JobState.COMPLETED, "")


def test_jobs_with_many_shared_units_take_turns(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("old", 2, units=3)
    bench.submit_shared("new", 2, units=3)
    order = []
    for _ in range(6):
        order.append(bench.job_of("w1"))
        bench.clock.advance(1)
        bench.succeed("w1")
    assert order == ["old", "new"] * 3


def test_no_worker_is_set_aside_for_a_unit_that_waits_for_another_shared_one(bench: Bench) -> None:
    bench.join("w1", "w2", "w3", "w4")
    bench.submit_shared("first", 2)
    bench.submit("frames", *FRAMES)
    bench.submit_shared("large", 4)
    for _ in range(5):
        assert finish_frames(bench, 10) == 2
    assert not is_held(bench, "large0")
    bench.succeed("w1")
    while not is_held(bench, "large0"):
        assert finish_frames(bench, 10)


def test_a_smaller_shared_unit_does_not_go_past_a_larger_one(bench: Bench) -> None:
    bench.join("w1", "w2", "w3", "w4")
    bench.submit_shared("first", 2)
    bench.submit_shared("large", 4)
    bench.submit_shared("small", 2)
    assert not is_held(bench, "small0")
    bench.succeed("w1")
    assert is_held(bench, "large0")


# Slices


PATIENT = Policy(silence_seconds=1e9)


def asks_to_stop(bench: Bench, seconds: float) -> bool:
    return any(isinstance(i, CancelWork) for i in bench.pass_time(seconds))


def test_a_run_gives_way_after_a_slice_to_a_job_that_has_waited_as_long() -> None:
    bench = Bench(PATIENT)
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    bench.start("w1")
    bench.clock.advance(1800)
    bench.submit("frames", *FRAMES)
    assert not asks_to_stop(bench, 1800)
    assert not asks_to_stop(bench, 1740)
    assert asks_to_stop(bench, 120)
    bench.confirm_cancel("w1")
    assert bench.last("run0").state is S.READY
    assert bench.last("run0").failure is None
    assert bench.last("run0").reason == "gave way to jobs that have waited for long"
    assert bench.job_of("w1") == bench.job_of("w2") == "frames"


def test_a_run_that_gave_way_resumes_and_goes_on_by_turns_with_the_others() -> None:
    bench = Bench(PATIENT)
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    bench.submit("frames", *(f"f{number}" for number in range(500)))
    turns = list[str | None]()
    for _ in range(5 * 60):
        asked = {i.token for i in bench.pass_time(60) if isinstance(i, CancelWork)}
        for worker, order in list(bench.held.items()):
            if order.unit.job == "frames":
                bench.succeed(worker)
            elif order.token in asked:
                bench.confirm_cancel(worker)
        turns.append(bench.job_of("w1") or bench.job_of("w2"))
    changes = [turn for before, turn in pairwise([None, *turns]) if turn != before]
    assert changes == ["run", "frames"] * (len(changes) // 2) + ["run"] * (len(changes) % 2)
    assert len(changes) >= 4
    assert turns.count("run") > 120
    assert turns.count("frames") > 100


def test_a_run_never_gives_way_to_jobs_that_have_workers() -> None:
    bench = Bench(PATIENT)
    bench.join("w1", "w2", "w3")
    bench.submit_shared("run", 2)
    bench.submit("frames", *FRAMES)
    assert not asks_to_stop(bench, 7200)
    assert not asks_to_stop(bench, 7200)


def test_a_run_does_not_give_way_to_a_job_of_lower_priority() -> None:
    bench = Bench(PATIENT)
    bench.join("w1")
    bench.submit_shared("run", 1)
    bench.submit("frames", *FRAMES, priority=10)
    assert not asks_to_stop(bench, 3601)
    assert not asks_to_stop(bench, 3600)


def test_a_still_is_never_asked_to_give_way_since_it_would_begin_anew() -> None:
    bench = Bench(PATIENT)
    bench.join("w1", "w2")
    large = Unit("still", "large", "s", "large", workers=2)
    bench.submit_restored("still", [RestoredUnit(large, S.READY)])
    bench.submit("frames", *FRAMES)
    assert not asks_to_stop(bench, 3601)
    assert not asks_to_stop(bench, 3600)


def test_a_run_that_does_not_stop_when_it_gives_way_pays_nothing() -> None:
    bench = Bench(PATIENT)
    bench.join("w1")
    bench.submit_shared("run", 1)
    bench.submit("frames", *FRAMES)
    assert asks_to_stop(bench, 3601)
    assert bench.pass_time(30) == [KillWorker("w1")]
    bench.lose("w1")
    assert bench.last("run0").state is S.READY
    assert bench.last("run0").failure is None


def test_a_run_a_coherent_film_stills_and_a_large_still_share_two_workers_and_all_are_done() -> (
    None
):
    bench = Bench(Policy(silence_seconds=1e9, slice_seconds=600))
    bench.join("w1", "w2")
    bench.submit_shared("run", 2)
    chain = [f"c{number}" for number in range(60)]
    bench.submit("film", *chain, needs={b: (a,) for a, b in pairwise(chain)})
    bench.submit("stills", *(f"s{number}" for number in range(200)))
    large = Unit("large", "large", "s", "large", workers=ALL_WORKERS)
    bench.submit_restored("large", [RestoredUnit(large, S.READY)])
    left, idle_since, longest = 5000.0, dict.fromkeys(["run", "film", "stills", "large"], 0.0), 0.0
    for step in range(2000):
        asked = {i.token for i in bench.pass_time(10) if isinstance(i, CancelWork)}
        for worker, order in list(bench.held.items()):
            job = order.unit.job
            longest, idle_since[job] = max(longest, 10 * step - idle_since[job]), 10 * step
            left -= 10 if job == "run" else 0
            if job != "run" or left <= 0:
                bench.succeed(worker)
            elif order.token in asked:
                bench.confirm_cancel(worker)
        if bench.scheduler.is_done:
            break
    assert {bench.job(job) for job in idle_since} == {(JobState.COMPLETED, "")}
    assert longest <= 2 * 600 + 60
