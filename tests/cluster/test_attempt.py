"""How an attempt ends that several workers share."""

from collections.abc import Callable

import pytest

from farm.model.messages import (
    Failure,
    Figures,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitSucceeded,
)
from farm.model.transfers import Transfers
from farm_cluster.attempt import Attempt

LOST = Failure(Reason.WORKER_DIED, "lost contact")
FULL = Failure(Reason.STORAGE, "full")


@pytest.fixture
def attempt(make_order: Callable[..., Order]) -> Attempt:
    return Attempt(("a", "b"), make_order("invert"))


def failed(attempt: Attempt, worker: str, failure: Failure) -> None:
    attempt.ends[worker] = UnitFailed(worker, attempt.order.token, failure)


def test_the_cause_comes_before_what_it_did_to_the_lead(attempt: Attempt) -> None:
    failed(attempt, "a", LOST)
    failed(attempt, "b", FULL)
    assert attempt.outcome() == UnitFailed("a", attempt.order.token, FULL)


def test_a_lead_that_was_asked_to_stop_was_cancelled_whatever_the_others_lost(
    attempt: Attempt,
) -> None:
    attempt.is_cancelled = True
    attempt.ends["a"] = UnitCancelled("a", attempt.order.token)
    failed(attempt, "b", LOST)
    assert attempt.outcome() == UnitCancelled("a", attempt.order.token)


def test_a_lead_that_was_stopped_because_another_failed_was_not_cancelled(attempt: Attempt) -> None:
    attempt.ends["a"] = UnitCancelled("a", attempt.order.token)
    failed(attempt, "b", FULL)
    assert attempt.outcome() == UnitFailed("a", attempt.order.token, FULL)


def test_workers_that_had_to_be_restarted_lost_contact(attempt: Attempt) -> None:
    attempt.ends["b"] = UnitSucceeded("b", attempt.order.token, Figures())
    end = attempt.outcome()
    assert isinstance(end, UnitFailed)
    assert end.failure.reason is Reason.WORKER_DIED


def test_what_every_worker_moved_is_told_however_the_attempt_ended(attempt: Attempt) -> None:
    of_a, of_b = Transfers("s3", "write", errors=1), Transfers("s3", "read", bytes=7)
    attempt.ends["a"] = UnitFailed("a", attempt.order.token, FULL, (of_a,))
    attempt.ends["b"] = UnitCancelled("b", attempt.order.token, (of_b,))
    assert attempt.outcome().transfers == (of_a, of_b)
    attempt.is_cancelled = True
    assert attempt.cancelled().transfers == (of_a, of_b)
