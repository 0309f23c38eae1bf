"""The tables.

`prepared_images` holds pixels only; what is to be done stands on `images` (to prepare), `scores` (to score) and
`deliveries` (to send), each with its lease and attempt counter. `results` and `events` are append-only.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from worker.table_base import SHA256, UID, Base, Claimable, Code

IN_SERVICE = "model-in-service"  # the kind of event that tells of a change of the model

# The partial indexes below hold only what is still to be done or to be mended, so that they stay small whatever the
# archive's size.
_REAL, _REAL_SQLITE = text("NOT synthetic"), text("synthetic = 0")  # as each has it in its statements
_OPEN = text("concluded_revision < revision")
_UNREAD = text("read_at IS NULL")
_READ = text("read_at IS NOT NULL")
_REOPENED = text("reopened_at IS NOT NULL")
_TO_PREPARE = text("state = 'received'")
_TO_SCORE = text("scored_at IS NULL")
_TO_DELIVER = text("state = 'pending'")
_BEING_DELIVERED = text("state = 'pending' AND lease_until IS NOT NULL")
_WORKING = text("state IN ('received', 'prepared')")
_FAILED = text("state = 'failed'")
_DEAD = text("state = 'dead'")
_TO_REPORT = text("state = 'pending'")
_KEPT = text("purged_at IS NULL")
_CHAMPION = text("champion")
_MODEL_CHANGES = text("kind = 'model-in-service'")
_MOST_URGENT = text("urgency DESC")


class Study(Base):
    """A study, and what was last said of it. `revision` rises with every change of its set of objects.

    `corrections` counts the changes of its patient's or its own attributes by later objects. A person has read it since
    `read_at`, as a RIS told us or a verdict shows; an image that came after that, at `reopened_at`, nobody has read.
    """

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    accession_number: Mapped[str | None] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(default=0)
    concluded_revision: Mapped[int] = mapped_column(default=0)
    status: Mapped[str | None] = mapped_column(Code)
    reason: Mapped[str | None] = mapped_column(Code)
    priority: Mapped[str | None] = mapped_column(Code)
    priority_reason: Mapped[str | None] = mapped_column(Code)
    synthetic: Mapped[bool] = mapped_column(default=False)
    corrections: Mapped[int] = mapped_column(default=0)
    received_at: Mapped[datetime]
    last_received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    reopened_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_studies_unread", "received_at", sqlite_where=_UNREAD, postgresql_where=_UNREAD),
        Index("ix_studies_read", "read_at", sqlite_where=_READ, postgresql_where=_READ),
        Index("ix_studies_reopened", "reopened_at", sqlite_where=_REOPENED, postgresql_where=_REOPENED),
        Index("ix_studies_open", "last_received_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_studies_received", "received_at"),
        Index("ix_studies_last_received", "last_received_at", sqlite_where=_REAL_SQLITE, postgresql_where=_REAL),
    )


class Image(Claimable, Base):
    """A received object with pixels; the row is the work of preparing it.

    `data_set_bytes` is the length of what `content_sha256` is the hash of. `rejection` is the code of the rejection
    note that names the object (PS3.16 CID 7010); of a `withdrawn` one a reader said that its flag was wrong. Until
    `committed_until` its file is kept whatever the retention, since a sender may have deleted its own on our word; the
    file is gone since `purged_at`, or its bytes came again after that, at `kept_again_at`.
    """

    __tablename__ = "images"

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    series_instance_uid: Mapped[str] = mapped_column(UID)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    content_sha256: Mapped[str] = mapped_column(SHA256)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(Code)
    reason: Mapped[str | None] = mapped_column(Code)
    warnings: Mapped[list[str]]
    header: Mapped[bytes | None]
    data_set_bytes: Mapped[int | None] = mapped_column(BigInteger)
    rejection: Mapped[str | None] = mapped_column(Code)
    withdrawn: Mapped[bool] = mapped_column(default=False)
    committed_until: Mapped[datetime | None]
    purged_at: Mapped[datetime | None]
    kept_again_at: Mapped[datetime | None]
    received_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("study_id", "sop_instance_uid", "content_sha256"),
        Index("ix_images_content", "content_sha256"),
        Index("ix_images_failed", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
        Index("ix_images_kept", "received_at", sqlite_where=_KEPT, postgresql_where=_KEPT),
        Index("ix_images_sop_instance", "sop_instance_uid"),
        Index("ix_images_work", _MOST_URGENT, "id", sqlite_where=_TO_PREPARE, postgresql_where=_TO_PREPARE),
        Index("ix_images_study", "study_id"),
        Index("ix_images_working", "study_id", sqlite_where=_WORKING, postgresql_where=_WORKING),
    )


class PreparedImage(Base):
    """The pixels that the network sees: uint8 (size, size), zstd.

    On PostgreSQL partitioned by the month of `created_at`, and the key holds within a month; see
    `worker.repository.prepared_months`.
    """

    __tablename__ = "prepared_images"

    content_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    frame: Mapped[int] = mapped_column(primary_key=True)
    input_spec_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    pixels: Mapped[bytes]
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_prepared_images_created", "created_at"),)


class Score(Claimable, Base):
    """One frame judged by one model; without a logit, the work of scoring it."""

    __tablename__ = "scores"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    content_sha256: Mapped[str] = mapped_column(SHA256)
    frame: Mapped[int]
    origin: Mapped[str] = mapped_column(Code)
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    logit: Mapped[float | None]
    probability: Mapped[float | None]
    threshold: Mapped[float | None]
    threshold_logit: Mapped[float | None]
    flagged: Mapped[bool] = mapped_column(default=False)
    scope_distance: Mapped[float | None]
    strange: Mapped[bool] = mapped_column(default=False)  # does not look like a chest film to the model
    activation_map: Mapped[bytes | None]  # float16, little endian: (7, 7), (14, 14) of baseline-cnn
    created_at: Mapped[datetime]
    scored_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("image_id", "frame", "model_version_id"),
        Index("ix_scores_work", _MOST_URGENT, "id", sqlite_where=_TO_SCORE, postgresql_where=_TO_SCORE),
    )


class Result(Base):
    """What was said of a study; never changed afterwards. `flag` is the JSON text as it was sent."""

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    result_uid: Mapped[str] = mapped_column(UID, unique=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    revision: Mapped[int]
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    stage: Mapped[str] = mapped_column(Code)
    flag: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("study_id", "revision", "model_version_id", "stage"),
        Index("ix_results_study", "study_id", "id"),
    )


class RejectedInstance(Base):
    """An object that a rejection note of the title `code` (PS3.16 CID 7010) names; the note may come first."""

    __tablename__ = "rejected_instances"

    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    note_sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    code: Mapped[str] = mapped_column(Code)
    received_at: Mapped[datetime]


class Delivery(Claimable, Base):
    """The outbox: one row per result and destination; `corrections` are the study's when it was last sent.

    `form` is the kind of DICOM object that was taken. `commitment` says what became of the storage commitment that was
    asked for under `transaction_uid`, which stands here before it is sent; it failed `commitment_failures` times.
    """

    __tablename__ = "deliveries"

    result_id: Mapped[int] = mapped_column(ForeignKey("results.id"))
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(Code)
    answer: Mapped[str | None] = mapped_column(Text)
    corrections: Mapped[int] = mapped_column(default=0)
    form: Mapped[str | None] = mapped_column(Code)
    commitment: Mapped[str | None] = mapped_column(Code)
    commitment_failures: Mapped[int] = mapped_column(default=0)
    transaction_uid: Mapped[str | None] = mapped_column(UID)
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        Index("ix_deliveries_work", _MOST_URGENT, "id", sqlite_where=_TO_DELIVER, postgresql_where=_TO_DELIVER),
        Index("ux_deliveries_transaction", "transaction_uid", unique=True),
        Index("ix_deliveries_dead", "id", sqlite_where=_DEAD, postgresql_where=_DEAD),
        Index("ix_deliveries_leased", "destination", sqlite_where=_BEING_DELIVERED, postgresql_where=_BEING_DELIVERED),
    )


class Commitment(Claimable, Base):
    """A storage commitment request; the row is the work of answering it. `references` lists SOP Class and Instance."""

    __tablename__ = "commitments"

    transaction_uid: Mapped[str] = mapped_column(UID)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    references: Mapped[list[list[str]]]
    state: Mapped[str] = mapped_column(Code)
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("calling_ae_title", "transaction_uid"),
        Index("ix_commitments_work", _MOST_URGENT, "id", sqlite_where=_TO_REPORT, postgresql_where=_TO_REPORT),
    )


class Reconciliation(Base):
    """The asking of a PACS what never came: who is at it, and what became of the studies of its last `night` so far."""

    __tablename__ = "reconciliations"

    pacs: Mapped[str] = mapped_column(String(16), primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]
    night: Mapped[str | None] = mapped_column(String(10))
    studies: Mapped[dict[str, Any]]
    finished_at: Mapped[datetime | None]


class ModelVersion(Base):
    """A model that has been in service here; at most one is the champion.

    `location` says who chose it: `default` follows the package, `site` is the site's own choice.
    """

    __tablename__ = "model_versions"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(SHA256, unique=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    location: Mapped[str] = mapped_column(Text)
    champion: Mapped[bool] = mapped_column(default=False)
    registered_at: Mapped[datetime]

    __table_args__ = (
        Index(
            "ux_model_versions_champion", "champion", unique=True, sqlite_where=_CHAMPION, postgresql_where=_CHAMPION
        ),
    )


class Event(Base):
    """The audit trail; append-only. `detail` holds ids and codes, never a patient's name or birth date."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(Code)
    study_instance_uid: Mapped[str | None] = mapped_column(UID)
    detail: Mapped[dict[str, Any]]

    __table_args__ = (
        Index("ix_events_study", "study_instance_uid", "id"),
        Index("ix_events_models", "id", sqlite_where=_MODEL_CHANGES, postgresql_where=_MODEL_CHANGES),
    )
