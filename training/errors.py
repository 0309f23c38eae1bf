"""What stops a training or evaluation run; each message says what to do."""


class TrainingError(Exception):
    """Base of everything this package raises on purpose."""


class DataError(TrainingError):
    """The labelled films cannot be used as they lie."""


class RecipeError(TrainingError):
    """The recipe does not exist or does not describe a run."""


class DivergedError(TrainingError):
    """The loss is no number any more; the last good checkpoint is kept."""


class CheckpointError(TrainingError):
    """A checkpoint is unreadable or belongs to another run."""


class OutputError(TrainingError):
    """What was to be written cannot be written."""


class CannotCertifyError(TrainingError):
    """The films are too few to promise the target.

    Args:
        positives: positive patients at hand.
        needed: positive patients that the promise needs.
        target: the sensitivity asked for.
        confidence: the confidence asked for.
    """

    def __init__(self, positives: int, needed: int, target: float, confidence: float) -> None:
        super().__init__(
            f"{positives} positive patients cannot certify a sensitivity of {target:g} at {confidence:.0%} confidence: "
            f"at least {needed} are needed; add labelled positive patients or ask for less"
        )
        self.needed = needed


class PretrainedError(TrainingError):
    """Weights that a run should start from cannot be had, or are of another network."""
