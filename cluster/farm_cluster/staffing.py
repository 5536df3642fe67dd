"""Decide which workers to start, and say why there are none. Knows the nodes, but does not call Ray."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, final

from farm.host.executor import ExecutorOptions
from farm.model.messages import WorkerKind
from farm_cluster.slots import Kind, Slot, finisher_slots, no_room, slots

__all__ = ["Staffing"]

_START_SECONDS: Final = 180.0
"""How long the pool waits for a worker before it says that none starts."""

_MOST_EARLY_DEATHS: Final = 3
_SHORTEST_BACK_OFF_SECONDS: Final = 0.5
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_REFUSED_SECONDS: Final = 300.0
"""How long a node whose worker was refused gets no new one, unless it restarts Ray."""


@final
class Staffing:
    """Where workers may start: a node rests after a refusal, and for a while after a failed start.

    kind: what workers render on. own: the id of the node of this process.
    """

    def __init__(self, options: ExecutorOptions, kind: Kind, own: str) -> None:
        self.kind, self._own = kind, own
        self._threads, self._workers = options.threads, options.workers
        self._resting: dict[str, float] = {}
        self._early_deaths: Counter[str] = Counter()
        self._refusal = self._death = ""
        self._waiting_since = time.monotonic()

    def vacancies(
        self,
        nodes: Sequence[Mapping[str, Any]],
        taken: Mapping[Slot, WorkerKind],
        limit: int | None,
    ) -> list[tuple[WorkerKind, Slot]]:
        """Return the workers to start. taken: slots of the others. limit: of rendering workers."""
        renderers = sum(kind != "finish" for kind in taken.values())
        room = self.room(nodes, taken)
        room = room if limit is None else min(room, limit)
        free = [slot for slot in self._rested(nodes) if slot not in taken]
        found: list[tuple[WorkerKind, Slot]] = [
            (self.kind, slot) for slot in free[: max(0, room - renderers)]
        ]
        wanted = [slot for slot in finisher_slots(nodes, room, self._own) if slot not in taken]
        missing = len(finisher_slots(nodes, room, self._own)) - (len(taken) - renderers)
        rested = [slot for slot in wanted if self._is_rested(slot)]
        return found + [("finish", slot) for slot in rested[: max(0, missing)]]

    def room(self, nodes: Sequence[Mapping[str, Any]], taken: Collection[Slot]) -> int:
        """Return how many rendering workers there can be now: on nodes that do not rest."""
        held = {slot for slot in taken if slot.index >= 0}
        most = len(held.union(self._rested(nodes)))
        return most if self._workers is None else min(most, self._workers)

    def _rested(self, nodes: Sequence[Mapping[str, Any]]) -> list[Slot]:
        found = slots(nodes, self.kind, self._threads)
        return [slot for slot in found if self._is_rested(slot)]

    def _is_rested(self, slot: Slot) -> bool:
        return self._resting.get(slot.node, 0.0) <= time.monotonic()

    def note_joined(self) -> None:
        """Note that a worker has started."""
        self._early_deaths.clear()
        self._refusal = self._death = ""

    def note_refused(self, slot: Slot, reason: str) -> None:
        """Let a node rest, because its worker cannot take orders."""
        self._refusal = self._refusal or reason
        self._resting[slot.node] = time.monotonic() + _REFUSED_SECONDS

    def note_early_death(self, slot: Slot, reason: str) -> None:
        """Let a node rest for a while that doubles with each worker that died before it joined."""
        self._death = reason
        self._early_deaths[slot.node] += 1
        pause = _SHORTEST_BACK_OFF_SECONDS * 2 ** self._early_deaths[slot.node]
        self._resting[slot.node] = time.monotonic() + min(_LONGEST_BACK_OFF_SECONDS, pause)

    def why_none(self, nodes: Sequence[Mapping[str, Any]], starting: int, joined: int) -> str:
        """Return why no worker has joined, if none can join by itself; else an empty text.

        starting, joined: numbers of rendering workers.
        """
        now = time.monotonic()
        if joined:
            self._waiting_since = now
            return ""
        if starting and now - self._waiting_since > _START_SECONDS:
            return (
                f"no worker started within {_START_SECONDS:.0f} s; "
                "run `ray status` to see whether the cluster has free cores or GPUs"
            )
        if starting:
            return ""
        if self._early_deaths.total() >= _MOST_EARLY_DEATHS:
            return f"no worker can start on the cluster: {self._death}"
        if not slots(nodes, self.kind, self._threads):
            return self._refusal or no_room(nodes, self._threads)
        return self._refusal
