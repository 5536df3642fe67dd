"""The units of a job that may start, in an order that keeps each worker near what it has open.

A film is divided into stretches. A worker that has just rendered a frame of one goes on with it, since
it has the film open there; any other worker begins the first stretch that nobody works on. Only if
there is none does it join another worker. So no worker waits, and a film is rendered from its
beginning, as many stretches at a time as it has workers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from typing import Final

from farm.model.work import Render
from farm.scheduling.units import Lane, UnitEntry

STRETCH_FRAMES: Final = 32
"""Frames of a film that a worker renders in one go, if it can."""


@dataclass(slots=True)
class Stretch:
    """Frames of a film that lie close together, or continue each other.

    ready: numbers of its units that may start, a heap. held: how many of them workers hold. is_open,
    is_free: it is in the heap of stretches with ready units, and in that of stretches that nobody
    works on.
    """

    ready: list[int] = field(default_factory=list)
    held: int = 0
    is_open: bool = False
    is_free: bool = False


def make_stretches(entries: Sequence[UnitEntry]) -> list[Stretch]:
    """Put the frames of films into stretches, and return these.

    A frame that continues another one is in its stretch, so that one worker renders them all.
    """
    numbers: dict[tuple[str, int], int] = {}
    chains: dict[str, int] = {}
    count = 0
    for entry in entries:
        work, needs = entry.unit.work, entry.unit.needs
        if entry.lane is not Lane.RENDER or not isinstance(work, Render):
            continue
        if work.before is not None and needs:
            entry.stretch = chains.setdefault(needs[0], count)
            chains[entry.unit.name] = entry.stretch
        elif work.moment is not None:
            place = entry.unit.source, work.number // STRETCH_FRAMES
            entry.stretch = chains[entry.unit.name] = numbers.setdefault(place, count)
        count += entry.stretch == count
    return [Stretch() for _ in range(count)]


class ReadyUnits:
    """Units of one lane that may start.

    Units that have failed, or were running when farms died, are kept apart: not every worker may
    take them. The former come first, the latter last.
    """

    def __init__(self, entries: Sequence[UnitEntry], stretches: Sequence[Stretch]) -> None:
        self._entries, self._stretches = entries, stretches
        self._apart: list[tuple[int, int]] = []
        self._loose: list[int] = []
        self._open: list[tuple[int, int]] = []
        self._free: list[tuple[int, int]] = []
        self._in_stretches = 0

    def __bool__(self) -> bool:
        return bool(self._in_stretches or self._loose or self._apart)

    def add(self, entry: UnitEntry) -> None:
        if not entry.is_clean:
            heappush(self._apart, (entry.crashes, entry.number))
        elif entry.stretch < 0:
            heappush(self._loose, entry.number)
        else:
            heappush(self._stretches[entry.stretch].ready, entry.number)
            self._in_stretches += 1
            self._offer(entry.stretch)

    def take(self, near: int, accept: Callable[[UnitEntry], bool]) -> UnitEntry | None:
        """Remove the unit that a worker gets and return it; None if it may take none of them.

        near: the stretch that the worker has open; -1 for none. accept: whether it may take one of
        those kept apart.
        """
        retried = self._take_apart(accept, most_crashes=0)
        number = self._take_near(near) if retried is None else retried
        if number is None:
            number = self._take_first()
        if number is None:
            number = self._take_apart(accept)
        return None if number is None else self._entries[number]

    def goes_on(self, stretch: int) -> bool:
        """Return whether any unit of a stretch is among them."""
        return bool(self._stretches[stretch].ready)

    def first(self, but: UnitEntry | None = None) -> UnitEntry | None:
        """Return the unit that take would return, if it is in no stretch and may be accepted. For any thread.

        but: a unit that has failed, which is taken only if there is no other.
        """
        apart, loose = min(self._first_apart(but), default=None), self._loose[:1]
        if apart and (apart[0] == 0 or not (loose or self._in_stretches)):
            return self._entries[apart[1]]
        if loose and not self._in_stretches:
            return self._entries[loose[0]]
        return self.first() if but else None

    def _first_apart(self, but: UnitEntry | None) -> list[tuple[int, int]]:
        """Return the first unit of those kept apart, or those that may be so without one of them."""
        apart = self._apart[:3]
        return apart[1:] if but and apart and apart[0][1] == but.number else apart[:1]

    def hold(self, entry: UnitEntry) -> None:
        """Note that a worker holds a unit."""
        if entry.stretch >= 0:
            self._stretches[entry.stretch].held += 1

    def let_go(self, entry: UnitEntry) -> None:
        """Note that no worker holds a unit any more."""
        if entry.stretch >= 0:
            self._stretches[entry.stretch].held -= 1
            self._offer(entry.stretch)

    def remove(self, entry: UnitEntry) -> None:
        """Remove a unit that may not start after all. This looks at all of them."""
        remaining = [one for one in self if one is not entry]
        self.clear()
        for one in remaining:
            self.add(one)

    def clear(self) -> None:
        for one in {self._entries[number].stretch for number in self._in_any_stretch()}:
            self._stretches[one].ready.clear()
        self._in_stretches = 0
        self._loose.clear()
        self._apart.clear()

    def __iter__(self) -> Iterator[UnitEntry]:
        """Yield all of them, in no order."""
        apart = [number for _, number in self._apart]
        numbers = [*apart, *self._loose, *self._in_any_stretch()]
        return (self._entries[number] for number in numbers)

    def _in_any_stretch(self) -> list[int]:
        open_ones = (self._stretches[index] for _, index in self._open)
        return [number for stretch in open_ones for number in stretch.ready]

    def _take_apart(
        self, accept: Callable[[UnitEntry], bool], most_crashes: int | None = None
    ) -> int | None:
        apart, taken = self._apart, None
        if not apart:
            return None
        rejected: list[tuple[int, int]] = []
        while apart and taken is None and (most_crashes is None or apart[0][0] <= most_crashes):
            place = heappop(apart)
            if accept(self._entries[place[1]]):
                taken = place[1]
            else:
                rejected.append(place)
        for place in rejected:
            heappush(apart, place)
        return taken

    def _take_near(self, near: int) -> int | None:
        if near < 0 or not self._stretches[near].ready:
            return None
        return self._take_from(near)

    def _take_first(self) -> int | None:
        """Take the first loose unit or the first of a stretch that nobody works on, or join one."""
        free = self._top(self._free, is_free=True)
        if self._loose and (free is None or self._loose[0] < self._stretches[free].ready[0]):
            return heappop(self._loose)
        index = self._top(self._open, is_free=False) if free is None else free
        return None if index is None else self._take_from(index)

    def _take_from(self, index: int) -> int:
        self._in_stretches -= 1
        return heappop(self._stretches[index].ready)

    def _offer(self, index: int) -> None:
        """Put a stretch into the heaps that it belongs in and is missing from."""
        stretch = self._stretches[index]
        if not stretch.ready:
            return
        if not stretch.is_open:
            stretch.is_open = True
            heappush(self._open, (stretch.ready[0], index))
        if not stretch.is_free and not stretch.held:
            stretch.is_free = True
            heappush(self._free, (stretch.ready[0], index))

    def _top(self, heap: list[tuple[int, int]], *, is_free: bool) -> int | None:
        """Return the stretch at the top of a heap, once those that do not belong are gone from it."""
        while heap:
            number, index = heap[0]
            stretch = self._stretches[index]
            if not stretch.ready or (is_free and stretch.held):
                heappop(heap)
                if is_free:
                    stretch.is_free = False
                else:
                    stretch.is_open = False
            elif stretch.ready[0] > number:
                heapreplace(heap, (stretch.ready[0], index))
            else:
                return index
        return None
