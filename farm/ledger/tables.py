"""The ledger's tables at the head revision."""

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

HEAD: Final = "0001"
"""The revision these tables are at: the newest one in migrations/versions."""

metadata = MetaData()

alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic creates it, so that opening a ledger at the head revision does not need Alembic."""

about = Table("about", metadata, Column("schema", Integer, primary_key=True))
"""The schema number from before revisions, which farms from that time still check."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("key", String(64), nullable=False, index=True),
    Column("spec", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("reason", Text, nullable=False),
)
units = Table(
    "units",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("work", Text, nullable=False),
    Column("is_tolerant", Boolean, nullable=False),
    Column("is_working", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("figures", Text),
)
story = Table(
    "story",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("job", String(64), nullable=False, index=True),
    Column("unit", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(16), nullable=False),
)
"""Every change of a unit's state, in order."""

failures = Table(
    "failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", String(64), nullable=False, index=True),
    Column("unit", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False),
)
