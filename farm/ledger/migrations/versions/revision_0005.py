"""Tell jobs that are completed with failures from others, and since when a job is in its state."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_JOBS = sa.table(
    "jobs", *map(sa.column, ("id", "state", "reason", "created", "ended", "since", "counts"))
)


def upgrade() -> None:
    """Add the column, make room for longer states, and fill both from what is known."""
    op.add_column("jobs", sa.Column("since", sa.Float, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("jobs", "state", type_=sa.String(32), existing_type=sa.String(16))
    _fill_since()
    _mark_failures()


def _fill_since() -> None:
    """Let each job have entered its state when it ended, or else with its last change of a unit."""
    story = sa.table("story", *map(sa.column, ("id", "job", "at")))
    last = (
        sa.select(story.c.at)
        .where(story.c.job == _JOBS.c.id)
        .order_by(story.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    op.execute(_JOBS.update().values(since=sa.func.coalesce(_JOBS.c.ended, last, _JOBS.c.created)))


def _mark_failures() -> None:
    """Let the completed jobs whose units did not all succeed be completed with failures."""
    connection = op.get_bind()
    query = sa.select(_JOBS.c.id, _JOBS.c.counts).where(_JOBS.c.state == "completed")
    failed = [
        {"job": job}
        for job, counts in connection.execute(query)
        if {"quarantined", "cancelled"} & json.loads(counts).keys()
    ]
    if failed:
        change = _JOBS.update().where(_JOBS.c.id == sa.bindparam("job"))
        connection.execute(change.values(state="completed_with_failures"), failed)
