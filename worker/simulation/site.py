"""What a site sends, what one process of each stage gets through, and what is promised."""

import math
from dataclasses import dataclass, fields

from worker.errors import ConfigurationError

# Measured on two shared cores: see "Hosts needed" in deploy/capacity.md.
INTAKE_MB_PER_SECOND = 75.0
PREPARED_PER_SECOND = 15.0
SCORED_PER_SECOND = 17.0
DELIVERED_PER_SECOND = 5.0
SCORE_BATCH_SECONDS = 0.017
WAKE_SECONDS = 0.04


class _Positive:
    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{field.name.replace('_', '-')}: {value:g}: give a number above 0")


@dataclass(frozen=True, slots=True)
class Site(_Positive):
    """What comes in.

    Attributes:
        studies_per_day: chest studies.
        images_per_study: films of each.
        image_mb: bytes of a film as it is sent, in 10^6.
        busy_factor: studies in the busiest hour over those of the average hour.

    Raises:
        ConfigurationError: if a figure is not above 0.
    """

    studies_per_day: float
    images_per_study: int = 2
    image_mb: float = 10.0
    busy_factor: float = 2.5

    @property
    def busy_studies_per_second(self) -> float:
        """Studies a second in the busiest hour."""
        return self.studies_per_day * self.busy_factor / 86_400


@dataclass(frozen=True, slots=True)
class Costs(_Positive):
    """Seconds that work takes, warm and without any waiting.

    Attributes:
        intake: one listener process, one film: received, hashed, fsynced, in SQL.
        prepare: one process, one film: read, decoded, resized, packed, in SQL.
        score: one worker, one film more in a batch.
        score_batch: one worker, a batch of whatever size.
        deliver: one destination, one result; they are sent one at a time.
        wake: from the end of one stage to the beginning of the next: the message that wakes it.
        batch_size: most films of a batch.

    Raises:
        ConfigurationError: if a figure is not above 0.
    """

    intake: float
    prepare: float
    score: float
    score_batch: float
    deliver: float
    wake: float = WAKE_SECONDS
    batch_size: int = 16

    @property
    def score_in_full_batches(self) -> float:
        """Seconds per film where batches are full."""
        return self.score + self.score_batch / self.batch_size

    @property
    def flag(self) -> float:
        """Seconds to a flag if nothing waits for anything."""
        return self.intake + self.prepare + self.score + self.score_batch + self.deliver + 3 * self.wake


@dataclass(frozen=True, slots=True)
class Rates(_Positive):
    """What one process of each stage gets through in a second; the defaults are measured, see deploy/capacity.md.

    Attributes:
        intake_rate: megabytes (10^6) that a listener process takes in.
        prepare_rate: films that a prepare process prepares.
        score_rate: films that a score worker scores in full batches.
        deliver_rate: results that a destination takes.

    Raises:
        ConfigurationError: if a figure is not above 0.
    """

    intake_rate: float = INTAKE_MB_PER_SECOND
    prepare_rate: float = PREPARED_PER_SECOND
    score_rate: float = SCORED_PER_SECOND
    deliver_rate: float = DELIVERED_PER_SECOND

    def costs(self, image_mb: float) -> Costs:
        """Return the seconds that these rates mean for films of this size."""
        batch_size = 16
        batch = batch_size / self.score_rate
        fixed = min(SCORE_BATCH_SECONDS, batch / 2)
        return Costs(
            intake=image_mb / self.intake_rate,
            prepare=1 / self.prepare_rate,
            score=(batch - fixed) / batch_size,
            score_batch=fixed,
            deliver=1 / self.deliver_rate,
            batch_size=batch_size,
        )


@dataclass(frozen=True, slots=True)
class Goal(_Positive):
    """What is promised in the busiest hour.

    Attributes:
        seconds: 95 % of the flags are delivered within this time of the film's arrival.
        utilisation: most of its time that a process may be at work; below 1.

    Raises:
        ConfigurationError: if a figure is not above 0, or the utilisation not below 1.
    """

    seconds: float = 10.0
    utilisation: float = 0.7

    def require_possible(self, costs: Costs) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigurationError: if no number of processes reaches it.
        """
        if self.utilisation >= 1:
            raise ConfigurationError(f"utilisation: {self.utilisation:g}: at 1 a queue grows without end: give less")
        if self.seconds <= costs.flag:
            raise ConfigurationError(
                f"within-seconds: {self.seconds:g}: the work alone takes {costs.flag:.2g} s, however many processes "
                "share it: promise more, or give faster rates"
            )
