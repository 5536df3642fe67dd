"""On a busy farm with failures and nodes that come and go, every job is done and none waits for long."""

from itertools import count

import pytest

from farm.model.job import JobState
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler

from ..simulation import Scale, Simulation  # noqa: TID252 - shared with the script

SMALL = Scale(
    workers=96,
    node_workers=8,
    jobs=40,
    units=4000,
    arrival_seconds=600.0,
    unit_seconds=30.0,
    run_seconds=4000.0,
    gangs=(2, 8, 16, 24),
    node_seconds=600.0,
)
SLICE = Policy(slice_seconds=900.0)


@pytest.mark.slow
def test_all_jobs_are_done_no_worker_is_idle_beside_a_ready_unit_and_no_job_waits_for_long() -> (
    None
):
    ticks = count()

    def look(scheduler: Scheduler) -> None:
        if next(ticks) % 4 == 0:
            scheduler.validate()

    simulation = Simulation(SMALL, SLICE, look)
    simulation.run()
    simulation.scheduler.validate()
    assert simulation.scheduler.job_counts()[JobState.COMPLETED] == SMALL.jobs
    for _, _, longest in simulation.kinds():
        assert longest < 2 * SLICE.slice_seconds
    assert simulation.near > simulation.far
