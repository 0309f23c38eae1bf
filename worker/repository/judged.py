"""Studies that readers have judged, as far as they can teach a model."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from dicom_io.header import decode_header
from dicom_io.part10 import tolerant
from worker.cases import Frame, JudgedStudy, Said
from worker.domain import ImageState, VerdictWord
from worker.repository.corrections import newest_header
from worker.repository.verdicts import counts
from worker.tables import Image, PreparedImage, Score, Study
from worker.web_tables import ReaderVerdict


def judged_studies(session: Session, *, since: datetime, until: datetime) -> Sequence[int]:
    """Return the studies with a verdict in [since, until), in order of their ids."""
    said = (ReaderVerdict.said_at >= since, ReaderVerdict.said_at < until, ~Study.synthetic)
    statement = select(ReaderVerdict.study_id).join(Study).where(*said).distinct()
    return session.scalars(statement.order_by(ReaderVerdict.study_id)).all()


def load_judged(session: Session, study_id: int) -> JudgedStudy:
    """Load a study with what its readers said last, and its frames that were scored and that nothing speaks against."""
    study = session.get_one(Study, study_id)
    withdrawn = exists().where(Image.study_id == study_id, Image.withdrawn)
    return JudgedStudy(
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        withdrawn=bool(session.scalar(select(withdrawn))),
        said=_said(session, study),
        frames=_frames(session, study_id),
        header=newest_header(session, study_id),
    )


def load_pixels(session: Session, content_sha256: str, frame: int, input_spec_sha256: str) -> bytes | None:
    """Return a prepared frame, zstd-compressed; None if it is not kept for this input."""
    key = {"content_sha256": content_sha256, "frame": frame, "input_spec_sha256": input_spec_sha256}
    found = session.get(PreparedImage, key)
    return None if found is None else found.pixels


def _said(session: Session, study: Study) -> list[Said]:
    statement = select(ReaderVerdict).where(ReaderVerdict.study_id == study.id, counts()).order_by(ReaderVerdict.id)
    return [
        Said(VerdictWord(row.verdict), row.revision, row.status, row.flagged, row.said_at >= study.last_received_at)
        for row in session.scalars(statement)
    ]


def _frames(session: Session, study_id: int) -> list[Frame]:
    current = (Image.study_id == study_id, Image.state == ImageState.SCORED, Image.rejection.is_(None))
    looks_like_a_film = or_(Score.flagged, ~Score.strange)
    statement = (
        select(Image.id, Image.content_sha256, Image.header, Score.frame, Score.flagged, Score.probability)
        .join(Score, Score.image_id == Image.id)
        .where(*current, Score.logit.is_not(None), looks_like_a_film)
        .order_by(Image.id, Score.frame, Score.scored_at, Score.id)
    )
    newest = {(row.id, row.frame): row for row in session.execute(statement)}
    return [
        Frame(row.content_sha256, row.frame, row.flagged, row.probability, _has_text(row.header))
        for row in newest.values()
    ]


def _has_text(header: bytes | None) -> bool:
    """Return what Burned In Annotation (PS3.3 C.7.6.1.1) says."""
    with tolerant():
        return header is not None and str(decode_header(header).get("BurnedInAnnotation") or "").strip() == "YES"
