"""Time several functions in turn, round by round, so that drift affects all equally."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def time_in_turn(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each function in each round, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, run in functions.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return median(a / b for a, b in zip(over, under, strict=True))
