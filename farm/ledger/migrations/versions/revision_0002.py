"""Record who owns each job, count its units, and store equal tracebacks once."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from farm.ledger.sqlite_version import check_can_drop_column

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables, and fill them from the jobs that are there."""
    check_can_drop_column(op.get_bind())
    _add_columns_to_jobs()
    _create_farms()
    _change_units()
    _move_tracebacks()


def _add_columns_to_jobs() -> None:
    for column in (
        sa.Column("device", sa.Text, nullable=False, server_default=""),
        sa.Column("task", sa.String(64), nullable=False, server_default=""),
        sa.Column("output", sa.Text, nullable=False, server_default=""),
        sa.Column("is_resumed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("counts", sa.Text, nullable=False, server_default="{}"),
        sa.Column("owner", sa.String(32)),
        sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("jobs", column)
    op.create_index("ix_jobs_created", "jobs", ["created"])
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_index("ix_jobs_task_output", "jobs", ["task", "output"])
    _fill_jobs()


def _fill_jobs() -> None:
    names = ("id", "spec", "task", "output", "counts")
    jobs = sa.table("jobs", *map(sa.column, names))
    counts = _counts()
    connection = op.get_bind()
    change = jobs.update().where(jobs.c.id == sa.bindparam("job"))
    for job, text in connection.execute(sa.select(jobs.c.id, jobs.c.spec)).all():
        spec = json.loads(text)
        values = {"task": spec["task"], "output": spec["output"], "counts": json.dumps(counts[job])}
        connection.execute(change.values(values), {"job": job})


def _counts() -> defaultdict[str, dict[str, int]]:
    """Return the number of units in each state, by job."""
    units = sa.table("units", sa.column("job"), sa.column("state"))
    query = sa.select(units.c.job, units.c.state, sa.func.count()).group_by(*units.c)
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for job, state, count in op.get_bind().execute(query):
        counts[job][state] = count
    return counts


def _create_farms() -> None:
    op.create_table(
        "farms",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("kernel", sa.Text, nullable=False),
        sa.Column("space", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("start", sa.Float, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
    )


def _change_units() -> None:
    op.add_column("units", sa.Column("crashes", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("ix_units_name", "units")


def _move_tracebacks() -> None:
    tracebacks = op.create_table(
        "tracebacks",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.add_column("failures", sa.Column("digest", sa.String(64)))
    seen: set[str] = set()
    for rows in _failures():
        texts = {_digest(text): text for _, text in rows}
        new = [{"digest": d, "text": text} for d, text in texts.items() if d not in seen]
        seen.update(texts)
        op.bulk_insert(tracebacks, new)
        op.get_bind().execute(_SET_DIGEST, [{"row": row, "digest": _digest(t)} for row, t in rows])
    op.drop_column("failures", "traceback")


_FAILURES = sa.table("failures", sa.column("id"), sa.column("traceback"), sa.column("digest"))
_SET_DIGEST = (
    _FAILURES.update()
    .where(_FAILURES.c.id == sa.bindparam("row"))
    .values(digest=sa.bindparam("digest"))
)


def _failures() -> Iterator[list[tuple[int, str]]]:
    """Yield the ids and tracebacks of all failures that have one, some at a time."""
    last = 0
    query = (
        sa.select(_FAILURES.c.id, _FAILURES.c.traceback)
        .where(_FAILURES.c.traceback != "", _FAILURES.c.id > sa.bindparam("last"))
        .order_by(_FAILURES.c.id)
        .limit(1000)
    )
    while rows := op.get_bind().execute(query, {"last": last}).all():
        yield [(row.id, row.traceback) for row in rows]
        last = rows[-1].id


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
