"""The pool: one actor per GPU or per group of cores, and one that finishes films.

Does not decide on retries. Ray never restarts an actor: a lost worker is replaced by a new one.
What a worker does, or what is wrong with it, becomes a message; poll() raises only if no worker has
ever joined and none can.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, final

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from farm.errors import FarmBug, UserError, WorkerError
from farm.host.executor import Executor, ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import (
    Failure,
    Message,
    Order,
    Reason,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
    WorkerRefused,
)
from farm.storage import remove_file
from farm_cluster.actor import FarmActor, StartResult, Unseen
from farm_cluster.inventory import difference, inventory
from farm_cluster.session import Disconnect, connect, do_nothing, worker_environment
from farm_cluster.slots import Kind, Slot, count_workers, kind_of, slots
from farm_cluster.visibility import UnseenPaths, leave_mark, read_files

__all__ = ["RayPool"]

_CHECK_SECONDS: Final = 0.5
"""Interval between checks of the nodes and of each worker's progress."""

_START_SECONDS: Final = 180.0
"""How long the pool waits for a first worker."""

_MOST_EARLY_DEATHS: Final = 3
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_REFUSED_SECONDS: Final = 300.0
"""How long a node whose worker was refused gets no new one, unless it restarts Ray."""

_NAMES: Final[dict[WorkerKind, str]] = {"cpu": "ray", "gpu": "ray", "finish": "finish"}
_CONTROL: Final = "control"
"""Concurrency group of the methods that run alongside an order."""


