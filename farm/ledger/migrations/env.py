"""Runs the migrations on the ledger's own connection; only Alembic imports it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
