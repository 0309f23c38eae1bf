"""What is said of a file, from what was prepared of it and what the network answered."""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.reasons import Reason
from worker.domain import Flag, ImageState, ModelReference, Origin, Prediction, ScreeningStatus
from worker.model.artifact import ModelCard
from worker.model.intended_use import age_warnings
from worker.model.judgement import STRANGE_FLAGGED_IMAGE, FrameJudgement, judge_frame
from worker.screening.preparation import Facts
from worker.triage import ImageOutcome, judge

# The film is fine, but nothing that the model reads; every other reason may have cost one.
_NO_LOSS = frozenset(
    (
        Reason.NOT_A_RADIOGRAPH,
        Reason.WRONG_BODY_PART,
        Reason.LATERAL_VIEW,
        Reason.DERIVED_IMAGE,
        Reason.OUT_OF_SCOPE_IMAGE,
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class ScreenedFile:
    """What came of one file.

    Attributes:
        path: as it was given.
        flag: what is said of it.
        films: what the network saw, uint8 (frames, size, size); no frames where nothing was scored.
        activation_maps: float16 (frames, h, w), in units of the logit: 7x7 at 224 pixels, 14x14 of a baseline-cnn.
    """

    path: Path
    flag: Flag
    films: NDArray[np.uint8]
    activation_maps: NDArray[np.float16]


def counts_as_lost(path: Path, reason: Reason | None, named: Iterable[Path]) -> bool:
    """Tell whether a film may have been lost.

    A file without pixels that merely lies in a searched folder is no film; one that was named itself should have been.
    """
    harmless = reason in (Reason.NOT_AN_IMAGE, Reason.NO_PIXEL_DATA)
    return reason is not None and reason not in _NO_LOSS and (not harmless or path in named)


def judge_frames(card: ModelCard, logits: Iterable[float], distances: Iterable[float]) -> list[FrameJudgement]:
    """Hold every frame of a file against the card."""
    pairs = zip(logits, distances, strict=True)
    return [judge_frame(card, float(logit), float(distance)) for logit, distance in pairs]


def say(facts: Facts, judgements: Sequence[FrameJudgement], card: ModelCard, now: datetime) -> Flag:
    """Make the flag of one file.

    Args:
        facts: what is known of it.
        judgements: one per frame that was prepared.
        card: of the model that answered.
        now: creation time that the flag carries.
    """
    outcome = _outcome(facts, judgements, card)
    verdict = judge([outcome])
    return Flag(
        result_uid=f"2.25.{uuid.uuid4().int}",  # PS3.5 B.2
        supersedes=None,
        revision=1,
        complete=True,
        origin=Origin.LIVE,
        study_instance_uid=facts.study_instance_uid,
        accession_number=facts.accession_number,
        status=verdict.status,
        reason=outcome.reason,
        priority=verdict.priority,
        priority_reason=verdict.priority_reason,
        finding=verdict.finding,
        warnings=verdict.warnings,
        images=verdict.predictions,
        model=ModelReference(name=card.name, version=card.version, sha256=card.sha256),
        created_at=now,
    )


def _outcome(facts: Facts, judgements: Sequence[FrameJudgement], card: ModelCard) -> ImageOutcome:
    if facts.state is not ImageState.PREPARED:
        return ImageOutcome(facts.state, facts.reason, facts.warnings, (_unscreened(facts, 1, facts.reason),))
    warnings = (*facts.warnings, *age_warnings(card, facts.age_years))
    predictions = tuple(_prediction(facts, frame, said) for frame, said in enumerate(judgements, start=1))
    if not all(math.isfinite(said.logit) for said in judgements):
        return ImageOutcome(ImageState.FAILED, Reason.NO_SCORE, warnings, predictions)
    if not any(said.in_scope for said in judgements):
        return ImageOutcome(ImageState.OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE, warnings, predictions)
    if any(said.strange and said.flagged for said in judgements):
        warnings = (*warnings, STRANGE_FLAGGED_IMAGE)
    return ImageOutcome(ImageState.SCORED, None, warnings, predictions)


def _prediction(facts: Facts, frame: int, said: FrameJudgement) -> Prediction:
    if not math.isfinite(said.logit):
        return _unscreened(facts, frame, Reason.NO_SCORE)
    if not said.in_scope:
        return _unscreened(facts, frame, Reason.OUT_OF_SCOPE_IMAGE)
    return Prediction(
        sop_instance_uid=facts.sop_instance_uid,
        content_sha256=facts.content_sha256,
        frame=frame,
        status=ScreeningStatus.SCREENED,
        probability=said.probability,
        logit=said.logit,
        threshold=said.threshold,
        threshold_logit=said.threshold_logit,
        flagged=said.flagged,
    )


def _unscreened(facts: Facts, frame: int, reason: Reason | None) -> Prediction:
    return Prediction(
        sop_instance_uid=facts.sop_instance_uid,
        content_sha256=facts.content_sha256,
        frame=frame,
        status=ScreeningStatus.UNSCREENED,
        reason=reason,
    )
