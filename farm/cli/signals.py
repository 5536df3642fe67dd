"""End the command when the user or the system asks for it: Ctrl-C, SIGTERM and SIGHUP.

The first signal ends the command at once, or a running job in order. A second one ends the
process, unless it comes with the first: timeout(1) and service managers signal a process and then
its whole group. A signal that is ignored, as by nohup or for background jobs of scripts, stays
ignored.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

REPEAT_SECONDS: Final = 0.5
"""How long after the first signal others count as the same one."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end: ``Interrupted(number)``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        by = "" if self.number == signal.SIGINT else f" by {signal.Signals(self.number).name}"
        return f"interrupted{by}"


class Signals:
    """The signal that arrived, if any, and what it does. Use it in the main thread only."""

    def __init__(self) -> None:
        self.arrived: Interrupted | None = None
        self._handled: list[int] = []
        self._is_deferred = False

    def handle(self) -> None:
        """Let a signal raise Interrupted from now on."""
        self._handled = [n for n in _SIGNALS if signal.getsignal(n) not in {signal.SIG_IGN, None}]
        for number in self._handled:
            signal.signal(number, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        """Yield a function that returns whether a signal has arrived.

        From its first call until the block ends, a signal raises nothing.
        """

        def has_arrived() -> bool:
            self._is_deferred = True
            return self.arrived is not None

        try:
            yield has_arrived
        finally:
            self._is_deferred = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.arrived is not None:
            return
        self.arrived = Interrupted(number)
        time.sleep(REPEAT_SECONDS)
        for each in self._handled:
            signal.signal(each, signal.SIG_DFL)
        if not self._is_deferred:
            raise self.arrived


signals: Final = Signals()
"""The signals of this process."""
