"""prepared images by month on PostgreSQL; the time of the newest object without looking at every study.

What is there stays where it is: the table becomes the first partition, which holds everything until the end of this
month, and is looked through once for times that lie later (its narrow rows, not the pixels; about
six seconds for ten million). Statements of the release before go on: they name neither the partitions nor a constraint.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest_level = "0005"

MONTHS_AHEAD = 3
KEY = "content_sha256, frame, input_spec_sha256"
WORKED_ON = ("studies", "images", "scores", "deliveries")
# Finished work leaves dead entries at the front of the index that claims read. By default they stay until a fifth of
# the table is dead, which takes ever longer the larger the archive, and an index cleanup is left out below a fiftieth.
VACUUM = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 50000, "vacuum_index_cleanup": "on"}


def upgrade() -> None:
    op.create_index(
        "ix_studies_last_received",
        "studies",
        ["last_received_at"],
        sqlite_where=sa.text("synthetic = 0"),
        postgresql_where=sa.text("NOT synthetic"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in WORKED_ON:
            op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in VACUUM.items())})")
        _partition()


def _partition() -> None:
    op.execute("LOCK TABLE prepared_images IN ACCESS EXCLUSIVE MODE")
    newest = "greatest(now(), (SELECT max(created_at) FROM prepared_images)) AT TIME ZONE 'UTC'"
    rows = op.get_bind().execute(
        sa.text(
            f"SELECT to_char(date_trunc('month', {newest}) + n * interval '1 month', 'YYYY-MM') "
            f"FROM generate_series(1, {MONTHS_AHEAD + 1}) n"
        )
    )
    ends = list(rows.scalars())
    first = f"prepared_images_before_{ends[0].replace('-', '_')}"
    op.execute(f"ALTER TABLE prepared_images RENAME TO {first}")
    op.execute(f"ALTER INDEX prepared_images_pkey RENAME TO {first}_pkey")
    op.execute(f"ALTER INDEX ix_prepared_images_created RENAME TO {first}_created")
    op.execute(f"CREATE TABLE prepared_images (LIKE {first}) PARTITION BY RANGE (created_at)")
    op.execute("CREATE INDEX ix_prepared_images_created ON prepared_images (created_at)")
    _attach(first, "MINVALUE", _quoted(ends[0]))
    months = [f"prepared_images_{start.replace('-', '_')}" for start in ends[:-1]]
    for month, start, end in zip(months, ends, ends[1:]):
        op.execute(f"CREATE TABLE {month} (LIKE prepared_images, PRIMARY KEY ({KEY}))")
        _attach(month, _quoted(start), _quoted(end))
    op.execute(f"CREATE TABLE prepared_images_default (LIKE prepared_images, PRIMARY KEY ({KEY}))")
    op.execute("ALTER TABLE prepared_images ATTACH PARTITION prepared_images_default DEFAULT")
    for table in ("prepared_images", "prepared_images_default", *months):
        _grant_as(first, table)


def _grant_as(model: str, table: str) -> None:
    # A service whose user owns no tables may go on doing what it did.
    held = (
        "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM pg_class, "
        f"aclexplode(relacl) WHERE pg_class.oid = '{model}'::regclass AND grantee <> relowner"
    )
    for privilege, grantee in op.get_bind().execute(sa.text(held)).all():
        op.execute(f"GRANT {privilege} ON {table} TO {grantee}")


def _quoted(month: str) -> str:
    return f"'{month}-01 00:00:00+00'"


def _attach(table: str, start: str, end: str) -> None:
    op.execute(f"ALTER TABLE prepared_images ATTACH PARTITION {table} FOR VALUES FROM ({start}) TO ({end})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE prepared_images RENAME TO prepared_images_months")
        op.execute(f"CREATE TABLE prepared_images (LIKE prepared_images_months, PRIMARY KEY ({KEY}))")
        _grant_as("prepared_images_months", "prepared_images")
        op.execute("INSERT INTO prepared_images SELECT * FROM prepared_images_months ON CONFLICT DO NOTHING")
        op.execute("DROP TABLE prepared_images_months")
        op.create_index("ix_prepared_images_created", "prepared_images", ["created_at"])
        for table in WORKED_ON:
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(VACUUM)})")
    op.drop_index("ix_studies_last_received", "studies")
