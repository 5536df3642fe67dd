"""Who owns which job, and what the owner remembers about it.

A job belongs to one farm at a time. Each change of its owner raises its epoch, and every write
checks both, so a farm that was taken for dead and wakes up again can write nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from sqlalchemy import Connection, bindparam, insert, select, update

from farm.errors import FarmBug, JobHeld, JobTakenOver
from farm.ledger.tables import farms, jobs, units
from farm.model.events import UnitChanged
from farm.model.unit import HELD, UnitState
from farm.process import SILENT_SECONDS, FarmProcess

_FENCE = (
    update(jobs)
    .where(
        jobs.c.id == bindparam("of_job"),
        jobs.c.owner == bindparam("of_owner"),
        jobs.c.epoch == bindparam("of_epoch"),
    )
    .values(counts=bindparam("new_counts"))
)
_BEAT = update(farms).where(farms.c.id == bindparam("of_farm"))


@dataclass
class HeldJob:
    """A job that this farm owns. numbers: of its units by name. states: of its units by number."""

    epoch: int
    numbers: dict[str, int] = field(default_factory=dict)
    states: list[UnitState] = field(default_factory=list)
    counts: Counter[UnitState] = field(default_factory=Counter)

    @classmethod
    def of(cls, epoch: int, units: Iterable[tuple[str, UnitState]]) -> Self:
        """Return the job with these units, by name and state."""
        held = cls(epoch)
        for number, (name, state) in enumerate(units):
            held.numbers[name] = number
            held.states.append(state)
        held.counts = Counter(held.states)
        return held

    def count_after(self, changes: Sequence[UnitChanged]) -> Counter[UnitState]:
        """Return the number of units in each state after these changes."""
        counts = self.counts.copy()
        latest = {self.numbers[change.unit.name]: change.state for change in changes}
        for number, state in latest.items():
            counts[self.states[number]] -= 1
            counts[state] += 1
        return +counts

    def apply(self, changes: Sequence[UnitChanged]) -> None:
        """Remember changes that are stored."""
        self.counts = self.count_after(changes)
        for change in changes:
            self.states[self.numbers[change.unit.name]] = change.state


def as_json(counts: Counter[UnitState]) -> str:
    """Return the numbers of units by state as they are stored."""
    return json.dumps({str(state): count for state, count in counts.items()})


def beat(connection: Connection, farm: FarmProcess, now: float) -> None:
    """Record that a farm lives, for the first time or again. now: Unix seconds."""
    values = {"of_farm": farm.id, "heartbeat": now, "ended": None}
    if connection.execute(_BEAT, values).rowcount == 0:
        row = asdict(farm) | {"started": now, "heartbeat": now}
        connection.execute(insert(farms), row)


def leave(connection: Connection, farm: FarmProcess, now: float) -> None:
    """Record that a farm has ended in good order. now: Unix seconds."""
    connection.execute(_BEAT, {"of_farm": farm.id, "ended": now})


def check_owner(
    connection: Connection, farm: FarmProcess, job: str, held: HeldJob, counts: Counter[UnitState]
) -> None:
    """Write a job's counts if this farm still owns it. Raises JobTakenOver if it does not."""
    values = {"of_job": job, "of_owner": farm.id, "of_epoch": held.epoch}
    values |= {"new_counts": as_json(counts)}
    if connection.execute(_FENCE, values).rowcount == 0:
        row = _owner(connection, job)
        raise JobTakenOver(job, _name(row) if row else "a program that removed it from the ledger")


def take(connection: Connection, farm: FarmProcess, job: str, now: float) -> HeldJob:
    """Make a farm the owner of a job. Raises JobHeld if its owner is another farm that lives.

    Units that the last owner held when it died have one more crash; those it still held when it
    ended in good order are ready again.
    """
    epoch, has_left = _end_ownership(connection, farm, job, now)
    connection.execute(update(jobs).where(jobs.c.id == job).values(owner=farm.id, epoch=epoch))
    left = update(units).where(units.c.job == job, units.c.state.in_(HELD))
    change = {"state": UnitState.READY} if has_left else {"crashes": units.c.crashes + 1}
    connection.execute(left.values(change))
    query = select(units.c.name, units.c.state).where(units.c.job == job).order_by(units.c.number)
    rows = connection.execute(query)
    return HeldJob.of(epoch, ((row.name, UnitState(row.state)) for row in rows))


def end(connection: Connection, farm: FarmProcess, job: str, now: float, reason: str) -> None:
    """Cancel a job whose owner is dead. Raises JobHeld if it lives."""
    epoch, _ = _end_ownership(connection, farm, job, now)
    ended = {"state": "cancelled", "reason": reason, "epoch": epoch}
    connection.execute(update(jobs).where(jobs.c.id == job).values(ended))


def _end_ownership(
    connection: Connection, farm: FarmProcess, job: str, now: float
) -> tuple[int, bool]:
    """Return the epoch of a job's next owner, and whether the last one ended in good order."""
    row = _owner(connection, job)
    if row is None:
        raise FarmBug(f"job {job} is not in the ledger")
    if row.owner != farm.id and _is_living(row, now):
        raise JobHeld(job, _name(row))
    return row.epoch + 1, row.ended is not None


def _owner(connection: Connection, job: str) -> Any:
    """Return the owner of a job and its epoch, and keep others from changing them."""
    query = (
        select(jobs.c.owner, jobs.c.epoch, farms)
        .outerjoin(farms, farms.c.id == jobs.c.owner)
        .where(jobs.c.id == job)
        .with_for_update(of=jobs)
    )
    return connection.execute(query).first()


def _is_living(row: Any, now: float) -> bool:
    if row.id is None or row.ended is not None or now - row.heartbeat >= SILENT_SECONDS:
        return False
    return not _process(row).is_gone


def _name(row: Any) -> str:
    return "another farm" if row.id is None else str(_process(row))


def _process(row: Any) -> FarmProcess:
    return FarmProcess(row.id, row.host, row.kernel, row.space, row.pid, row.start)
