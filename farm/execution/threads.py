"""Executors whose workers are threads of this process, including the reference executor."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from farm.errors import FarmBug, WorkerDied
from farm.execution.finishing import Finisher
from farm.execution.heap import keep_freed_memory
from farm.execution.runner import Runner
from farm.execution.worker import Worker, attempt
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.model.messages import (
    Message,
    Order,
    Room,
    TrainingFigures,
    UnitProgress,
    UnitStarted,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
)

__all__ = ["LocalExecutor", "ThreadExecutor"]

MakeRunner = Callable[[], tuple[Runner, WorkerKind, str]]
"""Creates a runner, in the thread that will use it; returns it with its kind and its device."""


class ThreadExecutor(Executor):
    """Workers in threads of this process, one per role, and one that finishes films.

    makers: how to create each runner, by role. A thread cannot be killed: kill() asks its unit to
    stop, ignores all further messages from the thread, and starts another one in its place. close()
    waits until the units have stopped, however long an effect goes without reporting progress.
    """

    def __init__(self, makers: Mapping[str, MakeRunner]) -> None:
        self._makers = {**makers, "finish": _make_finisher}
        # A SimpleQueue would wait for ever if a signal arrived as its timeout ran out (CPython 3.11).
        self._messages: queue.Queue[Message | BaseException] = queue.Queue()
        self._started = 0
        self._workers: dict[str, _WorkerThread] = {}

    def start(self) -> None:
        self._messages.put(Room(len(self._makers) - 1))
        for role, make in self._makers.items():
            self._start(role, make)

    def _start(self, role: str, make: MakeRunner) -> None:
        self._started += 1
        name = f"{role}-{self._started}"
        self._workers[name] = _WorkerThread(name, make, self._messages.put)

    def assign(self, workers: Sequence[str], order: Order) -> None:
        (worker,) = workers
        if worker in self._workers:
            self._workers[worker].assign(order)

    def poll(self, timeout: float) -> Sequence[Message]:
        messages: list[Message] = []
        try:
            _add(messages, self._messages.get(timeout=timeout))
            while True:
                _add(messages, self._messages.get_nowait())
        except queue.Empty:
            return messages

    def cancel(self, worker: str, token: str) -> None:
        if worker in self._workers:
            self._workers[worker].cancel(token)

    def kill(self, worker: str) -> None:
        if worker in self._workers:
            killed = self._workers.pop(worker)
            killed.abandon()
            self._messages.put(WorkerLost(worker, "the farm stopped it"))
            self._start(worker.partition("-")[0], killed.make)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


class LocalExecutor(ThreadExecutor):
    """The reference executor: one worker that renders, and one that finishes films."""

    def __init__(self, registry: Registry) -> None:
        keep_freed_memory()

        def make() -> tuple[Runner, WorkerKind, str]:
            from farm.engine.rendered import device_kind

            worker = Worker(registry)
            kind: WorkerKind = "gpu" if worker.device.startswith("cuda") else "cpu"
            return worker, kind, device_kind(worker.device)

        super().__init__({"local": make})


def _add(messages: list[Message], item: Message | BaseException) -> None:
    """Append a message, or raise an error. Keep only the last of successive progress reports."""
    if isinstance(item, BaseException):
        raise item
    if isinstance(item, UnitProgress) and messages and isinstance(messages[-1], UnitProgress):
        messages.pop()
    messages.append(item)


def _make_finisher() -> tuple[Runner, WorkerKind, str]:
    return Finisher(), "finish", ""


class _WorkerThread:
    """A worker in a thread, which sends messages until it is abandoned."""

    def __init__(
        self,
        name: str,
        make: MakeRunner,
        put: Callable[[Message | BaseException], None],
    ) -> None:
        self.name = name
        self.make, self._put = make, put
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._is_busy = False
        self._token = ""
        self._cancelled = threading.Event()
        self._is_abandoned, self._lock = False, threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"farm-{name}", daemon=True)
        self._thread.start()

    def assign(self, order: Order) -> None:
        if self._is_busy:
            raise FarmBug(f"{self.name} was given {order.unit.name} while it had another order")
        self._is_busy, self._token = True, order.token
        self._cancelled.clear()
        self._orders.put(order)

    def cancel(self, token: str) -> None:
        if token == self._token:
            self._cancelled.set()

    def abandon(self) -> None:
        """Ask the thread to end, and send no more messages from it."""
        with self._lock:
            self._is_abandoned = True
        self._cancelled.set()
        self._orders.put(None)

    def close(self) -> None:
        self.abandon()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - poll() raises it
            self._send(error)
        except BaseException as error:  # noqa: BLE001 - poll() must not end the whole process
            self._send(WorkerDied(self.name, f"{type(error).__name__}: {error}"))

    def _serve(self) -> None:
        runner, kind, device = self.make()
        self._send(WorkerJoined(self.name, kind, device=device))
        while order := self._orders.get():
            self._run(runner, order)
        runner.close()

    def _run(self, runner: Runner, order: Order) -> None:
        self._send(UnitStarted(self.name, order.token))

        def report(
            done: float, note: str, tiles: int, training: TrainingFigures | None = None
        ) -> None:
            self._send(UnitProgress(self.name, order.token, done, note, tiles, training))

        result = attempt(runner, self.name, order, report, self._cancelled.is_set)
        self._is_busy = False
        self._send(result)

    def _send(self, message: Message | BaseException) -> None:
        with self._lock:
            if not self._is_abandoned:
                self._put(message)
