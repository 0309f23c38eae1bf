"""What the heatmaps of a result are drawn from."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain import DeliveryState, Flag, FrameEvidence, Prediction
from worker.tables import Delivery, Image, ModelVersion, PreparedImage, Result, Score, Study

_Frame = tuple[str | None, str, int, str]  # SOP Instance UID, SHA-256 of the content, number, SHA-256 of the model


def load_evidence(session: Session, flag: Flag, destination: str) -> tuple[FrameEvidence, ...]:
    """Load the activation maps and prepared images of the frames that raise a result.

    A frame whose heatmap an earlier result brought to the destination is left out, since the PACS would show it twice;
    after a correction of the patient or study it is not, as its objects repeat other attributes now.

    Args:
        session: of the caller's transaction.
        flag: the result.
        destination: where it is sent.

    Returns:
        One for each flagged frame of a DICOM image, in the flag's order; of what was purged only that it is missing.
        None for a result that raises nothing or whose flag was withdrawn.
    """
    shown = set(_shown(session, flag, destination))
    frames = [image for image in _raising(flag) if _frame(flag, image) not in shown]
    return tuple(_evidence(session, flag, image) for image in frames)


def _raising(flag: Flag) -> Iterator[Prediction]:
    if flag.priority is not None:
        yield from (i for i in flag.images if i.flagged and not i.withdrawn and i.sop_instance_uid is not None)


def _frame(flag: Flag, image: Prediction) -> _Frame:
    return image.sop_instance_uid, image.content_sha256, image.frame, (image.model or flag.model).sha256


def _shown(session: Session, flag: Flag, destination: str) -> Iterator[_Frame]:
    result = session.execute(
        select(Result.id, Result.study_id, Study.corrections).join(Study).where(Result.result_uid == flag.result_uid)
    ).one()
    earlier = (
        select(Result.flag)
        .join(Delivery)
        .where(
            Result.study_id == result.study_id,
            Result.id < result.id,
            Delivery.destination == destination,
            Delivery.state == DeliveryState.DELIVERED,
            Delivery.corrections == result.corrections,
        )
    )
    for text in session.scalars(earlier):
        said = Flag.model_validate_json(text)
        yield from (_frame(said, image) for image in _raising(said))


def _evidence(session: Session, flag: Flag, image: Prediction) -> FrameEvidence:
    score = session.execute(
        select(Score.activation_map, Score.scored_at)
        .join(Image, Image.id == Score.image_id)
        .join(Study, Study.id == Image.study_id)
        .join(ModelVersion, ModelVersion.id == Score.model_version_id)
        .where(
            Study.study_instance_uid == flag.study_instance_uid,
            Image.sop_instance_uid == image.sop_instance_uid,
            Image.content_sha256 == image.content_sha256,
            Score.frame == image.frame,
            ModelVersion.sha256 == (image.model or flag.model).sha256,
        )
    ).one_or_none()
    # Prepared for several models, the film is the same; the newest one that was there to be scored comes first.
    films = select(PreparedImage.pixels).where(
        PreparedImage.content_sha256 == image.content_sha256, PreparedImage.frame == image.frame
    )
    if score is not None:
        films = films.order_by(PreparedImage.created_at > score.scored_at, PreparedImage.created_at.desc())
    return FrameEvidence(
        prediction=image,
        activation_map=None if score is None else score.activation_map,
        pixels=None if score is None else session.scalar(films.limit(1)),
    )
