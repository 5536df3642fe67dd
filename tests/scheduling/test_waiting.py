"""A job says in words why none of its units runs, and nothing while one does."""

import sys
from collections.abc import Callable, Mapping
from itertools import count
from types import FrameType
from typing import Any

import pytest

from farm.model.events import WantedChanged
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job import Wanted
from farm.model.messages import Failure, Hold, Reason, Room, WorkerJoined
from farm.model.unit import Unit, UnitState
from farm.model.work import Join
from farm.scheduling.policy import Policy

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms


def why(bench: Bench, job: str = "job") -> str:
    return bench.scheduler.waits_for(job)


def test_no_workers_have_joined(bench: Bench) -> None:
    bench.submit()
    assert why(bench) == "no workers have joined yet; the farm has room for none"
    bench.send(Room(4))
    assert why(bench) == "no workers have joined yet; the farm has room for 4"


def test_nothing_is_said_of_a_job_that_runs_or_has_ended(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    assert why(bench) == ""
    bench.succeed("w1")
    assert why(bench) == ""


def test_a_unit_wants_more_workers_than_there_are(bench: Bench) -> None:
    bench.send(Room(4))
    bench.join("w1", "w2", "w3", "w4")
    bench.submit_shared("run", 8)
    assert why(bench, "run") == "wants 8 workers; the farm has 4"


def test_all_workers_are_busy(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit("urgent", *"abc", priority=90)
    bench.submit("paused", "a", priority=90)
    bench.send(WantedChanged("paused", Wanted.PAUSE))
    bench.submit("job", "a")
    assert why(bench) == "all 2 workers are busy; 1 job of higher priority before it"
    bench.submit("low", "a", priority=10)
    assert why(bench, "low") == "all 2 workers are busy; 2 jobs of higher priority before it"


def test_workers_are_gathered(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit("job", "a")
    bench.submit_shared("run", 3)
    assert why(bench, "run") == "gathers 3 workers"


def test_the_user_has_paused_it(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.PAUSE))
    paused = "paused by its user; resume it to go on"
    assert why(bench) == f"{paused}; what 1 worker began is finished first"
    bench.succeed("w1")
    assert why(bench) == paused


def test_the_storage_is_full(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", Failure(Reason.STORAGE, "the disk is full", hold=Hold.STORAGE))
    assert why(bench) == "the disk is full; the job tries again in 30 s"


def test_a_retry_is_due_later() -> None:
    bench = Bench(Policy(backoff_seconds=60.0))
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed(Reason.MEMORY))
    assert why(bench) == "tries 1 unit again in 60 s"
    bench.pass_time(20)
    assert why(bench) == "tries 1 unit again in 40 s"


def test_no_worker_has_the_device_that_the_job_began_on(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1", device="cpu AVX512")
    bench.succeed("w1")
    bench.lose("w1")
    bench.send(WorkerJoined("w2", "cpu", device="cpu AVX2"))
    bench.pass_time(10)
    assert why(bench) == (
        "no worker has the device of its first frames, cpu AVX512; the farm has cpu AVX2"
    )


def with_another_device(bench: Bench) -> None:
    unit = Unit("job", "a", "in", "out")
    bench.submit_restored("job", [RestoredUnit(unit, UnitState.READY)], device="cpu 0")
    bench.join("w1", device="cpu 1")


def gathering(bench: Bench) -> None:
    bench.join("w1", "w2", "w3")
    bench.submit("other", "a")
    bench.submit_shared("job", 3)


def gathering_again(bench: Bench) -> None:
    """Two runs that share the workers; the first has failed before."""
    bench.join("w1", "w2", "w3")
    bench.submit_shared("job", 3, units=2)
    bench.fail("w1", failed(Reason.MEMORY))
    bench.submit("other", "a", priority=90)
    bench.succeed("w1")
    bench.pass_time(60)


def held(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", Failure(Reason.STORAGE, "the disk is full", hold=Hold.STORAGE))


def held_with_the_next_try_on_its_way(bench: Bench) -> None:
    held(bench)
    bench.pass_time(31)


def waiting_for_a_retry(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed(Reason.MEMORY))


Act = Callable[[Bench], object]

MEANWHILE: Mapping[str, tuple[Act, Act]] = {
    "workers join": (
        with_another_device,
        lambda bench: bench.join("w2", "w3", device="cpu 2"),
    ),
    "a run begins": (gathering, lambda bench: bench.succeed("w1")),
    "a run begins anew": (gathering_again, lambda bench: bench.succeed("w1")),
    "a run is cancelled": (
        gathering,
        lambda bench: bench.send(WantedChanged("job", Wanted.CANCEL)),
    ),
    "the disk has space": (
        held_with_the_next_try_on_its_way,
        lambda bench: bench.succeed("w1"),
    ),
    "a retry is due": (waiting_for_a_retry, lambda bench: bench.pass_time(60)),
    "it ends": (waiting_for_a_retry, lambda bench: [bench.pass_time(60), bench.succeed("w1")]),
}
"""How a job waits, and what the loop may do while another thread asks why."""

MIXED = {"is about to start", "the only worker is busy", "all 3 workers are busy"}
"""Answers from before and after, mixed."""


@pytest.mark.parametrize("case", MEANWHILE)
def test_the_loop_may_go_on_while_another_thread_asks_what_a_job_waits_for(case: str) -> None:
    wait, act = MEANWHILE[case]
    for moment in count():
        bench = Bench()
        wait(bench)
        bench.validates = False
        before = why(bench)
        answer, is_over = asked_while(bench, act, moment)
        assert answer in {before, why(bench), *MIXED}
        if is_over:
            break
    assert moment > 20


def asked_while(bench: Bench, act: Act, moment: int) -> tuple[str, bool]:
    """Ask, and act after this many steps of the interpreter; return the answer, and whether it had fewer."""
    left = moment

    def step(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left < 0:
            sys.settrace(None)
            frame.f_trace = None
            act(bench)
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        answer = why(bench)
    finally:
        sys.settrace(before)
    return answer, left >= 0


def test_workers_that_finish_films_are_busy(bench: Bench) -> None:
    bench.send(WorkerJoined("f1", "finish"))
    for job in ("one", "two"):
        join = Unit(job, "film", "in", "out", work=Join((), FilmFormat("h264")))
        bench.submit_restored(job, [RestoredUnit(join, UnitState.READY)])
    assert why(bench, "two") == "the workers that finish films are busy"


def test_nothing_is_said_of_a_job_that_is_being_cancelled(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    assert why(bench) == ""
