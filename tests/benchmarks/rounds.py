"""Time several things side by side: in turn, round by round, so that drift hits them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def time_in_turn(things: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return seconds of each thing in each round, after one warm-up that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for turn in range(rounds + 1):
        for name, run in things.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the ratios round by round."""
    return median(a / b for a, b in zip(over, under, strict=True))
