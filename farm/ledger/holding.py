"""Who owns which job.

A job belongs to one farm at a time. Each change of its owner raises its epoch, and every write
checks both, so a farm that was taken for dead and wakes up again can write nothing. Whoever changes
an owner, or asks before it writes, locks the job's row first: of two farms, the second sees what the
first has done.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from farm.errors import Conflict, JobEnded, JobHeld, JobTakenOver
from farm.ledger.compiled import CompiledStatement
from farm.ledger.held_job import HeldJob, from_json
from farm.ledger.tables import farms, jobs, units
from farm.ledger.upsert import upsert
from farm.model.events import UnitEvent
from farm.model.job import UNFINISHED, JobState
from farm.model.unit import HELD, Role, UnitState
from farm.process import SILENT_SECONDS, FarmProcess

_FENCE = CompiledStatement(
    update(jobs)
    .where(
        jobs.c.id == bindparam("of_job"),
        jobs.c.owner == bindparam("of_owner"),
        jobs.c.epoch == bindparam("of_epoch"),
    )
    .values(
        counts=bindparam("new_counts"),
        steps=bindparam("new_steps"),
        writes=bindparam("new_writes"),
    )
)
_RENDERING = [f'"kind":"{kind}"' for kind in ("render", "train")]
"""In the JSON of the work of units that render or train. No text in it has this, since its quotes are escaped."""
_IS_STEP = (~or_(*map(units.c.work.contains, _RENDERING))).label("is_step")
_OWNER = (
    select(jobs.c.owner, jobs.c.epoch, jobs.c.state, jobs.c.writes, jobs.c.counts)
    .where(jobs.c.id == bindparam("of_job"))
    .with_for_update()
)


def beat(connection: Connection, farm: FarmProcess, now: float) -> None:
    """Record that a farm lives, for the first time or again. now: Unix seconds."""
    row = asdict(farm) | {"started": now, "heartbeat": now, "ended": None}
    connection.execute(upsert(connection, farms, "heartbeat", "ended"), row)


def enter(connection: Connection, farm: FarmProcess, now: float) -> None:
    """Make sure that a farm which comes to own a job is known, and thus counts as living."""
    row = asdict(farm) | {"started": now, "heartbeat": now, "ended": None}
    connection.execute(upsert(connection, farms), row)


def check_own(connection: Connection, farm: FarmProcess, job: str) -> None:
    """Raise JobHeld if a job belongs to another farm."""
    owner = connection.scalar(select(jobs.c.owner).where(jobs.c.id == job))
    if owner != farm.id:
        raise JobHeld(job, _name(_farm(connection, owner)))


def leave(connection: Connection, farm: FarmProcess, now: float) -> None:
    """Record that a farm has ended in good order. now: Unix seconds."""
    ended = {"ended": now, "held": None}
    connection.execute(update(farms).where(farms.c.id == farm.id).values(ended))


def fence(
    connection: Connection,
    farm: FarmProcess,
    changes: Mapping[str, Sequence[UnitEvent]],
    held: Mapping[str, HeldJob],
) -> None:
    """Write the counts of jobs if this farm still owns all of them.

    changes: of the units of each job. Raises JobTakenOver if the farm does not own one.
    """
    rows: list[dict[str, Any]] = [
        {
            "of_job": job,
            "of_owner": farm.id,
            "of_epoch": held[job].epoch,
            "new_writes": held[job].writes + 1,
            **{f"new_{name}": value for name, value in held[job].columns(own).items()},
        }
        for job, own in sorted(changes.items())  # two farms lock jobs in one order
    ]
    if _FENCE.execute(connection, rows).rowcount != len(rows):
        for row in rows:
            own_row(connection, farm, row["of_job"], row["of_epoch"])


def writes(connection: Connection, farm: FarmProcess, job: str, held: HeldJob) -> int:
    """Return how often changes of a job have been recorded. Raises JobTakenOver if it has another owner.

    Waits for a transaction of this farm that still runs though its connection is lost.
    """
    return int(own_row(connection, farm, job, held.epoch).writes)


def own_row(connection: Connection, farm: FarmProcess, job: str, epoch: int) -> Any:
    """Return the row of a job, locked. Raises JobTakenOver if another farm owns it."""
    row = connection.execute(_OWNER, {"of_job": job}).first()
    if row is None:
        raise JobTakenOver(job, "a program that removed it from the ledger")
    if (row.owner, row.epoch) != (farm.id, epoch):
        raise JobTakenOver(job, _name(_farm(connection, row.owner)))
    return row


def take(connection: Connection, farm: FarmProcess, job: str, now: float) -> HeldJob:
    """Make a farm the owner of a job.

    Units that the last owner held when it died have one more crash; those it still held when it
    ended in good order are ready again. Raises JobHeld if its owner is another farm that lives, and
    JobEnded if the job has ended.
    """
    row = _unowned(connection, farm, job, now)
    if JobState(row.state).is_final:
        raise JobEnded(job, row.state)
    return _own(connection, farm, job, row, now)


def reopen(connection: Connection, farm: FarmProcess, job: str, now: float) -> HeldJob:
    """Make a farm the owner of a job that has ended.

    Farms that died while they held a unit which then succeeded no longer count. Raises JobHeld if
    another farm works on it, and Conflict if some of its units have been forgotten already.
    """
    row = _unowned(connection, farm, job, now)
    well = units.c.job == job, units.c.state == UnitState.SUCCEEDED, units.c.crashes > 0
    connection.execute(update(units).where(*well).values(crashes=0))
    held = _own(connection, farm, job, row, now)
    if held.counts != from_json(row.counts):
        raise Conflict(f"job {job} is being forgotten; submit it again")
    return held


def _own(connection: Connection, farm: FarmProcess, job: str, row: Any, now: float) -> HeldJob:
    enter(connection, farm, now)
    if row.owner != farm.id:
        _let_go(connection, job, _farm(connection, row.owner))
    columns = units.c.name, units.c.state, _IS_STEP
    query = select(*columns).where(units.c.job == job).order_by(units.c.number)
    known = (
        (unit.name, UnitState(unit.state), Role.FINISH if unit.is_step else Role.RENDER)
        for unit in connection.execute(query)
    )
    held = HeldJob.of(row.epoch + 1, row.writes, known)
    owned = {"owner": farm.id, "epoch": held.epoch, **held.columns()}
    connection.execute(update(jobs).where(jobs.c.id == job).values(owned))
    return held


def cancel(connection: Connection, farm: FarmProcess, job: str, now: float, reason: str) -> None:
    """Cancel a job whose owner is dead, unless it has ended. Raises JobHeld if its owner lives."""
    row = _unowned(connection, farm, job, now)
    if not JobState(row.state).is_final:
        ended = {"state": JobState.CANCELLED, "reason": reason, "ended": now, "since": now}
        ended |= {"epoch": row.epoch + 1}
        connection.execute(update(jobs).where(jobs.c.id == job).values(ended))


def _let_go(connection: Connection, job: str, owner: Any) -> None:
    """Take the units of a job from the workers of its last owner."""
    has_left = owner is not None and owner.ended is not None
    change = {"state": UnitState.READY} if has_left else {"crashes": units.c.crashes + 1}
    left = update(units).where(units.c.job == job, units.c.state.in_(HELD))
    connection.execute(left.values(change))


def _unowned(connection: Connection, farm: FarmProcess, job: str, now: float) -> Any:
    """Return the row of a job that no other living farm works on, locked."""
    row = connection.execute(_OWNER, {"of_job": job}).first()
    if row is None:
        raise Conflict(f"job {job} has been forgotten; submit it again")
    if row.owner != farm.id and not JobState(row.state).is_final:
        owner = _farm(connection, row.owner)
        if is_living(owner, now):
            raise JobHeld(job, _name(owner))
    return row


def _farm(connection: Connection, farm: str | None) -> Any:
    """Return a farm's row as it is now, which a join with a locked row need not be."""
    return connection.execute(select(farms).where(farms.c.id == farm)).first()


