"""Tells the autoscaler of a cluster how many workers the farm wants, and lets idle ones go.

A cluster without an autoscaler stays as it is, and keeps all its workers. Raising the demand takes
effect at once; lowering it, when it has stayed low for a minute.
"""

import json
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Final, final

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from farm.host.executor import ExecutorOptions
from farm_cluster.member import Member
from farm_cluster.slots import WORKERS_PER_FINISHER, Kind

__all__ = ["Demand", "has_autoscaler"]

_IDLE_SECONDS: Final = 60.0
"""How long workers stay that the farm does not need."""

_STATUS: Final = "__autoscaling_status"
_FIXED: Final = "node_"
"""How the types of nodes begin that no autoscaler has started."""


@final
class Demand:
    """How many rendering workers the farm wants on a cluster that can grow.

    limit: the most that there should be; None where the cluster stays as it is.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        self.can_grow = False
        self.limit: int | None = None
        self._options = options
        self._bundle: dict[str, int] = {}
        self._peak, self._peak_ends = 0, 0.0
        self._wanted = self._requested = 0

    def begin(self, kind: Kind) -> None:
        """Look for an autoscaler on the cluster that this process is connected to now."""
        self.can_grow = self._options.address is not None and has_autoscaler()
        self._bundle = {"GPU": 1} if kind == "gpu" else {"CPU": self._options.threads}

    def want(self, workers: int) -> None:
        """Take note of how many workers the units that run or wait could use."""
        most = self._options.workers
        self._wanted = workers if most is None else min(workers, most)
        self.update()

    def update(self) -> None:
        """Raise or lower the limit, and tell the autoscaler. Does nothing before want()."""
        if not self.can_grow or (self.limit is None and not self._wanted):
            return
        now = time.monotonic()
        if self._wanted >= (self.limit or 0):
            self.limit = self._wanted
            self._peak, self._peak_ends = 0, now + _IDLE_SECONDS
        elif now >= self._peak_ends:
            self.limit = max(self._peak, self._wanted)
            self._peak, self._peak_ends = 0, now + _IDLE_SECONDS
        self._peak = max(self._peak, self._wanted)
        self._request(self.limit or 0)

    def surplus(self, members: Collection[Member]) -> list[Member]:
        """Return idle workers beyond the limit, node by node so that whole nodes become free."""
        if self.limit is None:
            return []
        finishers = max(1, self.limit // WORKERS_PER_FINISHER)
        return [
            *_idle_beyond(self.limit, [m for m in members if m.kind != "finish"]),
            *_idle_beyond(finishers, [m for m in members if m.kind == "finish"]),
        ]

    def close(self) -> None:
        """Withdraw the request, so that the cluster can shrink."""
        self._request(0)

    def _request(self, workers: int) -> None:
        if workers == self._requested:
            return
        with suppress(RayError, RuntimeError, OSError):
            request_resources(bundles=[self._bundle] * workers)
            self._requested = workers


def has_autoscaler() -> bool:
    """Return whether something starts and ends nodes of the cluster that this process is connected to."""
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    with suppress(RayError, RuntimeError, OSError, ValueError):
        return any(not name.startswith(_FIXED) for name in _node_types(is_v2=is_autoscaler_v2()))
    return False


def _node_types(*, is_v2: bool) -> Iterable[str]:
    """Return the types of nodes that the autoscaler has reported."""
    if is_v2:
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        nodes = (*status.active_nodes, *status.idle_nodes)
        return [node.ray_node_type_name for node in nodes]
    from ray.experimental.internal_kv import _internal_kv_get

    status = json.loads(_internal_kv_get(_STATUS) or b"{}")
    report: dict[str, Any] = status.get("autoscaler_report") or {}
    return [str(name) for name in (report.get("node_type_mapping") or {}).values()]


def _idle_beyond(limit: int, members: list[Member]) -> list[Member]:
    idle = [member for member in members if member.is_idle]
    idle.sort(key=lambda member: (-member.slot.index, member.slot.node), reverse=True)
    return idle[: max(0, len(members) - limit)]
