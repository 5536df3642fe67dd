"""Keep the specs of jobs apart from what changes with each of their units."""

import sqlalchemy as sa
from alembic import op

from farm.ledger.sqlite_version import check_can_drop_column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table and move the specs into it."""
    check_can_drop_column(op.get_bind())
    specs = op.create_table(
        "specs",
        sa.Column("job", sa.String(64), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
    )
    jobs = sa.table("jobs", sa.column("id"), sa.column("spec"))
    op.execute(specs.insert().from_select(["job", "spec"], sa.select(jobs.c.id, jobs.c.spec)))
    op.drop_column("jobs", "spec")
