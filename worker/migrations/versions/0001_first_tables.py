"""first tables."""

import sqlalchemy as sa
from alembic import op

import worker.table_base

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_study", ["study_instance_uid", "id"], unique=False)

    op.create_table(
        "model_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("champion", sa.Boolean(), nullable=False),
        sa.Column("registered_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
    )
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.create_index(
            "ux_model_versions_champion",
            ["champion"],
            unique=True,
            sqlite_where=sa.text("champion"),
            postgresql_where=sa.text("champion"),
        )

    op.create_table(
        "prepared_images",
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("input_spec_sha256", sa.String(length=64), nullable=False),
        sa.Column("pixels", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("content_sha256", "frame", "input_spec_sha256"),
    )
    with op.batch_alter_table("prepared_images", schema=None) as batch_op:
        batch_op.create_index("ix_prepared_images_created", ["created_at"], unique=False)

    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("accession_number", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("concluded_revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("priority", sa.String(length=32), nullable=True),
        sa.Column("priority_reason", sa.String(length=32), nullable=True),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("received_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("due_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_instance_uid"),
    )
    with op.batch_alter_table("studies", schema=None) as batch_op:
        batch_op.create_index(
            "ix_studies_open",
            ["last_received_at"],
            unique=False,
            sqlite_where=sa.text("concluded_revision < revision"),
            postgresql_where=sa.text("concluded_revision < revision"),
        )
        batch_op.create_index("ix_studies_received", ["received_at"], unique=False)

    op.create_table(
        "images",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("not_before", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_id", "sop_instance_uid", "content_sha256"),
    )
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.create_index("ix_images_study", ["study_id"], unique=False)

    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("result_uid", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("flag", sa.Text(), nullable=False),
        sa.Column("created_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("result_uid"),
        sa.UniqueConstraint("study_id", "revision", "model_version_id", "stage"),
    )
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.create_index("ix_results_study", ["study_id", "id"], unique=False)

    op.create_table(
        "deliveries",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("not_before", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["result_id"],
            ["results.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("result_id", "destination"),
    )
    op.create_table(
        "scores",
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=True),
        sa.Column("logit", sa.Double(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("threshold_logit", sa.Double(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("scope_distance", sa.Double(), nullable=True),
        sa.Column("strange", sa.Boolean(), nullable=False),
        sa.Column("activation_map", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("scored_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("not_before", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("image_id", "frame", "model_version_id"),
    )

    _create_work_index("images", "state = 'received'")
    _create_work_index("scores", "scored_at IS NULL")
    _create_work_index("deliveries", "state = 'pending'")


def _create_work_index(table: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(
        f"ix_{table}_work", table, [sa.text("urgency DESC"), "id"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_table("scores")
    op.drop_table("deliveries")
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.drop_index("ix_results_study")

    op.drop_table("results")
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.drop_index("ix_images_study")

    op.drop_table("images")
    with op.batch_alter_table("studies", schema=None) as batch_op:
        batch_op.drop_index("ix_studies_received")
        batch_op.drop_index(
            "ix_studies_open",
            sqlite_where=sa.text("concluded_revision < revision"),
            postgresql_where=sa.text("concluded_revision < revision"),
        )

    op.drop_table("studies")
    with op.batch_alter_table("prepared_images", schema=None) as batch_op:
        batch_op.drop_index("ix_prepared_images_created")

    op.drop_table("prepared_images")
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_model_versions_champion", sqlite_where=sa.text("champion"), postgresql_where=sa.text("champion")
        )

    op.drop_table("model_versions")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_study")

    op.drop_table("events")
