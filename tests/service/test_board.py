"""The board knows what each worker does, whatever jobs and units are called."""

import pytest

from farm.model.events import Notice, UnitChanged, WorkerChanged
from farm.model.messages import WorkerJoined
from farm.model.unit import Unit, UnitState
from farm.service.board import MOST_NOTES, Board

from ..fake_clock import FakeClock  # noqa: TID252 - shared


def leased(job: str, unit: str, worker: str) -> UnitChanged:
    target = f"/out/{job}.png"
    return UnitChanged(Unit(job, unit, "/in.png", target), UnitState.LEASED, 1, worker=worker)


def test_units_of_two_jobs_may_have_one_name() -> None:
    board = Board(FakeClock())
    board.on_event(leased("first", "a", "w1"))
    board.on_event(leased("second", "a", "w2"))
    assert {worker: unit.job for worker, unit in board.held().items()} == {
        "w1": "first",
        "w2": "second",
    }
    assert board.running("first")["a"].worker == "w1"


def test_notes_are_kept_of_the_latest_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.board.NOTED", 2)
    board = Board(FakeClock())
    for job in ("a", "b", "c"):
        board.on_event(Notice("in", "left out", job))
    board.on_event(Notice("in", "of no job"))
    assert [board.notes(job) for job in ("a", "b", "c", "")] == [
        [],
        [Notice("in", "left out", "b")],
        [Notice("in", "left out", "c")],
        [],
    ]


def test_a_job_has_a_few_notes_however_many_inputs_it_has() -> None:
    board = Board(FakeClock())
    for number in range(MOST_NOTES + 9):
        board.on_event(Notice(f"{number}.mp4", "squeezed", "a"))
    assert [notice.url for notice in board.notes("a")] == [f"{n}.mp4" for n in range(MOST_NOTES)]


def test_what_a_worker_said_is_asked_for_once() -> None:
    asked: list[int] = []

    def joined() -> list[WorkerJoined]:
        asked.append(1)
        return [WorkerJoined("w1", "cpu", "node", "cpu AVX2")]

    board = Board(FakeClock())
    board.watch(joined)
    for state in ("idle", "busy", "idle"):
        board.on_event(WorkerChanged("w1", "cpu", state))
    (worker,) = board.workers()
    assert (worker.state, worker.joined.device, len(asked)) == ("idle", "cpu AVX2", 1)
