"""The pool: one actor per GPU or per group of cores, and some that finish films.

Several workers can share an order: they form a group for it and are single workers again afterwards.
The pool does not decide on retries. A lost worker is replaced by a new one. A worker whose group
broke, and that does not come out of it soon, gets a new process under its old name, and an order
that arrives meanwhile waits. Whatever happens to workers becomes a message.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, final

import ray
from ray.exceptions import RayError, RayTaskError

from farm.host.executor import Executor, ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import (
    Failure,
    Message,
    NoWorkers,
    Order,
    Reason,
    Room,
    UnitFailed,
    UnitProgress,
    WorkerAlive,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
    WorkerRefused,
)
from farm_cluster.actor import StartResult
from farm_cluster.carrying import Attempts
from farm_cluster.demand import Demand
from farm_cluster.inventory import difference, inventory
from farm_cluster.member import Member, control, describe_loss, start_actor
from farm_cluster.session import Disconnect, connect, do_nothing
from farm_cluster.slots import Slot, check_room, kind_of
from farm_cluster.staffing import Staffing

__all__ = ["RayPool"]

_CHECK_SECONDS: Final = 0.5
"""Interval between checks of the nodes and of each worker."""

_ALIVE_SECONDS: Final = 5.0
"""Shortest interval between two signs of life of a worker."""

_NAMES: Final[dict[WorkerKind, str]] = {"cpu": "ray", "gpu": "ray", "finish": "finish"}

_Handler = Callable[[Member, Any], None]


@final
class RayPool(Executor):
    """Workers on a Ray cluster. Used by one thread.

    If the process is already connected to a cluster, the pool uses it and leaves it running. All
    workers use one kind of device: GPUs, if the cluster has any when the pool starts.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        self._options = options
        self._inventory = inventory(Registry.load(options.plugins_dir))
        self._numbers = count(1)
        self._members: dict[str, Member] = {}
        self._messages: list[Message] = []
        self._disconnect: Disconnect = do_nothing
        self._attempts = Attempts(self._members, self._messages.append, self._restart)
        self._demand = Demand(options)
        self._room = -1
        self._why_none = ""
        self._next_check = 0.0

    def start(self) -> None:
        """Connect and start the workers. Raises UserError if they do not fit."""
        self._disconnect = connect(self._options)
        nodes = ray.nodes()
        kind = kind_of(nodes)
        self._demand.begin(kind)
        if not self._demand.can_grow:
            check_room(nodes, kind, self._options)
        self._staffing = Staffing(self._options, kind, ray.get_runtime_context().get_node_id())
        self._fill(nodes)

    def assign(self, workers: Sequence[str], order: Order) -> None:
        self._attempts.assign(workers, order)

    def poll(self, timeout: float) -> Sequence[Message]:
        deadline = time.monotonic() + timeout
        while True:
            self._receive(0.0 if self._messages else max(0.0, deadline - time.monotonic()))
            self._check()
            if self._messages or time.monotonic() >= deadline:
                messages = self._messages.copy()
                self._messages.clear()
                return messages

    def cancel(self, worker: str, token: str) -> None:
        self._attempts.cancel(worker, token)

    def kill(self, worker: str) -> None:
        if worker in self._members:
            self._remove(self._members[worker], "the farm stopped it")

    def want(self, workers: int) -> None:
        self._demand.want(workers)

    def close(self) -> None:
        for member in self._members.values():
            member.end()
            if member.attempt is not None:
                self._attempts.release(member.attempt)
        self._demand.close()
        self._members.clear()
        self._disconnect()
        self._disconnect = do_nothing

    # Answers of the workers

    def _receive(self, seconds: float) -> None:
        """Wait for an answer, then handle all that have arrived, results before progress."""
        pending = dict(self._pending())
        seconds = min(seconds, _CHECK_SECONDS)
        if not pending:
            time.sleep(seconds)
            return
        ray.wait(list(pending), num_returns=1, timeout=seconds, fetch_local=False)
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        for ref in ready:
            member, handler = pending[ref]
            if member.name in self._members and _awaits(member, ref):
                self._handle(member, handler, ref)

    def _pending(self) -> Iterator[tuple[Any, tuple[Member, _Handler]]]:
        for member in self._members.values():
            for ref, handler in (
                (member.starting, self._on_started),
                (member.looking, self._attempts.on_looked),
                (member.meeting, self._attempts.on_met),
                (member.running, self._attempts.on_ended),
                (member.pinging, self._on_answered),
            ):
                if ref is not None:
                    yield ref, (member, handler)

    def _handle(self, member: Member, handler: _Handler, ref: Any) -> None:
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            self._on_error(member, error, is_end=ref == member.running)
        except RayError as error:
            self._remove(member, describe_loss(error, member.slot))
        else:
            handler(member, answer)

    def _on_error(self, member: Member, error: RayTaskError, *, is_end: bool) -> None:
        """Handle an unexpected error; workers return the expected ones as data."""
        if not is_end or member.part is None:
            self._remove(member, f"{type(error.cause).__name__}: {error.cause}")
            return
        failure = Failure(Reason.BUG, repr(error.cause), traceback=str(error))
        self._attempts.on_ended(member, UnitFailed(member.name, member.part.order.token, failure))

    def _on_started(self, member: Member, result: StartResult) -> None:
        worker = f"worker {member.name} on node {member.slot.node_name}"
        if result.refusal:
            self._refuse(member, f"{worker} cannot start: {result.refusal}")
        elif result.inventory != self._inventory:
            self._refuse(member, f"{worker} {difference(result.inventory, self._inventory)}")
        else:
            member.starting = None
            if not member.has_joined:
                self._welcome(member, result)
            self._attempts.go_on(member)

    def _welcome(self, member: Member, result: StartResult) -> None:
        member.has_joined, self._why_none = True, ""
        self._staffing.note_joined()
        self._messages.append(
            WorkerJoined(
                member.name,
                member.kind,
                member.slot.node_name,
                result.device,
                self._options.threads,
                result.memory,
                result.inventory,
            )
        )

    def _on_answered(self, member: Member, progress: UnitProgress | None) -> None:
        member.pinging = None
        now = time.monotonic()
        if now - member.alive >= _ALIVE_SECONDS:
            member.alive = now
            self._messages.append(WorkerAlive(member.name))
        attempt = member.attempt
        if attempt is None or progress is None or member.name != attempt.lead:
            return
        if progress.token == attempt.order.token and progress != member.last_progress:
            member.last_progress = progress
            self._messages.append(progress)

    # Workers that come and go

    def _check(self) -> None:
        """Check nodes and workers at intervals, and start workers where some are missing."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        try:
            nodes = ray.nodes()
        except RayError:  # the head does not answer at present
            return
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        for member in list(self._members.values()):
            if member.slot.node not in alive:
                self._remove(member, f"node {member.slot.node_name} left the cluster")
            elif now > member.deadline:
                self._restart(member)
            elif member.pinging is None and member.starting is None:
                member.pinging = control(member.actor.progress).remote()
        self._fill(nodes)
        self._report_none(nodes)

    def _fill(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start the workers that are missing, end those that are too many, and report the room."""
        self._demand.update()
        for member in self._demand.surplus(list(self._members.values())):
            self._remove(member, "the farm needs fewer workers", is_surplus=True)
        taken: dict[Slot, WorkerKind] = {m.slot: m.kind for m in self._members.values()}
        limit = self._demand.limit
        for kind, slot in self._staffing.vacancies(nodes, taken, limit):
            self._start_member(kind, slot)
        room = self._staffing.room(nodes, [m.slot for m in self._members.values()])
        if self._demand.can_grow:
            room = max(1, room)
        if room != self._room:
            self._room = room
            self._messages.append(Room(room))

    def _report_none(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Report that there is no worker and none can join, once for each reason."""
        renderers = [member for member in self._members.values() if member.kind != "finish"]
        joined = sum(member.has_joined for member in renderers)
        if self._demand.can_grow and not renderers:
            return
        reason = self._staffing.why_none(nodes, len(renderers) - joined, joined)
        if reason and self._options.address is None and not any(n["Alive"] for n in nodes):
            reason = "Ray has ended on this machine, and the workers with it; use --resume"
        if reason and reason != self._why_none:
            self._why_none = reason
            self._messages.append(NoWorkers(reason))

    def _restart(self, member: Member) -> None:
        """Give a worker a new process under its old name."""
        part = member.part
        member.replace_actor(start_actor(member.name, member.kind, member.slot, self._options))
        self._attempts.on_restarted(member, part)

    def _start_member(self, kind: WorkerKind, slot: Slot) -> None:
        name = f"{_NAMES[kind]}-{next(self._numbers)}"
        actor = start_actor(name, kind, slot, self._options)
        self._members[name] = Member(name, kind, slot, actor, starting=actor.start.remote())

    def _refuse(self, member: Member, reason: str) -> None:
        """Report a worker that cannot take orders. Its node gets no other one for a while."""
        self._staffing.note_refused(member.slot, reason)
        if member.has_joined:
            self._remove(member, reason)
            return
        self._messages.append(WorkerRefused(member.name, member.kind, reason))
        for other in list(self._members.values()):
            is_next = other.slot.node == member.slot.node and not other.has_joined
            if other is member or is_next:
                del self._members[other.name]
                other.end()

    def _remove(self, member: Member, reason: str, *, is_surplus: bool = False) -> None:
        """Drop a worker that is gone, or end it. The others that share its attempt are freed."""
        del self._members[member.name]
        member.end()
        self._next_check = 0.0
        if not member.has_joined:
            self._staffing.note_early_death(member.slot, reason)
            return
        self._messages.append(WorkerLost(member.name, reason, is_surplus))
        if member.attempt is not None:
            self._attempts.release(member.attempt)


def _awaits(member: Member, ref: Any) -> bool:
    """Return whether a member still waits for this answer: not if it was restarted meanwhile."""
    calls = (member.starting, member.looking, member.meeting, member.running, member.pinging)
    return any(ref == call for call in calls)
