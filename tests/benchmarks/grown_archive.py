"""An archive of many days in PostgreSQL, made by the database itself: every row of it, and no pixels to speak of.

The archive grows with its days. What is open, waits, failed, or has its file still in the spool does not: that is
bounded by what a day brings, and is the same however large the archive is.
"""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.studies import CR, INPUT_SPEC, result
from worker.db import Database
from worker.repository import prepared_months
from worker.repository.model_versions import RegisteredModel

STUDIES_PER_DAY = 2000
PREPARED_DAYS = 400
MONTHS = 14
OPEN = 100  # studies: half of them to be prepared, half to be scored
SMALLEST = 200  # studies; what is open, undelivered and failed needs room beside each other
_STUDY, _RESULT = "2.25.111111111", "2.25.222222222"

_STUDIES = """
    INSERT INTO studies (study_instance_uid, accession_number, revision, concluded_revision, status, priority,
        priority_reason, synthetic, corrections, received_at, last_received_at, due_at)
    SELECT '2.25.' || lpad(abs(hashint8extended(n, 1))::text, 19, '1'), 'ACC' || n, 1, said::int,
        CASE WHEN said THEN 'SCREENED' END, CASE WHEN said AND n % 20 = 0 THEN 'HIGH' END,
        CASE WHEN said AND n % 20 = 0 THEN 'finding' END, n % 83 = 0, 0, came, came,
        CASE WHEN said THEN came ELSE CAST(:now AS timestamptz) END + interval '1 day'
    FROM generate_series(1, :n) n, LATERAL (SELECT n <= :n - :open AS said,
        CAST(:now AS timestamptz) - interval '1 hour' - (:n - n) * interval '1 day' / :per_day AS came) of_study"""
_IMAGES = """
    INSERT INTO images (study_id, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid,
        content_sha256, calling_ae_title, state, reason, warnings, header, data_set_bytes, withdrawn, purged_at,
        urgency, attempts, received_at)
    SELECT id, study_instance_uid || '.0', :cr, study_instance_uid || '.' || number, '1.2.840.10008.1.2.1',
        md5(id || ' ' || number) || md5(number || ' ' || id), 'PACS1',
        CASE WHEN id > :n - :open / 2 THEN 'received' WHEN id > :n - :open THEN 'prepared'
             WHEN id BETWEEN :n - 190 AND :n - 181 THEN 'failed' ELSE 'scored' END,
        CASE WHEN id BETWEEN :n - 190 AND :n - 181 THEN 'unreadable' END, '[]',
        decode(repeat(md5(id::text), 60), 'hex'), 8000000, false,
        CASE WHEN id <= :n - :smallest THEN received_at + interval '14 days' END, 20,
        CASE WHEN id > :n - :open / 2 THEN 0 ELSE 1 END, received_at
    FROM studies, LATERAL generate_series(1, 1 + (id % 3 = 0)::int) number"""
_SCORES = """
    INSERT INTO scores (image_id, content_sha256, frame, origin, model_version_id, logit, probability, threshold,
        threshold_logit, flagged, scope_distance, strange, activation_map, urgency, attempts, created_at, scored_at)
    SELECT images.id, content_sha256, 1, 'live', CASE WHEN scored THEN CAST(:model AS integer) END, logit,
        1 / (1 + exp(-logit)), 0.31, -0.8, coalesce(logit > 0, false), 15, false,
        CASE WHEN scored THEN decode(repeat(md5(content_sha256), 6), 'hex') END, 20, scored::int,
        received_at, CASE WHEN scored THEN received_at END
    FROM images, LATERAL (SELECT state <> 'prepared' AS scored, CASE WHEN state = 'prepared' THEN NULL
        WHEN study_id % 20 = 0 THEN 2.5 ELSE -4.0 END::float8 AS logit) of_image
    WHERE state IN ('prepared', 'scored') ORDER BY images.id"""
_PREPARED = """
    INSERT INTO prepared_images (content_sha256, frame, input_spec_sha256, pixels, created_at)
    SELECT content_sha256, 1, :spec, decode(md5(content_sha256), 'hex'), received_at
    FROM images WHERE state IN ('prepared', 'scored')
        AND received_at > CAST(:now AS timestamptz) - :prepared_days * interval '1 day' ORDER BY id"""
_RESULTS = """
    INSERT INTO results (result_uid, study_id, revision, model_version_id, stage, flag, created_at)
    SELECT uid, id, 1, :model, stage, replace(replace(:flag, :study_uid, study_instance_uid), :result_uid, uid),
        received_at + interval '1 minute'
    FROM studies, unnest(ARRAY['early', 'complete']) stage,
        LATERAL (SELECT '2.25.' || lpad(abs(hashtextextended(stage, id))::text, 19, '1') AS uid) of_result
    WHERE concluded_revision = 1 AND (stage = 'complete' OR id % 20 = 0) ORDER BY id, stage DESC"""
