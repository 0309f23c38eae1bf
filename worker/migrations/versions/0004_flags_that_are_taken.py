"""flags that PACS and RIS take: the form of a report, and storage commitment of what was sent."""

import sqlalchemy as sa
from alembic import op

import worker.table_base

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("form", sa.String(length=32), nullable=True))
    op.add_column("deliveries", sa.Column("commitment", sa.String(length=32), nullable=True))
    op.add_column("deliveries", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    op.add_column("deliveries", sa.Column("commitment_failures", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ux_deliveries_transaction", "deliveries", ["transaction_uid"], unique=True)
    op.execute("UPDATE deliveries SET form = 'comprehensive-3d-sr' WHERE answer LIKE 'stored%' OR answer LIKE '%.dcm'")
    op.create_table(
        "destination_forms",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("form", sa.String(length=32), nullable=False),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("learned_at", worker.table_base.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("destination"),
    )


def downgrade() -> None:
    op.drop_table("destination_forms")
    op.drop_index("ux_deliveries_transaction", "deliveries")
    for column in ("commitment_failures", "transaction_uid", "commitment", "form"):
        op.drop_column("deliveries", column)
