"""Remember which failures of a unit no longer count, since its user wanted it tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column. Of units that were tried again before, all failures count."""
    column = sa.Column("retried_from", sa.Integer, nullable=False, server_default="0")
    op.add_column("units", column)
