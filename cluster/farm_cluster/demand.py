"""Tells the autoscaler of a cluster how many workers the farm wants, and lets idle ones go.

A cluster without an autoscaler stays as it is, and keeps all its workers.
"""

import time
from collections.abc import Iterable
from typing import Any, Final, final

from farm.host.executor import ExecutorOptions
from farm_cluster.member import Member
from farm_cluster.slots import Kind

__all__ = ["Demand"]

_IDLE_SECONDS: Final = 60.0
"""How long workers stay that the farm does not need, on a cluster that can grow again."""


@final
class Demand:
    def __init__(self, options: ExecutorOptions, kind: Kind) -> None:
        self.can_grow = self.may_grow = False
        self.limit: int | None = None

    def want(self, workers: int) -> None:
        pass

    def close(self) -> None:
        pass

    def surplus(self, members: Iterable[Member]) -> list[Member]:
        return []
