"""re-screening: runs, their chunks, what is prepared for them, and what another model says."""

from typing import Any

import sqlalchemy as sa
from alembic import op

import worker.table_base

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rescreens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("since", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("deliver_after", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("planned_study_id", sa.Integer(), nullable=False),
        sa.Column("last_study_id", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("started_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    condition = sa.text("open")
    op.create_index(
        "ux_rescreens_open", "rescreens", ["open"], unique=True, sqlite_where=condition, postgresql_where=condition
    )
    op.create_table(
        "rescreen_chunks",
        sa.Column("rescreen_id", sa.Integer(), nullable=False),
        sa.Column("first_study_id", sa.Integer(), nullable=False),
        sa.Column("last_study_id", sa.Integer(), nullable=False),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("closed_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        *_claimable(),
        sa.ForeignKeyConstraint(["rescreen_id"], ["rescreens.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("rescreen_id", "first_study_id"),
    )
    _work_index("rescreen_chunks", "closed_at IS NULL")
    op.create_table(
        "rescreen_preparations",
        sa.Column("chunk_id", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("input_spec", sa.JSON(), nullable=False),
        sa.Column("done_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        *_claimable(),
        sa.ForeignKeyConstraint(["chunk_id"], ["rescreen_chunks.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("chunk_id", "content_sha256"),
    )
    _work_index("rescreen_preparations", "done_at IS NULL")
    op.create_table(
        "rescreen_scores",
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("rescreen_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("lack", sa.String(length=32), nullable=True),
        sa.Column("logit", sa.Double(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("threshold_logit", sa.Double(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("scope_distance", sa.Double(), nullable=True),
        sa.Column("strange", sa.Boolean(), nullable=False),
        sa.Column("activation_map", sa.LargeBinary(), nullable=True),
        sa.Column("previous_model_version_id", sa.Integer(), nullable=False),
        sa.Column("previous_logit", sa.Double(), nullable=False),
        sa.Column("previous_probability", sa.Double(), nullable=False),
        sa.Column("previous_flagged", sa.Boolean(), nullable=False),
        sa.Column("raised_before", sa.Boolean(), nullable=False),
        sa.Column("scored_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"]),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"]),
        sa.PrimaryKeyConstraint("model_version_id", "image_id", "frame"),
    )
    op.create_index("ix_rescreen_scores_study", "rescreen_scores", ["study_id", "model_version_id"])


def downgrade() -> None:
    for table in ("rescreen_scores", "rescreen_preparations", "rescreen_chunks", "rescreens"):
        op.drop_table(table)


def _claimable() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("not_before", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
    )


def _work_index(table: str, condition: str) -> None:
    work = sa.text(condition)
    order = sa.text("urgency DESC")
    op.create_index(f"ix_{table}_work", table, [order, "id"], sqlite_where=work, postgresql_where=work)
