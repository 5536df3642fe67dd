"""The pool: one actor per GPU or per group of cores, and some that finish films.

Several workers can share an order: they form a group for it and are single workers again afterwards.
The pool does not decide on retries. A lost worker is replaced by a new one. A worker whose group
broke, and that does not come out of it soon, gets a new process under its old name, and an order
that arrives meanwhile waits. Whatever happens to workers becomes a message.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, Final, final

import ray
from ray.exceptions import RayError, RayTaskError

from farm.errors import FarmBug
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
    UnitStarted,
    UnitSucceeded,
    WorkerAlive,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
    WorkerRefused,
)
from farm.storage import remove_file
from farm_cluster.actor import End, StartResult, Unseen
from farm_cluster.attempt import Attempt
from farm_cluster.demand import Demand
from farm_cluster.group import Seat
from farm_cluster.inventory import difference, inventory
from farm_cluster.member import Member, control, describe_loss, start_actor
from farm_cluster.session import Disconnect, connect, do_nothing
from farm_cluster.slots import Slot, check_room, kind_of
from farm_cluster.staffing import Staffing
from farm_cluster.visibility import UnseenPaths, leave_mark, read_files

__all__ = ["RayPool"]

_CHECK_SECONDS: Final = 0.5
"""Interval between checks of the nodes and of each worker."""

_ALIVE_SECONDS: Final = 5.0
"""Shortest interval between two signs of life of a worker."""

_END_SECONDS: Final = 5.0
"""How long workers of a group that broke may take to come out of it before they are restarted."""

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
        self._unseen = UnseenPaths()
        self._room = -1
        self._why_none = ""
        self._next_check = 0.0

    def start(self) -> None:
        """Connect and start the workers. Raises UserError if they do not fit."""
        self._disconnect = connect(self._options)
        nodes = ray.nodes()
        kind = kind_of(nodes)
        self._demand = Demand(self._options, kind)
        if not self._demand.can_grow:
            check_room(nodes, kind, self._options)
        self._staffing = Staffing(self._options, kind, ray.get_runtime_context().get_node_id())
        self._fill(nodes)

    def assign(self, workers: Sequence[str], order: Order) -> None:
        members = [self._members[name] for name in workers if name in self._members]
        if len(members) < len(workers):
            return
        for member in members:
            if not member.has_joined or member.attempt is not None:
                raise FarmBug(f"{member.name} was given {order.unit.name} while it was not idle")
        attempt = Attempt(tuple(workers), order)
        for member in members:
            member.attempt = attempt
        self._begin(attempt)

    def poll(self, timeout: float) -> Sequence[Message]:
        deadline = time.monotonic() + timeout
        while True:
            self._receive(0.0 if self._messages else max(0.0, deadline - time.monotonic()))
            self._check()
            if self._messages or time.monotonic() >= deadline:
                messages, self._messages = self._messages, []
                return messages

    def cancel(self, worker: str, token: str) -> None:
        member = self._members.get(worker)
        attempt = member.attempt if member else None
        if member is None or attempt is None or attempt.order.token != token:
            return
        attempt.is_cancelled = True
        if not attempt.has_begun:
            self._finish(attempt, attempt.cancelled())
        elif member.running is not None:
            control(member.actor.cancel).remote(token)

    def kill(self, worker: str) -> None:
        if worker in self._members:
            self._remove(self._members[worker], "the farm stopped it")

    def want(self, workers: int) -> None:
        self._demand.want(workers)

    def close(self) -> None:
        for member in self._members.values():
            member.end()
            if member.attempt is not None:
                _remove_mark(member.attempt)
        if self._members:
            self._demand.close()
        self._members.clear()
        self._disconnect()
        self._disconnect = do_nothing

    # An attempt, from its order to its end

    def _of(self, attempt: Attempt) -> list[Member]:
        """Return the workers that hold the attempt; those that were lost are missing."""
        found = (self._members.get(name) for name in attempt.workers)
        return [member for member in found if member and member.attempt is attempt]

    def _begin(self, attempt: Attempt) -> None:
        """Let the workers look for the files, or run, once all of them are ready."""
        members = self._of(attempt)
        if not all(member.is_ready for member in members):
            return
        attempt.has_begun = True
        order = attempt.order
        folder = Path(order.unit.target).parent
        if not all(folder in member.folders for member in members):
            attempt.mark = leave_mark(order)
        paths = [str(attempt.mark)] if attempt.mark else []
        if attempt.is_shared:
            paths += read_files(order)
            members[0].meeting = members[0].actor.meet.remote()
        elif not paths:
            self._run(attempt)
            return
        for member in members:
            member.looking = member.actor.find_unseen.remote(paths)

    def _on_looked(self, member: Member, unseen: str) -> None:
        member.looking = None
        if member.attempt is not None and member.attempt.has_begun and unseen:
            member.attempt.unseen[member.name] = unseen
        self._go_on(member)

    def _on_met(self, member: Member, port: int) -> None:
        member.meeting = None
        if member.attempt is not None and member.attempt.has_begun:
            member.attempt.port = port
        self._go_on(member)

    def _go_on(self, member: Member) -> None:
        """Take the next step of the attempt that a worker holds, if all its workers are ready."""
        attempt = member.attempt
        if attempt is None or not all(member.is_ready for member in self._of(attempt)):
            return
        if not attempt.has_begun:
            self._begin(attempt)
            return
        _remove_mark(attempt)
        if attempt.is_cancelled:
            self._finish(attempt, attempt.cancelled())
        elif attempt.unseen:
            self._finish(attempt, self._not_shared(attempt))
        else:
            self._note_seen(attempt)
            self._run(attempt)

    def _note_seen(self, attempt: Attempt) -> None:
        folder = Path(attempt.order.unit.target).parent
        for member in self._of(attempt):
            member.folders.add(folder)
            self._unseen.note_seen(str(folder), member.name)

    def _run(self, attempt: Attempt) -> None:
        order, members = attempt.order, self._of(attempt)
        files = () if attempt.is_shared else read_files(order)
        for rank, member in enumerate(members):
            host = members[0].slot.host
            seat = Seat(rank, len(members), host, attempt.port) if attempt.is_shared else None
            member.running = member.actor.run.remote(order, files, seat)
            member.part = attempt
        self._messages.append(UnitStarted(attempt.lead, order.token))

    def _on_ended(self, member: Member, end: End | Unseen) -> None:
        """Handle the end of a worker's part, of the attempt that it holds or of an earlier one."""
        part, member.part, member.running, member.deadline = member.part, None, None, inf
        if part is None or member.attempt is not part:
            self._go_on(member)
        elif isinstance(end, Unseen):
            part.unseen[member.name] = end.path
            self._finish(part, self._not_shared(part))
        else:
            part.ends[member.name] = end
            self._settle(part)

    def _settle(self, attempt: Attempt) -> None:
        """End an attempt that succeeded, or that all workers have ended; hurry one that failed."""
        success = attempt.ends.get(attempt.lead)
        if isinstance(success, UnitSucceeded):
            self._finish(attempt, success)
        elif not any(member.part is attempt for member in self._of(attempt)):
            self._finish(attempt, attempt.outcome())
        elif not all(isinstance(end, UnitSucceeded) for end in attempt.ends.values()):
            self._stop_parts(attempt)

    def _finish(self, attempt: Attempt, end: End) -> None:
        """Report how an attempt ended, and free its workers."""
        self._messages.append(end)
        self._release(attempt)

    def _release(self, attempt: Attempt) -> None:
        _remove_mark(attempt)
        self._stop_parts(attempt)
        for member in self._of(attempt):
            member.attempt = member.last_progress = None
            if attempt.is_shared and isinstance(attempt.ends.get(member.name), UnitFailed):
                self._restart_gpu(member)

    def _restart_gpu(self, member: Member) -> None:
        """Restart a worker whose group broke on a GPU: what it had started there may still run."""
        if member.kind == "gpu":
            self._restart(member)

    def _stop_parts(self, attempt: Attempt) -> None:
        """Ask the workers that still run an attempt to stop, and give them a deadline."""
        for member in self._of(attempt):
            if member.part is attempt and member.deadline == inf:
                control(member.actor.cancel).remote(attempt.order.token)
                member.deadline = time.monotonic() + _END_SECONDS

    def _restart(self, member: Member) -> None:
        """Give a worker a new process under its old name."""
        part = member.part
        member.replace_actor(start_actor(member.name, member.kind, member.slot, self._options))
        if part is not None and member.attempt is part:
            self._settle(part)

    def _not_shared(self, attempt: Attempt) -> UnitFailed:
        """Return the failure of an attempt of which some workers do not see a file."""
        is_finisher = self._members[attempt.lead].kind == "finish"
        able = [m for m in self._members.values() if (m.kind == "finish") is is_finisher]
        nodes = {m.name: m.slot.node_name for m in able}
        for worker, path in attempt.unseen.items():
            is_mark = attempt.mark is not None and path == str(attempt.mark)
            shown = str(Path(path).parent) if is_mark else path
            failure = self._unseen.failure(shown, worker, nodes, len(attempt.workers))
        return UnitFailed(attempt.lead, attempt.order.token, failure)

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
                (member.looking, self._on_looked),
                (member.meeting, self._on_met),
                (member.running, self._on_ended),
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
        self._on_ended(member, UnitFailed(member.name, member.part.order.token, failure))

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
            self._go_on(member)

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
        nodes = ray.nodes()
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
            self._remove(member, "the farm needs fewer workers")
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

    def _remove(self, member: Member, reason: str) -> None:
        """Drop a worker that is gone, or end it. The others that share its attempt are freed."""
        del self._members[member.name]
        member.end()
        self._next_check = 0.0
        if not member.has_joined:
            self._staffing.note_early_death(member.slot, reason)
            return
        self._messages.append(WorkerLost(member.name, reason))
        if member.attempt is not None:
            self._release(member.attempt)


def _awaits(member: Member, ref: Any) -> bool:
    """Return whether a member still waits for this answer: not if it was restarted meanwhile."""
    calls = (member.starting, member.looking, member.meeting, member.running, member.pinging)
    return any(ref == call for call in calls)


def _remove_mark(attempt: Attempt) -> None:
    if attempt.mark is not None:
        with suppress(OSError):
            remove_file(attempt.mark)
