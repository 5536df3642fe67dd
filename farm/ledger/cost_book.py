"""What finished frames have cost, added up as they finish, so that it outlives their jobs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import log2
from typing import Final

from sqlalchemy import Connection, Table, case, delete, select

from farm.ledger.compiled import CompiledStatement
from farm.ledger.reading import JOBS, job_from
from farm.ledger.tables import costs, jobs, sizes
from farm.ledger.upsert import add_up
from farm.model.costs import Cost, CostKind, format_of
from farm.model.events import UnitChanged, UnitEvent
from farm.model.messages import Figures
from farm.model.unit import UnitState
from farm.model.work import Render

RECENT: Final = 1000
"""After this many frames, the earlier ones count half: machines and programs change."""
KEPT: Final = 10_000
"""Rows that stay when old jobs are forgotten: those that were added to last."""
_LOOKED_AT: Final = 100
_SPREAD: Final = 4
"""How many times as large as others frames must be to tell what each costs whatever its pixels."""

Key = tuple[str | int, ...]


class CostBook:
    """Adds up what frames cost, for one farm. It remembers what the cost of each of its jobs depends on."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[CostKind, str]] = {}

    def add(self, connection: Connection, changes: Sequence[UnitEvent], now: float) -> None:
        """Add the units that have succeeded. Their jobs are stored. now: Unix seconds."""
        found: dict[Key, list[float]] = {}
        written: dict[Key, list[float]] = {}
        for change in changes:
            if not isinstance(change, UnitChanged) or change.state is not UnitState.SUCCEEDED:
                continue
            if change.figures is None:
                continue
            kind, device = self._kind(connection, change.unit.job)
            figures, form = change.figures, format_of(change.unit)
            if isinstance(change.unit.work, Render) and figures.pixels:
                magnitude = round(log2(figures.pixels))
                key = kind.task, kind.network, kind.settings, device, magnitude
                _sum_up(found, key, (1, _seconds(figures), figures.pixels))
            if form and figures.target_pixels and figures.target_bytes:
                size = 1, figures.target_bytes, figures.target_pixels
                _sum_up(written, (kind.task, form), size)
        _add(connection, costs, found, now)
        _add(connection, sizes, written, now)

    def forget(self, ended: Iterable[str]) -> None:
        """Forget jobs that have ended."""
        for job in ended:
            self._kinds.pop(job, None)

    def _kind(self, connection: Connection, name: str) -> tuple[CostKind, str]:
        if name not in self._kinds:
            row = connection.execute(JOBS.where(jobs.c.id == name)).one()
            job = job_from(row)
            self._kinds[name] = CostKind.of(job.spec), job.device
        return self._kinds[name]


def _seconds(figures: Figures) -> float:
    return sum(figures.seconds.values())


def _sum_up(sums: dict[Key, list[float]], key: Key, values: tuple[float, ...]) -> None:
    so_far = sums.get(key, [0.0] * len(values))
    sums[key] = [before + value for before, value in zip(so_far, values, strict=True)]


def _add(connection: Connection, table: Table, sums: Mapping[Key, list[float]], now: float) -> None:
    """Add sums to the rows with these keys."""
    if not sums:
        return
    names = [*_keys(table), *_sums(table), "updated"]
    rows = [
        dict(zip(names, (*key, *sums[key], now), strict=True))
        for key in sorted(sums)  # two farms lock rows in one order
    ]
    _addition(table, connection.dialect.name, RECENT).execute(connection, rows)


@cache
def _addition(table: Table, dialect: str, recent: int) -> CompiledStatement:
    """Return the statement that adds to the sums in a row of a table. recent: see RECENT."""
    kept = case((table.c.units >= recent, 0.5), else_=1.0)
    insert = add_up(dialect, table, _sums(table), kept, "updated")
    return CompiledStatement(insert, *(column.name for column in table.columns))


def _keys(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _sums(table: Table) -> list[str]:
    return [c.name for c in table.columns if c.name not in {*_keys(table), "updated"}]


def cost(connection: Connection, kind: CostKind, device: str) -> Cost | None:
    """Return what frames of a kind have cost, or else those of its task and network.

    device: whose figures count; those of the latest one if it is empty. None if there are none.
    """
    query = select(costs).where(costs.c.task == kind.task, costs.c.network == kind.network)
    if device:
        query = query.where(costs.c.device == device)
    rows = connection.execute(query.order_by(costs.c.updated.desc()).limit(_LOOKED_AT)).all()
    exact = [row for row in rows if row.settings == kind.settings]
    found = exact or rows
    if not found:
        return None
    like = [(r.units, r.seconds, r.pixels) for r in found if r.device == found[0].device]
    units, seconds, pixels = map(sum, zip(*like, strict=True))
    return Cost(units, seconds, pixels, bool(exact), _per_unit(like) if exact else 0.0)


def _per_unit(rows: Sequence[tuple[float, float, float]]) -> float:
    """Return the seconds of a frame that do not depend on its pixels; 0 if its sizes do not tell.

    rows: units, seconds and pixels of frames of about one size. The line through their means is the one
    with the least squares.
    """
    sizes = [pixels / units for units, _, pixels in rows]
    if max(sizes) < _SPREAD * min(sizes):
        return 0.0
    count = sum(units for units, _, _ in rows)
    mean = sum(seconds for _, seconds, _ in rows) / count
    size = sum(pixels for _, _, pixels in rows) / count
    spread = sum(row[0] * (own - size) ** 2 for row, own in zip(rows, sizes, strict=True))
    rise = sum((own - size) * row[1] for row, own in zip(rows, sizes, strict=True)) / spread
    return min(max(0.0, mean - rise * size), mean)


def bytes_per_pixel(connection: Connection, task: str, form: str) -> float | None:
    """Return how many bytes of a format a pixel of a task's results takes; None if that is not known."""
    query = select(sizes).where(sizes.c.task == task, sizes.c.format == form)
    row = connection.execute(query).first()
    return row.bytes / row.pixels if row else None


def prune(connection: Connection) -> None:
    """Remove the rows that nothing has been added to for longest, if there are too many."""
    for table in (costs, sizes):
        last = select(table.c.updated).order_by(table.c.updated.desc()).offset(KEPT).limit(1)
        oldest = connection.scalar(last)
        if oldest is not None:
            connection.execute(delete(table).where(table.c.updated <= oldest))
