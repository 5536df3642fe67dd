"""Compute outside the workers without slowing them down."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

__all__ = ["in_own_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def in_own_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, so that each call runs in a thread that ends with it.

    OpenMP keeps a team of threads for every thread that has computed, for as long as that thread
    lives. If there are more of them than cores, teams sleep between their steps instead of
    spinning, and a worker in the same process takes up to twice as long. An interrupt reaches the
    caller at once; the thread then ends with the process.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        outcome: Future[T] = Future()

        def call() -> None:
            try:
                outcome.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                outcome.set_exception(error)

        thread = Thread(target=call, name="farm-compute", daemon=True)
        thread.start()
        try:
            return outcome.result()
        finally:
            if outcome.done():
                thread.join()

    return run
