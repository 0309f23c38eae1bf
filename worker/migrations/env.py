"""Alembic's entry; `worker.schema` hands over an open connection."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script

import worker.destination_tables  # these five declare every table
import worker.level
import worker.rescreen_tables
import worker.tables
import worker.web_tables
from worker.table_base import Base

connection = context.config.attributes["connection"]


def keep_oldest_level(ctx: MigrationContext, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Keep what the migration that the schema stands at now declares as `oldest_level`; before 0006 nothing."""
    del ctx, heads, run_args
    for revision in step.destination_revisions:
        oldest_level = getattr(revision.module, "oldest_level", None) if isinstance(revision, Script) else None
        if oldest_level is not None:
            worker.level.state_support(connection, oldest_level)


context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    on_version_apply=keep_oldest_level,
)
with context.begin_transaction():
    context.run_migrations()
