"""Waits for the farm without a thread, of which there are few for all requests."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ["wait_done"]

T = TypeVar("T")


async def wait_done(answer: Future[T], seconds: float) -> None:
    """Wait until a future of another thread is done, at most for this long."""
    loop, is_done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_answer: Future[T]) -> None:
        with suppress(RuntimeError):  # nobody waits any more: the service has ended
            loop.call_soon_threadsafe(is_done.set)

    answer.add_done_callback(tell)
    with suppress(TimeoutError):
        await asyncio.wait_for(is_done.wait(), seconds)
