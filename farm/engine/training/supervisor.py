"""Watches the loss of a run, and corrects a learning rate that is far too high or too low.

The rule is that of the Caffe users who fine-tuned networks for dreams in 2015. In the first 1000
steps, a loss that rises means a fifth of the rate, and a loss that is stuck means five times the
rate; if neither helps, the pictures are the problem.
Differs: it compares medians against the noise of the loss, goes back to the state before the
loss rose, tries no rate twice, and goes on watching for a rise after the first steps.
"""

from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from math import isfinite, log, sqrt
from statistics import fmean, median
from typing import Any, Final

from farm.engine.training.rates import Decision

KEY: Final = "rate"
"""Where the supervisor's state is in the memory of a run."""

FACTOR: Final = 5.0

_START: Final = 10
"""Steps whose median is the loss at the start of a run."""

_RISE: Final = 0.1
"""Least rise that counts, as a share of the loss at the start of the run."""

_LEAP: Final = 2.0
"""Least rise in the first window that counts, as a multiple of the loss at the start."""

_NOISE: Final = 7.0
"""Least rise that counts, in standard errors of a window's mean: 5, for a difference of two."""

_PROGRESS: Final = 0.05
"""Least fall of the loss, as a share of it, without which it is stuck."""

_DOUBT: Final = 4.0
"""Least fall as well, in standard errors of the loss at the start, which is a median."""

_SPIKE: Final = 1.25
"""A loss that is stuck, after a window at so many times its start, has diverged."""

_LEARNT: Final = 0.05
"""A loss below this share of the run's first one has little left to fall by."""

_NOTHING: Final = 1e-3
"""Nor has a loss below this."""

Memory = MutableMapping[str, Any]


def rate_factor(memory: Memory) -> float:
    """Return what to multiply the run's learning rate by."""
    return float(memory[KEY]["factor"]) if KEY in memory else 1.0


