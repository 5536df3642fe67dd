"""Count the frames that a person sees of a job apart from its units."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns. Jobs that are there are still counted in units: to count frames, all their units would have to be read."""
    op.add_column("jobs", sa.Column("frames", sa.Integer))
    op.add_column("jobs", sa.Column("steps", sa.Text, nullable=False, server_default="{}"))