@dataclass
class _Member:
    """An actor and its pending calls: starting (None once it has joined), looking, run, progress.

    order: the one it holds. mark: what it is looking for. folders: where it found a mark.
    """

    name: str
    kind: WorkerKind
    slot: Slot
    actor: Any
    starting: Any
    looking: Any = None
    run: Any = None
    order: Order | None = None
    mark: Path | None = None
    folders: set[Path] = field(default_factory=set)
    progress: Any = None
    last_progress: UnitProgress | None = None


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
        self._members: dict[str, _Member] = {}
        self._messages: list[Message] = []
        self._kind: Kind = "cpu"
        self._disconnect: Disconnect = do_nothing
        self._unseen = UnseenPaths()
        self._early_deaths: Counter[str] = Counter()
        self._resting: dict[str, float] = {}
        self._refusal = ""
        self._has_ever_joined = False
        self._next_check = self._start_deadline = 0.0

    def start(self) -> None:
        """Connect and start the workers. Raises UserError if they do not fit."""
        self._disconnect = connect(self._options)
        nodes = ray.nodes()
        self._kind = kind_of(nodes)
        count_workers(nodes, self._kind, self._options)
        self._start_deadline = time.monotonic() + _START_SECONDS
        self._start_missing_workers(nodes)

    def assign(self, workers: Sequence[str], order: Order) -> None:
        (worker,) = workers
        member = self._members.get(worker)
        if member is None:
            return
        if member.starting is not None or member.order is not None:
            raise FarmBug(f"{worker} was given {order.unit.name} while it was not idle")
        member.order = order
        folder = Path(order.unit.target).parent
        member.mark = None if folder in member.folders else leave_mark(order)
        if member.mark is None:
            self._run(member, order)
        else:
            member.looking = member.actor.sees.remote(str(member.mark))

    def _run(self, member: _Member, order: Order) -> None:
        member.run = member.actor.run.remote(order, read_files(order))
        self._messages.append(UnitStarted(member.name, order.token))

    def poll(self, timeout: float) -> Sequence[Message]:
        """Return what happened. Raises UserError or WorkerError if no worker could ever start."""
        deadline = time.monotonic() + timeout
        while True:
            self._receive(0.0 if self._messages else max(0.0, deadline - time.monotonic()))
            self._check_workers()
            if self._messages or time.monotonic() >= deadline:
                messages, self._messages = self._messages, []
                return messages

    def cancel(self, worker: str, token: str) -> None:
        member = self._members.get(worker)
        if member is not None and member.order is not None and member.order.token == token:
            _control(member.actor.cancel).remote(token)

    def kill(self, worker: str) -> None:
        if worker in self._members:
            self._remove(self._members[worker], "the farm stopped it")

    def close(self) -> None:
        for member in self._members.values():
            _end(member)
        self._members.clear()
        self._disconnect()
        self._disconnect = do_nothing

    def _receive(self, seconds: float) -> None:
        """Wait for an answer, then handle all that have arrived, results before progress."""
        pending = self._pending()
        seconds = min(seconds, _CHECK_SECONDS)
        if not pending:
            time.sleep(seconds)
            return
        ray.wait(list(pending), num_returns=1, timeout=seconds, fetch_local=False)
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        for ref in ready:
            member, handler = pending[ref]
            if member.name in self._members:
                self._handle(member, handler, ref)

    def _pending(self) -> dict[Any, tuple[_Member, "Callable[[_Member, Any], None]"]]:
        return {
            ref: (member, handler)
            for member in self._members.values()
            for ref, handler in (
                (member.starting, self._on_started),
                (member.looking, self._on_looked),
                (member.run, self._on_finished),
                (member.progress, self._on_progress),
            )
            if ref is not None
        }

    def _handle(self, member: _Member, handler: "Callable[[_Member, Any], None]", ref: Any) -> None:
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            self._on_error(member, error)
        except RayError as error:
            self._remove(member, _describe_loss(error, member.slot))
        else:
            handler(member, answer)

    def _on_started(self, member: _Member, result: StartResult) -> None:
        node = member.slot.node_name
        worker = f"worker {member.name} on node {node}"
        if result.refusal:
            self._refuse(member, f"{worker} cannot start: {result.refusal}")
        elif result.inventory != self._inventory:
            self._refuse(member, f"{worker} {difference(result.inventory, self._inventory)}")
        else:
            member.starting = None
            self._early_deaths.clear()
            self._has_ever_joined = self._has_ever_joined or member.kind != "finish"
            self._messages.append(WorkerJoined(member.name, member.kind, node, result.device))

    def _on_looked(self, member: _Member, is_seen: Any) -> None:
        assert member.order is not None
        assert member.mark is not None
        folder = member.mark.parent
        _end_look(member)
        if not is_seen:
            self._on_finished(member, Unseen(str(folder)))
            return
        member.folders.add(folder)
        self._unseen.note_seen(str(folder), member.name)
        self._run(member, member.order)

    def _on_finished(self, member: _Member, result: Message | Unseen) -> None:
        assert member.order is not None
        if isinstance(result, Unseen):
            is_finisher = member.kind == "finish"
            able = [m for m in self._members.values() if (m.kind == "finish") is is_finisher]
            nodes = {m.name: m.slot.node_name for m in able}
            failure = self._unseen.failure(result.path, member.name, nodes)
            result = UnitFailed(member.name, member.order.token, failure)
        member.run = member.order = member.last_progress = None
        self._messages.append(result)

    def _on_progress(self, member: _Member, progress: UnitProgress | None) -> None:
        member.progress = None
        if not (member.order and progress) or progress.token != member.order.token:
            return
        if progress != member.last_progress:
            member.last_progress = progress
            self._messages.append(progress)

    def _on_error(self, member: _Member, error: RayTaskError) -> None:
        """Handle an unexpected error; workers return the expected ones as data."""
        if member.run is None:
            self._remove(member, f"{type(error.cause).__name__}: {error.cause}")
            return
        assert member.order is not None
        failure = Failure(Reason.BUG, repr(error.cause), traceback=str(error))
        self._on_finished(member, UnitFailed(member.name, member.order.token, failure))

    def _check_workers(self) -> None:
        """Check nodes and workers at intervals, ask for progress and replace lost workers."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        nodes = ray.nodes()
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        if not alive and self._options.address is None:
            raise WorkerError(
                "Ray has ended on this machine, and the workers with it; use --resume"
            )
        for member in list(self._members.values()):
            if member.slot.node not in alive:
                self._remove(member, f"node {member.slot.node_name} left the cluster")
            elif member.progress is None and member.starting is None:
                member.progress = _control(member.actor.progress).remote()
        self._start_missing_workers(nodes)
        self._check_start_deadline(now)

    def _start_missing_workers(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start a worker in every free slot, up to the requested number.

        Raises UserError if all were refused, before any had joined.
        """
        now = time.monotonic()
        taken = {member.slot for member in self._members.values()}
        available = slots(nodes, self._kind, self._options.threads)
        limit = len(available) if self._options.workers is None else self._options.workers
        free = [slot for slot in available if slot not in taken and self._is_rested(slot, now)]
        for slot in free[: max(0, limit - len(self._renderers()))]:
            self._start_member(self._kind, slot)
        if not self._renderers() and self._refusal and not self._has_ever_joined:
            raise UserError(self._refusal)
        slot = _finisher_slot(nodes)
        if len(self._renderers()) == len(self._members) and self._is_rested(slot, now):
            self._start_member("finish", slot)

    def _is_rested(self, slot: Slot, now: float) -> bool:
        return self._resting.get(slot.node, 0.0) <= now

    def _renderers(self) -> list[_Member]:
        return [member for member in self._members.values() if member.kind != "finish"]

    def _start_member(self, kind: WorkerKind, slot: Slot) -> None:
        threads, is_gpu = self._options.threads, kind == "gpu"
        name, folder = f"{_NAMES[kind]}-{next(self._numbers)}", self._options.plugins_dir
        remote = ray.remote(
            num_cpus=threads if kind == "cpu" else 0,
            num_gpus=1 if is_gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_CONTROL: 1},
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
            runtime_env={"env_vars": worker_environment(threads)},
        )(FarmActor)
        actor = remote.remote(name, kind, threads, str(folder.absolute()) if folder else None)
        self._members[name] = _Member(name, kind, slot, actor, starting=actor.start.remote())

    def _refuse(self, member: _Member, reason: str) -> None:
        """Report a worker that cannot take orders. Its node gets no other one for a while."""
        node = member.slot.node
        self._refusal = self._refusal or reason
        self._resting[node] = time.monotonic() + _REFUSED_SECONDS
        self._messages.append(WorkerRefused(member.name, member.kind, reason))
        for other in list(self._members.values()):
            if other is member or (other.slot.node == node and other.starting is not None):
                del self._members[other.name]
                _end(other)

    def _remove(self, member: _Member, reason: str) -> None:
        del self._members[member.name]
        _end(member)
        self._next_check = 0.0
        if member.starting is None:
            self._messages.append(WorkerLost(member.name, reason))
            return
        node = member.slot.node
        self._early_deaths[node] += 1
        pause = min(_LONGEST_BACK_OFF_SECONDS, _CHECK_SECONDS * 2 ** self._early_deaths[node])
        self._resting[node] = time.monotonic() + pause
        is_hopeless = self._early_deaths.total() >= _MOST_EARLY_DEATHS and not self._renderers()
        if is_hopeless and not self._has_ever_joined:
            raise WorkerError(f"no worker can start on the cluster: {reason}")

    def _check_start_deadline(self, now: float) -> None:
        if not self._has_ever_joined and now > self._start_deadline:
            raise WorkerError(
                f"no worker started within {_START_SECONDS:.0f} s; "
                "run `ray status` to see whether the cluster has free cores or GPUs"
            )


def _finisher_slot(nodes: Sequence[Mapping[str, Any]]) -> Slot:
    """Return an extra slot on the node of this process, for the worker that finishes films."""
    own = ray.get_runtime_context().get_node_id()
    return next(Slot(own, node["NodeName"], -1) for node in nodes if node["NodeID"] == own)


def _control(method: Any) -> Any:
    return method.options(concurrency_group=_CONTROL)


def _end(member: _Member) -> None:
    """Kill the actor and remove its mark."""
    _end_look(member)
    with suppress(RayError, RuntimeError, ValueError):
        ray.kill(member.actor)


def _end_look(member: _Member) -> None:
    if member.mark is not None:
        remove_file(member.mark)
    member.looking = member.mark = None


def _describe_loss(error: RayError, slot: Slot) -> str:
    """Return in one line why an actor died."""
    if isinstance(error, OutOfMemoryError):
        return f"node {slot.node_name} ran out of memory, so Ray killed the process"
    lines = [line.strip() for line in str(error).splitlines()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    if errors:
        return errors[-1]
    return "its process exited unexpectedly: it crashed, was killed, or ran out of memory"
