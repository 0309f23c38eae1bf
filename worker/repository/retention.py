"""Which received files may go: none that is not screened, said and delivered, or that was promised to be kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from dicom_io.reasons import Reason
from worker.domain import NEVER_SENT_AGAIN, WORKING_STATES, DeliveryState, ImageState
from worker.repository.audit import record
from worker.repository.outbox import is_overtaken
from worker.repository.results import lock_studies
from worker.tables import Delivery, Image, Result, Score, Study


@dataclass(frozen=True, slots=True)
class KeptFile:
    """An image whose received file may go."""

    image_id: int
    content_sha256: str


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image and where its received file is to be found."""

    image_id: int
    study_instance_uid: str
    sop_instance_uid: str
    state: str
    content_sha256: str


def kept_files(session: Session) -> list[KeptImage]:
    """Return every image whose received file is to be kept, in the order in which they came."""
    columns = (Image.id, Study.study_instance_uid, Image.sop_instance_uid, Image.state, Image.content_sha256)
    rows = select(*columns).join(Study).where(Image.purged_at.is_(None)).order_by(Image.id)
    return [KeptImage(*row) for row in session.execute(rows)]


def keepers(session: Session, *, before: datetime, now: datetime) -> dict[str, int]:
    """Count the old files that must stay, by reason; one that has several counts for each."""
    reasons = {
        "not screened": ~_was_screened(),
        "study not concluded": ~_is_concluded(),
        "not delivered": _is_undelivered(),
        "storage commitment": ~_is_released(now),
        "needed by another image": _is_shared(before, now),
    }
    counted = (func.count(Image.id).filter(condition).label(name) for name, condition in reasons.items())
    row = session.execute(select(*counted).join(Study).where(_is_old(before))).one()
    return dict(zip(reasons, row, strict=True))


def purgeable_files(
    session: Session, *, before: datetime, now: datetime, limit: int | None, after: int = 0
) -> Sequence[KeptFile]:
    """Return up to `limit` images whose files may go, all if None, in the order of their ids from `after` on."""
    rows = select(Image.id, Image.content_sha256).join(Study).where(Image.id > after, _may_go(before, now))
    return [KeptFile(*row) for row in session.execute(rows.order_by(Image.id).limit(limit))]


def lock_purgeable(
    session: Session, files: Sequence[KeptFile], *, before: datetime, now: datetime
) -> Sequence[KeptFile]:
    """Take the files' studies for the rest of the transaction; returns those that still may go."""
    ids = [file.image_id for file in files]
    lock_studies(session, ids)
    rows = select(Image.id, Image.content_sha256).join(Study).where(Image.id.in_(ids), _may_go(before, now))
    return [KeptFile(*row) for row in session.execute(rows.order_by(Image.id))]


def note_purged(session: Session, files: Sequence[KeptFile], now: datetime) -> None:
    """Note that the files are gone, with one event per study."""
    ids = [file.image_id for file in files]
    session.execute(update(Image).where(Image.id.in_(ids)).values(purged_at=now))
    studies = select(Study.study_instance_uid, func.count(Image.id)).join(Image).where(Image.id.in_(ids))
    for uid, images in session.execute(studies.group_by(Study.study_instance_uid).order_by(Study.study_instance_uid)):
        record(session, "purged", now, uid, images=images)


def wanted(session: Session, contents: Iterable[str]) -> set[str]:
    """Return which of these contents an image wants to find in the spool."""
    rows = select(Image.content_sha256).where(Image.content_sha256.in_(list(contents)), Image.purged_at.is_(None))
    return set(session.scalars(rows))


def _may_go(before: datetime, now: datetime) -> ColumnElement[bool]:
    final = and_(_was_screened(), _is_concluded(), ~_is_undelivered())
    return and_(_is_old(before), final, _is_released(now), ~_is_shared(before, now))


def _is_old(before: datetime) -> ColumnElement[bool]:
    return and_(Image.purged_at.is_(None), Image.received_at <= before, ~_came_again_after(Image, before))


def _came_again_after(image: type[Image], time: datetime) -> ColumnElement[bool]:
    return and_(image.kept_again_at.is_not(None), image.kept_again_at > time)


def _was_screened() -> ColumnElement[bool]:
    """Scored, or no film for us; or replaced by another object after it was judged: else it may take its place again.

    A film that its header calls a chest and its picture does not was not screened.
    """
    scored = exists().where(Score.image_id == Image.id, Score.logit.is_not(None))
    doubtful = Image.reason.is_not_distinct_from(Reason.OUT_OF_SCOPE_IMAGE)
    return or_(
        Image.state == ImageState.SCORED,
        and_(Image.state == ImageState.OUT_OF_SCOPE, ~doubtful),
        and_(Image.state == ImageState.SUPERSEDED, or_(Image.reason.is_not(None), scored)),
    )


def _is_concluded() -> ColumnElement[bool]:
    return Study.concluded_revision >= Study.revision


def _is_undelivered() -> ColumnElement[bool]:
    of_study = (Delivery.result_id == Result.id, Result.study_id == Image.study_id)
    superfluous = and_(Delivery.state == DeliveryState.DEAD, is_overtaken())  # it is never sent again
    return exists().where(*of_study, Delivery.state.not_in(NEVER_SENT_AGAIN), ~superfluous)


def _is_released(now: datetime) -> ColumnElement[bool]:
    return or_(Image.committed_until.is_(None), Image.committed_until <= now)


def _is_shared(before: datetime, now: datetime) -> ColumnElement[bool]:
    other = aliased(Image)
    needs = or_(
        other.state.in_((*WORKING_STATES, ImageState.FAILED)),
        other.received_at > before,
        _came_again_after(other, before),
        other.committed_until > now,
    )
    same = (other.content_sha256 == Image.content_sha256, other.id != Image.id, other.purged_at.is_(None))
    return exists().where(*same, needs)
