"""Jobs that wait, in the order of places that may change."""

from heapq import heapify, heappop, heappush
from typing import Final

__all__ = ["Place", "Turns"]

Place = tuple[int, int, int]
"""The smallest comes first."""

_SPARE: Final = 64
"""Places that are no longer true and may stay in the heap, beside one for each that is."""


class Turns:
    """The names of jobs that wait, each with a place of its own. Nothing looks through all of them."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._heap: list[tuple[Place, str]] = []

    def put(self, name: str, place: Place) -> None:
        """Let a job wait, or give one that waits another place."""
        self._places[name] = place
        heappush(self._heap, (place, name))
        if len(self._heap) > 2 * len(self._places) + _SPARE:
            self._heap = [(place, name) for name, place in self._places.items()]
            heapify(self._heap)

    def remove(self, name: str) -> None:
        """Let a job wait no longer, if it does."""
        self._places.pop(name, None)

    def first(self) -> str | None:
        """Return the job whose turn it is; None if none waits."""
        while self._heap:
            place, name = self._heap[0]
            if self._places.get(name) == place:
                return name
            heappop(self._heap)
        return None
