"""The ledger counts the frames that a person sees of a job beside its units, whatever happens to these."""

from collections.abc import Callable, Iterator

import pytest

from farm.ledger import Ledger
from farm.model.events import UnitChanged, UnitsCancelled
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job_counts import JobCounts, Seen
from farm.model.unit import Unit
from farm.model.work import Encode, Join, Picture, Render, Train, Work

from .farms import LATER, NOW, S, job

FORMAT = FilmFormat("h264")


def film(rendered: int, shown: int) -> list[Unit]:
    """Return the units of a film that shows so many frames of those that are rendered."""

    def unit(name: str, work: Work, *, is_working: bool = True) -> Unit:
        return Unit("job", name, "clip.mp4", f"out/{name}", work=work, is_working=is_working)

    names = [f'"kind":"encode"/{number}' for number in range(rendered)]
    pictures = tuple(Picture(((name, f"out/{name}"),), at, 1) for at, name in enumerate(names))
    return [
        *(unit(name, Render(seed="a", refusal='"kind":"train"')) for name in names),
        unit("part", Encode(pictures[:shown], FORMAT)),
        unit("film", Join(("out/part",), FORMAT), is_working=False),
    ]


def add(ledger: Ledger, units: list[Unit]) -> None:
    ledger.add(job(), [RestoredUnit(unit, S.READY) for unit in units])


def change(ledger: Ledger, *changes: tuple[Unit, S]) -> None:
    ledger.record([UnitChanged(unit, state, 1) for unit, state in changes], NOW)


def counted(ledger: Ledger) -> JobCounts:
    return ledger.counts_of(["job"])["job"]


@pytest.fixture
def ledgers(ledger: Ledger, open_ledger: Callable[[], Ledger]) -> Iterator[tuple[Ledger, Ledger]]:
    """The same ledger as two farms see it."""
    return ledger, open_ledger()


def test_parts_and_the_film_are_units_but_no_frames(ledger: Ledger) -> None:
    a, b, c, part, joined = film(3, 3)
    add(ledger, [a, b, c, part, joined])
    assert counted(ledger) == JobCounts({S.READY: 5}, Seen(3, {S.READY: 3}))
    change(ledger, (a, S.SUCCEEDED), (b, S.QUARANTINED), (part, S.RUNNING), (c, S.SKIPPED))
    units = {S.READY: 1, S.SUCCEEDED: 1, S.QUARANTINED: 1, S.RUNNING: 1, S.SKIPPED: 1}
    seen = Seen(3, {S.SUCCEEDED: 1, S.QUARANTINED: 1, S.SKIPPED: 1})
    assert counted(ledger) == JobCounts(units, seen)
    assert (seen.done, seen.failed) == (2, 1)


def test_frames_that_two_segments_render_are_seen_once(ledger: Ledger) -> None:
    units = film(8, 6)
    add(ledger, units)
    change(ledger, *((unit, S.SUCCEEDED) for unit in units[:4]))
    assert counted(ledger).seen == Seen(6, {S.SUCCEEDED: 3, S.READY: 3})
    change(ledger, *((unit, S.SUCCEEDED) for unit in units))
    seen = counted(ledger).seen
    assert seen
    assert (seen.done, seen.failed) == (6, 0)


def test_frames_stay_counted_when_a_job_is_cancelled_taken_over_and_reopened(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    first, second = ledgers
    a, b, c, part, joined = film(3, 3)
    add(first, [a, b, c, part, joined])
    change(first, (a, S.RUNNING))
    second.take("job", LATER)
    change(second, (a, S.SUCCEEDED), (b, S.SUCCEEDED))
    waiting = (c, part, joined)
    second.record([UnitsCancelled("job", waiting, (0, 0, 0), "enough", "user")], LATER)
    assert counted(first) == JobCounts(
        {S.SUCCEEDED: 2, S.CANCELLED: 3}, Seen(3, {S.SUCCEEDED: 2, S.CANCELLED: 1})
    )
    second.reopen("job", LATER)
    change(second, (c, S.SUCCEEDED), (part, S.READY))
    assert counted(first).seen == Seen(3, {S.SUCCEEDED: 3})


def test_a_run_has_no_frames_and_neither_has_a_job_before_it_is_planned(ledger: Ledger) -> None:
    add(ledger, [])
    assert counted(ledger) == JobCounts()
    run = Unit("run", "run", "data/", "out/", work=Train(("data/",)))
    ledger.add(job("run"), [RestoredUnit(run, S.READY)])
    assert ledger.counts_of(["run"])["run"] == JobCounts({S.READY: 1})
