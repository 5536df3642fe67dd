"""Keep what frames have cost, and how large their files were."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables. What earlier units have cost is not in them."""
    op.create_table(
        "costs",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column("settings", sa.String(16), primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
        *_sums("units", "seconds", "pixels", "updated"),
    )
    op.create_table(
        "sizes",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("format", sa.String(64), primary_key=True),
        *_sums("units", "bytes", "pixels", "updated"),
    )
    op.create_index("ix_costs_task", "costs", ["task", "network", "updated"])
    op.create_index("ix_costs_updated", "costs", ["updated"])
    op.create_index("ix_sizes_updated", "sizes", ["updated"])


def _sums(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float, nullable=False) for name in names]
