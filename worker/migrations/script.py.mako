"""${message}."""

import sqlalchemy as sa
from alembic import op

import worker.tables

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
oldest_level = ${repr(up_revision)}  # the oldest whose version still works on this schema: see .github/CONTRIBUTING.md


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
