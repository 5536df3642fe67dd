"""Tell costs of frames of different sizes apart."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table anew. What was added up over all sizes does not say what each has cost."""
    op.drop_table("costs")
    op.create_table(
        "costs",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column("settings", sa.String(16), primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("magnitude", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("units", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("pixels", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
    )
    op.create_index("ix_costs_task", "costs", ["task", "network", "updated"])
    op.create_index("ix_costs_updated", "costs", ["updated"])
