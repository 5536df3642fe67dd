"""Retries are limited, delays grow, and blocking never leaves a job without workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.messages import Reason
from farm.scheduling.policy import Policy, allowed, job_order, may_try

NAMES = st.frozensets(st.sampled_from("abcdef"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_finite_budget(reason: Reason) -> None:
    assert Policy().is_spent(reason, 10)
    assert not Policy().is_spent(reason, 0)


@pytest.mark.parametrize(
    ("reason", "tries"),
    [(Reason.PLUGIN_ERROR, 3), (Reason.WORKER_DIED, 3), (Reason.WORKER_LOST, 10)],
)
def test_plugin_errors_and_lost_workers_have_their_own_number_of_tries(
    reason: Reason, tries: int
) -> None:
    assert not Policy().is_spent(reason, tries - 1)
    assert Policy().is_spent(reason, tries)


def test_the_delay_doubles_up_to_a_minute() -> None:
    waits = [Policy().delay(Reason.STORAGE, failures) for failures in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_plugin_error_is_retried_without_delay() -> None:
    assert Policy().delay(Reason.PLUGIN_ERROR, 2) == 0


def test_three_failures_in_a_row_block_a_worker() -> None:
    assert Policy().is_blocked(3)
    assert not Policy().is_blocked(2)


@pytest.mark.parametrize(
    ("failed", "total", "is_broken"),
    [(19, 20, False), (20, 20, True), (20, 200, True), (20, 201, False), (21, 201, True)],
)
def test_a_job_is_broken_at_a_tenth_of_its_units_and_at_least_twenty(
    failed: int, total: int, *, is_broken: bool
) -> None:
    assert Policy().is_broken(failed, total) is is_broken


def test_the_delay_of_a_held_job_doubles_up_to_five_minutes() -> None:
    waits = [Policy().hold_delay(failures) for failures in range(1, 7)]
    assert waits == [30, 60, 120, 240, 300, 300]


@given(NAMES, NAMES)
def test_the_blocklist_never_empties_the_pool(
    workers: frozenset[str], blocked: frozenset[str]
) -> None:
    pool = allowed(workers, blocked)
    assert pool <= workers
    assert bool(pool) == bool(workers)
    assert pool == workers or not pool & blocked


@given(NAMES.filter(bool), NAMES)
def test_some_worker_of_the_pool_may_always_try(
    pool: frozenset[str], tried: frozenset[str]
) -> None:
    may = {worker for worker in pool if may_try(worker, tried, pool)}
    assert may == (pool - tried or pool)


def test_jobs_are_ordered_by_priority_then_fewest_held_by_the_owner_and_the_job_then_age() -> None:
    jobs = [
        job_order(10, 0, 0, 1.0),
        job_order(90, 5, 0, 1.0),
        job_order(90, 2, 2, 9.0),
        job_order(90, 2, 1, 8.0),
        job_order(90, 2, 1, 7.0),
    ]
    assert sorted(jobs) == list(reversed(jobs))
