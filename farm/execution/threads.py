"""Executors whose workers are threads of this process; the reference one among them."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from farm.errors import FarmBug
from farm.execution.finishing import Finisher
from farm.execution.worker import Runner, Worker, attempt
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.model.messages import (
    Message,
    Order,
    UnitProgress,
    UnitStarted,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
)

__all__ = ["LocalExecutor", "ThreadExecutor"]

Make = Callable[[], tuple[Runner, WorkerKind]]
"""Makes who runs orders, in the thread that does."""


class ThreadExecutor(Executor):
    """Workers in threads of this process, one of each role, and one that finishes films.

    makers: who works, by role. A thread cannot be ended: kill() asks its unit to stop and lets the
    thread run out unheard, while another takes its place. close() waits for the unit to notice; an
    effect that never reports progress is waited for.
    """

    def __init__(self, makers: Mapping[str, Make]) -> None:
        self._makers = {**makers, "finish": _make_finisher}
        self._messages: queue.SimpleQueue[Message | BaseException] = queue.SimpleQueue()
        self._started = 0
        self._members: dict[str, _Member] = {}

    def start(self) -> None:
        for role, make in self._makers.items():
            self._start(role, make)

    def _start(self, role: str, make: Make) -> None:
        self._started += 1
        name = f"{role}-{self._started}"
        self._members[name] = _Member(name, make, self._messages.put)

    def assign(self, worker: str, order: Order) -> None:
        if worker in self._members:
            self._members[worker].assign(order)

    def poll(self, timeout: float) -> Sequence[Message]:
        messages: list[Message] = []
        try:
            _add(messages, self._messages.get(timeout=timeout))
            while True:
                _add(messages, self._messages.get_nowait())
        except queue.Empty:
            return messages

    def cancel(self, worker: str) -> None:
        if worker in self._members:
            self._members[worker].cancel()

    def kill(self, worker: str) -> None:
        if worker in self._members:
            member = self._members.pop(worker)
            member.abandon()
            self._messages.put(WorkerLost(worker, "it was told to end"))
            self._start(worker.partition("-")[0], member.make)

    def close(self) -> None:
        for member in self._members.values():
            member.close()
        self._members.clear()


class LocalExecutor(ThreadExecutor):
    """The reference executor: one worker, for one frame at a time, and one that finishes films."""

    def __init__(self, registry: Registry, threads: int) -> None:
        def make() -> tuple[Runner, WorkerKind]:
            worker = Worker(registry, None, threads)
            return worker, "gpu" if worker.device.startswith("cuda") else "cpu"

        super().__init__({"local": make})


def _add(messages: list[Message], item: Message | BaseException) -> None:
    """Add what happened; of one unit's progress in a row only the last counts."""
    if isinstance(item, BaseException):
        raise item
    if isinstance(item, UnitProgress) and messages and isinstance(messages[-1], UnitProgress):
        messages.pop()
    messages.append(item)


def _make_finisher() -> tuple[Runner, WorkerKind]:
    return Finisher(), "finish"


class _Member:
    """A thread with a worker in it, that says what happens until it is abandoned."""

    def __init__(
        self,
        name: str,
        make: Make,
        say: Callable[[Message | BaseException], None],
    ) -> None:
        self.name = name
        self.make, self._say_aloud = make, say
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._is_busy = False
        self._cancelled = threading.Event()
        self._is_heard, self._speaking = True, threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"farm-{name}", daemon=True)
        self._thread.start()

    def assign(self, order: Order) -> None:
        if self._is_busy:
            raise FarmBug(f"{self.name} was given {order.unit.name} while it had another order")
        self._is_busy = True
        self._cancelled.clear()
        self._orders.put(order)

    def cancel(self) -> None:
        self._cancelled.set()

    def abandon(self) -> None:
        """Ask the thread to end and hear nothing more of it."""
        with self._speaking:
            self._is_heard = False
        self._cancelled.set()
        self._orders.put(None)

    def close(self) -> None:
        self.abandon()
        self._thread.join()

    def _work(self) -> None:
        try:
            runner, kind = self.make()
        except Exception as error:  # noqa: BLE001 - poll() raises it
            self._say(error)
            return
        self._say(WorkerJoined(self.name, kind))
        while order := self._orders.get():
            self._run(runner, order)
        runner.close()

    def _run(self, runner: Runner, order: Order) -> None:
        self._say(UnitStarted(self.name, order.token))

        def report(done: float, note: str, tiles: int) -> None:
            self._say(UnitProgress(self.name, order.token, done, note, tiles))

        end = attempt(runner, self.name, order, report, self._cancelled.is_set)
        self._is_busy = False
        self._say(end)

    def _say(self, message: Message | BaseException) -> None:
        with self._speaking:
            if self._is_heard:
                self._say_aloud(message)
