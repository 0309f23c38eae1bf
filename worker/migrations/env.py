"""Alembic's entry; `worker.schema` hands over an open connection."""

from alembic import context

from worker import tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.Study.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
