"""Keeps encoders from taking real-time priority.

SVT-AV1 takes it whenever root encodes, for the thread that opens the encoder and for its own. Real-time
threads run before all others, and so do the processes that they start: the rest of the machine stands still.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ordinary_priority"]


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Take real-time priority from every thread of this process after the block.

    Does nothing if the caller had it before, or where the system does not know threads by number.
    """
    if not hasattr(os, "sched_getscheduler") or _is_real_time(0):
        yield
        return
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in _threads():
            with suppress(OSError):  # it has ended
                if _is_real_time(thread):
                    os.sched_setscheduler(thread, before, parameters)


def _is_real_time(thread: int) -> bool:
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK in {os.SCHED_FIFO, os.SCHED_RR}


def _threads() -> list[int]:
    tasks = Path("/proc/self/task")
    return [int(path.name) for path in tasks.iterdir()] if tasks.is_dir() else [0]
