"""What is said of a study, from what became of its images.

Pure: no clock, no I/O. A priority only rises; nothing here can say "normal".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dicom_io.reasons import Reason
from worker.domain import (
    FINDING,
    WORKING_STATES,
    ImageState,
    ModelReference,
    Prediction,
    Priority,
    PriorityReason,
    ScreeningStatus,
)


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image; `predictions` has one entry per frame, or one for the image if it has no frames."""

    state: ImageState
    reason: Reason | None
    warnings: tuple[str, ...]
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a result says of a study."""

    status: ScreeningStatus
    reason: Reason | None
    priority: Priority | None
    priority_reason: PriorityReason | None
    finding: str | None
    warnings: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    in_scope: bool


def judge(outcomes: Sequence[ImageOutcome], *, raised: PriorityReason | None = None, overdue: bool = False) -> Verdict:
    """Say what may be said of a study.

    Args:
        outcomes: its images; those that a newer object replaced are left out of what is said.
        raised: why its priority was raised before, if it was; it stays raised.
        overdue: whether the time to screen it is over.
    """
    current = [outcome for outcome in outcomes if outcome.state != ImageState.SUPERSEDED]
    predictions = tuple(prediction for outcome in current for prediction in outcome.predictions)
    flagged = any(prediction.flagged for prediction in predictions)
    cause = PriorityReason.FINDING if flagged else raised
    reason = Reason.OVERDUE if overdue else _why_unscreened(current)
    return Verdict(
        status=ScreeningStatus.SCREENED if reason is None else ScreeningStatus.UNSCREENED,
        reason=reason,
        priority=Priority.HIGH if cause else None,
        priority_reason=cause,
        finding=FINDING if cause is PriorityReason.FINDING else None,
        warnings=tuple(dict.fromkeys(warning for outcome in current for warning in outcome.warnings)),
        predictions=predictions,
        in_scope=bool(_in_scope(current)),
    )


def name_other_models(verdict: Verdict, model: ModelReference) -> Verdict:
    """Leave the model only on frames that another one scored than the result names, and warn of each such model."""
    others = [p.model for p in verdict.predictions if p.model is not None and p.model != model]
    warnings = (f"scored in part by an earlier model: {m.name} {m.version} ({m.sha256})" for m in others)
    return replace(
        verdict,
        warnings=tuple(dict.fromkeys((*verdict.warnings, *warnings))),
        predictions=tuple(p.model_copy(update={"model": None}) if p.model == model else p for p in verdict.predictions),
    )


def _in_scope(outcomes: Sequence[ImageOutcome]) -> list[ImageOutcome]:
    return [outcome for outcome in outcomes if outcome.state != ImageState.OUT_OF_SCOPE]


def _why_unscreened(outcomes: Sequence[ImageOutcome]) -> Reason | None:
    states = {outcome.state for outcome in _in_scope(outcomes)}
    if not states:
        reasons = {outcome.reason for outcome in outcomes}
        shared = reasons.pop() if len(reasons) == 1 else None
        return shared or Reason.NOTHING_IN_SCOPE
    if states.intersection(WORKING_STATES):
        return Reason.PENDING
    # A film that its header calls a chest and its picture does not was not screened: the study is not, either.
    doubtful = any(outcome.reason is Reason.OUT_OF_SCOPE_IMAGE for outcome in outcomes)
    return Reason.INCOMPLETE if doubtful or ImageState.FAILED in states else None
