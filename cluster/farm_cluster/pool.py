"""The pool: one actor for each GPU, or for each so many cores, and one that finishes films.

Decides no retries. An actor is never restarted by Ray: it is lost, and another one joins.
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
from farm_cluster.actor import FarmActor, Hello
from farm_cluster.inventory import difference, inventory
from farm_cluster.session import connect, worker_environment
from farm_cluster.slots import Kind, Slot, kind_of, slots

__all__ = ["RayPool"]

_TEND_SECONDS: Final = 0.5
"""Between two looks at the nodes and at every worker's progress."""

_START_SECONDS: Final = 180.0
"""How long no worker at all may be ready before the pool gives up."""

_MOST_EARLY_DEATHS: Final = 3
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_NAMES: Final[dict[WorkerKind, str]] = {"cpu": "ray", "gpu": "ray", "finish": "finish"}
_CONTROL: Final = "control"
"""Concurrency group of the methods that answer while an order runs."""


@dataclass
class _Member:
    """An actor and what is awaited of it. hello: None once it has joined."""

    name: str
    kind: WorkerKind
    slot: Slot
    actor: Any
    hello: Any
    run: Any = None
    token: str = ""
    ping: Any = None
    seen: UnitProgress | None = None


@final
class RayPool(Executor):
    """Workers on a Ray cluster. Used by one thread.

    Where the process is connected to a cluster already, the pool uses that one and leaves it
    running. All workers compute on one kind of device: GPUs if the cluster has any at the start.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        self._options = options
        self._inventory = inventory(Registry.load(options.plugins_dir))
        self._numbers = count(1)
        self._members: dict[str, _Member] = {}
        self._news: list[Message] = []
        self._kind: Kind = "cpu"
        self._is_owner = False
        self._early_deaths = 0
        self._next_tend = self._next_start = 0.0
        self._give_up = 0.0

    def start(self) -> None:
        """Connect and start the workers. Raises UserError where none would ever fit."""
        self._is_owner = connect(self._options)
        nodes = ray.nodes()
        self._kind = kind_of(nodes)
        if not slots(nodes, self._kind, self._options.threads):
            most = max(int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
            raise UserError(
                f"no node of the cluster has {self._options.threads} cores for a worker; "
                f"the largest has {most}: give --threads {max(1, most)} or less"
            )
        self._give_up = time.monotonic() + _START_SECONDS
        self._populate(nodes)

    def assign(self, worker: str, order: Order) -> None:
        member = self._members.get(worker)
        if member is None:
            return
        if member.hello is not None or member.run is not None:
            raise FarmBug(f"{worker} was given {order.unit.name} while it was not idle")
        member.run, member.token = member.actor.run.remote(order), order.token
        self._news.append(UnitStarted(worker, order.token))

    def poll(self, timeout: float) -> Sequence[Message]:
        """Return what happened. Raises UserError or WorkerError where no worker can start."""
        deadline = time.monotonic() + timeout
        while True:
            self._settle(0.0 if self._news else max(0.0, deadline - time.monotonic()))
            self._tend()
            if self._news or time.monotonic() >= deadline:
                news, self._news = self._news, []
                return news

    def cancel(self, worker: str) -> None:
        member = self._members.get(worker)
        if member is not None and member.run is not None:
            _control(member.actor.cancel).remote(member.token)

    def kill(self, worker: str) -> None:
        if worker in self._members:
            self._lose(self._members[worker], "it was told to end")

    def close(self) -> None:
        for member in self._members.values():
            _end(member)
        self._members.clear()
        if self._is_owner:
            self._is_owner = False
            ray.shutdown()

    def _settle(self, seconds: float) -> None:
        """Wait for the first answer and take all that are there, results before pings."""
        awaited = self._awaited()
        seconds = min(seconds, _TEND_SECONDS)
        if not awaited:
            time.sleep(seconds)
            return
        ray.wait(list(awaited), num_returns=1, timeout=seconds, fetch_local=False)
        ready, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        for ref in ready:
            member, take = awaited[ref]
            if member.name in self._members:
                self._take(member, take, ref)

    def _awaited(self) -> dict[Any, tuple[_Member, "Callable[[_Member, Any], None]"]]:
        members = self._members.values()
        return (
            {member.hello: (member, self._greet) for member in members if member.hello}
            | {member.run: (member, self._finish) for member in members if member.run}
            | {member.ping: (member, self._hear) for member in members if member.ping}
        )

    def _take(self, member: _Member, take: "Callable[[_Member, Any], None]", ref: Any) -> None:
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            self._fail(member, error)
        except RayError as error:
            self._lose(member, _told(error, member.slot))
        else:
            take(member, answer)

    def _greet(self, member: _Member, hello: Hello) -> None:
        member.hello = None
        where = f"worker {member.name} on node {member.slot.node_name}"
        if hello.refusal:
            raise UserError(f"{where} cannot work: {hello.refusal}")
        if hello.inventory != self._inventory:
            raise UserError(f"{where} {difference(hello.inventory, self._inventory)}")
        self._early_deaths = 0
        self._news.append(WorkerJoined(member.name, hello.kind, member.slot.node_name))

    def _finish(self, member: _Member, end: Message) -> None:
        member.run = member.seen = None
        self._news.append(end)

    def _hear(self, member: _Member, progress: UnitProgress | None) -> None:
        member.ping = None
        if member.run and progress and progress.token == member.token and progress != member.seen:
            member.seen = progress
            self._news.append(progress)

    def _fail(self, member: _Member, error: RayTaskError) -> None:
        """Take an error that no worker raised on purpose: they return theirs as data."""
        if member.hello is not None:
            self._lose(member, f"{type(error.cause).__name__}: {error.cause}")
            return
        if member.run is None:
            raise FarmBug(f"{member.name}: {error.cause!r}") from error
        failure = Failure(Reason.BUG, repr(error.cause), traceback=str(error))
        self._finish(member, UnitFailed(member.name, member.token, failure))

    def _tend(self) -> None:
        """Look after nodes, workers and their progress, now and then."""
        now = time.monotonic()
        if now < self._next_tend:
            return
        self._next_tend = now + _TEND_SECONDS
        nodes = ray.nodes()
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        for member in list(self._members.values()):
            if member.slot.node not in alive:
                self._lose(member, f"node {member.slot.node_name} is gone")
            elif member.ping is None and member.hello is None:
                member.ping = _control(member.actor.progress).remote()
        self._populate(nodes)
        self._check_hope(now)

    def _populate(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start a worker in every free place, up to the number asked for."""
        if time.monotonic() < self._next_start:
            return
        taken = {member.slot for member in self._members.values()}
        found = slots(nodes, self._kind, self._options.threads)
        free = [slot for slot in found if slot not in taken]
        limit = len(found) if self._options.workers is None else self._options.workers
        for slot in free[: max(0, limit - len(self._renderers()))]:
            self._start_member(self._kind, slot)
        if len(self._renderers()) == len(self._members):
            self._start_member("finish", _own_place(nodes))

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
        self._members[name] = _Member(name, kind, slot, actor, hello=actor.hello.remote())

    def _lose(self, member: _Member, reason: str) -> None:
        del self._members[member.name]
        _end(member)
        if member.hello is None:
            self._news.append(WorkerLost(member.name, reason))
            self._next_tend = 0.0
            return
        self._early_deaths += 1
        pause = min(_LONGEST_BACK_OFF_SECONDS, _TEND_SECONDS * 2**self._early_deaths)
        self._next_start = time.monotonic() + pause
        if self._early_deaths >= _MOST_EARLY_DEATHS and not self._has_joined():
            raise WorkerError(f"no worker can start on the cluster: {reason}")

    def _check_hope(self, now: float) -> None:
        if self._has_joined():
            self._give_up = now + _START_SECONDS
        elif now > self._give_up:
            raise WorkerError(
                f"no worker was ready within {_START_SECONDS:.0f} s; "
                "are the cluster's cores or GPUs taken? see `ray status`"
            )

    def _has_joined(self) -> bool:
        return any(member.hello is None for member in self._renderers())


def _own_place(nodes: Sequence[Mapping[str, Any]]) -> Slot:
    """Return the place of the worker that finishes: this process's node, beside all others."""
    own = ray.get_runtime_context().get_node_id()
    return next(Slot(own, node["NodeName"], -1) for node in nodes if node["NodeID"] == own)


def _control(method: Any) -> Any:
    return method.options(concurrency_group=_CONTROL)


def _end(member: _Member) -> None:
    with suppress(RayError, RuntimeError, ValueError):
        ray.kill(member.actor)


def _told(error: RayError, slot: Slot) -> str:
    """Say in one line why an actor is gone."""
    if isinstance(error, OutOfMemoryError):
        return f"node {slot.node_name} ran out of memory, and Ray ended the process"
    lines = [line.strip() for line in str(error).splitlines()]
    raised = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    if raised:
        return raised[-1]
    return "its process ended unexpectedly: it crashed, was killed, or ran out of memory"
