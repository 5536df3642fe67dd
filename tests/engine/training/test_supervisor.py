"""The rate is lowered when the loss rises, raised when it is stuck, and otherwise left alone."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from farm.engine.training.rates import Decision
from farm.engine.training.supervisor import RateSupervisor, rate_factor

FIRST = 100
SUPERVISOR = RateSupervisor(FIRST)
SEEDS = pytest.mark.parametrize("seed", range(5))

Curve = Callable[[int, float, random.Random], float]
"""The loss of a step at a rate's factor, with noise."""


def follow(
    curve: Curve, steps: int, seed: int = 0, memory: dict[str, Any] | None = None
) -> list[Decision]:
    """Train along a curve until it is stopped; return the decisions."""
    memory = {} if memory is None else memory
    chance, decisions, step = random.Random(seed), list[Decision](), 0
    for _ in range(steps):
        loss = curve(step, rate_factor(memory), chance)
        step += 1
        decision = SUPERVISOR.decide(memory, step, loss)
        if decision:
            decisions.append(decision)
            if decision.stops:
                break
            step = step if decision.rewind_to is None else decision.rewind_to
    return decisions


def noisy(loss: float, chance: random.Random, noise: float = 0.1) -> float:
    return loss * math.exp(chance.gauss(0, noise))


def learn(step: int, factor: float, chance: random.Random, best: float = 1.0) -> float:
    """A loss that falls at a speed in proportion to the rate, and diverges at far too high ones."""
    share = factor / best
    if share > 8:
        return noisy(1.6 * (1 + step / 3), chance)
    return noisy(0.02 + 1.6 * math.exp(-step * share / 60), chance)


@SEEDS
@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_a_loss_that_falls_through_noise_is_left_alone(seed: int, noise: float) -> None:
    assert (
        follow(lambda step, _, chance: noisy(1.6 * math.exp(-step / 80), chance, noise), 600, seed)
        == []
    )


@SEEDS
def test_a_loss_that_has_come_near_zero_is_left_alone(seed: int) -> None:
    def curve(step: int, _: float, chance: random.Random) -> float:
        spike = 1.0 if chance.random() < 0.02 else 0.0
        return noisy(0.01 + 1.6 * math.exp(-step / 15), chance, 0.5) + spike

    assert follow(curve, 1500, seed) == []


@SEEDS
def test_small_swings_on_the_way_down_are_left_alone(seed: int) -> None:
    def curve(step: int, _: float, chance: random.Random) -> float:
        return noisy(1.6 * math.exp(-step / 150) + 0.1 + 0.08 * math.sin(step / 12), chance, 0.05)

    assert follow(curve, 600, seed) == []


@SEEDS
def test_a_rate_a_hundred_times_too_high_is_divided_until_the_loss_falls(seed: int) -> None:
    memory: dict[str, Any] = {}
    decisions = follow(lambda *a: learn(*a, best=0.01), 1500, seed, memory)
    assert [d.factor for d in decisions] == pytest.approx([0.2, 0.04])
    assert all(d.rewind_to == 0 and "the loss rose from" in d.reason for d in decisions)
    assert memory["rate"]["settled"]


@SEEDS
def test_a_rate_a_hundred_times_too_low_is_multiplied_until_the_loss_falls(seed: int) -> None:
    memory: dict[str, Any] = {}
    decisions = follow(lambda *a: learn(*a, best=1000.0), 1500, seed, memory)
    assert decisions
    assert [d.factor for d in decisions] == pytest.approx(
        [5.0**n for n in range(1, len(decisions) + 1)]
    )
    assert all(d.rewind_to is None and "the loss is stuck" in d.reason for d in decisions)
    assert memory["rate"]["settled"]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_counts_as_rising_at_once(loss: float) -> None:
    memory: dict[str, Any] = {}
    decision = SUPERVISOR.decide(memory, 1, loss)
    assert decision == Decision(1, 0.2, f"the loss is {loss}", rewind_to=0)
    assert "NaN" not in json.dumps(memory["rate"]["losses"])


