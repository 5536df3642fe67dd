"""Compute on one core beside threads that compute on more, without slowing them down."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from typing import TypeVar

import torch

T = TypeVar("T")


def take_one_core() -> None:
    """Let torch use one core in this thread, and in threads that start until the number is set again."""
    torch.get_num_threads()  # torch adopts the process's number at the first call in a thread
    torch.set_num_threads(1)


def on_one_core(compute: Callable[[], T]) -> T:
    """Return what a function returns that runs in a thread of its own, where torch uses one core.

    torch keeps the number of cores for each thread that has computed, and one for threads that start. The
    latter is changed for an instant only, and is what it was when the function begins.
    """
    cores = torch.get_num_threads()
    if cores == 1:
        return compute()
    is_inference, has_gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    is_set, is_restored, outcome = Event(), Event(), Future[T]()

    def run() -> None:
        take_one_core()
        is_set.set()
        is_restored.wait()
        try:
            with torch.inference_mode(is_inference), torch.set_grad_enabled(has_gradients):
                outcome.set_result(compute())
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            outcome.set_exception(error)

    Thread(target=run, name="farm-one-core", daemon=True).start()
    is_set.wait()
    torch.set_num_threads(cores)
    is_restored.set()
    return outcome.result()