_DELIVERIES = """
    INSERT INTO deliveries (result_id, destination, state, answer, form, corrections, commitment_failures, created_at,
        delivered_at, urgency, attempts)
    SELECT id, destination, state, CASE WHEN state = 'delivered' THEN 'stored, status 0x0000' END,
        CASE WHEN state = 'delivered' THEN 'comprehensive-3d-sr' END, 0, 0, created_at,
        CASE WHEN state = 'delivered' THEN created_at END, 20, (state <> 'pending')::int
    FROM results, unnest(ARRAY['flags', 'pacs']) destination, LATERAL (SELECT CASE
        WHEN study_id > :n - :open - 70 AND study_id % 20 > 0 THEN 'pending'
        WHEN study_id BETWEEN :n - 180 AND :n - 171 THEN 'dead' ELSE 'delivered' END AS state) of_delivery
    ORDER BY id, destination"""
_EVENTS = """
    INSERT INTO events (at, kind, study_instance_uid, detail)
    SELECT at, kind, study_instance_uid, detail FROM (
        SELECT images.received_at AS at, kind, study_instance_uid, json_build_object('image_id', images.id,
            'receipt', 'new', 'sop_instance_uid', sop_instance_uid, 'content_sha256', content_sha256,
            'calling_ae_title', calling_ae_title) AS detail
        FROM images JOIN studies ON studies.id = study_id,
            unnest(ARRAY['image-received', 'image-prepared', 'image-scored']) kind
        UNION ALL
        SELECT created_at, kind, study_instance_uid, json_build_object('result_uid', result_uid, 'stage', stage,
            'destination', 'pacs', 'answer', 'stored, status 0x0000', 'status', 'SCREENED')
        FROM results JOIN studies ON studies.id = study_id, unnest(ARRAY['result', 'delivered', 'delivered']) kind
        UNION ALL
        SELECT purged_at, 'purged', study_instance_uid, '{"images": 1}'
        FROM images JOIN studies ON studies.id = study_id WHERE purged_at IS NOT NULL
    ) happened ORDER BY at"""


def fill(database: Database, studies: int, model: RegisteredModel, now: datetime) -> None:
    """Make `studies` studies that came at an even pace until an hour ago, with all that is kept of them.

    Args:
        database: migrated and empty but for the model.
        studies: how many, at least `SMALLEST`.
        model: that scored them.
        now: present time.
    """
    values = {
        "n": studies,
        "model": model.id,
        "now": now,
        "per_day": STUDIES_PER_DAY,
        "open": OPEN,
        "prepared_days": PREPARED_DAYS,
        "spec": INPUT_SPEC,
        "smallest": SMALLEST,
        "cr": CR,
        "study_uid": _STUDY,
        "result_uid": _RESULT,
        "flag": _flag(),
    }
    with database.begin() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # rows that fit each other by design
        session.execute(text("SET LOCAL work_mem = '256MB'"))
        _make_months(session, now)
        for statement in (_STUDIES, _IMAGES, _SCORES, _PREPARED, _RESULTS, _DELIVERIES, _EVENTS):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            session.execute(text(statement), used)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum leaves an archive that grew day by day
        connection.execute(text("CHECKPOINT"))


def study_uids(database: Database, count: int) -> list[str]:
    """Return the UIDs of studies from all over the archive."""
    spread = text(
        "SELECT study_instance_uid FROM studies WHERE id % greatest(1, (SELECT max(id) FROM studies) / :n) = 0"
    )
    with database.read() as session:
        return list(session.scalars(spread, {"n": count}))


def gigabytes(database: Database) -> dict[str, float]:
    """Return what each table takes, its indexes and partitions with it."""
    sizes = text(
        "SELECT relname, coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(oid)), "
        "pg_total_relation_size(oid)) / 1e9 FROM pg_class "
        "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
    )
    with database.read() as session:
        return {name: float(size) for name, size in session.execute(sizes)}


def _make_months(session: Session, now: datetime) -> None:
    """Give every month of prepared images its table, as if the service had run for so long."""
    (first,) = (part for part in prepared_months.parts(session) if not part.is_month)
    starts = [prepared_months._month(now, later) for later in range(-MONTHS, 1)]
    before = f"prepared_images_before_{starts[0]:%Y_%m}"
    session.execute(text(f"DROP TABLE {first.name}"))
    session.execute(text(f"CREATE TABLE {before} (LIKE prepared_images)"))
    bounds = f"FROM (MINVALUE) TO ('{starts[0].isoformat()}')"
    session.execute(text(f"ALTER TABLE prepared_images ATTACH PARTITION {before} FOR VALUES {bounds}"))
    for start in starts:
        prepared_months._make(session, start)


def _flag() -> str:
    flag = result(_STUDY, flagged=True)
    return flag.model_copy(update={"result_uid": _RESULT}).to_json()