@SEEDS
def test_a_loss_that_leaps_and_stays_is_lowered_not_raised(seed: int) -> None:
    def curve(step: int, factor: float, chance: random.Random) -> float:
        if factor < 1:
            return learn(step, factor, chance, best=0.2)
        return 30.0 if step in {2, 3} else noisy(1.61, chance, 0.01)

    assert [d.factor for d in follow(curve, 500, seed)] == pytest.approx([0.2])


@pytest.mark.parametrize("soon", [0.01, 50.0])
def test_the_first_loss_counts_where_the_rate_has_soon_changed_it(soon: float) -> None:
    def curve(step: int, factor: float, chance: random.Random) -> float:
        if factor < 1:
            return learn(step, factor, chance, best=0.2)
        return 1.6 if step == 0 else soon if step < 40 else 60.0

    memory: dict[str, Any] = {}
    assert [d.factor for d in follow(curve, 600, 0, memory)] == pytest.approx([0.2])
    assert memory["rate"]["scale"] == 1.6


@SEEDS
def test_wide_swings_lower_the_rate(seed: int) -> None:
    def curve(step: int, factor: float, chance: random.Random) -> float:
        if factor < 1:
            return learn(step, factor, chance, best=0.2)
        return noisy(1.6 - 0.9 * math.sin(step / 15), chance, 0.05)

    assert follow(curve, 600, seed)[0].factor == pytest.approx(0.2)


def test_a_late_rise_goes_back_to_the_last_good_state_and_a_late_plateau_does_not_count() -> None:
    def curve(step: int, factor: float, chance: random.Random) -> float:
        if factor == 1 and step > 450:
            return noisy(4.0, chance)
        return noisy(0.4 + 1.2 * math.exp(-step / 30), chance, 0.1)

    memory: dict[str, Any] = {}
    (decision,) = follow(curve, 2000, 0, memory)
    assert decision.rewind_to == 400
    assert SUPERVISOR.safe_step(memory) > 1000


@SEEDS
def test_pictures_that_cannot_be_learnt_stop_the_run_with_advice(seed: int) -> None:
    def curve(_: int, factor: float, chance: random.Random) -> float:
        return noisy(1.6, chance, 0.05) if factor < 5 else noisy(9, chance)

    *tried, last = follow(curve, 5000, seed)
    assert len(tried) == SUPERVISOR.tries
    assert len({d.factor for d in tried}) == len(tried)
    assert last.stops
    assert "5 other learning rates did not help either; check the pictures" in last.reason


def test_every_decision_is_listed_in_the_memory_with_its_reason() -> None:
    memory: dict[str, Any] = {}
    decisions = follow(lambda *a: learn(*a, best=0.01), 500, 0, memory)
    assert [(d["step"], d["reason"]) for d in memory["rate"]["decisions"]] == [
        (d.step, d.reason) for d in decisions
    ]


@SEEDS
@pytest.mark.parametrize("cut", [3, 105, 700])
def test_a_supervisor_resumes_from_json(seed: int, cut: int) -> None:
    chance = random.Random(seed)
    losses = [learn(step, 1.0, chance, best=0.01) for step in range(800)]

    def decide(memory: dict[str, Any], steps: range) -> list[Decision | None]:
        return [SUPERVISOR.decide(memory, step + 1, losses[step]) for step in steps]

    straight: dict[str, Any] = {}
    expected = decide(straight, range(800))
    first: dict[str, Any] = {}
    found = decide(first, range(cut))
    resumed = json.loads(json.dumps(first))
    assert found + decide(resumed, range(cut, 800)) == expected
    assert resumed == straight


def test_what_is_remembered_stays_small() -> None:
    memory: dict[str, Any] = {}
    follow(learn, 5000, 0, memory)
    assert len(json.dumps(memory)) < 2000


def test_going_back_keeps_the_decisions() -> None:
    memory: dict[str, Any] = {"other": 1}
    SUPERVISOR.decide(memory, 1, math.nan)
    earlier = {"other": 0}
    SUPERVISOR.carry_over(memory, earlier)
    assert rate_factor(earlier) == 0.2
    assert earlier["other"] == 0
