"""Jobs take their turns in the order of their places, and many cost little more than few."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log2
from threading import Event
from typing import ClassVar

import pytest

from farm.control.planning_threads import PlanningThreads
from farm.control.turns import Turns
from farm.model.job import Job, JobSpec

MANY = 600


class Counted(int):
    """A number that counts how often any is compared."""

    count: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Counted.count += 1
        return int(self) == other

    def __lt__(self, other: int) -> bool:
        Counted.count += 1
        return int.__lt__(self, other)

    __hash__ = int.__hash__


class CountedName(str):
    """A name that counts how often any is compared."""

    __slots__ = ()
    count: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        CountedName.count += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def taken(turns: Turns) -> Iterator[str]:
    while (name := turns.first()) is not None:
        yield name
        turns.remove(name)


def test_jobs_come_in_the_order_of_their_places_as_these_change() -> None:
    turns = Turns()
    for number, name in enumerate("abcd"):
        turns.put(name, (0, 0, number))
    turns.put("d", (-1, 0, 3))
    turns.put("a", (1, 0, 0))
    turns.remove("b")
    assert list(taken(turns)) == ["d", "c", "a"]


def test_a_job_that_changes_its_place_and_back_has_one_turn() -> None:
    turns = Turns()
    for urgency in (0, -1, 0):
        turns.put("a", (urgency, 0, 0))
    assert list(taken(turns)) == ["a"]


def test_each_turn_of_many_takes_few_comparisons() -> None:
    turns, Counted.count = Turns(), 0
    for number in range(MANY):
        turns.put(str(number), (Counted(7 * number % MANY), 0, 0))
    assert len(list(taken(turns))) == MANY
    assert Counted.count < 10 * MANY * log2(MANY)


def test_places_that_change_again_and_again_are_not_all_kept() -> None:
    turns = Turns()
    turns.put("first", (-1, 0, 0))
    for number in range(10_000):
        turns.put("other", (0, 0, number))
        turns.first()
    assert len(turns._heap) < 100


@contextmanager
def many_waiting() -> Iterator[tuple[PlanningThreads, list[Job]]]:
    """Yield threads that are all busy, and the jobs that wait for them."""
    threads = PlanningThreads(lambda _notify: None, lambda _job, _event: None)  # type: ignore[arg-type, return-value]
    may_end = Event()
    begun = [Event() for _ in range(3)]

    def busy(begins: Event) -> Callable[..., object]:
        def plan(_planner: object) -> None:
            begins.set()
            may_end.wait(60)

        return plan

    def add(name: str, plan: Callable[..., object]) -> Job:
        job = Job(CountedName(name), JobSpec(task="copy", inputs=("a.png",), output="out/"), 0.0)
        threads.plan(job, plan, lambda _outcome: None)  # type: ignore[arg-type]
        return job

    try:
        for number, begins in enumerate(begun):
            add(f"busy {number}", busy(begins))
        assert all(begins.wait(20) for begins in begun)
        yield threads, [add(str(number), lambda _planner: None) for number in range(MANY)]
    finally:
        threads.close()
        may_end.set()


@pytest.mark.parametrize("change", ["drop", "prioritise"])
def test_a_change_of_one_waiting_job_does_not_look_at_the_others(change: str) -> None:
    with many_waiting() as (threads, jobs):
        CountedName.count = 0
        for job in reversed(jobs):
            if change == "drop":
                threads.drop(CountedName(job.id))
            else:
                threads.prioritise(job)
        assert CountedName.count < 20 * MANY
