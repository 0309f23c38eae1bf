"""Images whose every frame is scored or failed get their last state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import ImageState
from worker.model.judgement import STRANGE_FLAGGED_IMAGE
from worker.repository.audit import record_all
from worker.repository.synthetic import mark
from worker.tables import Image, ModelVersion, Score, Study

_Row = Any  # of one of the two statements below
_FRAME = (
    *(Score.id, Score.image_id, Score.frame, Score.model_version_id, Score.scored_at, Score.logit, Score.probability),
    *(Score.threshold, Score.flagged, Score.strange, Score.last_error, Score.traceback),
)  # without the activation map, which is nine tenths of the row


def move_on(session: Session, image_ids: Sequence[int], now: datetime) -> None:
    """Give prepared images their last state whose every frame is scored or failed; their studies must be locked.

    The number of statements does not depend on the number of images.
    """
    frames = _frames(session, image_ids)
    of_study = (Study.study_instance_uid, Study.synthetic)
    prepared = (
        select(Image.id, Image.reason, Image.warnings, Image.last_error, Image.traceback, *of_study)
        .join(Study)
        .where(Image.id.in_(image_ids), Image.state == ImageState.PREPARED)
        .order_by(Image.id)
    )
    models: Mapping[int, ModelVersion] = {model.id: model for model in session.scalars(select(ModelVersion))}
    ends, events = [], []
    for image in session.execute(prepared).all():
        of_image = frames[image.id]
        if of_image and all(frame.scored_at is not None for frame in of_image):
            end = _end(image, of_image)
            ends.append(end)
            detail = {**_detail(end, of_image, models), **mark(synthetic=image.synthetic)}
            events.append((f"image-{end['state']}", image.study_instance_uid, detail))
    if ends:
        session.execute(update(Image), ends)
    record_all(session, now, events)


def _frames(session: Session, image_ids: Sequence[int]) -> Mapping[int, Sequence[_Row]]:
    found: defaultdict[int, list[_Row]] = defaultdict(list)
    for frame in session.execute(select(*_FRAME).where(Score.image_id.in_(image_ids)).order_by(Score.frame)):
        found[frame.image_id].append(frame)
    return found


def _end(image: _Row, frames: Sequence[_Row]) -> dict[str, Any]:
    end = {name: getattr(image, name) for name in ("id", "reason", "warnings", "last_error", "traceback")}
    if any(frame.logit is None for frame in frames):  # its reason stands since the frame failed
        end["state"] = ImageState.FAILED
        end["last_error"], end["traceback"] = _last_fault(frames)
    elif all(frame.strange and not frame.flagged for frame in frames):
        end["state"], end["reason"] = ImageState.OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE
    else:
        end["state"] = ImageState.SCORED
    if any(frame.strange and frame.flagged for frame in frames):
        end["warnings"] = [*image.warnings, STRANGE_FLAGGED_IMAGE]
    return end


def _last_fault(frames: Sequence[_Row]) -> tuple[str | None, str | None]:
    failed = [frame for frame in frames if frame.logit is None and frame.last_error is not None]
    return (failed[-1].last_error, failed[-1].traceback) if failed else (None, None)


def _detail(end: Mapping[str, Any], frames: Sequence[_Row], models: Mapping[int, ModelVersion]) -> dict[str, object]:
    scored = [frame for frame in frames if frame.probability is not None]
    highest = max(scored, key=lambda frame: frame.probability or 0, default=None)
    model = None if highest is None else models.get(highest.model_version_id)
    return {
        "image_id": end["id"],
        "reason": end["reason"],
        "error": end["last_error"],
        "frames": len(frames),
        "probability": None if highest is None else highest.probability,
        "threshold": None if highest is None else highest.threshold,
        "flagged": any(frame.flagged for frame in frames),
        "model": None if model is None else f"{model.name} {model.version}",
        "model_sha256": None if model is None else model.sha256,
    }
