"""Alembic's entry; `worker.schema` hands over an open connection."""

from alembic import context

import worker.destination_tables  # these three declare every table
import worker.rescreen_tables
import worker.tables
from worker.table_base import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
