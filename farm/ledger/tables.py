"""The ledger's tables at the head revision."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
)

HEAD: Final = "0009"
"""The revision these tables are at: the newest one in migrations/versions."""

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")
"""Numbers rows of a table that grows without end; SQLite's own numbers have 64 bits anyway."""

_State = String(32).with_variant(String(16), "sqlite")
"""The state of a job. SQLite ignores the length, and cannot change what it was declared as."""

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
    Column("key", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("state", _State, nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("device", Text, nullable=False, server_default=""),
    Column("task", String(64), nullable=False, server_default=""),
    Column("output", Text, nullable=False, server_default=""),
    Column("is_resumed", Boolean, nullable=False, server_default=false()),
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("owner", String(32)),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("writes", Integer, nullable=False, server_default="0"),
    Column("ended", Float, index=True),
    Column("priority", Integer),
    Column("since", Float, nullable=False, server_default="0"),
    Column("frames", Integer),
    Column("steps", Text, nullable=False, server_default="{}"),
    Index("ix_jobs_key", "key", "created"),
    Index("ix_jobs_task_output", "task", "output", "created"),
    Index("ix_jobs_created", "created", "id"),
    Index("ix_jobs_state", "state", "created", "id"),
    Index("ix_jobs_task", "task", "created", "id"),
    Index("ix_jobs_task_state", "task", "state", "created", "id"),
    Index("ix_jobs_owner", "owner"),
)
"""key, output: of the spec; empty until the job is planned. is_resumed: whatever earlier jobs with
this key are known to have finished is in this job's units too, or will be once it is planned. counts: of units by state, as JSON. owner: the farm that may
change the job. epoch: how many farms have owned it. writes: how often its owners have recorded
changes. ended: Unix seconds. priority: instead of the spec's, if a farm has set it.
since: Unix seconds at which it entered its state. frames: that a person sees; empty if it has none, or is
from before they were counted. steps: of counts, the units that render no frame."""

specs = Table(
    "specs",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("spec", Text, nullable=False),
)
"""The spec of each job, as JSON. It may name a million inputs, and SQLite writes a row anew, or at
least reads all of it, whenever one of its columns changes: so it is not in the row of its job."""

farms = Table(
    "farms",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("kernel", Text, nullable=False),
    Column("space", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("start", Float, nullable=False),
    Column("started", Float, nullable=False),
    Column("heartbeat", Float, nullable=False),
    Column("ended", Float),
    Column("held", Float, index=True),
)
"""Every farm that has owned a job, as in farm.process. started, heartbeat, ended: Unix seconds. A
farm that dies leaves ended empty. held: since when the farm is the ledger's only service, if it is."""

units = Table(
    "units",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
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
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("workers", Integer, nullable=False, server_default="1"),
    Column("retried_from", Integer, nullable=False, server_default="0"),
    Index("ix_units_state", "job", "state", "number"),
)
"""crashes: how many farms in a row had died while they held the unit when its job began, or was
taken over, or when its user wanted it tried again. retried_from: the first attempt since then, before which
no failure counts; 0 if nobody did."""

story = Table(
    "story",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("at", Float, nullable=False),
    Column("job", String(64), nullable=False),
    Column("unit", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(16), nullable=False),
    Index("ix_story_job", "job", "id"),
)
"""Every change of a unit's state, in order."""

failures = Table(
    "failures",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("job", String(64), nullable=False),
    Column("unit", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("digest", String(64), index=True),
    Index("ix_failures_job", "job", "id"),
    Index("ix_failures_unit", "job", "unit"),
)
"""digest: of the traceback, if there is one."""

tracebacks = Table(
    "tracebacks",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)
"""Each traceback once, by its SHA-256."""

costs = Table(
    "costs",
    metadata,
    Column("task", String(64), primary_key=True),
    Column("network", Text, primary_key=True),
    Column("settings", String(16), primary_key=True),
    Column("device", Text, primary_key=True),
    Column("magnitude", Integer, primary_key=True, autoincrement=False),
    Column("units", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("pixels", Float, nullable=False),
    Column("updated", Float, nullable=False, index=True),
    Index("ix_costs_task", "task", "network", "updated"),
)
"""What frames of each kind have cost on each device, added up: see model.costs. magnitude: power of two
that their pixels are nearest to. updated: Unix seconds."""

sizes = Table(
    "sizes",
    metadata,
    Column("task", String(64), primary_key=True),
    Column("format", String(64), primary_key=True),
    Column("units", Float, nullable=False),
    Column("bytes", Float, nullable=False),
    Column("pixels", Float, nullable=False),
    Column("updated", Float, nullable=False, index=True),
)
"""How large the files of a task were in each format, added up."""
