"""How many workers a job may ask for, from the options of its command."""

import pytest

from farm.cli.running import Running
from farm.model.unit import ALL_WORKERS


@pytest.mark.parametrize(
    ("running", "workers"),
    [
        (Running(), 1),
        (Running(workers=3), 3),
        (Running(workers=3, address="auto"), 3),
        (Running(address="auto"), ALL_WORKERS),
    ],
)
def test_the_workers_of_a_pool_share_what_can_be_shared(running: Running, workers: int) -> None:
    assert running.workers_per_unit == workers
