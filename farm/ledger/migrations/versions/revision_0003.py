"""Let units be shared, priorities change, farms hold the ledger, and an index find every page."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_INDEXES = (
    ("ix_jobs_key", "jobs", ["key", "created"]),
    ("ix_jobs_task_output", "jobs", ["task", "output", "created"]),
    ("ix_jobs_created", "jobs", ["created", "id"]),
    ("ix_jobs_state", "jobs", ["state", "created", "id"]),
    ("ix_jobs_task", "jobs", ["task", "created", "id"]),
    ("ix_jobs_task_state", "jobs", ["task", "state", "created", "id"]),
    ("ix_jobs_owner", "jobs", ["owner"]),
    ("ix_jobs_ended", "jobs", ["ended"]),
    ("ix_farms_held", "farms", ["held"]),
    ("ix_units_state", "units", ["job", "state", "number"]),
    ("ix_story_job", "story", ["job", "id"]),
    ("ix_failures_job", "failures", ["job", "id"]),
    ("ix_failures_unit", "failures", ["job", "unit"]),
    ("ix_failures_digest", "failures", ["digest"]),
)
_REPLACED = {
    "ix_jobs_key": "jobs",
    "ix_jobs_task_output": "jobs",
    "ix_jobs_created": "jobs",
    "ix_jobs_state": "jobs",
    "ix_story_job": "story",
    "ix_failures_job": "failures",
}


def upgrade() -> None:
    """Add the columns and indexes, and fill in when the jobs that are there ended."""
    for name, table in _REPLACED.items():
        op.drop_index(name, table)
    op.add_column("jobs", sa.Column("writes", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("ended", sa.Float))
    op.add_column("jobs", sa.Column("priority", sa.Integer))
    op.add_column("farms", sa.Column("held", sa.Float))
    op.add_column("units", sa.Column("workers", sa.Integer, nullable=False, server_default="1"))
    if op.get_bind().dialect.name == "postgresql":
        _widen("story")
        _widen("failures")
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)
    _fill_ended()


def _widen(table: str) -> None:
    """Let the rows of a table have numbers of 64 bits."""
    op.alter_column(table, "id", type_=sa.BigInteger, existing_type=sa.Integer)
    op.execute(f"ALTER SEQUENCE {table}_id_seq AS bigint")


def _fill_ended() -> None:
    """Let each ended job have ended with its last change of a unit, or else when it began."""
    jobs = sa.table("jobs", *map(sa.column, ("id", "state", "created", "ended")))
    story = sa.table("story", *map(sa.column, ("id", "job", "at")))
    last = (
        sa.select(story.c.at)
        .where(story.c.job == jobs.c.id)
        .order_by(story.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    is_final = jobs.c.state.in_(["completed", "failed", "cancelled"])
    ended = sa.func.coalesce(last, jobs.c.created)
    op.execute(jobs.update().where(is_final).values(ended=ended))