def is_living(row: Any, now: float) -> bool:
    """Return whether a farm lives. row: of the table farms, or None. now: Unix seconds."""
    if row is None or row.ended is not None or now - row.heartbeat >= SILENT_SECONDS:
        return False
    return not process_from(row).is_gone


def abandoned(connection: Connection, names: Collection[str], now: float) -> set[str]:
    """Return those of these jobs that have not ended though their farm is dead. now: Unix seconds."""
    open_jobs = jobs.c.id.in_(list(names)), jobs.c.state.in_(UNFINISHED)
    owned = select(jobs.c.id, jobs.c.owner).where(*open_jobs)
    rows = connection.execute(owned).all()
    owners = select(farms).where(farms.c.id.in_({row.owner for row in rows}))
    alive = {row.id for row in connection.execute(owners) if is_living(row, now)}
    return {row.id for row in rows if row.owner not in alive}


def living(connection: Connection, now: float) -> set[str]:
    """Return the farms that live. now: Unix seconds."""
    shows_life = farms.c.ended.is_(None), farms.c.heartbeat > now - SILENT_SECONDS
    rows = connection.execute(select(farms).where(*shows_life))
    return {row.id for row in rows if is_living(row, now)}


def process_from(row: Any) -> FarmProcess:
    """Return the process in a row of the table farms."""
    return FarmProcess(row.id, row.host, row.kernel, row.space, row.pid, row.start)


def _name(row: Any) -> str:
    return "another farm" if row is None else str(process_from(row))