@dataclass(frozen=True)
class RateSupervisor:
    """Divides the rate by 5 when the loss rises, and multiplies it by 5 when the loss is stuck.

    first: steps after which a loss that has not fallen counts as stuck. tries: decisions in a row
    after which the run is stopped. The loss is smoothed over windows of a twentieth of the first
    steps, and at least ten.
    """

    first: int = 1000
    tries: int = 5

    @property
    def window(self) -> int:
        return max(10, self.first // 20)

    def decide(self, memory: Memory, step: int, loss: float) -> Decision | None:
        """Take a step's loss; return a decision if one is due.

        step: steps done. Everything that is remembered is in memory, as plain values.
        """
        if KEY not in memory:
            memory[KEY] = _new_memory()
        rate = memory[KEY]
        if not isfinite(loss):
            return self._lower(rate, step, f"the loss is {loss}")
        _add(rate, loss)
        if len(rate["losses"]) < self.window:
            return None
        if reason := self._rise(rate):
            return self._lower(rate, step, reason)
        _close_window(rate)
        if rate["steps"] >= self.first:
            return self._judge(rate, step)
        return None

    def safe_step(self, memory: Memory) -> int:
        """Return the step that a decision may go back to; its checkpoint must be kept."""
        return int(memory[KEY]["safe"]) if KEY in memory else 0

    def carry_over(self, memory: Memory, earlier: Memory) -> None:
        """Keep the decisions when the run goes back. earlier: the memory of the checkpoint."""
        earlier[KEY] = memory[KEY]

    def _rise(self, rate: dict[str, Any]) -> str:
        """Return how the loss rose in the current window; empty if it did not rise clearly."""
        now, start = median(rate["losses"]), rate["start"]
        if not rate["windows"]:
            return (
                _describe_rise(start, now)
                if now > max(_LEAP * start, start + _RISE * rate["scale"])
                else ""
            )
        error = sqrt(rate["variance"] / self.window)
        margin = max(_NOISE * error, _RISE * rate["scale"])
        best = min(rate["windows"])
        return _describe_rise(best, now) if now > best + margin else ""

    def _judge(self, rate: dict[str, Any], step: int) -> Decision | None:
        """Decide at the end of the first steps at a rate whether the loss is stuck."""
        start, end = rate["start"], fmean(rate["windows"][-max(1, len(rate["windows"]) // 4) :])
        fall = max(_PROGRESS * start, _DOUBT * sqrt(rate["variance"] / _START))
        is_learnt = end <= max(_LEARNT * rate["scale"], _NOTHING)
        if rate["settled"] or is_learnt or start - end >= fall:
            _restart(rate, step, end, settled=True)
            rate["tried"] = [_power(rate["factor"])]
            return None
        if rate["peak"] > _SPIKE * start:
            reason = f"the loss rose to {rate['peak']:.3g} and then stayed at {end:.3g}"
            return self._lower(rate, step, reason)
        reason = f"the loss is stuck: it went from {start:.3g} to {end:.3g}"
        return self._change(rate, step, 1, f"{reason} in {rate['steps']} steps")

    def _lower(self, rate: dict[str, Any], step: int, reason: str) -> Decision:
        return self._change(rate, step, -1, reason)

    def _change(self, rate: dict[str, Any], step: int, way: int, reason: str) -> Decision:
        """Change the rate to the next lower or higher one that has not been tried.

        A lower rate goes back to the state before the loss rose.
        """
        power, rewind_to = _power(rate["factor"]), rate["safe"] if way < 0 else None
        while power in rate["tried"]:
            power += way
        if len(rate["tried"]) > self.tries:
            advice = f"{self.tries} other learning rates did not help either; check the pictures"
            reason = f"{reason}; {advice} and their categories, or give another --rate"
            decision = Decision(step, rate["factor"], reason, stops=True)
        else:
            rate["factor"] = FACTOR**power
            rate["tried"].append(power)
            decision = Decision(step, rate["factor"], reason, rewind_to)
            if rewind_to is None:
                _restart(rate, step, rate["windows"][-1], settled=False)
            else:
                _restart(rate, rewind_to, rate["start"], settled=rate["settled"])
        rate["decisions"].append(asdict(decision))
        return decision


def _new_memory() -> dict[str, Any]:
    rate: dict[str, Any] = {"factor": 1.0, "tried": [0], "scale": None, "decisions": []}
    _restart(rate, 0, None, settled=False)
    return rate


def _restart(rate: dict[str, Any], safe: int, start: float | None, *, settled: bool) -> None:
    """Begin to watch anew.

    safe: the step to go back to. start: the loss there, if it is known. settled: the rate has
    proved right.
    """
    rate |= {"settled": settled, "safe": safe, "start": start, "steps": 0, "losses": []}
    rate |= {"windows": [], "variance": 0.0, "peak": 0.0}


def _add(rate: dict[str, Any], loss: float) -> None:
    rate["steps"] += 1
    rate["losses"].append(loss)
    if rate["start"] is None and rate["steps"] == _START:
        rate["start"] = rate["scale"] = _loss_at_start(rate["losses"])


def _loss_at_start(losses: list[float]) -> float:
    """Return the median, or the first loss, which no rate has changed, if it is far from it."""
    first, middle = losses[0], median(losses)
    return middle if first / _LEAP <= middle <= _LEAP * first else first


def _close_window(rate: dict[str, Any]) -> None:
    """Sum up a window in which the loss did not rise."""
    losses, rate["losses"] = rate["losses"], []
    rate["windows"].append(median(losses))
    mean, count = fmean(losses), len(rate["windows"])
    rate["peak"] = max(rate["peak"], mean)
    rate["variance"] += (fmean((loss - mean) ** 2 for loss in losses) - rate["variance"]) / count


def _power(factor: float) -> int:
    return round(log(factor, FACTOR))


def _describe_rise(before: float, now: float) -> str:
    return f"the loss rose from {before:.3g} to {now:.3g}"
