"""What the control loop is asked to do, from any thread."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

from farm.errors import UserError

__all__ = ["Inbox"]

T = TypeVar("T")

Call = Callable[[], object]


class Inbox:
    """Calls that wait for the control loop, in the order in which they were made."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Call, Future[Any] | None]] = deque()
        self._is_closed, self._lock = False, Lock()

    @property
    def is_empty(self) -> bool:
        return not self._calls

    def ask(self, call: Callable[[], T]) -> Future[T]:
        """Let the loop make a call, and return its result to come."""
        answer: Future[T] = Future()
        self.post(lambda: answer.set_result(call()), answer)
        return answer

    def post(self, call: Call, answer: Future[Any] | None = None) -> bool:
        """Let the loop make a call; return False if it has ended.

        answer: fails if the call fails. Nobody can cancel it any more: what was asked is done.
        """
        if answer is not None:
            answer.set_running_or_notify_cancel()
        with self._lock:
            if not self._is_closed:
                self._calls.append((call, answer))
                return True
        _refuse(answer)
        return False

    def empty(self) -> None:
        """Make the calls that wait. Only the loop's thread does.

        An error that the one who asked can fix goes to its answer alone; any other is raised too.
        """
        while self._calls:
            call, answer = self._calls.popleft()
            try:
                call()
            except BaseException as error:
                if answer is not None:
                    answer.set_exception(error)
                if answer is None or not isinstance(error, UserError):
                    raise

    def close(self) -> None:
        """Refuse what still waits, and whatever is asked from now on."""
        with self._lock:
            self._is_closed = True
        while self._calls:
            _refuse(self._calls.popleft()[1])


def _refuse(answer: Future[Any] | None) -> None:
    if answer is not None:
        answer.set_exception(UserError("the farm has stopped; start it and ask again"))
