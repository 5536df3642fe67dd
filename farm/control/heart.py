"""Signs of life while the control loop waits for something long, such as a large film or a remote storage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from farm.errors import FarmError
from farm.process import BEAT_SECONDS

__all__ = ["beating"]


@contextmanager
def beating(beat: Callable[[], None], seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Call a function from another thread during the block, every so many seconds.

    Errors of the farm that it raises are ignored: the control loop will meet them too.
    """
    is_over = Event()

    def repeat() -> None:
        while not is_over.wait(seconds):
            with suppress(FarmError):
                beat()

    thread = Thread(target=repeat, name="farm-heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
