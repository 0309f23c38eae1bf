"""the page: users, sessions, readers' verdicts, and when a study was read."""

import sqlalchemy as sa
from alembic import op

import worker.table_base

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
oldest_level = "0007"

_TIME = worker.table_base.UtcDateTime(timezone=True)
_INDEXES = (
    ("ix_studies_unread", "received_at", "read_at IS NULL"),
    ("ix_studies_read", "read_at", "read_at IS NOT NULL"),
    ("ix_studies_reopened", "reopened_at", "reopened_at IS NOT NULL"),
)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("disabled_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("token_sha256"),
    )
    op.create_table(
        "web_sessions",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("csrf_token", sa.String(length=64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    op.create_index("ix_web_sessions_expires", "web_sessions", ["expires_at"])
    op.create_index("ix_web_sessions_user", "web_sessions", ["user_id"])
    op.create_table(
        "reader_verdicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("said_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_reader_verdicts_study", "reader_verdicts", ["study_id", "id"])
    op.create_index("ix_reader_verdicts_said", "reader_verdicts", ["said_at"])
    for column in ("read_at", "reopened_at"):
        op.add_column("studies", sa.Column(column, _TIME, nullable=True))
    for name, column, condition in _INDEXES:
        where = sa.text(condition)
        op.create_index(name, "studies", [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, *_ in _INDEXES:
        op.drop_index(name, "studies")
    for column in ("reopened_at", "read_at"):
        op.drop_column("studies", column)
    for table in ("reader_verdicts", "web_sessions", "users"):
        op.drop_table(table)
