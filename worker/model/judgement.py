"""What a logit and a distance say of one frame, by the model's card."""

from dataclasses import dataclass

from worker.model.artifact import ModelCard

STRANGE_FLAGGED_IMAGE = "flagged image does not look like a chest radiograph to the model"


@dataclass(frozen=True, slots=True)
class FrameJudgement:
    """What is said of one frame.

    Attributes:
        strange: whether it lies beyond the gate, flagged or not.
    """

    logit: float
    probability: float
    threshold: float
    threshold_logit: float
    flagged: bool
    scope_distance: float
    strange: bool

    @property
    def in_scope(self) -> bool:
        """Whether the frame counts as screened; the gate never silences a flag."""
        return self.flagged or not self.strange


def judge_frame(card: ModelCard, logit: float, scope_distance: float) -> FrameJudgement:
    """Hold a frame's numbers against the card's thresholds."""
    point = card.operating_point
    return FrameJudgement(
        logit=logit,
        probability=point.probability(logit),
        threshold=point.threshold,
        threshold_logit=point.threshold_logit,
        flagged=point.flags(logit),
        scope_distance=scope_distance,
        strange=not card.scope.lets_in(scope_distance),
    )
