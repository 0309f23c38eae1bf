"""which versions may work on the schema, so that old ones and new ones can do so side by side."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
oldest_level = "0005"


def upgrade() -> None:
    op.create_table(
        "schema_support",
        sa.Column("oldest_level", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("oldest_level"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("GRANT SELECT ON schema_support TO PUBLIC")  # a service whose user owns no tables asks for it, too


def downgrade() -> None:
    op.drop_table("schema_support")
