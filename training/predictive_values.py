"""What a flag, and no flag, is worth where fewer people are sick than among the films of a test set. Pure."""

from pydantic import BaseModel, ConfigDict

from training.intervals import Interval

PREVALENCES = (0.01, 0.02, 0.05, 0.10, 0.20, 0.50)


class PredictiveValues(BaseModel):
    """At one prevalence.

    Attributes:
        prevalence: share of sick patients among all films that come.
        ppv: share of the sick among the flagged; null if nothing is flagged.
        npv: share of the well among those not flagged; null if everything is flagged.
        ppv_range, npv_range: at the lower and at the upper bounds of both sensitivity and specificity.
        flagged_per_1000, missed_per_1000: of a thousand films, how many are flagged, and how many sick ones are not.
        missed_per_1000_range: at the bounds of the sensitivity.
    """

    model_config = ConfigDict(frozen=True)

    prevalence: float
    ppv: float | None
    npv: float | None
    ppv_range: tuple[float | None, float | None]
    npv_range: tuple[float | None, float | None]
    flagged_per_1000: float
    missed_per_1000: float
    missed_per_1000_range: tuple[float, float]


def predictive_values(
    sensitivity: float, specificity: float, sensitivities: Interval, specificities: Interval
) -> tuple[PredictiveValues, ...]:
    """Apply Bayes' theorem at each of `PREVALENCES`.

    Args:
        sensitivity: as measured, in [0, 1]; taken to be the same at every prevalence.
        specificity: the same.
        sensitivities: 95 % interval.
        specificities: 95 % interval.

    Source: Altman and Bland, BMJ 309 (1994) 102.
    """
    low, high = zip(sensitivities, specificities, strict=True)
    return tuple(_at(prevalence, (sensitivity, specificity), low, high) for prevalence in PREVALENCES)


def _at(prevalence: float, measured: Interval, low: Interval, high: Interval) -> PredictiveValues:
    sensitivity, specificity = measured
    found, alarmed = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    return PredictiveValues(
        prevalence=prevalence,
        ppv=_ppv(prevalence, *measured),
        npv=_npv(prevalence, *measured),
        ppv_range=(_ppv(prevalence, *low), _ppv(prevalence, *high)),
        npv_range=(_npv(prevalence, *low), _npv(prevalence, *high)),
        flagged_per_1000=1000 * (found + alarmed),
        missed_per_1000=1000 * prevalence * (1 - sensitivity),
        missed_per_1000_range=(1000 * prevalence * (1 - high[0]), 1000 * prevalence * (1 - low[0])),
    )


def _ppv(prevalence: float, sensitivity: float, specificity: float) -> float | None:
    found, alarmed = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    return found / (found + alarmed) if found + alarmed else None


def _npv(prevalence: float, sensitivity: float, specificity: float) -> float | None:
    return _ppv(1 - prevalence, specificity, sensitivity)  # the same with the classes exchanged
