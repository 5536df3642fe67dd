"""Tells a signal from the user apart from an exception of a plugin, which may look the same."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_pass() -> Iterator[None]:
    """Raise what a signal's handler raised in the block, even if the block swallowed it.

    The block can then treat every exception as the plugin's own, KeyboardInterrupt included. A plugin
    that installs handlers of its own in the block does not keep them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the main thread
        return
    arrived: list[int] = []
    raised: list[BaseException] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    for number, handler in handlers.items():
        signal.signal(number, _noting(handler, arrived, raised))
    try:
        yield
    finally:
        if not arrived:  # a handler that was called may have chosen what a second signal does
            for number, handler in handlers.items():
                signal.signal(number, handler)
    if raised:
        raise raised[0]


def _noting(
    handler: Callable[[int, FrameType | None], Any],
    arrived: list[int],
    raised: list[BaseException],
) -> Callable[[int, FrameType | None], None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    return on_signal
