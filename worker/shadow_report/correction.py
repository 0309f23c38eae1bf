"""Sensitivity and specificity when flagged and unflagged studies were not judged equally often. Pure."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

_DRAWS = 20_000


class Corrected(BaseModel):
    """A share weighted to all screened studies, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class Judged(BaseModel):
    """Screened studies on one side of the threshold: all of them, and the judged ones with and without a suspicion."""

    model_config = ConfigDict(frozen=True)

    studies: int
    suspected: int
    unsuspected: int

    @property
    def judged(self) -> int:
        """How many count."""
        return self.suspected + self.unsuspected


def corrected_rates(flagged: Judged, unflagged: Judged) -> tuple[Corrected | None, Corrected | None]:
    """Weight each judged study by how many of its side it stands for.

    Whether a study was judged may depend on its flag, but on nothing else that has to do with the truth.

    Args:
        flagged: the flagged studies.
        unflagged: the screened ones without a flag.

    Returns:
        Sensitivity and specificity; None where a side has no judged study, or nothing with (without) a suspicion was
        found. The interval is of the posterior under Jeffreys' prior for the three shares that they are made of, drawn
        the same on every call, and reaches 0 or 1 where the figure does.

    Source: Begg and Greenes, Biometrics 39 (1983) 207; for the interval as `share`, section 4.3 there.
    """
    if not (flagged.judged and unflagged.judged):
        return None, None
    sick_flagged = flagged.studies * flagged.suspected / flagged.judged
    sick_missed = unflagged.studies * unflagged.suspected / unflagged.judged
    draws = np.random.default_rng(0)
    share_flagged = _draw(draws, flagged.studies, unflagged.studies)
    sick_of_flagged = _draw(draws, flagged.suspected, flagged.unsuspected)
    sick_of_unflagged = _draw(draws, unflagged.suspected, unflagged.unsuspected)
    return (
        _ratio(sick_flagged, sick_missed, share_flagged * sick_of_flagged, (1 - share_flagged) * sick_of_unflagged),
        _ratio(
            unflagged.studies - sick_missed,
            flagged.studies - sick_flagged,
            (1 - share_flagged) * (1 - sick_of_unflagged),
            share_flagged * (1 - sick_of_flagged),
        ),
    )


def _draw(draws: np.random.Generator, yes: int, no: int) -> NDArray[np.float64]:
    return draws.beta(yes + 0.5, no + 0.5, _DRAWS)


def _ratio(
    right: float, wrong: float, right_drawn: NDArray[np.float64], wrong_drawn: NDArray[np.float64]
) -> Corrected | None:
    if right + wrong == 0:
        return None
    low, high = np.percentile(right_drawn / (right_drawn + wrong_drawn), (2.5, 97.5))
    return Corrected(
        value=right / (right + wrong), low=0.0 if right == 0 else float(low), high=1.0 if wrong == 0 else float(high)
    )
