"""an intake to trust: commitments, reconciliation, quarantine, retention, corrections, append-only tables."""

import sqlalchemy as sa
from alembic import op

import worker.table_base

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CLAIMABLE = ("images", "scores", "deliveries")
APPEND_ONLY = ("events", "results")


def upgrade() -> None:
    for table in CLAIMABLE:
        op.add_column(table, sa.Column("traceback", sa.Text(), nullable=True))
    op.add_column("studies", sa.Column("corrections", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("corrections", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("images", sa.Column("data_set_bytes", sa.BigInteger(), nullable=True))
    op.add_column("images", sa.Column("rejection", sa.String(length=32), nullable=True))
    op.add_column("images", sa.Column("withdrawn", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("images", sa.Column("committed_until", worker.table_base.UtcDateTime(timezone=True), nullable=True))
    op.add_column("images", sa.Column("purged_at", worker.table_base.UtcDateTime(timezone=True), nullable=True))
    op.add_column("images", sa.Column("kept_again_at", worker.table_base.UtcDateTime(timezone=True), nullable=True))
    kept = sa.text("purged_at IS NULL")
    op.create_index("ix_images_kept", "images", ["received_at"], sqlite_where=kept, postgresql_where=kept)
    op.create_index("ix_images_sop_instance", "images", ["sop_instance_uid"])
    op.create_index("ix_images_content", "images", ["content_sha256"])
    working = sa.text("state IN ('received', 'prepared')")
    op.create_index("ix_images_working", "images", ["study_id"], sqlite_where=working, postgresql_where=working)
    failed, dead = sa.text("state = 'failed'"), sa.text("state = 'dead'")
    op.create_index("ix_images_failed", "images", ["id"], sqlite_where=failed, postgresql_where=failed)
    op.create_index("ix_deliveries_dead", "deliveries", ["id"], sqlite_where=dead, postgresql_where=dead)
    leased = sa.text("state = 'pending' AND lease_until IS NOT NULL")
    op.create_index("ix_deliveries_leased", "deliveries", ["destination"], sqlite_where=leased, postgresql_where=leased)
    op.create_table(
        "destination_outages",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("destination"),
    )
    _create_commitments()
    _create_rejected_instances()
    _create_reconciliations()
    for table in APPEND_ONLY:
        _forbid_changes(table)


def _create_commitments() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("references", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.Column("answered_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("not_before", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("calling_ae_title", "transaction_uid"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_commitments_work",
        "commitments",
        [sa.literal_column("urgency DESC"), "id"],
        sqlite_where=pending,
        postgresql_where=pending,
    )


def _create_rejected_instances() -> None:
    op.create_table(
        "rejected_instances",
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("note_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("received_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", "study_instance_uid", "note_sop_instance_uid"),
    )


def _create_reconciliations() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("pacs", sa.String(length=16), nullable=False),
        sa.Column("holder", sa.String(length=36), nullable=True),
        sa.Column("lease_until", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.Column("night", sa.String(length=10), nullable=True),
        sa.Column("studies", sa.JSON(), nullable=False),
        sa.Column("finished_at", worker.table_base.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("pacs"),
    )


def _forbid_changes(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _allow_changes(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
        op.execute(f"DROP FUNCTION {table}_append_only()")
        return
    for change in ("update", "delete"):
        op.execute(f"DROP TRIGGER {table}_append_only_{change}")


def downgrade() -> None:
    for table in APPEND_ONLY:
        _allow_changes(table)
    op.drop_table("rejected_instances")
    op.drop_table("reconciliations")
    op.drop_table("commitments")
    op.drop_table("destination_outages")
    op.drop_index("ix_deliveries_leased", "deliveries")
    op.drop_index("ix_deliveries_dead", "deliveries")
    op.drop_index("ix_images_failed", "images")
    op.drop_index("ix_images_working", "images")
    op.drop_index("ix_images_content", "images")
    op.drop_index("ix_images_sop_instance", "images")
    op.drop_index("ix_images_kept", "images")
    for column in ("kept_again_at", "purged_at", "committed_until", "withdrawn", "rejection", "data_set_bytes"):
        op.drop_column("images", column)
    op.drop_column("deliveries", "corrections")
    op.drop_column("studies", "corrections")
    for table in CLAIMABLE:
        op.drop_column(table, "traceback")
