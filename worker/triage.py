"""What is said of a study, from what became of its images.

Pure: no clock, no I/O. A priority only rises; nothing here can say "normal".

A rejected image is left out of what is said: neither named, nor missed where it could not be screened. Rejected for its
quality or for its age it still shows the patient, and a finding on it still raises the priority, since the better film
may never come; rejected because it may show another patient it raises nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dicom_io.reasons import Reason
from dicom_io.rejection import Rejection
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

WITHDRAWN = "the flag was withdrawn by a reader"
RAISED_BY_REJECTED = "raised by an image that was rejected: only a reader can withdraw the flag"


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image.

    Attributes:
        predictions: one per frame, or one for the image if it has no frames.
        rejection: the title of the rejection note that names it, if one does.
        withdrawn: a reader said that its flag was wrong.
    """

    state: ImageState
    reason: Reason | None
    warnings: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    rejection: Rejection | None = None
    withdrawn: bool = False

    @property
    def flagged(self) -> bool:
        """Whether a frame of it lies at or above the threshold, and no reader said otherwise."""
        return not self.withdrawn and any(prediction.flagged for prediction in self.predictions)

    @property
    def raises(self) -> bool:
        """Whether it asks for a priority."""
        return self.flagged and (self.rejection is None or self.rejection.right_patient)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a result says of a study."""

    status: ScreeningStatus
    reason: Reason | None
    priority: Priority | None
    priority_reason: PriorityReason | None
    finding: str | None
    withdrawn: bool
    warnings: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    in_scope: bool


def judge(
    outcomes: Sequence[ImageOutcome],
    *,
    raised: PriorityReason | None = None,
    overdue: bool = False,
    withdrawn: bool = False,
) -> Verdict:
    """Say what may be said of a study.

    Args:
        outcomes: its images; those that a newer object replaced are left out of what is said.
        raised: why its priority was raised before, if it was; it stays raised, and a finding outranks its waiting time.
        overdue: whether the time to screen it is over.
        withdrawn: whether a reader withdraws its flag now; the images that raised it are marked.
    """
    current = [outcome for outcome in outcomes if outcome.state != ImageState.SUPERSEDED]
    told = [outcome for outcome in current if outcome.rejection is None]
    cause = PriorityReason.FINDING if any(outcome.raises for outcome in current) else raised
    reason = Reason.OVERDUE if overdue else _why_unscreened(current, told)
    withdrawn = cause is None and (withdrawn or any(outcome.withdrawn for outcome in outcomes))
    return Verdict(
        status=ScreeningStatus.SCREENED if reason is None else ScreeningStatus.UNSCREENED,
        reason=reason,
        priority=Priority.HIGH if cause else None,
        priority_reason=cause,
        finding=FINDING if cause is PriorityReason.FINDING else None,
        withdrawn=withdrawn,
        warnings=tuple(dict.fromkeys(_warnings(current, flagged=cause is PriorityReason.FINDING, withdrawn=withdrawn))),
        predictions=tuple(prediction for outcome in told for prediction in outcome.predictions),
        in_scope=bool(_in_scope(told)),
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


def _warnings(outcomes: Sequence[ImageOutcome], *, flagged: bool, withdrawn: bool) -> Iterator[str]:
    if withdrawn:
        yield WITHDRAWN
    rejected = [outcome for outcome in outcomes if outcome.rejection is not None]
    told = [outcome for outcome in outcomes if outcome.rejection is None]
    if rejected:
        titles = sorted({o.rejection.meaning for o in rejected if o.rejection is not None})
        yield f"images left out: {len(rejected)} ({', '.join(titles)})"
    if flagged and not any(o.flagged for o in told) and any(o.flagged for o in rejected):
        yield RAISED_BY_REJECTED
    for outcome in told:
        yield from outcome.warnings


def _why_unscreened(current: Sequence[ImageOutcome], told: Sequence[ImageOutcome]) -> Reason | None:
    if any(outcome.state in WORKING_STATES for outcome in current):
        return Reason.PENDING
    if not _in_scope(told):
        return _why_nothing_in_scope(current, told)
    # A film that its header calls a chest and its picture does not was not screened: the study is not, either.
    doubtful = any(outcome.reason is Reason.OUT_OF_SCOPE_IMAGE for outcome in told)
    failed = any(outcome.state is ImageState.FAILED for outcome in told)
    return Reason.INCOMPLETE if doubtful or failed else None


def _why_nothing_in_scope(current: Sequence[ImageOutcome], told: Sequence[ImageOutcome]) -> Reason:
    if _in_scope(current) or (current and not told):
        return Reason.REJECTED
    reasons = {outcome.reason for outcome in told}
    shared = reasons.pop() if len(reasons) == 1 else None
    return shared or Reason.NOTHING_IN_SCOPE
