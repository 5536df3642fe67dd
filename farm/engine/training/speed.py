"""How fast a run trains, and how long it will still take."""

from collections import deque
from time import monotonic
from typing import Final

_SPAN: Final = 50
"""Steps that the speed is averaged over."""


class Speed:
    """Measures a run's speed over its latest steps, checkpoints included."""

    def __init__(self) -> None:
        self._times = deque([monotonic()], _SPAN + 1)

    def tick(self) -> None:
        """Count a step."""
        self._times.append(monotonic())

    def describe(self, steps_left: int, batch: int) -> str:
        """Return the speed and the time left: ``2.1 steps/s, 67 pictures/s, 1:02:10 left``."""
        seconds = self._times[-1] - self._times[0]
        rate = (len(self._times) - 1) / max(seconds, 1e-9)
        left = duration(steps_left / rate)
        return f"{per_second(rate)} steps/s, {per_second(rate * batch)} pictures/s, {left} left"


def per_second(count: float) -> str:
    """Return a speed with three digits, or as a whole number: 0.052, 2.13, 3,150."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"


def duration(seconds: float) -> str:
    """Return a duration as minutes or hours: 0:05, 12:00, 1:02:10."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
