"""A worker of the pool: an actor on a node, and the calls to it that are not answered yet."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import OutOfMemoryError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from farm.host.executor import ExecutorOptions
from farm.model.messages import UnitProgress, WorkerKind
from farm_cluster.actor import FarmActor
from farm_cluster.attempt import Attempt
from farm_cluster.session import worker_environment
from farm_cluster.slots import Slot

__all__ = ["Member", "control", "describe_loss", "start_actor"]

_CONTROL: Final = "control"
"""Concurrency group of the methods that run alongside an order."""


@dataclass(eq=False)
class Member:
    """A worker with its actor.

    Calls that are not answered: starting, looking, meeting, running and pinging. attempt: the one
    that it holds. part: the one that its process still works on, which may be over already; after
    deadline, the process is restarted. folders: where it found a mark. alive: when it last answered.
    """

    name: str
    kind: WorkerKind
    slot: Slot
    actor: Any
    starting: Any
    has_joined: bool = False
    looking: Any = None
    meeting: Any = None
    running: Any = None
    pinging: Any = None
    attempt: Attempt | None = None
    part: Attempt | None = None
    deadline: float = inf
    folders: set[Path] = field(default_factory=set)
    last_progress: UnitProgress | None = None
    alive: float = -inf

    @property
    def is_ready(self) -> bool:
        """Whether its process can begin an attempt."""
        return not (self.starting or self.looking or self.meeting or self.running)

    @property
    def is_idle(self) -> bool:
        """Whether it holds nothing, and its process does nothing."""
        return self.has_joined and self.is_ready and self.attempt is None

    def replace_actor(self, actor: Any) -> None:
        """Go on under the same name with another process, and forget the calls to this one."""
        self.end()
        self.actor, self.starting = actor, actor.start.remote()
        self.looking = self.meeting = self.running = self.pinging = self.part = None
        self.deadline = inf

    def end(self) -> None:
        """Kill the actor."""
        with suppress(RayError, RuntimeError, ValueError):
            ray.kill(self.actor)


def start_actor(name: str, kind: WorkerKind, slot: Slot, options: ExecutorOptions) -> Any:
    """Start the process of a worker in a slot. Ray never restarts it."""
    threads, folder = options.threads, options.plugins_dir
    variables = worker_environment(options.address)
    remote = ray.remote(
        num_cpus=threads if kind == "cpu" else 0,
        num_gpus=1 if kind == "gpu" else 0,
        max_restarts=0,
        max_task_retries=0,
        concurrency_groups={_CONTROL: 1},
        scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
        runtime_env={"env_vars": variables} if variables else None,
    )(FarmActor)
    plugins = str(folder.absolute()) if folder else None
    return remote.remote(name, kind, threads, plugins, slot.host)


def control(method: Callable[..., Any]) -> Any:
    """Return a method of an actor that is answered also while an order runs."""
    return method.options(concurrency_group=_CONTROL)  # type: ignore[attr-defined]


def describe_loss(error: RayError, slot: Slot) -> str:
    """Return in one line why an actor died."""
    if isinstance(error, OutOfMemoryError):
        return f"node {slot.node_name} ran out of memory, so Ray killed the process"
    lines = [line.strip() for line in str(error).splitlines()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    if errors:
        return errors[-1]
    return "its process exited unexpectedly: it crashed, was killed, or ran out of memory"
