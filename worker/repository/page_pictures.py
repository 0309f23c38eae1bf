"""What the page draws: the film as the network saw it, and where it looked."""

from dataclasses import dataclass

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from worker.domain import ImageState
from worker.tables import Image, ModelVersion, PreparedImage, Score, Study


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame of a study.

    Attributes:
        image_id: of its image.
        frame: its number, from 1.
        pixels: what the network saw, uint8 of a square, zstd; None if it was purged.
        activation_map: float16, little endian, of a square in units of the logit; None if it was not scored.
    """

    image_id: int
    frame: int
    pixels: bytes | None
    activation_map: bytes | None


def foremost_frame(session: Session, study_instance_uid: str) -> StoredFrame | None:
    """Return the most suspicious frame of a study; None if nothing was prepared."""
    shown = _frames(study_instance_uid).where(Image.state != ImageState.SUPERSEDED)
    row = session.execute(shown.order_by(Score.probability.desc().nulls_last(), Score.id).limit(1)).one_or_none()
    return None if row is None else _with_pixels(session, row)


def stored_frame(session: Session, study_instance_uid: str, image_id: int, frame: int) -> StoredFrame | None:
    """Return a frame of a study; None if the study has no such frame."""
    statement = _frames(study_instance_uid).where(Image.id == image_id, Score.frame == frame)
    row = session.execute(statement.order_by(Score.id.desc()).limit(1)).one_or_none()
    return None if row is None else _with_pixels(session, row)


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known of a frame of a study.

    Attributes:
        image_id: of its image.
        frame: its number, from 1.
        replaced: whether a later object took the place of its image.
        withdrawn: whether a reader said that its flag was wrong.
        warnings: what is to be kept in mind about its image.
        probability: that the model gave it; None while it waits.
        threshold: from which on a frame is flagged; None while it waits.
        flagged: whether it was.
        strange: whether it does not look like a chest film to the model.
        model: name and version of the model; None while it waits.
        has_map: whether there is an activation map.
    """

    image_id: int
    frame: int
    replaced: bool
    withdrawn: bool
    warnings: list[str]
    probability: float | None
    threshold: float | None
    flagged: bool
    strange: bool
    model: str | None
    has_map: bool


def frames_of(session: Session, study_instance_uid: str) -> list[FrameFacts]:
    """Return the frames of a study in the order they came, each as it was scored last."""
    rows = session.execute(
        select(Score, Image, ModelVersion)
        .join(Image, Image.id == Score.image_id)
        .join(Study, Study.id == Image.study_id)
        .outerjoin(ModelVersion, ModelVersion.id == Score.model_version_id)
        .where(Study.study_instance_uid == study_instance_uid)
        .order_by(Score.image_id, Score.frame, Score.id)
    ).all()
    return list({(score.image_id, score.frame): _facts(score, image, model) for score, image, model in rows}.values())


def _facts(score: Score, image: Image, model: ModelVersion | None) -> FrameFacts:
    return FrameFacts(
        image_id=image.id,
        frame=score.frame,
        replaced=image.state == ImageState.SUPERSEDED,
        withdrawn=image.withdrawn,
        warnings=image.warnings,
        probability=score.probability,
        threshold=score.threshold,
        flagged=score.flagged,
        strange=score.strange,
        model=None if model is None else f"{model.name} {model.version}",
        has_map=score.activation_map is not None,
    )


def _frames(study_instance_uid: str) -> Select[int, str, int, bytes | None]:
    return (
        select(Image.id, Image.content_sha256, Score.frame, Score.activation_map)
        .join(Score, Score.image_id == Image.id)
        .join(Study, Study.id == Image.study_id)
        .where(Study.study_instance_uid == study_instance_uid)
    )


def _with_pixels(session: Session, row: Row[int, str, int, bytes | None]) -> StoredFrame:
    image_id, content_sha256, frame, activation_map = row
    newest = select(PreparedImage.pixels).where(
        PreparedImage.content_sha256 == content_sha256, PreparedImage.frame == frame
    )
    pixels = session.scalar(newest.order_by(PreparedImage.created_at.desc()).limit(1))
    return StoredFrame(image_id, frame, pixels, activation_map)
