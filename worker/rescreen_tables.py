"""The tables of re-screening: what is scored again with another model than it was judged by.

What is said of a study stands in `scores` and `results`, which a run that only reports leaves alone.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.table_base import SHA256, Base, Claimable, Code

_OPEN = text("open")
_TO_SCORE = text("closed_at IS NULL")
_TO_PREPARE = text("done_at IS NULL")
_MOST_URGENT = text("urgency DESC")


class Rescreen(Base):
    """A run over the studies that were received from `since` on and before `until`; at most one is open.

    `planned_study_id` is the last study that a chunk was made of, `last_study_id` that of the window when the run was
    started. `expected` are the frames that were to be scored then. `last_error` says why no host takes the work up.
    """

    __tablename__ = "rescreens"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    since: Mapped[datetime]
    until: Mapped[datetime]
    requested_by: Mapped[str] = mapped_column(Text)
    deliver_after: Mapped[datetime | None]  # newly flagged studies received since then are told; None: a report only
    planned_study_id: Mapped[int]
    last_study_id: Mapped[int]
    expected: Mapped[int]
    scored: Mapped[int] = mapped_column(default=0)  # frames of closed chunks
    told: Mapped[int] = mapped_column(default=0)  # studies
    open: Mapped[bool] = mapped_column(default=True)
    outcome: Mapped[str | None] = mapped_column(Code)
    last_error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (Index("ux_rescreens_open", "open", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),)


class RescreenChunk(Claimable, Base):
    """Some studies of a run, from the first to the last of these ids; the row is the work of scoring them."""

    __tablename__ = "rescreen_chunks"

    rescreen_id: Mapped[int] = mapped_column(ForeignKey("rescreens.id"))
    first_study_id: Mapped[int]
    last_study_id: Mapped[int]
    scored: Mapped[int] = mapped_column(default=0)  # frames so far
    closed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("rescreen_id", "first_study_id"),
        Index("ix_rescreen_chunks_work", _MOST_URGENT, "id", sqlite_where=_TO_SCORE, postgresql_where=_TO_SCORE),
    )


class RescreenPreparation(Claimable, Base):
    """An object that the run's model takes in another form than it was prepared in; the row is the work of doing so.

    `input_spec` is what `worker.model.input_spec.InputSpec` makes of itself.
    """

    __tablename__ = "rescreen_preparations"

    chunk_id: Mapped[int] = mapped_column(ForeignKey("rescreen_chunks.id"))
    content_sha256: Mapped[str] = mapped_column(SHA256)
    input_spec: Mapped[dict[str, Any]]
    done_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("chunk_id", "content_sha256"),
        Index(
            "ix_rescreen_preparations_work", _MOST_URGENT, "id", sqlite_where=_TO_PREPARE, postgresql_where=_TO_PREPARE
        ),
    )


class RescreenScore(Base):
    """What another model says of a frame, beside what was said before; at most once per model, whichever run asked.

    `lack` says why there is no score. `raised_before` is whether the study had a priority then. The activation map is
    kept where the frame is newly flagged. What follows from the image and its score is no foreign key: each would be
    looked up anew for every row.
    """

    __tablename__ = "rescreen_scores"

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    frame: Mapped[int] = mapped_column(primary_key=True)
    rescreen_id: Mapped[int]
    study_id: Mapped[int]
    lack: Mapped[str | None] = mapped_column(Code)
    logit: Mapped[float | None]
    probability: Mapped[float | None]
    threshold: Mapped[float | None]
    threshold_logit: Mapped[float | None]
    flagged: Mapped[bool] = mapped_column(default=False)
    scope_distance: Mapped[float | None]
    strange: Mapped[bool] = mapped_column(default=False)
    activation_map: Mapped[bytes | None]
    previous_model_version_id: Mapped[int]
    previous_logit: Mapped[float]
    previous_probability: Mapped[float]
    previous_flagged: Mapped[bool]
    raised_before: Mapped[bool]
    scored_at: Mapped[datetime]

    __table_args__ = (Index("ix_rescreen_scores_study", "study_id", "model_version_id"),)
