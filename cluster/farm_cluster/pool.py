"""The pool: one actor per GPU or per group of cores, and one that finishes films.

Does not decide on retries. Ray never restarts an actor: a lost worker is replaced by a new one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
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
)
from farm_cluster.actor import FarmActor, StartResult
from farm_cluster.inventory import difference, inventory
from farm_cluster.session import connect, worker_environment
from farm_cluster.slots import Kind, Slot, kind_of, slots

__all__ = ["RayPool"]

_CHECK_SECONDS: Final = 0.5
"""Interval between checks of the nodes and of each worker's progress."""

_START_SECONDS: Final = 180.0
"""How long the pool waits for a first worker."""

_MOST_EARLY_DEATHS: Final = 3
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_NAMES: Final[dict[WorkerKind, str]] = {"cpu": "ray", "gpu": "ray", "finish": "finish"}
_CONTROL: Final = "control"
"""Concurrency group of the methods that run alongside an order."""


@dataclass
class _Member:
    """An actor and its pending calls: starting (None once it has joined), run and progress."""

    name: str
    kind: WorkerKind
    slot: Slot
    actor: Any
    starting: Any
    run: Any = None
    token: str = ""
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
        self._is_owner = False
        self._early_deaths = 0
        self._next_check = self._next_start = 0.0
        self._start_deadline = 0.0

    def start(self) -> None:
        """Connect and start the workers. Raises UserError if none can ever fit."""
        self._is_owner = connect(self._options)
        nodes = ray.nodes()
        self._kind = kind_of(nodes)
        if not slots(nodes, self._kind, self._options.threads):
            most = max(int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
            raise UserError(
                f"no node of the cluster has {self._options.threads} cores for a worker; "
                f"the largest has {most}; use --threads {max(1, most)} or less"
            )
        self._start_deadline = time.monotonic() + _START_SECONDS
        self._start_missing_workers(nodes)

    def assign(self, worker: str, order: Order) -> None:
        member = self._members.get(worker)
        if member is None:
            return
        if member.starting is not None or member.run is not None:
            raise FarmBug(f"{worker} was given {order.unit.name} while it was not idle")
        member.run, member.token = member.actor.run.remote(order), order.token
        self._messages.append(UnitStarted(worker, order.token))

    def poll(self, timeout: float) -> Sequence[Message]:
        """Return what happened. Raises UserError or WorkerError if no worker can start."""
        deadline = time.monotonic() + timeout
        while True:
            self._receive(0.0 if self._messages else max(0.0, deadline - time.monotonic()))
            self._check_workers()
            if self._messages or time.monotonic() >= deadline:
                messages, self._messages = self._messages, []
                return messages

    def cancel(self, worker: str) -> None:
        member = self._members.get(worker)
        if member is not None and member.run is not None:
            _control(member.actor.cancel).remote(member.token)

    def kill(self, worker: str) -> None:
        if worker in self._members:
            self._remove(self._members[worker], "the farm stopped it")

    def close(self) -> None:
        for member in self._members.values():
            _kill_actor(member)
        self._members.clear()
        if self._is_owner:
            self._is_owner = False
            ray.shutdown()

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
        members = self._members.values()
        return (
            {member.starting: (member, self._on_started) for member in members if member.starting}
            | {member.run: (member, self._on_finished) for member in members if member.run}
            | {
                member.progress: (member, self._on_progress)
                for member in members
                if member.progress
            }
        )

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
        member.starting = None
        worker = f"worker {member.name} on node {member.slot.node_name}"
        if result.refusal:
            raise UserError(f"{worker} cannot start: {result.refusal}")
        if result.inventory != self._inventory:
            raise UserError(f"{worker} {difference(result.inventory, self._inventory)}")
        self._early_deaths = 0
        self._messages.append(WorkerJoined(member.name, result.kind, member.slot.node_name))

    def _on_finished(self, member: _Member, result: Message) -> None:
        member.run = member.last_progress = None
        self._messages.append(result)

    def _on_progress(self, member: _Member, progress: UnitProgress | None) -> None:
        member.progress = None
        if not (member.run and progress) or progress.token != member.token:
            return
        if progress != member.last_progress:
            member.last_progress = progress
            self._messages.append(progress)

    def _on_error(self, member: _Member, error: RayTaskError) -> None:
        """Handle an unexpected error; workers return the expected ones as data."""
        if member.starting is not None:
            self._remove(member, f"{type(error.cause).__name__}: {error.cause}")
            return
        if member.run is None:
            raise FarmBug(f"{member.name}: {error.cause!r}") from error
        failure = Failure(Reason.BUG, repr(error.cause), traceback=str(error))
        self._on_finished(member, UnitFailed(member.name, member.token, failure))

    def _check_workers(self) -> None:
        """Check nodes and workers at intervals, ask for progress and replace lost workers."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        nodes = ray.nodes()
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        for member in list(self._members.values()):
            if member.slot.node not in alive:
                self._remove(member, f"node {member.slot.node_name} left the cluster")
            elif member.progress is None and member.starting is None:
                member.progress = _control(member.actor.progress).remote()
        self._start_missing_workers(nodes)
        self._check_start_deadline(now)

    def _start_missing_workers(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start a worker in every free slot, up to the requested number."""
        if time.monotonic() < self._next_start:
            return
        taken = {member.slot for member in self._members.values()}
        available = slots(nodes, self._kind, self._options.threads)
        free = [slot for slot in available if slot not in taken]
        limit = len(available) if self._options.workers is None else self._options.workers
        for slot in free[: max(0, limit - len(self._renderers()))]:
            self._start_member(self._kind, slot)
        if len(self._renderers()) == len(self._members):
            self._start_member("finish", _finisher_slot(nodes))

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

    def _remove(self, member: _Member, reason: str) -> None:
        del self._members[member.name]
        _kill_actor(member)
        if member.starting is None:
            self._messages.append(WorkerLost(member.name, reason))
            self._next_check = 0.0
            return
        self._early_deaths += 1
        pause = min(_LONGEST_BACK_OFF_SECONDS, _CHECK_SECONDS * 2**self._early_deaths)
        self._next_start = time.monotonic() + pause
        if self._early_deaths >= _MOST_EARLY_DEATHS and not self._has_joined():
            raise WorkerError(f"no worker can start on the cluster: {reason}")

    def _check_start_deadline(self, now: float) -> None:
        if self._has_joined():
            self._start_deadline = now + _START_SECONDS
        elif now > self._start_deadline:
            raise WorkerError(
                f"no worker started within {_START_SECONDS:.0f} s; "
                "run `ray status` to see whether the cluster has free cores or GPUs"
            )

    def _has_joined(self) -> bool:
        return any(member.starting is None for member in self._renderers())


def _finisher_slot(nodes: Sequence[Mapping[str, Any]]) -> Slot:
    """Return an extra slot on the node of this process, for the worker that finishes films."""
    own = ray.get_runtime_context().get_node_id()
    return next(Slot(own, node["NodeName"], -1) for node in nodes if node["NodeID"] == own)


def _control(method: Any) -> Any:
    return method.options(concurrency_group=_CONTROL)


def _kill_actor(member: _Member) -> None:
    with suppress(RayError, RuntimeError, ValueError):
        ray.kill(member.actor)


def _describe_loss(error: RayError, slot: Slot) -> str:
    """Return in one line why an actor died."""
    if isinstance(error, OutOfMemoryError):
        return f"node {slot.node_name} ran out of memory, so Ray killed the process"
    lines = [line.strip() for line in str(error).splitlines()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    if errors:
        return errors[-1]
    return "its process exited unexpectedly: it crashed, was killed, or ran out of memory"
