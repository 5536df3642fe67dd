"""Which service has the ledger to itself.

A service that runs the jobs of many users must be the only one on its ledger. Commands that run a
job each may go on beside it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from farm.ledger.holding import beat, is_living, process_from
from farm.ledger.tables import about, farms
from farm.process import FarmProcess


@dataclass(frozen=True)
class Service:
    """A farm that has a ledger to itself. since: Unix seconds."""

    process: FarmProcess
    since: float


def hold(connection: Connection, farm: FarmProcess, now: float) -> Service:
    """Give the ledger to a farm unless another one that lives has it; return the one that has it."""
    connection.execute(select(about).with_for_update())  # one farm at a time
    if service := holder(connection, now):
        return service
    connection.execute(update(farms).where(farms.c.held.is_not(None)).values(held=None))
    beat(connection, farm, now)
    connection.execute(update(farms).where(farms.c.id == farm.id).values(held=now))
    return Service(farm, now)


def holder(connection: Connection, now: float) -> Service | None:
    """Return the living service that has the ledger, if there is one."""
    for row in connection.execute(_HELD):
        if is_living(row, now):
            return Service(process_from(row), row.held)
    return None


_HELD: Any = select(farms).where(farms.c.held > 0)  # by the index
