"""Workers of a private cluster that run orders alone or together, for benchmarks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from farm.host.executor import Executor, ExecutorOptions
from farm.model.messages import (
    Figures,
    Order,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm_cluster import make_pool


class Workers:
    """The workers of a pool."""

    def __init__(self, pool: Executor, count: int) -> None:
        self._pool, self._names = pool, []
        while len(self._names) < count:
            joined = [m for m in pool.poll(1.0) if isinstance(m, WorkerJoined)]
            self._names += [message.worker for message in joined if message.kind != "finish"]

    def run(
        self,
        order: Order,
        workers: int,
        look: Callable[[UnitProgress], object] = lambda _: None,
    ) -> Figures:
        """Run an order on this many of the workers; return what it cost. look: at its progress.

        Raises RuntimeError if it fails.
        """
        self._pool.assign(self._names[:workers], order)
        while True:
            for message in self._pool.poll(1.0):
                if isinstance(message, UnitProgress):
                    look(message)
                elif isinstance(message, UnitSucceeded):
                    return message.figures
                elif isinstance(message, UnitFailed | WorkerLost):
                    raise RuntimeError(f"the order failed: {message}")  # noqa: TRY004 - no wrong type

    def deal(self, orders: Sequence[Order], workers: int) -> None:
        """Run orders on this many workers, one at a time on each. Raises RuntimeError if one fails."""
        waiting, running = list(orders), 0
        idle = self._names[:workers]
        while waiting or running:
            while waiting and idle:
                self._pool.assign([idle.pop()], waiting.pop(0))
                running += 1
            for message in self._pool.poll(1.0):
                if isinstance(message, UnitSucceeded):
                    idle.append(message.worker)
                    running -= 1
                elif isinstance(message, UnitFailed | WorkerLost):
                    raise RuntimeError(f"an order failed: {message}")  # noqa: TRY004 - no wrong type


@contextmanager
def private_pool(options: ExecutorOptions) -> Iterator[Workers]:
    """Start a private cluster with these workers."""
    pool = make_pool(options)
    try:
        pool.start()
        yield Workers(pool, options.workers or 1)
    finally:
        pool.close()
